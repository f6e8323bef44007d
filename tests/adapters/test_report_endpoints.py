"""Looking at report destinations, which never get anything from it."""

import asyncio
import ipaddress
import ssl
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from mxseal.adapters.clock import SystemClock
from mxseal.adapters.https import ReportEndpointProber
from mxseal.adapters.memory import MemoryResolver
from mxseal.lab.ca import Flaw
from mxseal.vocabulary.names import HostName

DNS = {
    "mx.example.com A": ["192.0.2.1"],
    "reports.example.com MX": ["10 mx.example.com."],
    "address.example.com AAAA": ["2001:db8::1"],
    "null.example.com MX": ["0 ."],
    "beside.example.com MX": ["0 .", "10 mx.example.com."],
    "numbers.example.com MX": ["10 192.0.2.1."],
    "numbers.example.com A": ["192.0.2.1"],
    "dead.example.com MX": ["10 gone.example.com.", "20 lost.example.com."],
    "half.example.com MX": ["10 gone.example.com.", "20 mx.example.com."],
    "many.example.com MX": [f"{n} gone{n}.example.com." for n in range(10)],
    "inside.example.com A": ["10.0.0.1"],
    "text.example.com TXT": ["x"],
    "unsure.example.com MX": ["10 slow.example.com."],
    "local.example.com A": ["127.0.0.1"],
}
FAILING = ["broken.example.com MX", "slow.example.com A", "slow.example.com AAAA", "mute.example.com A"]


def reach(uri, **settings):
    resolver = MemoryResolver.from_texts(DNS, failing=FAILING)
    reached = asyncio.run(ReportEndpointProber(resolver, **settings).reach(uri))
    assert reached.uri == uri
    assert reached.detail.isprintable()
    return reached.reachable, reached.detail


@pytest.mark.parametrize(
    ("uri", "reachable", "detail"),
    [
        (
            "mailto:tlsrpt@reports.example.com",
            True,
            "reports.example.com takes mail through MX mx.example.com",
        ),
        ("MAILTO:tlsrpt@Reports.Example.COM", True, "through MX"),
        ("mailto:tlsrpt@address.example.com", True, "through its own address"),  # RFC 5321 §5.1
        ("mailto:tlsrpt@half.example.com", True, "through MX mx.example.com"),
        # Reports for somebody inside of a network are his own business; nothing is connected to.
        ("mailto:tlsrpt@inside.example.com", True, "through its own address"),
        ("mailto:tls%72pt@reports.example.com", True, "through MX"),
        ("mailto:tlsrpt@null.example.com", False, "null.example.com takes no mail (null MX, RFC 7505)"),
        # RFC 7505 §3 forbids it; senders pass over the null MX and take the other.
        ("mailto:tlsrpt@beside.example.com", True, "through MX mx.example.com"),
        ("mailto:tlsrpt@numbers.example.com", False, "the MX records of numbers.example.com name no host"),
        ("mailto:tlsrpt@dead.example.com", False, "gone.example.com has neither"),
        ("mailto:tlsrpt@text.example.com", False, "has neither an AAAA nor an A record"),
        ("mailto:tlsrpt@nowhere.example.com", False, "has neither"),
        # Nobody could say.
        ("mailto:tlsrpt@broken.example.com", None, "the MX lookup of broken.example.com failed"),
        ("mailto:tlsrpt@unsure.example.com", None, "lookup of slow.example.com failed"),
        ("mailto:tlsrpt@many.example.com", None, "gone0.example.com has neither"),
        # Not what RFC 8460 §3 has.
        ("mailto:", False, "has an '@'"),
        ("mailto:example.com", False, "has an '@'"),
        ("mailto:@example.com", False, "local part"),
        ("mailto:a@", False, "not the domain of a mail address"),
        ("mailto:a@-\x1b[31m", False, "percent-encoded"),
        ("mailto:a%40b@reports.example.com", False, "local part"),
        ("mailto:a@reports.example.com?subject=x", False, "without header fields"),
        ("mailto:a@reports.example.com,b@address.example.com", False, "percent-encoded"),
        ("http://reports.example.com/", False, "reports go to mailto: and https: only"),
        ("tlsrpt@example.com", False, "begins with 'mailto:' or 'https:'"),
        ("", False, "a URI is missing"),
        ("https://", False, "a host must follow"),
        ("https:///path", False, "a host must follow"),
        ("https://[::1/", False, "a closing bracket is missing"),
        ("https://reports.example.com:99999/", False, "from 1 to 65535"),
        ("https://192.168.2.1/", None, "not tried: 192.168.2.1 has no public address"),
        ("https://[fd00::1]/", None, "not tried"),
        ("https://nowhere.example.com/", False, "has neither"),
        ("https://slow.example.com/", None, "lookup of slow.example.com failed"),
        ("https://mute.example.com/", None, "the A lookup of mute.example.com failed"),
        # docs/architecture.md, rule 6
        (
            "https://inside.example.com/",
            None,
            "not tried: inside.example.com has no public address (10.0.0.1)",
        ),
        ("https://local.example.com:22/", None, "not tried"),
    ],
)
def test_what_dns_and_the_uri_tell(uri, reachable, detail):
    found, told = reach(uri)
    assert found is reachable, told
    assert detail in told


HOST = HostName("local.example.com")


@pytest.mark.parametrize(
    ("flaw", "expected"),
    [
        (Flaw.NONE, (True, "TLS session with local.example.com at 127.0.0.1")),
        (Flaw.EXPIRED, (False, "certificate is not valid for local.example.com: it has expired")),
        (Flaw.WRONG_NAME, (False, "it does not have this name")),
        (Flaw.UNKNOWN_CA, (False, "its chain ends in a root that is not trusted")),
    ],
)
@pytest.mark.parametrize("port_in_uri", [True, False])
def test_https_is_a_verified_session_and_nothing_more(  # noqa: PLR0917 - fixtures and cases
    authority, server_context, serving, flaw, expected, port_in_uri
):
    context = server_context(authority.issue(HOST, flaw=flaw))
    heard = []

    async def host(client):
        await client.accept_tls(context)
        heard.append(await client.read())

    async def run():
        async with serving(host) as port:
            prober = ReportEndpointProber(
                MemoryResolver.from_texts(DNS),
                roots=[authority.root],
                allow_private=True,
                https_port=1 if port_in_uri else port,
            )
            return await prober.reach(f"https://{HOST}{f':{port}' if port_in_uri else ''}/reports")

    reached = asyncio.run(run())
    reachable, detail = expected
    assert reached.reachable is reachable
    assert detail in reached.detail
    assert heard in ([], [b""]), "nothing is sent"


@pytest.mark.parametrize(
    ("identity", "reachable"),
    [
        (x509.IPAddress(ipaddress.ip_address("127.0.0.1")), True),
        (x509.IPAddress(ipaddress.ip_address("127.0.0.2")), False),
        (x509.DNSName("127.0.0.1"), False),
    ],
)
def test_https_at_an_address_needs_a_certificate_for_it(tmp_path, serving, identity, reachable):
    # RFC 9525 §6.4: an IP-ID is matched against iPAddress, and never against dNSName.
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    now = SystemClock().now()
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now - timedelta(1), now + timedelta(1))
        .add_extension(x509.SubjectAlternativeName([identity]), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = tmp_path / "address.pem"
    pem.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        + certificate.public_bytes(Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)

    async def host(client):
        await client.accept_tls(context)
        await client.read()

    async def run():
        async with serving(host) as port:
            prober = ReportEndpointProber(
                MemoryResolver.from_texts({}),
                roots=[certificate.public_bytes(Encoding.DER)],
                allow_private=True,
            )
            return await prober.reach(f"https://127.0.0.1:{port}/reports")

    reached = asyncio.run(run())
    assert reached.reachable is reachable, reached.detail


def test_https_where_nobody_listens(closed_port):
    found, told = reach(f"https://{HOST}:{closed_port}/", allow_private=True)
    assert found is False
    assert told == "127.0.0.1: no connection: Connection refused"


def test_https_that_is_no_tls(serving):
    async def host(client):
        await client.read()
        await client.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async def run():
        async with serving(host) as port:
            prober = ReportEndpointProber(
                MemoryResolver.from_texts(DNS), allow_private=True, https_port=port, roots=[]
            )
            return await prober.reach(f"https://{HOST}/")

    reached = asyncio.run(run())
    assert (reached.reachable, reached.detail) == (False, "127.0.0.1: no TLS session: what came is not TLS")


def test_https_that_is_silent(serving):
    async def host(client):
        while await client.read():
            pass

    async def run():
        async with serving(host) as port:
            prober = ReportEndpointProber(
                MemoryResolver.from_texts(DNS), allow_private=True, https_port=port, timeout=0.6, roots=[]
            )
            return await prober.reach(f"https://{HOST}/")

    reached = asyncio.run(run())
    assert reached.reachable is False
    # Which of the two limits it was depends on how busy this machine is.
    assert reached.detail in (
        "127.0.0.1: no TLS session within 0.2 seconds",
        "no answer within 0.6 seconds",
    )
