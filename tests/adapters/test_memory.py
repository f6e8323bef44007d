"""The world in memory answers as the ports promise."""

import asyncio
from datetime import UTC, datetime

import pytest

from mxseal.adapters.memory import (
    FixedClock,
    MemoryAuthoritativeServers,
    MemoryMxHosts,
    MemoryPolicyHosts,
    MemoryReportEndpoints,
    MemoryResolver,
)
from mxseal.adapters.memory.dns import parse_record_data
from mxseal.vocabulary.names import Address, HostName
from mxseal.vocabulary.observations import (
    AddressData,
    Answer,
    FetchStage,
    MxData,
    OtherData,
    Outcome,
    PolicyFetched,
    PolicyFetchFailed,
    RecordType,
    Security,
    TextData,
    TlsaData,
    Unreachable,
)

RESOLVER = MemoryResolver.from_texts(
    {
        "example.com MX": ["20 mx2.example.com.", "10 mx1.example.com."],
        "alias.example.com CNAME": ["far.example.net."],
        "far.example.net CNAME": ["host.example.org."],
        "host.example.org A": ["192.0.2.1"],
        "loop.example.com CNAME": ["loop.example.com."],
        "bad.example.com A": ["192.0.2.2"],
    },
    secure=["example.com", "example.net"],
    bogus=["bad.example.com"],
    failing=["example.com TXT"],
)


def ask(name, kind):
    return asyncio.run(RESOLVER.resolve(name, RecordType(kind)))


@pytest.mark.parametrize(
    ("name", "kind", "outcome", "security"),
    [
        ("example.com", "MX", Outcome.FOUND, Security.SECURE),
        ("example.com", "A", Outcome.NO_DATA, Security.SECURE),
        ("nothing.example.com", "A", Outcome.NO_NAME, Security.SECURE),
        ("example.org", "A", Outcome.NO_DATA, Security.INSECURE),  # a name is below it
        ("elsewhere.test", "A", Outcome.NO_NAME, Security.INSECURE),
        ("alias.example.com", "A", Outcome.FOUND, Security.INSECURE),  # the weakest step counts
        ("alias.example.com", "CNAME", Outcome.FOUND, Security.SECURE),
        ("bad.example.com", "A", Outcome.FAILED, Security.BOGUS),
        ("example.com", "TXT", Outcome.FAILED, Security.INDETERMINATE),
        ("loop.example.com", "A", Outcome.NO_DATA, Security.SECURE),
    ],
)
def test_a_resolver_made_from_texts(name, kind, outcome, security):
    answer = ask(name, kind)
    assert (answer.outcome, answer.security) == (outcome, security)
    assert bool(answer.records) == answer.found


def test_aliases_have_their_own_security():
    answer = ask("alias.example.com", "A")
    assert answer.final_name == "host.example.org"
    assert [(alias.owner, alias.security) for alias in answer.aliases] == [
        ("alias.example.com", Security.SECURE),
        ("far.example.net", Security.SECURE),
    ]


@pytest.mark.parametrize(
    ("kind", "text", "data"),
    [
        ("MX", "10 mx.example.com.", MxData(10, HostName("mx.example.com"))),
        ("MX", "0 .", MxData(0, None)),
        ("MX", "10 192.0.2.1.", OtherData("10 192.0.2.1.")),
        ("MX", "nonsense", OtherData("nonsense")),
        ("AAAA", "2001:DB8:0::1", AddressData(Address("2001:db8::1"))),
        ("TXT", "v=STSv1; id=1", TextData((b"v=STSv1; id=1",))),
        ("TXT", '"v=STSv1;" " id=1"', TextData((b"v=STSv1;", b" id=1"))),
        ("TLSA", "3 1 1 ABCD ef", TlsaData(3, 1, 1, b"\xab\xcd\xef")),
        ("NS", "ns1.example.com", OtherData("ns1.example.com")),
    ],
)
def test_record_data(kind, text, data):
    assert parse_record_data(RecordType(kind), text) == data


def test_what_was_not_saved_is_not_answered():
    known = Answer("example.com", RecordType.MX, Outcome.NO_DATA, Security.SECURE)
    resolver = MemoryResolver.from_answers([known])
    assert asyncio.run(resolver.resolve("example.com", RecordType.MX)) is known
    other = asyncio.run(resolver.resolve("example.com", RecordType.A))
    assert (other.outcome, other.security) == (Outcome.FAILED, Security.INDETERMINATE)
    assert resolver.asked == [("example.com", RecordType.MX), ("example.com", RecordType.A)]


def test_hosts_that_nobody_told_of_are_not_there():
    async def ask():
        name, address = HostName("mx.example.com"), Address("192.0.2.1")
        return (
            await MemoryPolicyHosts().fetch(name),
            await MemoryMxHosts(port=2525).probe(name, address),
            await MemoryReportEndpoints().reach("mailto:a@example.com"),
            await MemoryAuthoritativeServers().ask(
                "example.com", name, address, "example.com", RecordType.MX
            ),
        )

    policy, session, endpoint, answer = asyncio.run(ask())
    assert isinstance(policy, PolicyFetchFailed)
    assert policy.stage is FetchStage.DNS
    assert isinstance(session.outcome, Unreachable)
    assert session.port == 2525
    assert endpoint.reachable is None
    assert answer.outcome is Outcome.FAILED


def test_a_text_stands_for_a_policy_that_is_served_well():
    name = HostName("example.com")
    fetched = asyncio.run(MemoryPolicyHosts({name: "version: STSv1\n"}).fetch(name))
    assert isinstance(fetched, PolicyFetched)
    assert fetched.url == "https://mta-sts.example.com/.well-known/mta-sts.txt"
    assert fetched.body == b"version: STSv1\n"


def test_a_clock_that_stands_still():
    moment = datetime(2026, 11, 23, tzinfo=UTC)
    assert FixedClock(moment).now() == moment
