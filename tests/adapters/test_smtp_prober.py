"""The prober against MX hosts of every kind, with real TLS on loopback."""

import asyncio
import contextlib
import socket
import ssl
import warnings
from types import SimpleNamespace

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from mxseal.adapters.smtp import SmtpProber
from mxseal.adapters.tls import _peer_chain
from mxseal.lab.ca import Flaw, KeyType
from mxseal.standards.starttls import MAX_LINE
from mxseal.vocabulary.names import Address, HostName
from mxseal.vocabulary.observations import (
    Handshake,
    HandshakeFailed,
    HandshakeTrouble,
    KeyKind,
    ProtocolViolation,
    Stage,
    StarttlsNotOffered,
    StarttlsRefused,
    Unreachable,
)

MX = HostName("mx.example.com")
HERE = Address("127.0.0.1")
OFFER = b"250-mx.example.com\r\n250-SIZE\r\n250 STARTTLS\r\n"
GO = b"220 Ready\r\n"
BYE = b"221 Bye\r\n"


class MxHost:
    """An MX host that says what the table wants; None closes the connection instead."""

    def __init__(self, context=None, *, greeting=b"220 mx.example.com ESMTP\r\n", **replies):
        self.context = context
        self.greeting = greeting
        self.replies = {
            "ehlo": OFFER,
            "starttls": GO,
            "inside": b"250 mx.example.com\r\n",
            "quit": BYE,
        } | replies
        self.heard = []

    async def __call__(self, client):
        await client.write(self.greeting)
        inside = False
        while line := await client.readline():
            command = line.strip().partition(b" ")[0].decode(errors="replace").lower()
            if command not in self.replies:
                continue  # the ClientHello, where the table has no TLS
            self.heard.append(command)
            reply = self.replies["inside" if inside and command == "ehlo" else command]
            if reply is None:
                return
            await client.write(reply)
            if command == "starttls" and reply == GO and self.context is not None:
                await client.accept_tls(self.context)
                inside = True


def probe(serving, host, *, prober=None, **arguments):
    async def run():
        async with serving(host) as port:
            settings = {"ehlo_name": HostName("client.example.org")} | (prober or {})
            return await SmtpProber(port=port, **settings).probe(MX, HERE, **arguments)

    return asyncio.run(run())


@pytest.fixture
def good(authority, server_context):
    return server_context(authority.issue(MX))


def test_a_session_up_to_the_verdicts_eve(authority, server_context, serving):
    certificate = authority.issue(MX)
    host = MxHost(server_context(certificate))
    session = probe(serving, host)
    assert isinstance(session.outcome, Handshake)
    assert session.outcome.version == "TLSv1.3"
    assert session.outcome.cipher.startswith("TLS_")
    assert session.outcome.chain == certificate.chain
    assert session.outcome.ehlo_again
    assert (session.host, session.address, session.greeting) == (MX, HERE, "mx.example.com")
    assert session.milliseconds >= 0
    assert host.heard == ["ehlo", "starttls", "ehlo", "quit"], "polite, and no MAIL"


@pytest.mark.parametrize("flaw", list(Flaw))
def test_every_chain_comes_to_light_whatever_is_wrong_with_it(authority, server_context, serving, flaw):
    certificate = authority.issue(MX, flaw=flaw)
    session = probe(serving, MxHost(server_context(certificate)))
    assert session.outcome.chain == certificate.chain


@pytest.mark.parametrize(
    ("replies", "expected", "heard"),
    [
        ({"ehlo": b"250 mx.example.com\r\n"}, StarttlsNotOffered(), ["ehlo", "quit"]),
        ({"ehlo": b"250-mx\r\n250 XXXXXXXX\r\n"}, StarttlsNotOffered(), ["ehlo", "quit"]),
        # RFC 5321 §4.2.2: how a server says that it knows HELO only.
        ({"ehlo": b"500 5.5.1 EHLO?\r\n"}, StarttlsNotOffered(), ["ehlo", "quit"]),
        ({"ehlo": b"502 5.5.1 EHLO?\r\n"}, StarttlsNotOffered(), ["ehlo", "quit"]),
        ({"ehlo": b"504 5.5.1 EHLO?\r\n"}, StarttlsNotOffered(), ["ehlo", "quit"]),
        ({"ehlo": b"550 go away\r\n"}, Unreachable(Stage.EHLO, "550 go away"), ["ehlo", "quit"]),
        (
            {"ehlo": None},
            Unreachable(Stage.EHLO, "the server closed the connection without a word"),
            ["ehlo"],
        ),
        (
            {"starttls": b"454 4.7.0 TLS not available\r\n"},
            StarttlsRefused(454, "4.7.0 TLS not available"),
            ["ehlo", "starttls", "quit"],
        ),
        (
            {"starttls": b"454 no\r\n", "quit": None},
            StarttlsRefused(454, "no"),
            ["ehlo", "starttls", "quit"],
        ),
        (
            {"starttls": None},
            Unreachable(Stage.STARTTLS, "the server closed the connection without a word"),
            ["ehlo", "starttls"],
        ),
        (
            {"starttls": GO + b"250 forged\r\n"},
            ProtocolViolation(Stage.STARTTLS, "12 octets behind the 220 to STARTTLS, before TLS"),
            ["ehlo", "starttls"],
        ),
        (
            {"greeting": b"554 mx.example.com no mail here\r\n"},
            Unreachable(Stage.GREETING, "554 mx.example.com no mail here"),
            ["quit"],
        ),
        (
            {"greeting": b"SSH-2.0-OpenSSH_9.2\r\n"},
            ProtocolViolation(Stage.GREETING, "not an SMTP reply: 'SSH-2.0-OpenSSH_9.2'"),
            [],
        ),
        (
            {"greeting": b"220" + b"-" * MAX_LINE},
            ProtocolViolation(Stage.GREETING, f"a reply line of more than {MAX_LINE} octets"),
            [],
        ),
        (
            {"ehlo": b"250-x\r\n" * 5000},
            ProtocolViolation(Stage.EHLO, "a reply of more than 100 lines"),
            ["ehlo"],
        ),
    ],
)
def test_what_an_mx_host_says_instead(serving, good, replies, expected, heard):
    host = MxHost(good, **replies)
    assert probe(serving, host).outcome == expected
    assert host.heard == heard


def test_a_port_where_nobody_listens(closed_port):
    outcome = asyncio.run(SmtpProber(port=closed_port).probe(MX, HERE)).outcome
    assert outcome == Unreachable(Stage.CONNECT, "Connection refused", refused=True)


def test_an_endless_greeting_ends(serving):
    async def endless(client):
        while True:
            await client.write(b"220-and on\r\n" * 100)

    outcome = probe(serving, endless).outcome
    assert outcome == ProtocolViolation(Stage.GREETING, "a reply of more than 100 lines")


def test_an_endless_reply_inside_of_tls_leaves_the_handshake_standing(serving, good):
    lines = b"250-%b\r\n" % (b"x" * 1000) * 80
    outcome = probe(serving, MxHost(good, inside=lines)).outcome
    assert isinstance(outcome, Handshake)
    assert not outcome.ehlo_again


@pytest.mark.parametrize("limits", [{"stage_timeout": 0.5}, {"timeout": 0.5}])
@pytest.mark.parametrize(
    ("replies", "expected"),
    [
        ({"greeting": b""}, Unreachable(Stage.GREETING, "no greeting within 0.5 seconds")),
        ({"greeting": b"220-wait"}, Unreachable(Stage.GREETING, "no greeting within 0.5 seconds")),
        ({"ehlo": b"250-"}, Unreachable(Stage.EHLO, "no whole answer to EHLO within 0.5 seconds")),
        ({"starttls": b""}, Unreachable(Stage.STARTTLS, "no whole answer to STARTTLS within 0.5 seconds")),
        # Says 220, and then nothing.
        ({}, HandshakeFailed("no TLS session within 0.5 seconds")),
    ],
)
def test_who_keeps_us_waiting_is_left(serving, limits, replies, expected):
    assert probe(serving, MxHost(None, **replies), prober=limits).outcome == expected


def test_who_keeps_us_waiting_for_goodbye_changes_nothing(serving, good):
    outcome = probe(serving, MxHost(good, quit=b""), prober={"stage_timeout": 1.5}).outcome
    assert isinstance(outcome, Handshake)
    assert outcome.ehlo_again


def test_nor_does_the_end_of_all_time_then(serving, good):
    assert probe(serving, MxHost(good, quit=b""), prober={"timeout": 1.5}).outcome.ehlo_again
    stripped = MxHost(good, ehlo=b"250 mx\r\n", quit=b"")
    assert probe(serving, stripped, prober={"timeout": 1.5}).outcome == StarttlsNotOffered()


@pytest.mark.parametrize("answer", [b"550 not in here\r\n", b"\x00\n", None])
def test_no_answer_to_the_second_ehlo_leaves_the_handshake_standing(serving, good, answer):
    outcome = probe(serving, MxHost(good, inside=answer)).outcome
    assert isinstance(outcome, Handshake)
    assert outcome.chain
    assert not outcome.ehlo_again


def test_silence_after_the_handshake_leaves_it_standing(serving, good):
    outcome = probe(serving, MxHost(good, inside=b""), prober={"timeout": 1.5}).outcome
    assert isinstance(outcome, Handshake)
    assert not outcome.ehlo_again


def test_a_reset(serving):
    async def resets(client):
        await client.write(b"220 mx\r\n")
        await client.readline()
        client.reset()

    outcome = probe(serving, resets).outcome
    assert isinstance(outcome, Unreachable)
    assert outcome.stage is Stage.EHLO
    assert "reset" in outcome.detail.lower()


@pytest.mark.parametrize(
    ("in_place_of_tls", "detail"),
    [
        (b"500 what is that\r\n", "what came is not TLS"),
        (b"", "the server closed the connection during the TLS handshake"),
        (b"\x15\x03\x03\x00\x02\x02\x28", "nothing in common"),  # alert handshake_failure
        (b"\x15\x03\x03\x00\x02\x02\x70", "does not know the name in SNI"),  # alert unrecognized_name
        (b"\x15\x03\x01\x00\x02\x02\x46", "refused the offered TLS versions"),  # alert protocol_version
        (b"\x16\x03\x03\x00\x04\xff\x00\x00\x00", "unexpected message"),
    ],
)
def test_no_tls_behind_the_220(serving, in_place_of_tls, detail):
    async def host(client):
        await client.write(b"220 mx\r\n")
        await client.readline()
        await client.write(OFFER)
        await client.readline()
        await client.write(GO)
        await client.read()  # the ClientHello has begun
        await client.write(in_place_of_tls)

    outcome = probe(serving, host).outcome
    assert isinstance(outcome, HandshakeFailed)
    assert detail in outcome.detail


def test_a_handshake_of_too_many_octets_is_left(serving, good, monkeypatch):
    # OpenSSL has bounds of its own for each thing a server may send; ours is for what it may overlook.
    monkeypatch.setattr("mxseal.adapters.tls.MAX_HANDSHAKE", 100)
    outcome = probe(serving, MxHost(good)).outcome
    assert outcome == HandshakeFailed("more than 100 octets and no TLS session yet")


def test_a_handshake_without_end_is_bounded(serving):
    async def host(client):
        await client.write(b"220 mx\r\n")
        await client.readline()
        await client.write(OFFER)
        await client.readline()
        await client.write(GO)
        await client.read()
        # Empty warning alerts are legal before TLS 1.3; whoever ends it first, it ends.
        while True:
            await client.write(b"\x15\x03\x03\x00\x02\x01\x5a" * 1000)

    assert isinstance(probe(serving, host).outcome, HandshakeFailed)


# --- TLS versions and kinds of certificates -----------------------------------------------------------


def test_only_old_tls(authority, server_context, serving):
    context = server_context(authority.issue(MX, key_type=KeyType.RSA))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    outcome = probe(serving, MxHost(context)).outcome
    wanted = HandshakeFailed("the server refused the offered TLS versions", HandshakeTrouble.VERSION)
    assert outcome == wanted


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_each_good_version(authority, server_context, serving, version):
    context = server_context(authority.issue(MX))
    context.minimum_version = context.maximum_version = version
    assert probe(serving, MxHost(context)).outcome.version == version.name.replace("_", ".")


def test_a_weak_key_is_seen_and_not_refused(authority, serving, tmp_path):
    # Postfix as a client would take it, so it is for the judgement, not for the handshake.
    certificate = authority.issue(MX, key=rsa.generate_private_key(65537, 1024))
    (tmp_path / "weak.pem").write_bytes(certificate.pem())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    context.load_cert_chain(tmp_path / "weak.pem")
    assert probe(serving, MxHost(context)).outcome.chain == certificate.chain


@pytest.mark.parametrize("has", [{KeyType.RSA}, {KeyType.ECDSA}, {KeyType.RSA, KeyType.ECDSA}])
@pytest.mark.parametrize("asked", list(KeyKind))
def test_certificates_of_each_kind_are_told_apart(authority, server_context, serving, has, asked):
    certificates = {kind: authority.issue(MX, key_type=kind) for kind in sorted(has)}
    session = probe(serving, MxHost(server_context(*certificates.values())), key_kind=asked)
    assert session.key_kind is asked
    if asked is KeyKind.ANY:
        assert session.outcome.chain[0] in [certificate.leaf for certificate in certificates.values()]
        return
    wanted = certificates.get(KeyType(asked.value))
    if wanted is None:
        assert isinstance(session.outcome, HandshakeFailed)
        assert f"TLS 1.2 with {asked.value.upper()} certificates only" in session.outcome.detail
    else:
        assert session.outcome.version == "TLSv1.2"
        assert session.outcome.chain == wanted.chain


def test_a_server_of_tls_13_only_cannot_be_asked_for_a_kind(authority, server_context, serving):
    context = server_context(authority.issue(MX))
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    outcome = probe(serving, MxHost(context), key_kind=KeyKind.ECDSA).outcome
    assert isinstance(outcome, HandshakeFailed)
    assert "refused the offered TLS versions" in outcome.detail
    assert "offered was TLS 1.2" in outcome.detail


def test_a_certificate_that_depends_on_sni(authority, server_context, serving):
    other = HostName("other.example.net")
    default, named = authority.issue(MX), authority.issue(other)
    context, named_context = server_context(default), server_context(named)
    seen = []

    def choose(connection, name, _context):
        seen.append(name)
        if name == other:
            connection.context = named_context

    context.sni_callback = choose
    for sni, certificate in [(None, default), (MX, default), (other, named)]:
        session = probe(serving, MxHost(context), sni=sni)
        assert session.sni == sni
        assert session.outcome.chain == certificate.chain
    assert seen == [None, MX, other]


def test_the_chain_comes_through_the_public_door_where_there_is_one():
    # Python 3.13 gives DER octets; before, the tests above go through `_sslobj`.
    assert _peer_chain(SimpleNamespace(get_unverified_chain=lambda: [b"leaf", b"issuer"])) == (
        b"leaf",
        b"issuer",
    )


def test_nothing_is_resumed(serving, good):
    # A resumed session shows no certificates in TLS 1.2.
    good.maximum_version = ssl.TLSVersion.TLSv1_2
    host = MxHost(good)

    async def run():
        async with serving(host) as port:
            prober = SmtpProber(port=port)
            return [await prober.probe(MX, HERE) for _ in range(3)]

    chains = {session.outcome.chain for session in asyncio.run(run())}
    assert len(chains) == 1
    assert chains != {()}
    assert good.session_stats()["hits"] == 0


# --- EHLO's name ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hostname", "ehlo_name", "said"),
    [
        ("laptop", None, b"[127.0.0.1]"),  # RFC 5321 §4.1.4: an address literal where there is no name
        ("not a name!", None, b"[127.0.0.1]"),
        ("host.example.org", None, b"host.example.org"),
        ("host.example.org", HostName("mta.example.org"), b"mta.example.org"),
        ("host.example.org", Address("2001:db8::25"), b"[IPv6:2001:db8::25]"),
    ],
)
def test_the_name_that_ehlo_says(serving, monkeypatch, hostname, ehlo_name, said):
    monkeypatch.setattr(socket, "gethostname", lambda: hostname)
    lines = []

    async def host(client):
        await client.write(b"220 mx\r\n")
        lines.append(await client.readline())
        await client.write(b"250 mx\r\n")
        await client.readline()
        await client.write(BYE)

    probe(serving, host, prober={"ehlo_name": ehlo_name})
    assert lines == [b"EHLO " + said + b"\r\n"]


def test_ipv6(serving, good):
    host = MxHost(good)

    async def run():
        async with serving(host, host="::1") as port:
            return await SmtpProber(port=port).probe(MX, Address("::1"))

    with contextlib.closing(socket.socket(socket.AF_INET6)) as probing:
        try:
            probing.bind(("::1", 0))
        except OSError as error:
            pytest.skip(f"no IPv6 on loopback: {error}")
    assert isinstance(asyncio.run(run()).outcome, Handshake)


def test_many_at_once(serving, good):
    host = MxHost(good)

    async def run():
        async with serving(host) as port:
            prober = SmtpProber(port=port)
            return await asyncio.gather(*(prober.probe(MX, HERE) for _ in range(20)))

    assert all(isinstance(session.outcome, Handshake) for session in asyncio.run(run()))
