"""Gathering what a delivery decision needs, through ports that live in memory."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from mxseal.adapters.memory import FixedClock, MemoryPolicyHosts, MemoryResolver
from mxseal.decisions.delivery import CachedPolicy, Course, Kind, Level
from mxseal.journeys.discover_delivery import MAX_MX_HOSTS, discover_delivery
from mxseal.standards.mta_sts import parse_policy
from mxseal.vocabulary.names import HostName, parse_next_hop
from mxseal.vocabulary.observations import Outcome, PolicyFetchFailed, RecordType

NOW = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)
TLSA = "3 1 1 " + "ab" * 32
POLICY = "version: STSv1\nmode: enforce\nmx: *.sts.example\nmax_age: 604800\n"


def world(records, **statuses):
    return MemoryResolver.from_texts(records, **statuses)


def discover(next_hop, resolver, policies=None, cached=None, mixed="sts"):
    hosts = MemoryPolicyHosts({HostName(name): text for name, text in (policies or {}).items()})
    discovery = asyncio.run(
        discover_delivery(
            parse_next_hop(next_hop),
            resolver=resolver,
            policy_hosts=hosts,
            clock=FixedClock(NOW),
            cached=cached,
            mixed=mixed,
        )
    )
    return discovery, hosts.fetched


STS = {
    "sts.example MX": ["10 mx.sts.example."],
    "mx.sts.example A": ["192.0.2.1"],
    "_mta-sts.sts.example TXT": ['"v=STSv1; id=7;"'],
}
DANE = {
    "dane.example MX": ["20 mx2.dane.example.", "10 mx1.dane.example."],
    "mx1.dane.example A": ["192.0.2.1"],
    "mx2.dane.example AAAA": ["2001:db8::2"],
    "_25._tcp.mx1.dane.example TLSA": [TLSA],
    "_25._tcp.mx2.dane.example TLSA": [TLSA],
}


def test_dane():
    discovery, fetched = discover("dane.example", world(DANE, secure=["dane.example"]))
    assert discovery.decision.answer.kind is Kind.DANE_ONLY
    assert [host.host for host in discovery.decision.hosts] == ["mx1.dane.example", "mx2.dane.example"]
    assert discovery.at == NOW
    assert fetched == []


def test_mta_sts_first_contact_and_what_to_keep():
    discovery, fetched = discover("sts.example", world(STS), {"sts.example": POLICY})
    assert fetched == ["sts.example"]
    assert discovery.decision.answer.kind is Kind.SECURE
    assert discovery.decision.answer.patterns == ("*.sts.example",)
    keep = discovery.decision.policy.keep
    assert (keep.policy_id, keep.fetched_at) == ("7", NOW)


def cached(policy_id="7", age=timedelta(days=1)):
    return CachedPolicy(policy_id, parse_policy(POLICY), NOW - age)


def test_a_policy_whose_id_is_known_is_not_fetched_again():
    _, fetched = discover("sts.example", world(STS), cached=cached())
    assert fetched == []


def test_a_new_id_is_fetched_and_a_failure_keeps_the_old_policy():
    discovery, fetched = discover("sts.example", world(STS), cached=cached("6"))
    assert fetched == ["sts.example"]
    assert isinstance(discovery.sts.fetched, PolicyFetchFailed)
    assert discovery.decision.answer.kind is Kind.SECURE


def test_a_policy_survives_the_record():
    records = {key: value for key, value in STS.items() if "TXT" not in key}
    for failing in ([], ["_mta-sts.sts.example TXT"]):
        discovery, fetched = discover("sts.example", world(records, failing=failing), cached=cached())
        assert fetched == []
        assert discovery.decision.answer.kind is Kind.SECURE


@pytest.mark.parametrize("trouble", ["failing", "bogus"])
def test_without_mx_records_to_rely_on_nothing_is_guessed(trouble):
    status = {"failing": ["sts.example MX"]} if trouble == "failing" else {"bogus": ["sts.example"]}
    resolver = world(STS | {"sts.example A": ["192.0.2.9"]}, **status)
    discovery, _ = discover("sts.example", resolver, cached=cached())
    assert discovery.decision.answer.kind is Kind.TEMP
    assert discovery.decision.course is Course.DEFER
    # RFC 7672 §2.1.1, RFC 5321 §5.1: the domain's own address is not tried instead.
    assert ("sts.example", RecordType.A) not in resolver.asked
    assert discovery.hosts == ()


def test_implicit_mx():
    records = {"own.example A": ["192.0.2.1"], "_25._tcp.own.example TLSA": [TLSA]}
    discovery, _ = discover("own.example", world(records, secure=["own.example"]))
    assert [(host.name, host.preference) for host in discovery.hosts] == [("own.example", 0)]
    assert discovery.decision.answer.kind is Kind.DANE_ONLY
    assert discovery.decision.hosts[0].names == ("own.example",)


def test_null_mx_and_no_such_domain():
    resolver = world({"null.example MX": ["0 ."], "null.example A": ["192.0.2.1"]})
    for name in ("null.example", "nowhere.example"):
        discovery, _ = discover(name, resolver)
        assert discovery.decision.course is Course.BOUNCE
        assert discovery.hosts == ()
    assert not any(kind is RecordType.A for _, kind in resolver.asked)


def test_a_domain_that_is_an_alias():
    records = DANE | {"www.example CNAME": ["dane.example."]}
    discovery, _ = discover("www.example", world(records, secure=["dane.example", "www.example"]))
    assert discovery.decision.answer.kind is Kind.DANE_ONLY
    assert discovery.decision.hosts[0].names == ("mx1.dane.example", "www.example", "dane.example")
    # RFC 8461 §3.4: the policy domain is the next-hop's own name, not that of its alias.
    discovery, _ = discover("www.example", world(records))
    assert discovery.decision.answer.kind is Kind.NOT_FOUND


class Rendezvous:
    """A resolver that answers a question only once all of its group were asked; the others at once."""

    def __init__(self, resolver, groups):
        self.resolver = resolver
        self.groups = [(set(group), asyncio.Event()) for group in groups]

    async def resolve(self, name, record_type):
        for missing, complete in self.groups:
            if (name, record_type) in missing:
                missing.remove((name, record_type))
                if not missing:
                    complete.set()
                await complete.wait()
        return await self.resolver.resolve(name, record_type)


def test_mail_does_not_wait_for_one_question_before_the_next_that_does_not_depend_on_it():
    hosts, families = ("mx1.dane.example", "mx2.dane.example"), (RecordType.A, RecordType.AAAA)
    groups = [
        [("dane.example", RecordType.MX), ("_mta-sts.dane.example", RecordType.TXT)],
        [(host, family) for host in hosts for family in families],
        [(f"_25._tcp.{host}", RecordType.TLSA) for host in hosts],
    ]
    resolver = world(DANE, secure=["dane.example"])

    async def within_time():
        async with asyncio.timeout(10):
            return await discover_delivery(
                parse_next_hop("dane.example"),
                resolver=Rendezvous(resolver, groups),
                policy_hosts=MemoryPolicyHosts({}),
                clock=FixedClock(NOW),
            )

    assert asyncio.run(within_time()).decision.answer.kind is Kind.DANE_ONLY
    # And nothing more than once, nor in vain.
    assert sorted(resolver.asked) == sorted(question for group in groups for question in group)


def test_a_host_in_brackets():
    records = {
        "relay.example A": ["192.0.2.1"],
        "relay.example MX": ["10 other.example."],
        "_587._tcp.relay.example TLSA": [TLSA],
    }
    resolver = world(records, secure=["relay.example"])
    discovery, _ = discover("[relay.example]:587", resolver)
    assert discovery.mx is None
    assert ("relay.example", RecordType.MX) not in resolver.asked
    assert discovery.decision.answer.kind is Kind.DANE_ONLY
    # Without the port, the TLSA records of port 587 say nothing.
    assert discover("[relay.example]", resolver)[0].decision.answer.kind is Kind.NOT_FOUND


def test_a_relay_host_is_its_own_policy_domain():
    records = {"mx.sts.example A": ["192.0.2.1"], "_mta-sts.mx.sts.example TXT": ['"v=STSv1; id=7;"']}
    discovery, fetched = discover("[mx.sts.example]", world(records), {"mx.sts.example": POLICY})
    assert fetched == ["mx.sts.example"]
    assert discovery.decision.hosts[0].level is Level.PKIX


def test_a_port_beside_a_domain_still_means_its_mx_hosts():
    records = DANE | {"_587._tcp.mx1.dane.example TLSA": [TLSA]}
    discovery, _ = discover("dane.example:587", world(records, secure=["dane.example"]))
    assert [host.level for host in discovery.decision.hosts] == [Level.DANE, Level.OPPORTUNISTIC]


@pytest.mark.parametrize("next_hop", ["[192.0.2.1]", "[IPv6:2001:db8::1]:587", ".example.com"])
def test_nothing_is_asked_where_nothing_can_be_said(next_hop):
    resolver = world({})
    discovery, fetched = discover(next_hop, resolver)
    assert resolver.asked == fetched == []
    assert discovery.decision.answer.kind is Kind.NOT_FOUND
    assert discovery.decision.reasons[0].section == "RFC 8461 §3.4"


def test_a_hostile_mx_rrset_does_not_make_thousands_of_lookups():
    many = {"many.example MX": [f"{n} mx{n}.many.example." for n in range(1000)]}
    many |= {f"mx{n}.many.example A": ["192.0.2.1"] for n in range(1000)}
    resolver = world(many)
    discovery, _ = discover("many.example", resolver)
    assert [host.name for host in discovery.hosts] == [f"mx{n}.many.example" for n in range(MAX_MX_HOSTS)]
    assert len(resolver.asked) < 5 * MAX_MX_HOSTS
    assert any("936 are not" in reason.text for reason in discovery.decision.reasons)


def test_a_host_that_is_named_twice_is_asked_once_at_its_best_preference():
    twice = {
        "twice.example MX": ["20 mx.twice.example.", "10 mx.twice.example.", "0 ."],
        "mx.twice.example A": ["192.0.2.1"],
    }
    discovery, _ = discover("twice.example", world(twice))
    assert [(host.name, host.preference) for host in discovery.hosts] == [("mx.twice.example", 10)]


def test_a_name_too_long_for_a_record_has_none():
    domain = ".".join(["a" * 60] * 4 + ["aaaa"])
    resolver = world({f"{domain} MX": ["10 mx.sts.example."], "mx.sts.example A": ["192.0.2.1"]})
    discovery, _ = discover(domain, resolver)
    assert discovery.decision.answer.kind is Kind.NOT_FOUND
    assert not any(kind is RecordType.TXT for _, kind in resolver.asked)


def test_what_was_never_asked_is_unknown():
    resolver = MemoryResolver({}, unknown=Outcome.FAILED)
    discovery, _ = discover("example.com", resolver)
    assert discovery.decision.answer.kind is Kind.TEMP
