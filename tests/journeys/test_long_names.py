"""Domains so long that no name fits before them (RFC 1035 §2.3.4): nothing is there, and nothing fails."""

import asyncio
from datetime import UTC, datetime

import pytest

from mxseal.adapters.memory import MemoryPolicyHosts, MemoryResolver, MemoryWorld
from mxseal.cli.explanation import lines
from mxseal.cli.render import lines as check_lines
from mxseal.decisions.checkup import judge
from mxseal.decisions.delivery import Kind
from mxseal.journeys.discover_delivery import discover_delivery
from mxseal.journeys.examine_domain import Examiner, Ports, Settings
from mxseal.standards.certificate import Roots
from mxseal.vocabulary.names import HostName, NextHop
from mxseal.vocabulary.observations import TlsaState

NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)


def domain_of(length):
    labels = ".".join(["a" * 62] * 4)[: length - 5]
    return HostName(f"{labels}.test")


def world_of(domain):
    """The domain itself takes its mail, in a signed zone, and asks for all protection that has a name."""
    records = {
        f"{domain} A": ["11.0.0.1"],
        f"_25._tcp.{domain} TLSA": ["3 1 1 " + "ab" * 32],
        f"_mta-sts.{domain} TXT": ["v=STSv1; id=1"],
        f"_smtp._tls.{domain} TXT": ["v=TLSRPTv1; rua=mailto:a@example.net"],
    }
    possible = {key: value for key, value in records.items() if len(key.partition(" ")[0]) <= 253}
    resolver = MemoryResolver.from_texts(possible, secure=[domain])
    return MemoryWorld(
        at=NOW, resolver=resolver, policy_hosts=MemoryPolicyHosts({domain: "version: STSv1\n"})
    )


@pytest.mark.parametrize("length", [242, 243, 244, 245, 246, 250, 253])
def test_a_check(length):
    domain = domain_of(length)
    assert len(domain) == length
    world = world_of(domain)
    ports = Ports(
        clock=world.clock,
        resolver=world.resolver,
        mx_hosts=world.mx_hosts,
        policy_hosts=world.policy_hosts,
        report_endpoints=world.report_endpoints,
        authoritative=world.authoritative,
    )
    evidence = asyncio.run(Examiner(ports, Settings(all_servers=True)).examine(domain))
    assert all(len(name) <= 253 for name, _ in world.resolver.asked)
    # Each of these has its own length: "_25._tcp." and "_mta-sts." have 9 characters, "_smtp._tls." has 11.
    assert (evidence.hosts[0].tlsa.state is TlsaState.FOUND) == (length <= 244)
    assert (evidence.policy_fetch is not None) == (length <= 244)
    assert evidence.tlsrpt_record.found == (length <= 242)
    assert not evidence.left_out
    judgement = judge(evidence, NOW, roots=Roots(()))
    assert judgement.findings
    assert any(domain[:60] in line.plain for line in check_lines(judgement, 100))


@pytest.mark.parametrize(
    ("length", "kind"), [(244, Kind.DANE_ONLY), (245, Kind.NOT_FOUND), (253, Kind.NOT_FOUND)]
)
def test_a_delivery(length, kind):
    domain = domain_of(length)
    world = world_of(domain)
    discovery = asyncio.run(
        discover_delivery(
            NextHop(host=domain), resolver=world.resolver, policy_hosts=world.policy_hosts, clock=world.clock
        )
    )
    assert all(len(name) <= 253 for name, _ in world.resolver.asked)
    assert discovery.decision.answer.kind is kind
    assert any(domain[:60] in line for line in lines(discovery))
