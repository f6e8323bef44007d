"""The prober against a server that is not ours: Debian's Postfix, with an RSA and an ECDSA certificate."""

import asyncio
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from mxseal.adapters.clock import SystemClock
from mxseal.adapters.smtp import SmtpProber
from mxseal.lab.ca import CertificateAuthority, KeyType
from mxseal.vocabulary.names import Address, HostName
from mxseal.vocabulary.observations import Handshake, KeyKind, Stage, StarttlsNotOffered, Unreachable

pytestmark = pytest.mark.real

MX = HostName("mx.example.com")

MAIN_CF = """\
compatibility_level = 3.6
queue_directory = {home}/spool
data_directory = {home}/data
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = mx.example.com
mydestination =
alias_maps =
local_recipient_maps =
smtpd_tls_security_level = may
smtpd_tls_chain_files = {home}/rsa.pem, {home}/ecdsa.pem
maillog_file = {home}/log
maillog_file_prefixes = {home}
"""

MASTER_CF = """\
127.0.0.1:{both} inet n - n - - smtpd
127.0.0.1:{plain} inet n - n - - smtpd -o smtpd_tls_security_level=none
127.0.0.1:{closed} inet n - n - - smtpd -o smtpd_client_restrictions=reject -o smtpd_delay_reject=no
127.0.0.1:{old} inet n - n - - smtpd -o smtpd_tls_protocols=<=TLSv1.1 -o tls_medium_cipherlist=ALL:@SECLEVEL=0
postlog unix-dgram n - n - 1 postlogd
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
proxymap unix - - n - - proxymap
anvil unix - - n - 1 anvil
cleanup unix n - n - 0 cleanup
"""


@pytest.fixture(scope="module")
def postfix(
    require_tools, require_root, free_ports
) -> Iterator[tuple[dict[str, int], dict[KeyType, tuple[bytes, ...]]]]:
    """A Postfix of our own: its ports by name, and the chains that it sends."""
    require_root()
    program = require_tools("postfix")["postfix"]
    authority = CertificateAuthority(SystemClock().now())
    certificates = {kind: authority.issue(MX, key_type=kind) for kind in KeyType}
    ports = dict(zip(("both", "plain", "closed", "old"), free_ports, strict=False))
    # Not below pytest's directory: Postfix' own user must be able to go there.
    with tempfile.TemporaryDirectory(prefix="mxseal-postfix-") as name:
        home = Path(name)
        home.chmod(0o755)
        for directory in ("etc", "spool", "data"):
            (home / directory).mkdir()
        shutil.chown(home / "data", "postfix")
        for kind, certificate in certificates.items():
            (home / f"{kind}.pem").write_bytes(certificate.pem())
        (home / "etc/main.cf").write_text(MAIN_CF.format(home=home))
        (home / "etc/master.cf").write_text(MASTER_CF.format(**ports))
        (home / "etc/dynamicmaps.cf").touch()
        # `start` returns when master listens.
        subprocess.run([program, "-c", home / "etc", "start"], check=True, capture_output=True, timeout=60)
        try:
            yield ports, {kind: certificate.chain for kind, certificate in certificates.items()}
        finally:
            subprocess.run(
                [program, "-c", home / "etc", "stop"], check=False, capture_output=True, timeout=60
            )


def probe(port, **arguments):
    return asyncio.run(SmtpProber(port=port).probe(MX, Address("127.0.0.1"), **arguments))


@pytest.mark.parametrize(
    ("asked", "sent", "version"),
    [
        (KeyKind.RSA, {KeyType.RSA}, "TLSv1.2"),
        (KeyKind.ECDSA, {KeyType.ECDSA}, "TLSv1.2"),
        (KeyKind.ANY, {KeyType.RSA, KeyType.ECDSA}, "TLSv1.3"),
    ],
)
def test_each_certificate_with_its_whole_chain(postfix, asked, sent, version):
    ports, chains = postfix
    session = probe(ports["both"], key_kind=asked, sni=MX)
    assert isinstance(session.outcome, Handshake), session.outcome
    assert session.outcome.chain in [chains[kind] for kind in sent]
    assert session.outcome.version == version
    assert session.outcome.ehlo_again
    assert session.greeting == MX


def test_starttls_that_is_not_offered(postfix):
    ports, _ = postfix
    assert probe(ports["plain"]).outcome == StarttlsNotOffered()


def test_a_client_that_is_not_wanted(postfix):
    ports, _ = postfix
    outcome = probe(ports["closed"]).outcome
    assert isinstance(outcome, Unreachable)
    assert outcome.stage is Stage.GREETING
    assert outcome.detail.startswith("554 ")


def test_old_tls_only(postfix):
    ports, _ = postfix
    outcome = probe(ports["old"]).outcome
    assert not isinstance(outcome, Handshake)
    assert "refused the offered TLS versions" in outcome.detail
