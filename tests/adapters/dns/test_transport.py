"""Servers on loopback that lie, fall silent, cut short or send rubbish."""

import asyncio
import struct
from contextlib import AsyncExitStack

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mxseal.adapters.dns.transport import MAX_RECORDS, Flags, NoReply, Query, Reply, Transport, _matching
from mxseal.vocabulary.names import Address

NAME = dns.name.from_text("mail.leaf.test.")


def answer(data: bytes, text: str = "192.0.2.1") -> dns.message.Message:
    message = dns.message.make_response(dns.message.from_wire(data))
    message.answer.append(dns.rrset.from_text(NAME, 300, "IN", "A", text))
    return message


def good(data: bytes) -> list[bytes]:
    return [answer(data).to_wire()]


def changed(**changes):
    def behave(data: bytes) -> list[bytes]:
        message = answer(data, "203.0.113.66")
        for attribute, value in changes.items():
            setattr(message, attribute, value(getattr(message, attribute)))
        return [message.to_wire(), *good(data)]

    return behave


def _question(name: str, rdclass: str, rdtype: str):
    return lambda _: dns.message.make_query(name, rdtype, rdclass).question


def servfail(data: bytes) -> list[bytes]:
    message = dns.message.make_response(dns.message.from_wire(data))
    message.set_rcode(dns.rcode.SERVFAIL)
    return [message.to_wire()]


def truncated(data: bytes) -> list[bytes]:
    message = dns.message.make_response(dns.message.from_wire(data))
    message.flags |= dns.flags.TC
    return [message.to_wire()]


def framed(data: bytes) -> bytes:
    wire = good(data)[0]
    return len(wire).to_bytes(2) + wire


SILENT = lambda data: []  # noqa: E731 - beside its siblings in the table
RUBBISH = lambda data: [data[:2] + b"\x80\0" + data[4:6] + b"\0\1" + data[8:] + b"\xff" * 40]  # noqa: E731


@pytest.fixture
def ask(loopback):
    """Ask servers that behave so, in this order of preference; the reply, and how many questions each got."""

    def ask(*behaviours, tcp=None, timeout=2.0, **options):
        counts = [0] * len(behaviours)

        def counting(index):
            def behave(data):
                counts[index] += 1
                return behaviours[index](data)

            return behave

        async def run():
            async with AsyncExitStack() as stack:
                servers = [
                    await stack.enter_async_context(loopback(counting(i), tcp))
                    for i in range(len(behaviours))
                ]
                return await Transport(servers, timeout=timeout, **options).ask(NAME, dns.rdatatype.A)

        return asyncio.run(run()), counts

    return ask


def address_of(reply) -> str:
    assert isinstance(reply, Reply), reply
    return reply.message.answer[0][0].address


@pytest.mark.parametrize(
    "behave",
    [
        good,
        changed(id=lambda old: old ^ 1),
        changed(flags=lambda old: old & ~dns.flags.QR),
        changed(flags=lambda old: old | 0x2000),  # the opcode NOTIFY
        changed(question=_question("other.leaf.test.", "IN", "A")),
        changed(question=_question("mail.leaf.test.", "IN", "AAAA")),
        changed(question=_question("mail.leaf.test.", "CH", "A")),
        lambda data: [b"", b"\0", data, data[:12], *good(data)],
    ],
)
def test_what_does_not_match_the_question_is_waited_past(ask, behave):
    reply, counts = ask(behave)
    assert address_of(reply) == "192.0.2.1"
    assert counts == [1]


def test_a_flood_of_strays_ends(ask):
    stray = changed(id=lambda old: old ^ 1)
    reply, _ = ask(lambda data: [stray(data)[0]] * 100, timeout=5)
    assert isinstance(reply, NoReply)
    assert "do not match" in reply.reason


@pytest.mark.parametrize(
    ("first", "asked"),
    [(SILENT, None), (RUBBISH, None), (servfail, [1, 1])],
)
def test_the_next_server_is_asked(ask, first, asked):
    reply, counts = ask(first, good, timeout=1.0)
    assert address_of(reply) == "192.0.2.1"
    assert counts[1] >= 1
    assert asked is None or counts == asked


def test_a_dead_port_does_not_stop_the_others():
    async def run():
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(
            asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0)
        )
        port = transport.get_extra_info("sockname")[1]
        transport.close()
        await asyncio.sleep(0)
        return await Transport([(Address("127.0.0.1"), port)], timeout=5).ask(NAME, dns.rdatatype.A)

    reply = asyncio.run(run())
    assert isinstance(reply, NoReply)
    assert "refused" in reply.reason


def test_a_refusal_of_all_is_shown(ask):
    reply, counts = ask(servfail, servfail)
    assert isinstance(reply, Reply)
    assert reply.rcode == dns.rcode.SERVFAIL
    assert counts == [1, 1]


def test_silence_ends_in_time(ask):
    reply, counts = ask(SILENT, SILENT, timeout=0.3)
    assert isinstance(reply, NoReply)
    assert reply.reason.count("no answer in time") == 2
    assert counts == [2, 2]


def test_a_truncated_reply_comes_again_over_tcp(ask):
    reply, _ = ask(truncated, tcp=framed)
    assert address_of(reply) == "192.0.2.1"
    assert reply.over_tcp


@pytest.mark.parametrize(
    "tcp",
    [
        lambda data: b"",
        lambda data: b"\0",
        lambda data: framed(data)[:-1],
        lambda data: b"\xff\xff" + b"\0" * 65535,
        lambda data: len(truncated(data)[0]).to_bytes(2) + truncated(data)[0],
        lambda data: framed(bytes([data[0] ^ 1]) + data[1:]),
    ],
)
def test_trouble_over_tcp_is_a_value(ask, tcp):
    reply, _ = ask(truncated, tcp=tcp)
    assert isinstance(reply, NoReply)
    assert "TCP" in reply.reason


def sent(query: Query) -> dns.message.Message:
    """As dnspython reads it."""
    return dns.message.from_wire(query.wire)


def test_letters_may_be_mixed_against_forgers(ask):
    reply, _ = ask(good, randomize_case=True)
    assert address_of(reply) == "192.0.2.1"

    long = "abcdefghijklmnopqrstuvwxyz." * 5 + "test."

    name = sent(Query.make(dns.name.from_text(long), dns.rdatatype.A, randomize_case=True)).question[0].name
    assert name == dns.name.from_text(long)
    assert name.labels != dns.name.from_text(long).labels


def test_what_is_asked():
    query = sent(Query.make(NAME, dns.rdatatype.A))
    assert (query.question[0].name, query.question[0].rdtype) == (NAME, dns.rdatatype.A)
    assert query.flags & dns.flags.CD
    assert query.flags & dns.flags.RD
    assert not query.flags & dns.flags.AD
    assert query.ednsflags & dns.flags.DO
    assert query.payload == 1232
    flags = Flags(recursion=False, dnssec_ok=False, checking_disabled=False, authentic_data=True)
    direct = sent(Query.make(NAME, dns.rdatatype.TLSA, flags))
    assert direct.question[0].rdtype == dns.rdatatype.TLSA
    assert not direct.flags & dns.flags.RD
    assert not direct.flags & dns.flags.CD
    assert direct.flags & dns.flags.AD
    assert not direct.ednsflags & dns.flags.DO
    ids = {sent(Query.make(NAME, dns.rdatatype.A)).id for _ in range(50)}
    assert len(ids) > 40


def test_without_servers_there_is_no_answer():
    reply = asyncio.run(Transport([]).ask(NAME, dns.rdatatype.A))
    assert isinstance(reply, NoReply)


QUERY = Query.make(NAME, dns.rdatatype.A)
GENUINE = good(QUERY.wire)[0]


@given(st.data())
def test_no_octets_raise(data):
    octets = bytearray(GENUINE)
    for _ in range(data.draw(st.integers(1, 6))):
        place = data.draw(st.integers(0, len(octets) - 1))
        octets[place] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(octets)))
    found = _matching(bytes(octets[:cut]), QUERY)
    assert found is None or isinstance(found, str | dns.message.Message)


@given(st.binary(max_size=300))
def test_no_rubbish_raises(rubbish):
    found = _matching(QUERY.wire[:2] + b"\x80" + rubbish, QUERY)
    assert found is None or isinstance(found, str | dns.message.Message)


@pytest.mark.parametrize(
    ("counts", "owner"),
    [
        ((1, MAX_RECORDS + 1, 0, 0), b"\xc0\x0c"),
        ((1, 0, MAX_RECORDS, 1), b"\xc0\x0c"),
    ],
)
def test_replies_with_thousands_of_records_are_not_even_read(counts, owner):
    record = owner + b"\0\1\0\1\0\0\1\0\0\4\1\2\3\4"
    wire = QUERY.wire
    reply = wire[:2] + b"\x80\0" + struct.pack("!4H", *counts) + QUERY.question + record * sum(counts[1:])
    assert _matching(reply, QUERY) == f"a reply with more than {MAX_RECORDS} records"
    fewer = (
        wire[:2]
        + b"\x80\0"
        + struct.pack("!4H", 1, MAX_RECORDS, 0, 0)
        + QUERY.question
        + record * MAX_RECORDS
    )
    assert isinstance(_matching(fewer, QUERY), dns.message.Message)


def test_a_reply_has_one_question():
    wire = QUERY.wire
    assert (
        _matching(wire[:2] + b"\x80\0" + struct.pack("!4H", 2, 0, 0, 0) + QUERY.question * 2, QUERY) is None
    )


@pytest.mark.parametrize(
    ("change", "matches"),
    [
        (lambda wire: wire, True),
        (lambda wire: wire.replace(b"mail", b"MAIL"), True),  # a server may change letters
        (lambda wire: wire.replace(b"\4mail", b"\4mai1"), False),
        (lambda wire: wire.replace(b"\4mail\4leaf", b"\x09mail\4leaf"), False),
        (lambda wire: wire.replace(b"test\0\0\1\0\1", b"test\0\0\1\0\3"), False),
        (lambda wire: wire.replace(b"test\0\0\1\0\1", b"test\0\0\x0f\0\1"), False),
        (lambda wire: wire[:20], False),
    ],
)
def test_which_question_a_reply_repeats(change, matches):
    assert QUERY.is_asked_in(change(GENUINE)) is matches
    root = Query.make(dns.name.root, dns.rdatatype.NS)
    assert root.is_asked_in(root.wire)
    assert not root.is_asked_in(GENUINE)


def test_mixed_letters_must_come_back_as_they_went():
    query = Query(b"", b"\4MaiL\4leaf\4tEst\0\0\1\0\1")
    assert query.is_asked_in(bytes(12) + query.question)
    assert not query.is_asked_in(bytes(12) + query.question.lower())
