"""The journey of `check`: everything is asked, at once, politely, and within limits."""

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
    MemoryWorld,
)
from mxseal.journeys.examine_domain import Examiner, Ports, Settings
from mxseal.vocabulary.names import Address, HostName
from mxseal.vocabulary.observations import (
    AuthoritativeAnswer,
    Handshake,
    KeyKind,
    Outcome,
    PolicyFetched,
    RecordType,
    StarttlsNotOffered,
    TlsaState,
)
from mxseal.vocabulary.saved import from_json, to_json

NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
DOMAIN = HostName("example.com")
RECORDS = {
    "example.com MX": ["10 mx.example.com."],
    "mx.example.com A": ["11.0.0.1"],
    "mx.example.com AAAA": ["2a00:1::1"],
    "_25._tcp.mx.example.com TLSA": ["3 1 1 " + "ab" * 32],
    "_mta-sts.example.com TXT": ["v=STSv1; id=1"],
    "mta-sts.example.com A": ["11.0.0.80"],
    "_smtp._tls.example.com TXT": ["v=TLSRPTv1; rua=mailto:a@example.net,https://r.example.net/x"],
}


class SlowHosts(MemoryMxHosts):
    """Notices sessions that overlap at one address."""

    def __init__(self):
        super().__init__()
        self.open, self.most_at_one, self.most = {}, 0, 0

    async def probe(self, host, address, *, sni=None, key_kind=KeyKind.ANY):
        self.open[address] = self.open.get(address, 0) + 1
        self.most_at_one = max(self.most_at_one, self.open[address])
        self.most = max(self.most, sum(self.open.values()))
        for _ in range(3):
            await asyncio.sleep(0)
        self.open[address] -= 1
        return await super().probe(host, address, sni=sni, key_kind=key_kind)


class NeverAnswers:
    async def resolve(self, name, record_type):
        await asyncio.Event().wait()


def ports(records=RECORDS, **others):
    given = {
        "clock": FixedClock(NOW),
        "resolver": MemoryResolver.from_texts(records, secure=["example.com"]),
        "mx_hosts": MemoryMxHosts(),
        "policy_hosts": MemoryPolicyHosts({DOMAIN: "version: STSv1\n"}),
        "report_endpoints": MemoryReportEndpoints(),
        "authoritative": MemoryAuthoritativeServers(),
    }
    return Ports(**{**given, **others})


def examine(ports, settings=None, *domains):
    async def collect():
        examiner = Examiner(ports, settings or Settings())
        return await asyncio.gather(*map(examiner.examine, domains or (DOMAIN,)))

    evidence = asyncio.run(collect())
    return evidence if domains else evidence[0]


def test_everything_is_looked_at():
    evidence = examine(ports())
    (host,) = evidence.hosts
    assert evidence.at == NOW
    assert host.tlsa.state is TlsaState.FOUND
    assert {session.address for session in host.sessions} == {"11.0.0.1", "2a00:1::1"}
    assert isinstance(evidence.policy_fetch, PolicyFetched)
    assert [answer.record_type for answer in evidence.policy_host] == [RecordType.AAAA, RecordType.A]
    assert [endpoint.uri for endpoint in evidence.report_endpoints] == [
        "mailto:a@example.net",
        "https://r.example.net/x",
    ]
    assert evidence.left_out == ()
    assert evidence.stray_tlsa == ()


def test_destinations_that_senders_pass_over_are_looked_at_too():
    # Their owner waits for reports there; nobody else will tell him.
    rua = "xmpp:a@example.net,mailto:a@example.net?subject=x,mailto:b@example.net"
    records = RECORDS | {"_smtp._tls.example.com TXT": [f"v=TLSRPTv1; rua={rua}"]}
    evidence = examine(ports(records))
    assert {endpoint.uri for endpoint in evidence.report_endpoints} == set(rua.split(","))


def test_a_session_with_tls_is_followed_by_one_for_each_kind_not_yet_seen():
    hosts = MemoryMxHosts()
    hosts.add(HostName("mx.example.com"), Address("11.0.0.1"), Handshake("TLSv1.3", "x", ()))
    hosts.add(HostName("mx.example.com"), Address("2a00:1::1"), StarttlsNotOffered())
    examine(ports(mx_hosts=hosts))
    kinds = {}
    for _, address, kind in hosts.probed:
        kinds.setdefault(address, []).append(kind)
    assert kinds == {
        "11.0.0.1": [KeyKind.ANY, KeyKind.RSA, KeyKind.ECDSA],
        "2a00:1::1": [KeyKind.ANY],
    }


def test_no_policy_is_fetched_without_a_valid_record():
    hosts = MemoryPolicyHosts()
    records = {**RECORDS, "_mta-sts.example.com TXT": ["v=STSv1; id=a-b"]}
    assert examine(ports(records, policy_hosts=hosts)).policy_fetch is None
    assert hosts.fetched == []


def test_sessions_at_one_address_come_one_after_another_and_others_at_once():
    hosts = SlowHosts()
    for address in ("11.0.0.1", "2a00:1::1"):
        hosts.add(HostName("mx.example.com"), Address(address), Handshake("TLSv1.3", "x", ()))
    examine(ports(mx_hosts=hosts))
    assert hosts.most_at_one == 1
    assert hosts.most == 2


def test_the_number_of_sessions_is_bounded():
    hosts = SlowHosts()
    records = {
        "example.com MX": ["10 mx.example.com."],
        "mx.example.com A": [f"11.0.0.{n}" for n in range(1, 9)],
    }
    examine(ports(records, mx_hosts=hosts), Settings(max_sessions=3))
    assert hosts.most == 3
    assert len(hosts.probed) == 8


def test_domains_with_the_same_hosts_ask_them_once():
    hosts = MemoryMxHosts()
    names = [HostName(f"{letter}.test") for letter in "abc"]
    records = {**RECORDS, **{f"{name} MX": ["10 mx.example.com."] for name in names}}
    found = examine(ports(records, mx_hosts=hosts), None, *names)
    assert len(hosts.probed) == 2
    assert len({evidence.hosts for evidence in found}) == 1


@pytest.mark.parametrize("version", [4, 6])
def test_a_limit_on_addresses_leaves_out_no_family(version):
    records = {
        "example.com MX": ["10 mx.example.com."],
        "mx.example.com A": [f"11.0.0.{n}" for n in range(1, 6)],
        "mx.example.com AAAA": [f"2a00::{n}" for n in range(1, 6)],
    }
    evidence = examine(ports(records), Settings(max_addresses=3))
    addresses = [session.address for session in evidence.hosts[0].sessions]
    assert len(addresses) == 3
    assert any(address.version == version for address in addresses)
    assert len(evidence.left_out) == 7


def test_a_limit_on_hosts_keeps_the_preferred_ones():
    records = {"example.com MX": [f"{n} mx{n}.example.com." for n in range(20)]}
    evidence = examine(ports(records), Settings(max_hosts=4))
    assert [host.preference for host in evidence.hosts] == [0, 1, 2, 3]
    assert len(evidence.left_out) == 16


def test_private_addresses_are_not_connected_to_unless_that_is_wanted():
    hosts = MemoryMxHosts()
    records = {"example.com MX": ["10 mx.example.com."], "mx.example.com A": ["127.0.0.1"]}
    assert examine(ports(records, mx_hosts=hosts)).hosts[0].sessions == ()
    assert hosts.probed == []
    assert examine(ports(records, mx_hosts=hosts), Settings(private_allowed=True)).private_allowed
    assert len(hosts.probed) == 1


def test_silence_ends_with_the_time_for_the_domain():
    evidence = examine(ports(resolver=NeverAnswers()), Settings(seconds=0.01))
    assert evidence.mx.failed
    assert evidence.sts_record.failed
    assert evidence.tlsrpt_record.failed
    assert len(evidence.left_out) == 3


def test_the_host_of_an_implicit_mx_is_the_domain():
    evidence = examine(ports({"example.com A": ["11.0.0.1"]}))
    assert [(host.name, host.preference) for host in evidence.hosts] == [(DOMAIN, 0)]


@pytest.mark.parametrize("mx", [["0 ."], []])
def test_who_takes_no_mail_has_no_hosts(mx):
    records = {"example.com MX": mx} if mx else {}
    assert examine(ports(records)).hosts == ()


def test_misplaced_tlsa_records_are_asked_for_where_the_right_ones_are_missing():
    records = {key: value for key, value in RECORDS.items() if not key.startswith("_25.")}
    records["_25._tcp.example.com TLSA"] = ["3 1 1 " + "ab" * 32]
    evidence = examine(ports(records))
    assert [answer.name for answer in evidence.stray_tlsa if answer.found] == ["_25._tcp.example.com"]


def test_a_very_long_domain_has_no_records_below_it():
    domain = HostName(".".join(["a" * 60] * 4))
    records = {f"{domain} MX": ["10 mx.example.com."], **RECORDS}
    (evidence,) = examine(ports(records), None, domain)
    assert evidence.sts_record.outcome is Outcome.NO_NAME


def test_all_servers_are_asked_by_each_address():
    records = {
        **RECORDS,
        "example.com NS": ["ns1.example.com", "ns2.example.com"],
        "ns1.example.com A": ["11.0.0.53"],
        "ns1.example.com AAAA": ["2a00::53"],
        "ns2.example.com A": ["11.0.0.54", "10.0.0.1"],
    }
    mx = AuthoritativeAnswer(
        "example.com",
        HostName("ns2.example.com"),
        Address("11.0.0.54"),
        "example.com",
        RecordType.MX,
        Outcome.FOUND,
        ("10 mx.example.com.",),
        7,
    )
    evidence = examine(
        ports(records, authoritative=MemoryAuthoritativeServers([mx])), Settings(all_servers=True)
    )
    asked = {(a.server, a.address, a.record_type) for a in evidence.authoritative}
    addresses = {("ns1.example.com", "2a00::53"), ("ns1.example.com", "11.0.0.53")}
    addresses |= {("ns2.example.com", "11.0.0.54"), ("ns2.example.com", "10.0.0.1")}
    assert asked == {(*pair, kind) for pair in addresses for kind in (RecordType.MX, RecordType.TLSA)}
    assert mx in evidence.authoritative
    private = [answer for answer in evidence.authoritative if answer.address == "10.0.0.1"]
    assert all(answer.detail.startswith("not asked") for answer in private)


def test_saved_evidence_makes_a_world_that_gives_the_same_evidence():
    hosts = MemoryMxHosts()
    hosts.add(HostName("mx.example.com"), Address("11.0.0.1"), Handshake("TLSv1.3", "x", (b"certificate",)))
    first = examine(ports(mx_hosts=hosts))
    saved = from_json(type(first), to_json(first), source="memory")
    assert saved == first
    world = MemoryWorld.from_evidence(saved)
    again = examine(
        Ports(
            clock=world.clock,
            resolver=world.resolver,
            mx_hosts=world.mx_hosts,
            policy_hosts=world.policy_hosts,
            report_endpoints=world.report_endpoints,
            authoritative=world.authoritative,
        )
    )
    assert again == first


def test_many_hosts_at_one_address_are_visited_a_few_at_a_time():
    domains = [HostName(f"d{number}.example") for number in range(20)]
    records = {}
    for domain in domains:
        records[f"{domain} MX"] = [f"10 mail.{domain}."]
        records[f"mail.{domain} A"] = ["11.0.0.1"]
    hosts = SlowHosts()
    found = examine(ports(records, mx_hosts=hosts), None, *domains)
    assert all(len(evidence.hosts[0].sessions) == 1 for evidence in found)
    assert len(hosts.probed) == 20
    assert hosts.most_at_one == 4
