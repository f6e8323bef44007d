"""MX hosts, policy hosts and the attacker, seen by clients of the standard library."""

import asyncio
import gc
import smtplib
import socket
import ssl

import pytest

from mxseal.lab import Attack, Lab, LabThread

WAIT = 10
MESSAGE = "Subject: a test\r\n\r\nhello\r\n..a line with a dot\r\n"


@pytest.fixture
def trusting(lab):
    return ssl.create_default_context(cadata=lab.ca_pem.decode())


def session(lab, host, number=0):
    peer = smtplib.SMTP(
        lab.addresses(host)[number], lab.smtp_port, local_hostname="client.test", timeout=WAIT
    )
    peer._host = host
    return peer


@pytest.fixture
def attacked(lab):
    """Attack domains for the time of a test."""
    touched = []

    def attack(domain, kind):
        touched.append(domain)
        lab.attack(domain, kind)

    yield attack
    for domain in touched:
        lab.calm(domain)


@pytest.mark.parametrize(
    "host", ["mx1.good-sts.test", "mx2.good-both.test", "mx1.mailhost.test", "no-mx.test"]
)
def test_good_hosts_take_mail_over_verified_tls(lab, trusting, host):
    before = len(lab.mail)
    with session(lab, host) as peer:
        peer.starttls(context=trusting)
        peer.sendmail("a@client.test", [f"b@{host}"], MESSAGE)
    (mail,) = lab.mail[before:]
    assert mail.host == host
    assert mail.sender == "a@client.test"
    assert mail.recipients == (f"b@{host}",)
    assert mail.content == MESSAGE.encode()
    assert mail.tls == "TLSv1.3"
    assert not mail.attacker_read


@pytest.mark.parametrize(
    ("host", "complaint"),
    [
        ("mx1.expired-cert.test", "expired"),
        ("mx1.self-signed-cert.test", "self-signed"),
        ("mx1.wrong-name-cert.test", "Hostname mismatch"),
        ("mx1.missing-intermediate.test", "unable to get local issuer"),
        ("mx1.hijacked.test", "self-signed certificate in certificate chain"),
        ("mx1.old-tls.test", "PROTOCOL_VERSION"),
    ],
)
def test_bad_certificates_are_bad_as_told(lab, trusting, host, complaint):
    # What Python's default is depends on how the distribution has built it.
    trusting.minimum_version = ssl.TLSVersion.TLSv1_2
    with session(lab, host) as peer, pytest.raises(ssl.SSLError, match=complaint):
        peer.starttls(context=trusting)


@pytest.mark.parametrize(
    ("algorithms", "kind"), [("ECDHE-ECDSA-AES128-GCM-SHA256", "EC"), ("ECDHE-RSA-AES128-GCM-SHA256", "RSA")]
)
def test_a_host_with_two_certificates_shows_what_the_client_takes(lab, trusting, algorithms, kind):
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import rsa

    trusting.maximum_version = ssl.TLSVersion.TLSv1_2
    trusting.set_ciphers(algorithms)
    with session(lab, "mx1.good-both.test") as peer:
        peer.starttls(context=trusting)
        key = x509.load_der_x509_certificate(peer.sock.getpeercert(binary_form=True)).public_key()
    assert isinstance(key, rsa.RSAPublicKey) == (kind == "RSA")


def test_the_second_address_is_stale(lab, trusting):
    seen = set()
    for number in (0, 1):
        with session(lab, "mx1.tlsa-stale-address.test", number) as peer:
            peer.starttls(context=trusting)
            seen.add(peer.sock.getpeercert(binary_form=True))
    assert len(seen) == 2


def test_starttls_may_be_missing_or_refused(lab):
    with session(lab, "mx1.no-tls.test") as peer:
        peer.ehlo()
        assert not peer.has_extn("STARTTLS")
    with session(lab, "mx1.starttls-refused.test") as peer:
        peer.ehlo()
        assert peer.docmd("STARTTLS")[0] == 454


def test_a_host_that_is_down_refuses(lab):
    with pytest.raises(ConnectionRefusedError):
        session(lab, "mx1.mx-down.test")


def test_text_is_injected_behind_the_220(lab):
    with socket.create_connection(
        (lab.addresses("mx1.starttls-injected.test")[0], lab.smtp_port), WAIT
    ) as peer:
        lines = peer.makefile("rb")
        lines.readline()
        peer.sendall(b"STARTTLS\r\n")
        assert lines.readline().startswith(b"220 ")
        assert lines.readline().startswith(b"250 ")
        lines.close()


def test_the_attacker_strips_starttls_and_reads(lab, trusting, attacked):
    attacked("good-sts.test", Attack.STRIP_STARTTLS)
    before = len(lab.mail)
    with session(lab, "mx1.good-sts.test") as peer:
        peer.ehlo()
        assert not peer.has_extn("starttls")
        peer.sendmail("a@client.test", ["b@good-sts.test"], MESSAGE)
    (mail,) = lab.mail[before:]
    assert mail.attacker_read
    assert mail.tls == ""
    lab.calm("good-sts.test")
    with session(lab, "mx1.good-sts.test") as peer:
        peer.starttls(context=trusting)


def test_an_attacker_for_a_domain_that_is_not_there_is_an_error(lab):
    with pytest.raises(KeyError, match=r"nowhere\.test"):
        lab.attack("nowhere.test", Attack.STRIP_STARTTLS)


def test_commands_out_of_order_are_refused(lab):
    with session(lab, "mx1.plain.test") as peer:
        assert peer.docmd("DATA")[0] == 503
        assert peer.docmd("WHAT")[0] == 502
        assert peer.docmd("NOOP")[0] == 250
        assert peer.docmd("x" * 5000)[0] in (500, 502)


def fetch(lab, domain, trusting):
    address, port = lab.policy_host, lab.https_port
    with (
        socket.create_connection((address, port), WAIT) as plain,
        trusting.wrap_socket(plain, server_hostname=f"mta-sts.{domain}") as peer,
    ):
        peer.sendall(f"GET /.well-known/mta-sts.txt HTTP/1.1\r\nHost: mta-sts.{domain}\r\n\r\n".encode())
        octets = b"".join(iter(lambda: peer.recv(65536), b""))
    head, _, body = octets.partition(b"\r\n\r\n")
    return head.decode(), body


@pytest.mark.parametrize(
    ("domain", "status", "part"),
    [
        ("good-sts.test", "200", "text/plain"),
        ("sts-404.test", "404", ""),
        ("sts-redirect.test", "301", "Location: https://www.sts-redirect.test/"),
        ("sts-html.test", "200", "text/html"),
        ("sts-huge.test", "200", "Content-Length: 10486"),
        ("hosted.test", "200", "text/plain"),
        ("d0001.test", "200", "text/plain"),
    ],
)
def test_policy_hosts_serve_as_told(lab, trusting, domain, status, part):
    head, body = fetch(lab, domain, trusting)
    assert head.startswith(f"HTTP/1.1 {status} ")
    assert part in head
    assert (b"version: STSv1" in body) == (status == "200")


def test_the_policy_hosts_certificate_is_wrong(lab, trusting):
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        fetch(lab, "sts-policy-cert.test", trusting)


def test_the_attacker_resets_the_policy_host(lab, trusting, attacked):
    attacked("good-sts.test", Attack.POLICY_HOST_DOWN)
    with pytest.raises(OSError, match=r"reset|EOF|closed"):
        fetch(lab, "good-sts.test", trusting)
    fetch(lab, "good-both.test", trusting)
    lab.calm("good-sts.test")
    fetch(lab, "good-sts.test", trusting)


def test_a_laboratory_leaves_nothing_open():
    async def once():
        async with Lab(scenarios=["good-dane.test"]) as lab:
            directory = lab._directory
            _, writer = await asyncio.open_connection(lab.addresses("mx1.good-dane.test")[0], lab.smtp_port)
            port, address = lab.smtp_port, lab.addresses("mx1.good-dane.test")[0]
        writer.close()
        return directory, address, port

    directory, address, port = asyncio.run(once())
    gc.collect()
    assert not directory.exists()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((address, port), WAIT)


def test_two_laboratories_live_side_by_side(lab):
    with LabThread(Lab(scenarios=["good-dane.test", "good-both.test"])) as other:
        assert other.resolver != lab.resolver
        assert other.trust_anchor != lab.trust_anchor
        assert other.roots != lab.roots


def test_everything_is_on_loopback(lab):
    import ipaddress

    hosts = [address for addresses in lab._names.values() for address in addresses]
    assert len(hosts) > 60
    assert all(ipaddress.ip_address(address).is_loopback for address in hosts)
    assert lab.resolver[0].ip.is_loopback
