"""Reading this machine: a fake postconf, CA stores on disk, the real kernel."""

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from mxseal.adapters.machine import (
    observe_ca_store,
    observe_clock,
    observe_datagram_queue,
    observe_postfix,
)

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def root(name: str, not_after: datetime) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(not_after - timedelta(days=400))
        .not_valid_after(not_after)
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM)


def test_a_ca_file_is_counted(tmp_path: Path):
    broken = b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
    store = tmp_path / "ca.pem"
    store.write_bytes(
        b"# a comment\n"
        + root("Good", NOW + timedelta(days=9))
        + broken
        + root("Old", NOW - timedelta(seconds=1))
        + root("Better", NOW + timedelta(days=99))
    )
    seen = observe_ca_store(NOW, store)
    assert (seen.source, seen.total, seen.expired) == (str(store), 3, ("CN=Old",))
    (line,) = seen.unreadable
    assert "certificate 2" in line


@pytest.mark.parametrize("kind", ["missing", "empty", "directory"])
def test_a_ca_file_that_is_none(tmp_path: Path, kind: str):
    path = tmp_path / "ca"
    if kind == "empty":
        path.touch()
    if kind == "directory":
        path.mkdir()
    seen = observe_ca_store(NOW, path)
    assert seen.total == 0
    assert bool(seen.unreadable) is (kind != "empty")


def test_the_default_store_honours_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    store = tmp_path / "own.pem"
    store.write_bytes(root("Own", NOW + timedelta(days=1)))
    monkeypatch.setenv("SSL_CERT_FILE", str(store))
    assert (observe_ca_store(NOW).source, observe_ca_store(NOW).total) == (str(store), 1)
    # OpenSSL takes a directory's certificates by their hashed names only.
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    shutil.copy(store, tmp_path / "0a1b2c3d.0")
    assert (observe_ca_store(NOW).source, observe_ca_store(NOW).total) == (str(tmp_path), 1)


def fake_postconf(directory: Path, script: str) -> str:
    path = directory / "postconf"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


def test_postfix_is_read_through_postconf(tmp_path: Path):
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/resolv.conf").write_text("nameserver 203.0.113.9\n")
    command = fake_postconf(
        tmp_path,
        f"""case "$1" in
        -dh) echo 3.10.5 ;;
        -Fh) echo - ;;
        -x) cat <<END
compatibility_level = 3.6
queue_directory = {tmp_path}
smtp_dns_support_level = dnssec
smtp_host_lookup = dns
smtp_tls_CAfile =
smtp_tls_policy_maps = hash:/etc/postfix/own, socketmap:inet:127.0.0.1:8642:QUERY
smtp_use_tls = yes
smtp_tlsrpt_enable = yes
END
        esac""",
    )
    seen = observe_postfix(command)
    assert seen is not None
    assert (seen.version, seen.dns_support_level, seen.ca_file) == ("3.10.5", "dnssec", "")
    assert seen.policy_maps == ("hash:/etc/postfix/own", "socketmap:inet:127.0.0.1:8642:QUERY")
    # postconf(5): smtp_use_tls counts where smtp_tls_security_level is empty.
    assert seen.security_level == "may"
    # master(5): '-' means no chroot from compatibility level 1 on.
    assert seen.chrooted is False
    assert seen.tlsrpt_enabled
    assert seen.resolv_conf_differs


@pytest.mark.parametrize("script", ["exit 1", "kill -9 $$"])
def test_a_postconf_that_fails_is_no_postfix(tmp_path: Path, script: str):
    assert observe_postfix(fake_postconf(tmp_path, script)) is None


def test_no_postfix_at_all(tmp_path: Path):
    assert observe_postfix(str(tmp_path / "postconf")) is None


@pytest.mark.real
def test_the_real_postconf(require_tools):
    require_tools("postconf")
    seen = observe_postfix()
    assert seen is not None
    assert seen.version.startswith("3.")
    assert seen.host_lookup
    assert seen.dane_insecure_mx_policy in {"may", "encrypt", "dane"}  # expanded, no ${…}
    assert seen.chrooted is not None


def test_the_clock_has_a_witness():
    seen = observe_clock(NOW, signatures_current=True)
    assert seen.now is NOW
    assert seen.signatures_current
    assert seen.witnesses[0].source == "when MXSeal was installed"
    assert (seen.max_error is not None) is (seen.kernel_synchronized is True)


def test_the_datagram_queue(tmp_path: Path):
    path = tmp_path / "max_dgram_qlen"
    assert observe_datagram_queue(path) is None
    path.write_text("512\n")
    assert observe_datagram_queue(path) == 512
    path.write_text("?")
    assert observe_datagram_queue(path) is None
