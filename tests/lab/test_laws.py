"""Laws: every question has a proved answer, and no octets from outside bring a server down."""

import asyncio
import contextlib

import dns.message
import dns.name
import dns.rdatatype
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mxseal.lab import Lab
from mxseal.lab.dns_server import DnsServer
from mxseal.vocabulary.observations import Outcome, RecordType, Security
from mxseal.wiring import World

LABELS = st.sampled_from(
    ["a", "z", "_tcp", "_25", "mx1", "mx2", "mta-sts", "_mta-sts", "_smtp", "_tls", "0", "-", "zz", "m", "n"]
)
OWNERS = st.lists(LABELS, max_size=4).map(".".join)
ZONES = ("good-dane.test", "good-nsec3.test", "good-wildcard.test", "good-dane-alias.test", "good-both.test")
TYPES = (
    RecordType.A,
    RecordType.AAAA,
    RecordType.MX,
    RecordType.TXT,
    RecordType.TLSA,
    RecordType.NS,
    RecordType.DS,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    owners=st.lists(OWNERS, min_size=1, max_size=6), zone=st.sampled_from(ZONES), kind=st.sampled_from(TYPES)
)
def test_every_answer_of_a_signed_zone_is_proved(lab, owners, zone, kind):
    async def ask():
        resolver = World(lab.world).resolver
        names = [f"{owner}.{zone}" if owner else zone for owner in owners]
        return await asyncio.gather(*(resolver.resolve(name, kind) for name in names))

    for answer in asyncio.run(ask()):
        assert answer.security is Security.SECURE, answer.reason
        truth = lab.tree.resolve(dns.name.from_text(answer.name), dns.rdatatype.from_text(kind))
        found = any(rrset.rdtype == dns.rdatatype.from_text(kind) for rrset in truth.answer)
        assert (answer.outcome is Outcome.FOUND) == found
        assert (answer.outcome is Outcome.NO_NAME) == (truth.rcode == dns.rcode.NXDOMAIN)


@pytest.fixture(scope="module")
def server():
    """The resolver of a laboratory, without its sockets."""
    lab = Lab(scenarios=["good-dane.test", "good-nsec3.test"])

    async def build():
        async with lab:
            pass

    asyncio.run(build())
    return DnsServer(lab._resolve, recursive=True)


QUERY = dns.message.make_query("x.good-nsec3.test", "TLSA", want_dnssec=True).to_wire()


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    cut=st.integers(0, len(QUERY)),
    changes=st.lists(st.tuples(st.integers(0, len(QUERY) - 1), st.integers(0, 255)), max_size=6),
    tail=st.binary(max_size=40),
    tcp=st.booleans(),
)
def test_no_query_brings_the_dns_server_down(server, cut, changes, tail, tcp):
    octets = bytearray(QUERY)
    for place, value in changes:
        octets[place] = value
    query = bytes(octets[:cut]) + tail
    response = server.respond(query, tcp=tcp)
    if response is not None:
        assert response[:2] == query[:2]
        assert response[2] & 0x80
        assert tcp or len(response) <= 1232


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    octets=st.binary(max_size=200), starts=st.sampled_from([b"", b"EHLO x\r\n", b"EHLO x\r\nSTARTTLS\r\n"])
)
def test_octets_of_any_kind_leave_the_other_servers_up(lab, octets, starts):
    complaints = []

    async def throw(address, port):
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        reader, writer = await asyncio.open_connection(address, port)
        writer.write(starts + octets)
        writer.write_eof()
        async with asyncio.timeout(10):
            while await reader.read(65536):
                pass
        writer.close()

    async def both():
        await throw(lab.addresses("mx1.good-sts.test")[0], lab.smtp_port)
        await throw(lab.policy_host, lab.https_port)

    with contextlib.suppress(ConnectionError):  # a reset is an answer, too
        asyncio.run(both())
    assert complaints == []
    assert not lab.complaints
