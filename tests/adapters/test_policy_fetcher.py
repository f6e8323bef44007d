"""Fetching policies from policy hosts of every kind, with real TLS on loopback."""

import asyncio
import functools
import gzip
import http.server
import ssl
import threading
import warnings

import pytest

from mxseal._version import __version__
from mxseal.adapters.https import PolicyFetcher
from mxseal.adapters.https.addresses import MAX_ADDRESSES
from mxseal.adapters.https.exchange import MAX_BODY
from mxseal.adapters.memory import MemoryResolver
from mxseal.lab.ca import Flaw
from mxseal.vocabulary.faults import DataFault
from mxseal.vocabulary.names import Address, HostName
from mxseal.vocabulary.observations import (
    AddressData,
    Answer,
    FetchStage,
    Outcome,
    PolicyFetched,
    PolicyFetchFailed,
    Security,
)

DOMAIN = HostName("example.com")
HOST = "mta-sts.example.com"
POLICY = b"version: STSv1\r\nmode: enforce\r\nmx: mx.example.com\r\nmax_age: 86400\r\n"
FULL = b"x" * MAX_BODY
HERE = {f"{HOST} A": ["127.0.0.1"]}


def response(body=POLICY, *, status="200 OK", version="1.1", length=True, **headers):
    fields = {"content_type": "text/plain"} | headers
    if length:
        fields["content_length"] = str(len(body))
    lines = [f"HTTP/{version} {status}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in fields.items() if value is not None]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def chunked(*chunks):
    body = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
    return response(body + b"0\r\n\r\n", length=False, transfer_encoding="chunked")


class PolicyHost:
    """Answers each request with the same octets; keeps what it was asked."""

    def __init__(self, context, octets=b"", *, end="close"):
        self.context = context
        self.octets = octets
        self.end = end
        self.requests = []

    async def __call__(self, client):
        await client.accept_tls(self.context)
        lines = []
        while line := (await client.readline()).strip():
            lines.append(line.decode("latin-1"))
        if not lines:
            return  # the client did not like the certificate
        self.requests.append(lines)
        await client.write(self.octets)
        match self.end:
            case "wait":
                await client.read()
            case "cut":
                client.cut()
            case "reset":
                client.reset()


@pytest.fixture
def fetch(authority, serving):
    """Fetch the policy of example.com from a handler."""

    def run(handler, *, dns=HERE, failing=(), **settings):
        async def go():
            async with serving(handler) as port:
                resolver = MemoryResolver.from_texts(dns, failing=failing)
                arguments = {"roots": [authority.root], "allow_private": True, "port": port} | settings
                return await PolicyFetcher(resolver, **arguments).fetch(DOMAIN)

        return asyncio.run(go())

    return run


@pytest.fixture
def good(authority, server_context):
    return server_context(authority.issue(HOST))


def test_a_policy(authority, server_context, fetch):
    certificate = authority.issue(HOST)
    names = []
    context = server_context(certificate)
    context.sni_callback = lambda _connection, name, _context: names.append(name)
    host = PolicyHost(context, response())
    fetched = fetch(host)
    assert isinstance(fetched, PolicyFetched)
    assert fetched.body == POLICY
    assert fetched.policy_domain == DOMAIN
    assert fetched.address == Address("127.0.0.1")
    assert fetched.content_type == "text/plain"
    assert fetched.chain == certificate.chain
    assert names == [HOST], "RFC 8461 §7.1: SNI is the policy host"
    port = fetched.url.removeprefix(f"https://{HOST}:").removesuffix("/.well-known/mta-sts.txt")
    assert port.isdigit()
    [request] = host.requests
    assert request[0] == "GET /.well-known/mta-sts.txt HTTP/1.1"
    assert sorted(line.lower() for line in request[1:]) == sorted(
        [
            f"host: {HOST}:{port}",
            f"user-agent: mxseal/{__version__}",
            "accept: text/plain",
            "accept-encoding: identity",
            "connection: close",
        ]
    )


@pytest.mark.parametrize(
    ("octets", "body"),
    [
        (response(content_type="text/plain; charset=utf-8"), POLICY),
        (response(content_type="Text/PLAIN;charset=us-ascii"), POLICY),
        (response(content_type="text/plain ; format=flowed"), POLICY),
        (response(content_encoding="identity"), POLICY),
        (response(content_encoding="identity", Content_Encoding=""), POLICY),
        (response(Content_Type="text/plain; charset=utf-8"), POLICY),  # twice the same
        (response(b""), b""),  # what the text says is for the parser to judge
        (response(FULL), FULL),
        (chunked(POLICY), POLICY),
        (chunked(*(POLICY[i : i + 1] for i in range(len(POLICY)))), POLICY),
        (response(version="1.0"), POLICY),
        (response(version="1.0", length=False), POLICY),  # ends with the connection, closed as TLS wants it
        (response(length=False), POLICY),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n" + response(), POLICY),
    ],
)
def test_responses_that_are_taken(fetch, good, octets, body):
    assert fetch(PolicyHost(good, octets)).body == body


@pytest.mark.parametrize(
    ("octets", "status", "detail"),
    [
        (response(status="404 Not Found"), 404, "status 404 Not Found"),
        (response(status="500 Oops"), 500, "status 500 Oops"),
        (response(status="204 No Content", length=False), 204, "status 204"),
        (response(status="206 Partial Content"), 206, "status 206"),
        (response(status="203 Non-Authoritative"), 203, "status 203"),
        (
            response(status="302 Found", location="https://example.com/mta-sts.txt"),
            302,
            "a redirect (status 302) to https://example.com/mta-sts.txt, which must not be followed",
        ),
        (response(status="301 Moved"), 301, "a redirect (status 301), which"),
        (
            response(content_type="text/html; charset=utf-8"),
            200,
            "is text/html; charset=utf-8, not text/plain",
        ),
        (response(content_type="text/plainer"), 200, "not text/plain"),
        (response(content_type="application/octet-stream"), 200, "not text/plain"),
        (response(content_type=None), 200, "the content type is missing, not text/plain"),
        (response(content_type=""), 200, "the content type is missing, not text/plain"),
        (response(gzip.compress(POLICY), content_encoding="gzip"), 200, "content encoding gzip"),
        # Whichever comes last: a line does not hide another.
        (response(Content_Type="text/html"), 200, "is text/plain, text/html, not text/plain"),
        (response(content_type="text/html", Content_Type="text/plain"), 200, "not text/plain"),
        (
            response(content_encoding="gzip", Content_Encoding="identity"),
            200,
            "content encoding gzip, identity",
        ),
        (response(content_encoding="identity, gzip"), 200, "content encoding"),
        (response(FULL + b"x"), 200, f"a body of more than {MAX_BODY} octets"),
        (response(b"x" * 1_000_000), 200, f"a body of more than {MAX_BODY} octets"),
        (response(b"x" * 1_000_000, length=False), 200, f"a body of more than {MAX_BODY} octets"),
        (chunked(*[b"x" * 1000] * 100), 200, f"a body of more than {MAX_BODY} octets"),
        (response(**{f"x_{i}": "y" * 1000 for i in range(40)}), None, "not HTTP, or broken"),
        (b"HTTP/1.1 200 " + b"x" * 40_000, None, "not HTTP, or broken"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 40_000, None, "a response of more than"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", None, "not HTTP, or broken"),
        (b"\x00" * 100, None, "not HTTP, or broken"),
        (b"", None, "without an answer"),
        (b"HTTP/1.1 100 Continue\r\n\r\n", None, "without an answer"),
        # Framing that two readers might take for two different texts (RFC 9112 §6.3).
        (response(Content_Length="1"), None, "conflicting Content-Length"),
        (response(length=False, content_length="1" * 5000), None, "bad Content-Length"),
        (response(length=False, content_length="-1"), None, "bad Content-Length"),
        (response(transfer_encoding="gzip, chunked"), None, "not HTTP, or broken"),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n" + response(), None, "not HTTP, or broken"),
        (chunked(POLICY).replace(b"\r\nversion", b";" + b"x" * 40_000 + b"\r\nversion"), None, "too long"),
        (
            response(b"1;%b\r\nx\r\n" % (b"y" * 9_000) * 100, length=False, transfer_encoding="chunked"),
            None,
            "a response of more than",
        ),
        (b"HTTP/1.1 200 OK\r\nContent-Ty", None, "not HTTP, or broken"),
        # Shortened: each way to say how long the text is notices it.
        (response()[:-20], None, "not HTTP, or broken"),
        (chunked(POLICY)[:-5], None, "not HTTP, or broken"),
        (response(content_length="1", length=False, transfer_encoding="chunked")[:90], None, "HTTP"),
    ],
)
def test_responses_that_are_not(fetch, good, octets, status, detail):
    failed = fetch(PolicyHost(good, octets))
    assert isinstance(failed, PolicyFetchFailed)
    assert (failed.stage, failed.status) == (FetchStage.HTTP, status)
    assert detail in failed.detail
    assert failed.chain, "the certificate was good, and is evidence"
    assert len(failed.attempts) == 1


def test_the_content_type_that_was_wrong_is_told(fetch, good):
    assert fetch(PolicyHost(good, response(content_type="text/html"))).content_type == "text/html"
    assert fetch(PolicyHost(good, response(status="404 Not Found"))).content_type == ""


@pytest.mark.parametrize("end", ["cut", "reset"])
def test_a_text_cut_off_in_the_path_is_not_taken(fetch, good, end):
    # No length is told, so only close_notify says that this is all (RFC 8446 §6.1).
    failed = fetch(PolicyHost(good, response(length=False), end=end))
    assert failed.stage is FetchStage.HTTP
    assert failed.detail.startswith("the connection broke: ")


def test_control_characters_of_the_host_are_escaped(fetch, good):
    failed = fetch(PolicyHost(good, response(status="302 Found", location="https://x/\x80\x9b[31m")))
    assert failed.detail.isprintable()


class Elsewhere(http.server.SimpleHTTPRequestHandler):
    """A web server that is not ours: the standard library's, serving files."""

    def log_message(self, *_arguments):
        """Nothing."""


@pytest.mark.parametrize("protocol", ["HTTP/1.0", "HTTP/1.1"])
@pytest.mark.parametrize(("exists", "status"), [(True, None), (False, 404)])
def test_a_web_server_that_is_not_ours(  # noqa: PLR0917 - fixtures and cases
    authority, good, tmp_path, protocol, exists, status
):
    root = tmp_path / "www"
    (root / ".well-known").mkdir(parents=True)
    if exists:
        (root / ".well-known" / "mta-sts.txt").write_bytes(POLICY)
    handler = type("Handler", (Elsewhere,), {"protocol_version": protocol})
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(handler, directory=str(root)), bind_and_activate=True
    )
    with server:
        server.socket = good.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            fetcher = PolicyFetcher(
                MemoryResolver.from_texts(HERE),
                roots=[authority.root],
                allow_private=True,
                port=server.server_port,
            )
            fetched = asyncio.run(fetcher.fetch(DOMAIN))
        finally:
            server.shutdown()
            thread.join()
    if exists:
        assert fetched.body == POLICY
    else:
        assert fetched.status == status


# --- TLS ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flaw", "detail"),
    [
        (Flaw.EXPIRED, "it has expired"),
        (Flaw.NOT_YET_VALID, "it is not valid yet"),
        (Flaw.WRONG_NAME, "it does not have this name"),
        (Flaw.CN_ONLY, "it does not have this name"),
        (Flaw.SELF_SIGNED, "it is self-signed, and not trusted"),
        (Flaw.UNKNOWN_CA, "its chain ends in a root that is not trusted"),
        (Flaw.NO_INTERMEDIATE, "its issuer is neither sent nor known"),
    ],
)
def test_certificates_that_are_not_valid(authority, server_context, fetch, flaw, detail):
    certificate = authority.issue(HOST, flaw=flaw)
    host = PolicyHost(server_context(certificate), response())
    failed = fetch(host)
    assert failed.stage is FetchStage.CERTIFICATE
    assert f"the certificate is not valid for {HOST}" in failed.detail
    assert detail in failed.detail
    assert failed.chain == certificate.chain, "for the evidence, although it did not verify"
    assert host.requests == [], "nothing was asked of a host that is not the policy host"


@pytest.mark.parametrize(
    ("flaw", "alert"),
    [
        (Flaw.EXPIRED, "CERTIFICATE_EXPIRED"),
        (Flaw.UNKNOWN_CA, "UNKNOWN_CA"),
        (Flaw.WRONG_NAME, "BAD_CERTIFICATE"),
    ],
)
def test_the_policy_host_learns_by_an_alert_what_we_do_not_like(
    authority, server_context, fetch, flaw, alert
):
    context = server_context(authority.issue(HOST, flaw=flaw))
    learnt = []

    async def host(client):
        try:
            await client.accept_tls(context)
            await client.read()
        except ssl.SSLError as error:
            learnt.append(error.reason)

    fetch(host)
    # The second handshake, for the evidence, is left in peace.
    assert [reason.partition("ALERT_")[2] for reason in learnt] == [alert]


def test_a_host_that_shows_its_bad_certificate_once_is_not_a_slow_one(
    authority, server_context, fetch, monkeypatch
):
    monkeypatch.setattr("mxseal.adapters.https.policies._CHAIN_TIMEOUT", 0.2)
    bad = PolicyHost(server_context(authority.issue(HOST, flaw=Flaw.EXPIRED)))
    turns = iter([bad])

    async def once(client):
        if (handler := next(turns, None)) is not None:
            await handler(client)
        else:
            await client.read()
            await client.read()

    failed = fetch(once)
    assert failed.stage is FetchStage.CERTIFICATE
    assert "expired" in failed.detail
    assert failed.chain == ()


def test_a_wildcard_certificate_is_one(authority, server_context, fetch):
    # RFC 8461 §3.3 leaves wildcards to RFC 6125 §6.4.3: the whole left-most label.
    assert fetch(PolicyHost(server_context(authority.issue("*.example.com")), response())).body == POLICY


@pytest.mark.parametrize(
    "name",
    [
        "*.mta-sts.example.com",
        "mta-*.example.com",
        "*sts.example.com",
        "mta-sts.*.com",
        "*.*.com",
        "*.com",
        "*",
        "example.com",
        ".example.com",
        "mta-sts.example.com.attacker.test",
    ],
)
def test_no_other_wildcard_is_one(authority, server_context, fetch, name):
    failed = fetch(PolicyHost(server_context(authority.issue(name)), response()))
    assert failed.stage is FetchStage.CERTIFICATE
    assert "it does not have this name" in failed.detail


def test_an_intermediate_can_be_a_trust_anchor(authority, server_context, fetch):
    fetched = fetch(
        PolicyHost(server_context(authority.issue(HOST)), response()), roots=[authority.intermediate]
    )
    assert isinstance(fetched, PolicyFetched)


@pytest.mark.parametrize("roots", [None, []])
def test_without_our_root_nothing_is_trusted(fetch, good, roots):
    assert fetch(PolicyHost(good, response()), roots=roots).stage is FetchStage.CERTIFICATE


def test_a_root_that_is_no_certificate_is_our_trouble(fetch, good):
    with pytest.raises(DataFault, match="a trust anchor is no certificate"):
        fetch(PolicyHost(good, response()), roots=[b"nothing of the kind"])


def test_old_tls_is_refused(authority, server_context, fetch):
    context = server_context(authority.issue(HOST))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    failed = fetch(PolicyHost(context, response()))
    assert failed.stage is FetchStage.TLS
    assert "TLS versions" in failed.detail


def test_plain_http_on_the_port_is_no_tls(fetch):
    async def plain(client):
        await client.read()
        await client.write(response(status="400 The plain HTTP request was sent to HTTPS port"))

    failed = fetch(plain)
    assert failed.stage is FetchStage.TLS
    assert "not TLS" in failed.detail


# --- time -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limits", [{"timeout": 0.3}, {"address_timeout": 0.3}])
@pytest.mark.parametrize("octets", [b"", b"HTTP/1.1 200 OK\r\n", response()[:-10]])
def test_a_host_that_is_silent_or_slow_is_left(fetch, good, limits, octets):
    failed = fetch(PolicyHost(good, octets, end="wait"), **limits)
    assert failed.stage is FetchStage.TIMEOUT
    assert failed.detail == "no policy within 0.3 seconds"


def test_a_host_that_never_shakes_hands_is_left(fetch):
    async def silent(client):
        while await client.read():
            pass

    assert fetch(silent, address_timeout=0.3).stage is FetchStage.TIMEOUT


# --- addresses ----------------------------------------------------------------------------------------------


def test_nobody_listens(fetch, good, closed_port):
    failed = fetch(PolicyHost(good, response()), port=closed_port)
    assert failed.stage is FetchStage.CONNECT
    assert failed.detail == "no connection: Connection refused"
    assert failed.attempts == ("127.0.0.1: no connection: Connection refused",)
    assert failed.url == f"https://{HOST}:{closed_port}/.well-known/mta-sts.txt"


def test_the_usual_port_is_not_in_the_url(fetch, good):
    failed = fetch(PolicyHost(good, response()), dns={}, port=443)
    assert failed.url == f"https://{HOST}/.well-known/mta-sts.txt"


@pytest.mark.parametrize(
    ("dns", "failing", "detail"),
    [
        ({}, (), f"{HOST} has neither an AAAA nor an A record"),
        ({f"{HOST} TXT": ["x"]}, (), f"{HOST} has neither an AAAA nor an A record"),
        ({}, [f"{HOST} A"], f"the A lookup of {HOST} failed"),
        ({}, [f"{HOST} AAAA"], f"the AAAA lookup of {HOST} failed"),
    ],
)
def test_no_address(fetch, good, dns, failing, detail):
    failed = fetch(PolicyHost(good, response()), dns=dns, failing=failing)
    assert failed.stage is FetchStage.DNS
    assert failed.detail.startswith(detail)


def test_a_bogus_answer_has_no_addresses(good, authority, serving):
    # RFC 4035 §5.5: whatever it carries.
    class Bogus:
        async def resolve(self, name, record_type):
            records = (AddressData(Address("127.0.0.1")),)
            return Answer(name, record_type, Outcome.FAILED, Security.BOGUS, records)

    host = PolicyHost(good, response())

    async def go():
        async with serving(host) as port:
            fetcher = PolicyFetcher(Bogus(), roots=[authority.root], allow_private=True, port=port)
            return await fetcher.fetch(DOMAIN)

    assert asyncio.run(go()).stage is FetchStage.DNS
    assert host.requests == []


@pytest.mark.parametrize(
    ("dns", "failing"),
    [
        # IPv6 does not work; and it does not have all the turns before IPv4 has one.
        (HERE | {f"{HOST} AAAA": ["::1"]}, ()),
        (HERE | {f"{HOST} AAAA": ["::1", "100::1"]}, ()),
        # No server answers for AAAA.
        (HERE, [f"{HOST} AAAA"]),
        # Several IPv4 addresses, the first of them dead.
        ({f"{HOST} A": ["127.0.0.77", "127.0.0.1"]}, ()),
    ],
)
def test_one_good_address_is_enough(fetch, good, dns, failing):
    fetched = fetch(PolicyHost(good, response()), dns=dns, failing=failing)
    assert isinstance(fetched, PolicyFetched)
    assert fetched.address == Address("127.0.0.1")


def test_what_a_verified_host_says_is_final(fetch, good):
    host = PolicyHost(good, response(status="404 Not Found"))
    failed = fetch(host, dns={f"{HOST} A": ["127.0.0.1", "127.0.0.77"]})
    assert failed.status == 404
    assert len(host.requests) == 1
    assert len(failed.attempts) == 1


@pytest.mark.parametrize("octets", [b"", response()[:-10]])
def test_a_host_that_breaks_off_leaves_the_other_addresses_to_try(fetch, good, octets):
    """It has said nothing, so it is no more final than one that does not listen."""
    failed = fetch(PolicyHost(good, octets), dns={f"{HOST} A": ["127.0.0.1", "127.0.0.77"]})
    assert failed.stage is FetchStage.HTTP
    assert [attempt.partition(":")[0] for attempt in failed.attempts] == ["127.0.0.1", "127.0.0.77"]


def test_thousands_of_private_addresses_make_a_bounded_failure(fetch, good):
    addresses = [f"10.0.{n // 250}.{n % 250}" for n in range(2_000)]
    failed = fetch(PolicyHost(good), dns={f"{HOST} A": addresses}, allow_private=False)
    assert failed.stage is FetchStage.CONNECT
    assert len(failed.attempts) == MAX_ADDRESSES


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.0.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1"],
)
def test_addresses_inside_of_our_network_are_not_knocked_at(fetch, good, address):
    host = PolicyHost(good, response())
    failed = fetch(host, dns={f"{HOST} A": [address]}, allow_private=False)
    assert failed.stage is FetchStage.CONNECT
    assert failed.attempts == (f"{address}: not a public address, and so refused",)
    assert host.requests == []


@pytest.mark.parametrize(
    "address", ["::1", "fe80::1", "fc00::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "::"]
)
def test_nor_those_of_ipv6(fetch, good, address):
    failed = fetch(PolicyHost(good, response()), dns={f"{HOST} AAAA": [address]}, allow_private=False)
    assert failed.stage is FetchStage.CONNECT
    assert "not a public address" in failed.detail


def test_a_name_that_is_too_long_for_a_policy_host(fetch, good):
    async def go():
        return await PolicyFetcher(MemoryResolver()).fetch(HostName(".".join(["a" * 61] * 4)))

    failed = asyncio.run(go())
    assert failed.stage is FetchStage.DNS
    assert "253 characters" in failed.detail


def test_many_at_once_share_one_context(authority, serving, good):
    async def go():
        async with serving(PolicyHost(good, response())) as port:
            fetcher = PolicyFetcher(
                MemoryResolver.from_texts(HERE), roots=[authority.root], allow_private=True, port=port
            )
            return await asyncio.gather(*(fetcher.fetch(DOMAIN) for _ in range(20)))

    assert all(isinstance(fetched, PolicyFetched) for fetched in asyncio.run(go()))
