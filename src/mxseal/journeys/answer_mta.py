"""An MTA asks how mail to a next-hop must travel::

    service = PolicyService(resolver=…, policy_hosts=…, store=…, clock=…)
    served = await service.answer(next_hop)
    served.decision.answer             # for `decisions.postfix_answer` and its likes
    served.until                       # how long it may be given again

Four laws hold whatever hangs, fails or lies around it (docs/architecture.md, rule 1):

* an answer comes within `Limits.answer` seconds;
* it is never weaker than the last valid policy that is still within its max_age,
  nor than what secure DNSSEC data demands;
* where nothing was ever promised, mail flows: a dead policy host or a missing
  record of a domain without a policy makes no answer TEMP;
* what is gathered is gathered once, however many ask at the same time.

DNSSEC state lives by its TTLs: an answer holds as long as all that it rests on,
so DANE that appears or vanishes takes over with the next gathering.  A new policy
ends the answers that were given without it at once, see `changed`.
"""

import asyncio
import logging
import random
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta
from typing import Final

import msgspec

from mxseal.decisions.delivery import Course, Decision, Kind, Mixed, OneAnswer, Reason, StsKnowledge
from mxseal.decisions.policy_lifecycle import PolicySource
from mxseal.decisions.schedule import PolicyState
from mxseal.journeys.discover_delivery import Discovery, discover_with
from mxseal.journeys.follow_policies import DEFAULT_LIMITS, BoundedResolver, Limits, PolicyKeeper
from mxseal.journeys.ports import Clock, PolicyHosts, PolicyStore, Resolver, SteadyClock
from mxseal.vocabulary.faults import StorageFault
from mxseal.vocabulary.names import HostName, NextHop
from mxseal.vocabulary.observations import PolicyFetch

_LOG: Final = logging.getLogger(__name__)
_TRY_AGAIN: Final = timedelta(seconds=30)
"""How long an answer holds that trouble of our own made."""
_ROUNDS: Final = 3
"""How often facts are gathered because the policy became another one meanwhile."""


class Served(msgspec.Struct, frozen=True, kw_only=True):
    """An answer, and how long it may be given again."""

    next_hop: NextHop
    at: datetime
    """When the question was asked to which this is the answer (UTC)."""
    decision: Decision
    until: float
    """Until when it may be given again, by the event loop's clock (`loop.time()`), which nobody sets."""

    @property
    def valid_until(self) -> datetime:
        """The same, for people (UTC)."""
        return self.decision.valid_until


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """Why mail travels as it does: what is answered, all facts of a gathering just made, and what is kept."""

    served: Served
    discovery: Discovery
    state: PolicyState | None
    trouble: str
    """What is wrong with the store; empty if nothing is."""


class PolicyService:
    """Answers MTAs, from memory where it can; see the top of this file."""

    def __init__(
        self,
        *,
        resolver: Resolver,
        policy_hosts: PolicyHosts,
        store: PolicyStore,
        clock: Clock,
        steady: SteadyClock | None = None,
        limits: Limits = DEFAULT_LIMITS,
        mixed: Mixed = "sts",
        jitter: Callable[[], float] = random.random,
        changed: Callable[[HostName], None] | None = None,
    ) -> None:
        """Make one for a store; no second one may write to it.

        Policies and answers expire by `steady` (`adapters.clock.SteadyClock`); without it by `clock`.
        `jitter` gives numbers from 0 up to 1.  `changed` is called when all answers for a policy
        domain have to be forgotten.  For `mixed` see `decisions.delivery.Mixed`.
        """
        self.keeper: Final = PolicyKeeper(
            resolver=resolver,
            policy_hosts=policy_hosts,
            store=store,
            clock=clock,
            steady=steady,
            limits=limits,
            jitter=jitter,
            changed=self._forget,
        )
        self._resolver = resolver
        self._store = store
        self._clock = steady or clock
        self._limits = limits
        self._mixed = mixed
        self._changed = changed
        self._kept: OrderedDict[HostName, dict[NextHop, Served]] = OrderedDict()
        self._gathering: dict[NextHop, asyncio.Task[Served]] = {}
        self._turns = asyncio.Semaphore(limits.gatherings)
        self._changes = 0

    async def answer(self, next_hop: NextHop) -> Served:
        """What holds for `next_hop` now, within `Limits.answer` seconds.

        When this returns, the answer is current: whoever keeps it without an
        `await` in between, and drops it when `changed` is called, gives no old one.
        """
        until = asyncio.get_running_loop().time() + self._limits.answer
        for _ in range(_ROUNDS):
            served = self.kept(next_hop)
            if served is not None:
                return served
            task = self._gathering.get(next_hop) or self._gather_once(next_hop)
            left = max(0.0, until - asyncio.get_running_loop().time())
            done, _ = await asyncio.wait({task}, timeout=left)
            if not done:
                return self._wait(next_hop, f"no answer about {next_hop} within {self._limits.answer:g} s")
            served = task.result()
            if self.kept(next_hop) is served or not await self._is_outdated(served):
                return served
        return self._wait(next_hop, f"the policy of {next_hop} changes too fast")

    def kept(self, next_hop: NextHop) -> Served | None:
        """The answer in memory, if it still holds."""
        if next_hop.host is None:
            return None
        served = self._kept.get(next_hop.host, {}).get(next_hop)
        if served is None or asyncio.get_running_loop().time() >= served.until:
            return None
        if self._clock.now() >= served.valid_until:
            # The machine slept: no time passed by the event loop's clock.
            return None
        self._kept.move_to_end(next_hop.host)
        return served

    def seconds_left(self, served: Served) -> float:
        """How long an answer may be given again, as time passes and not as clocks get set."""
        return max(0.0, served.until - asyncio.get_running_loop().time())

    async def explain(self, next_hop: NextHop) -> Explanation:
        """The answer with all facts behind it, gathered anew."""
        served = await self.answer(next_hop)
        discovery, _ = await self._discover(next_hop)
        state = None
        if next_hop.host is not None:
            try:
                state = await self.keeper.known(next_hop.host)
            except StorageFault as fault:
                return Explanation(served=served, discovery=discovery, state=None, trouble=str(fault))
        return Explanation(served=served, discovery=discovery, state=state, trouble=self._store.trouble)

    async def refresh(self, domain: HostName) -> PolicyFetch | None:
        """Forget the answers for a domain and fetch its policy now; None: it announces none."""
        fetch = await self.keeper.refresh(domain)
        self._forget(domain)
        return fetch

    async def purge(self, domain: HostName) -> bool:
        """Forget all about a domain, its policy too; whether one was kept.  Raises `StorageFault`."""
        return await self.keeper.purge(domain)

    def dump(self) -> AsyncIterator[PolicyState]:
        """All that is kept about MTA-STS, by domain."""
        return self.keeper.states()

    @property
    def answers(self) -> int:
        """How many answers are in memory."""
        return sum(map(len, self._kept.values()))

    async def close(self) -> None:
        """Give up what runs; the store is not closed."""
        tasks = list(self._gathering.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.keeper.close()

    # --- gathering -----------------------------------------------------------------------------------

    def _gather_once(self, next_hop: NextHop) -> asyncio.Task[Served]:
        task = asyncio.create_task(self._gather(next_hop), name=f"gathering for {next_hop}")
        self._gathering[next_hop] = task

        def over(done: asyncio.Task[Served]) -> None:
            del self._gathering[next_hop]
            if not done.cancelled() and done.exception() is not None:
                _LOG.error("%s failed", done.get_name(), exc_info=done.exception())

        task.add_done_callback(over)
        return task

    async def _gather(self, next_hop: NextHop) -> Served:
        discovery, state = await self._discover(next_hop)
        served = self._served(next_hop, discovery.at, discovery.decision)
        if isinstance(state, StorageFault):
            served = self._without_store(served, state)
        elif state is not None:
            self.keeper.used(state)
        changes = self._changes
        if not await self._is_outdated(served) and changes == self._changes:
            self._keep(served)
        return served

    async def _discover(self, next_hop: NextHop) -> tuple[Discovery, PolicyState | StorageFault | None]:
        """The facts, and what the store knew when they were gathered."""
        # A little less than for the whole, since judging and keeping take time as well.
        until = asyncio.get_running_loop().time() + 0.9 * self._limits.answer
        state: PolicyState | StorageFault | None = None

        async def learn(domain: HostName, now: datetime) -> StsKnowledge:
            nonlocal state
            try:
                state = await self.keeper.known(domain)
            except StorageFault as fault:
                state = fault
            kept = None if isinstance(state, StorageFault) else state
            return await self.keeper.learn(domain, kept, now, until=until)

        async with self._turns:
            discovery = await discover_with(
                next_hop,
                resolver=BoundedResolver(self._resolver, seconds=self._limits.lookup, until=until),
                learn_sts=learn,
                clock=self._clock,
                mixed=self._mixed,
            )
        return discovery, state

    async def _is_outdated(self, served: Served) -> bool:
        """Whether the store holds another policy by now than the one that the decision rests on.

        So it is where a fetch has ended that the gathering did not wait for.
        """
        domain, policy = served.next_hop.host, served.decision.policy
        if domain is None or policy is None or policy.source is PolicySource.FETCHED:
            return False
        try:
            state = await self.keeper.known(domain)
        except StorageFault:
            return False
        if state is None or state.cached is None or self._clock.now() >= state.cached.expires:
            return False
        return state.cached.policy != policy.policy

    def _without_store(self, served: Served, fault: StorageFault) -> Served:
        """Nobody knows whether there is a policy: DANE alone, or a policy just fetched, can be relied on."""
        decision = served.decision
        fetched = decision.policy is not None and decision.policy.source is PolicySource.FETCHED
        if fetched or decision.answer.kind in (Kind.DANE_ONLY, Kind.TEMP):
            return served
        return self._wait(served.next_hop, f"policy store: {fault}")

    def _wait(self, next_hop: NextHop, detail: str) -> Served:
        """TEMP: not knowing makes mail wait."""
        now = self._clock.now()
        _LOG.warning("next-hop=%s waits: %s", next_hop, detail)
        decision = Decision(
            domain=next_hop.host,
            course=Course.DEFER,
            answer=OneAnswer(Kind.TEMP, detail=detail),
            hosts=(),
            policy=None,
            reasons=(Reason(f"{detail}, so mail waits"),),
            valid_until=now + _TRY_AGAIN,
        )
        return self._served(next_hop, now, decision)

    def _served(self, next_hop: NextHop, at: datetime, decision: Decision) -> Served:
        # Gathering took time, and meanwhile the clock may have been set back.
        left = decision.valid_until - max(at, self._clock.now())
        until = asyncio.get_running_loop().time() + max(0.0, left.total_seconds())
        return Served(next_hop=next_hop, at=at, decision=decision, until=until)

    # --- keeping -------------------------------------------------------------------------------------

    def _keep(self, served: Served) -> None:
        domain = served.next_hop.host
        if domain is None or not _is_kept(served):
            return
        self._kept.setdefault(domain, {})[served.next_hop] = served
        self._kept.move_to_end(domain)
        while len(self._kept) > self._limits.answers:
            self._kept.popitem(last=False)

    def _forget(self, domain: HostName) -> None:
        self._kept.pop(domain, None)
        self._changes += 1
        if self._changed is not None:
            self._changed(domain)


def _is_kept(served: Served) -> bool:
    """Whether it is about a domain: what holds for all addresses and parents needs no memory."""
    return served.next_hop.host is not None and not served.next_hop.is_parent
