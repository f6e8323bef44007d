"""Find out how mail to a next-hop must travel.

    discovery = await discover_delivery(
        next_hop, resolver=resolver, policy_hosts=policy_hosts, clock=clock, cached=cached
    )
    discovery.decision          # what follows
    discovery.decision.policy   # its `keep` belongs into the store

DANE and MTA-STS are looked up side by side, and so are all MX hosts, since a
mail waits meanwhile.  Nothing is judged here: the facts go to
`decisions.delivery.decide` as they are.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Final

import msgspec

from mxseal.decisions.delivery import (
    Decision,
    HostKnowledge,
    Mixed,
    Reason,
    decide,
    nothing_applies,
)
from mxseal.decisions.policy_lifecycle import CachedPolicy, StsKnowledge, know_sts, needs_fetch
from mxseal.journeys.find_tlsa import find_tlsa
from mxseal.journeys.ports import Clock, PolicyHosts, Resolver
from mxseal.standards.mta_sts import NoRecord, record_name
from mxseal.vocabulary.names import HostName, InvalidName, NextHop
from mxseal.vocabulary.observations import Answer, MxData, Outcome, RecordType

MAX_MX_HOSTS: Final = 64
"""Of more, only the most preferred are looked up: a hostile MX RRset must not make thousands of lookups."""
SMTP_PORT: Final = 25

LearnSts = Callable[[HostName, datetime], Awaitable[StsKnowledge]]
"""What is known of a policy domain's MTA-STS at this time."""


class Discovery(msgspec.Struct, frozen=True, kw_only=True):
    """The decision about a next-hop and the facts that it rests on."""

    next_hop: NextHop
    at: datetime
    """When the question was asked (UTC)."""
    decision: Decision
    mx: Answer | None = None
    """None where no MX records are looked up."""
    hosts: tuple[HostKnowledge, ...] = ()
    sts: StsKnowledge | None = None


async def discover_delivery(
    next_hop: NextHop,
    *,
    resolver: Resolver,
    policy_hosts: PolicyHosts,
    clock: Clock,
    cached: CachedPolicy | None = None,
    mixed: Mixed = "sts",
) -> Discovery:
    """Look up what `decide` needs to know and decide.

    `cached` is the MTA-STS policy that the store has for the policy domain:
    the domain itself, or the relay host in brackets (RFC 8461 §3.4).
    """

    async def learn(domain: HostName, now: datetime) -> StsKnowledge:
        return await _learn_sts(domain, resolver, policy_hosts, cached, now)

    return await discover_with(next_hop, resolver=resolver, learn_sts=learn, clock=clock, mixed=mixed)


async def discover_with(
    next_hop: NextHop,
    *,
    resolver: Resolver,
    learn_sts: LearnSts,
    clock: Clock,
    mixed: Mixed = "sts",
) -> Discovery:
    """The same where somebody else knows about MTA-STS: `learn_sts` is asked beside the MX hosts."""
    at = clock.now()
    domain = next_hop.host
    if domain is None or next_hop.is_parent:
        return Discovery(next_hop=next_hop, at=at, decision=nothing_applies(_why_nothing(next_hop), now=at))
    port = next_hop.port or SMTP_PORT
    sts_task = asyncio.ensure_future(learn_sts(domain, at))
    try:
        mx = await resolver.resolve(domain, RecordType.MX) if next_hop.uses_mx else None
        named = _named_hosts(domain, mx)
        hosts = await _learn_hosts(named[:MAX_MX_HOSTS], resolver, port)
        sts = await sts_task
    finally:
        sts_task.cancel()
    decision = decide(
        domain, mx, hosts, sts, now=at, mixed=mixed, unexamined=max(0, len(named) - MAX_MX_HOSTS)
    )
    return Discovery(next_hop=next_hop, at=at, decision=decision, mx=mx, hosts=hosts, sts=sts)


def _why_nothing(next_hop: NextHop) -> Reason:
    if next_hop.is_parent:
        return Reason(
            f"{next_hop} asks for the parent of a domain, and no policy is ever taken from there",
            "RFC 8461 §3.4",
        )
    return Reason(f"{next_hop} is an address: DANE and MTA-STS speak about names only", "RFC 8461 §3.4")


def _named_hosts(domain: HostName, mx: Answer | None) -> Sequence[MxData]:
    """The hosts to try, each once, at its best preference."""
    if mx is None:
        return [MxData(0, domain)]
    if mx.outcome is Outcome.NO_DATA:
        # RFC 5321 §5.1: without MX records the domain is its own MX host, with preference 0.
        return [MxData(0, domain)]
    best: dict[HostName, MxData] = {}
    for record in mx.mx():
        if record.exchange is not None:
            best.setdefault(record.exchange, record)
    return list(best.values())


async def _learn_hosts(named: Sequence[MxData], resolver: Resolver, port: int) -> tuple[HostKnowledge, ...]:
    async def learn(record: MxData, name: HostName) -> HostKnowledge:
        return HostKnowledge(name, record.preference, await find_tlsa(resolver, name, port=port))

    return tuple(
        await asyncio.gather(*(learn(record, record.exchange) for record in named if record.exchange))
    )


async def _learn_sts(
    domain: HostName,
    resolver: Resolver,
    policy_hosts: PolicyHosts,
    cached: CachedPolicy | None,
    now: datetime,
) -> StsKnowledge:
    try:
        name = HostName(record_name(domain))
    except InvalidName:
        # Longer than a name can be (RFC 1035 §2.3.4), so nothing can be there.
        return StsKnowledge(record=NoRecord(0), cached=cached)
    answer = await resolver.resolve(name, RecordType.TXT)
    known = know_sts(answer, None, cached)
    if not needs_fetch(known.record, cached, now):
        return known
    return know_sts(answer, await policy_hosts.fetch(domain), cached)
