"""``mxseal dane``: files as openssl writes them, verdicts, exit codes, and no traceback for anything."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mxseal.cli import run
from mxseal.lab.ca import CertificateAuthority, KeyType, new_key, spki, to_pem
from mxseal.standards.dane import tlsa_for

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
AT = "2026-11-23T12:00:00Z"
MX = "mx.example.test"


@pytest.fixture(scope="module")
def authority() -> CertificateAuthority:
    return CertificateAuthority(NOW)


@pytest.fixture
def mxseal(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    def call(*arguments: object) -> tuple[int, str, str]:
        code = run(list(map(str, arguments)))
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        assert "internal error" not in err
        return code, out, err

    return call


PEM, DER = serialization.Encoding.PEM, serialization.Encoding.DER
PLAIN = serialization.NoEncryption()
FORMATS = serialization.PrivateFormat
PUBLIC = serialization.PublicFormat


def _request(key: Any, encoding: Any) -> bytes:
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    return builder.sign(key, hashes.SHA256()).public_bytes(encoding)


KEY_FILES: dict[str, Callable[[Any], bytes]] = {
    "PKCS#8": lambda key: key.private_bytes(PEM, FORMATS.PKCS8, PLAIN),
    "PKCS#8 DER": lambda key: key.private_bytes(DER, FORMATS.PKCS8, PLAIN),
    "traditional": lambda key: key.private_bytes(PEM, FORMATS.TraditionalOpenSSL, PLAIN),
    "traditional DER": lambda key: key.private_bytes(DER, FORMATS.TraditionalOpenSSL, PLAIN),
    "with EC parameters": lambda key: (
        b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
        + key.private_bytes(PEM, FORMATS.TraditionalOpenSSL, PLAIN)
    ),
    "public": lambda key: key.public_key().public_bytes(PEM, PUBLIC.SubjectPublicKeyInfo),
    "public DER": lambda key: key.public_key().public_bytes(DER, PUBLIC.SubjectPublicKeyInfo),
    "request": lambda key: _request(key, PEM),
    "request DER": lambda key: _request(key, DER),
}


@pytest.mark.parametrize("form", KEY_FILES)
@pytest.mark.parametrize("key_type", [KeyType.ECDSA, KeyType.RSA])
def test_record_of_a_key(form: str, key_type: KeyType, tmp_path: Path, mxseal: Any):
    key = new_key(key_type)
    file = tmp_path / "key"
    file.write_bytes(KEY_FILES[form](key))
    digest = sha256(spki(key)).hexdigest()
    assert mxseal("dane", "tlsa", file) == (0, f"3 1 1 {digest}\n", "")
    code, _, err = mxseal("dane", "tlsa", file, "--selector", "0")
    assert code == 65
    assert "selector 0 is about a certificate" in err


def test_record_of_a_certificate(authority: CertificateAuthority, tmp_path: Path, mxseal: Any):
    server = authority.issue(MX)
    pem, der = tmp_path / "chain.pem", tmp_path / "leaf.der"
    pem.write_bytes(server.pem())  # key first, then the chain, as some tools want it
    der.write_bytes(server.leaf)
    key_digest, whole_digest = sha256(spki(server.key)).hexdigest(), sha256(server.leaf).hexdigest()
    for file in (pem, der):
        assert mxseal("dane", "tlsa", file)[1] == f"3 1 1 {key_digest}\n"
        assert mxseal("dane", "tlsa", file, "--selector", 0)[1] == f"3 0 1 {whole_digest}\n"
    assert mxseal("dane", "tlsa", pem, "--selector", 0, "--mtype", 0)[1] == f"3 0 0 {server.leaf.hex()}\n"
    code, out, _ = mxseal("dane", "tlsa", pem, "--name", "MX.example.test.", "--port", 587)
    assert (code, out) == (0, f"_587._tcp.mx.example.test. IN TLSA 3 1 1 {key_digest}\n")
    code, out, err = mxseal("dane", "tlsa", pem, "--usage", "2")
    assert code == 0
    assert "usage 2 is about a CA" in err
    code, out, _ = mxseal("dane", "tlsa", pem, "--json", "--usage", "1", "--name", MX)
    body = json.loads(out)
    assert (body["owner"], body["usage"], body["data"]) == (f"_25._tcp.{MX}.", 1, key_digest)
    assert "ignore this record" in body["warnings"][0]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "is empty"),
        (b"hello", "neither a certificate nor a key"),
        (b"-----BEGIN CERTIFICATE-----\nxx\n", "0 can be read"),
        (b"-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n", "cannot be read"),
        (b"-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n", "private key in"),
        (b"-----BEGIN PUBLIC KEY-----\nMAA=\n-----END PUBLIC KEY-----\n", "public key in"),
        (
            b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nMAA=\n-----END ENCRYPTED PRIVATE KEY-----\n",
            "is encrypted",
        ),
        (b"-----BEGIN X509 CRL-----\nMAA=\n-----END X509 CRL-----\n", "but X509 CRL"),
        (b"\0" * 2_000_000, "larger than"),
    ],
)
def test_bad_files_of_tlsa(content: bytes, complaint: str, tmp_path: Path, mxseal: Any):
    file = tmp_path / "bad"
    file.write_bytes(content)
    code, out, err = mxseal("dane", "tlsa", file)
    assert (code, out) == (65, "")
    assert complaint in err
    assert err.count("\n") == 2  # what, and the cure


@pytest.fixture
def chain_file(authority: CertificateAuthority, tmp_path: Path) -> tuple[Path, Any]:
    server = authority.issue(MX, sends_root=True)
    file = tmp_path / "chain.pem"
    file.write_bytes(b"".join(map(to_pem, server.chain)))
    return file, server


def test_verdicts(chain_file: tuple[Path, Any], authority: CertificateAuthority, mxseal: Any):
    file, server = chain_file
    good = str(tlsa_for(spki(server.key)))
    spaced = f"3 1 1 {good[6:20]} {good[20:]}"
    root = str(tlsa_for(authority.root, 2, 0))
    wrong, other_usage = "3 1 1 " + "ab" * 32, "1 1 1 " + "ab" * 32
    table = [
        # records, names, verdict, exit code
        ([good], [], "verified", 0),
        ([spaced, wrong], [MX], "verified", 0),
        ([f"_25._tcp.{MX}. IN TLSA {good}"], [MX], "verified", 0),
        ([root], [MX], "verified", 0),
        ([root], ["other.test", MX], "verified", 0),
        ([root], ["other.test"], "mismatch", 1),
        ([wrong], [MX], "mismatch", 1),
        ([wrong, other_usage], [MX], "mismatch", 1),
        ([other_usage], [MX], "unusable", 1),
        (["3 1 1 ab"], [MX], "unusable", 1),
    ]
    for records, names, verdict, code in table:
        arguments = [*(("--tlsa", one) for one in records), *(("--name", one) for one in names)]
        flat = [part for pair in arguments for part in pair]
        got, out, _ = mxseal("dane", "verify", "--chain", file, "--at", AT, *flat)
        assert (got, out.splitlines()[0]) == (code, verdict), records
        got, out, _ = mxseal("dane", "verify", "--chain", file, "--at", AT, "--json", *flat)
        body = json.loads(out)
        assert (got, body["verdict"], body["schema_version"]) == (code, verdict, 1)
        assert (body["result_type"] is None) == (code == 0)
        assert body["kind"] == "dane-verify"
        assert (body["matched"] is None) == bool(code)
        if code == 0:
            assert body["matched"]["record"] in (good, root)
            assert body["reasons"] == []
        else:
            assert [reason["record"] for reason in body["reasons"]] == records
    expired = mxseal("dane", "verify", "--chain", file, "--tlsa", root, "--name", MX, "--at", "2030-01-01")
    assert expired[0] == 1
    assert "expired on" in expired[1]


def test_wrong_digest_is_recognised(chain_file: tuple[Path, Any], mxseal: Any):
    file, server = chain_file
    record = f"3 1 1 {sha256(server.leaf).hexdigest()}"
    code, out, _ = mxseal("dane", "verify", "--chain", file, "--tlsa", record, "--at", AT)
    assert code == 1
    assert "the digest of the server's certificate, which is selector 0" in out


@pytest.mark.parametrize(
    ("arguments", "code", "complaint"),
    [
        (["--tlsa", "3 1 1 abzz"], 65, "^"),
        (["--tlsa", "3 1"], 65, "matching type is missing"),
        (["--tlsa", "2 1 1 " + "ab" * 32], 64, "--name"),
        (["--tlsa", "3 1 1 ab", "--name", "mx..test"], 65, "label is empty"),
        (["--tlsa", "3 1 1 ab", "--at", "soon"], 65, "not a time"),
        (["--tlsa", "3 1 1 ab", "--at", "0001-01-01T00:00:00+23:00"], 65, "not a time"),
        ([], 64, "--tlsa"),
    ],
)
def test_bad_arguments_of_verify(
    arguments: list[str], code: int, complaint: str, chain_file: tuple[Path, Any], mxseal: Any
):
    got, out, err = mxseal("dane", "verify", "--chain", chain_file[0], *arguments)
    assert (got, out) == (code, "")
    assert complaint in err


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"x",
        b"-----BEGIN CERTIFICATE-----",
        b"-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----",
    ],
)
def test_bad_chain(content: bytes, tmp_path: Path, mxseal: Any):
    file = tmp_path / "chain.pem"
    file.write_bytes(content)
    code, out, err = mxseal("dane", "verify", "--chain", file, "--tlsa", "3 1 1 " + "ab" * 32)
    assert (code, out) == (65, "")
    assert "chain.pem" in err


@pytest.mark.parametrize("broken", [1, 2])
def test_a_broken_certificate_is_not_passed_over(
    broken: int, chain_file: tuple[Path, Any], tmp_path: Path, mxseal: Any
):
    """Else a record is made of an issuer's key, or an issuer is verified as if it were the server."""
    lines = chain_file[0].read_text().splitlines()
    begins = [number for number, line in enumerate(lines) if line.startswith("-----BEGIN")]
    lines[begins[broken - 1] + 1] = "=" + lines[begins[broken - 1] + 1][1:-1] + "!"
    file = tmp_path / "broken.pem"
    file.write_text("\n".join(lines))
    for call in (("tlsa", file), ("verify", "--chain", file, "--tlsa", "3 1 1 " + "ab" * 32)):
        code, out, err = mxseal("dane", *call)
        assert (code, out) == (65, "")
        assert f"{len(begins)} certificates begin" in err
        assert f"{len(begins) - 1} can be read" in err


@given(content=st.binary(max_size=300), text=st.text(max_size=40))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_nothing_makes_a_traceback(content: bytes, text: str, tmp_path: Path, mxseal: Any):
    file = tmp_path / "input"
    for octets in (
        content,
        b"-----BEGIN CERTIFICATE-----\n" + content,
        b"-----BEGIN EC PRIVATE KEY-----\n" + content,
    ):
        file.write_bytes(octets)
        assert mxseal("dane", "tlsa", file)[0] == 65
        assert mxseal("dane", "verify", "--chain", file, "--tlsa", f"3 1 1 {text}")[0] == 65
