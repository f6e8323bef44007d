"""MTA-STS over time: what is known of a domain's policy, learnt once and kept.

    keeper = PolicyKeeper(resolver=…, policy_hosts=…, store=…, clock=…)
    knowledge = await keeper.learn(domain)      # in a question's path: within seconds, whatever hangs
    await keeper.look(domain)                   # in the background: record, refreshing, trying again

A policy that was once fetched is an asset (docs/architecture.md, rule 3): only a
newer valid one takes its place.  One fetch runs for a domain however many ask,
and goes on after those who asked have got their answer.

A policy host that hangs, where no policy is known yet, does not hold mail up:
RFC 8461 §5.1 lets the first fetch be made "perhaps asynchronously, so as not to
block message delivery", and §3.3 says to go on "as though the domain has not
implemented MTA-STS" where none can be had.  As soon as the policy has come it
holds, and `changed` says so.
"""

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from mxseal.decisions import schedule
from mxseal.decisions.policy_lifecycle import StsKnowledge, know_sts, needs_fetch
from mxseal.decisions.schedule import PolicyState
from mxseal.journeys.ports import Clock, PolicyChange, PolicyHosts, PolicyStore, Resolver, SteadyClock
from mxseal.standards.mta_sts import Mode, Policy, Record, parse_policy, policy_url, record_name
from mxseal.vocabulary.faults import Fault, StorageFault
from mxseal.vocabulary.names import HostName
from mxseal.vocabulary.observations import (
    Answer,
    FetchStage,
    Outcome,
    PolicyFetch,
    PolicyFetchFailed,
    RecordType,
    Security,
)
from mxseal.vocabulary.rejection import Rejection, printable

_LOG: Final = logging.getLogger(__name__)
_PAUSES: Final = 10_000
"""Policy hosts whose last failure is remembered beside the store, so that a broken store means no flood."""
_ALARMING: Final = 4
"""RFC 8461 §10.2: tell the administrator of repeated failures long before the policy expires."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds on time (seconds) and number; whatever hangs, an answer comes within `answer` seconds."""

    answer: float = 5.0
    """For one answer as a whole."""
    lookup: float = 3.0
    """For one DNS question; one that takes longer counts as failed."""
    fetch: float = 3.0
    """How long an answer waits for a policy host.  The fetch itself goes on."""
    whole_fetch: float = 60.0
    """For one fetch; RFC 8461 §3.3 suggests a minute."""
    store: float = 1.0
    """For reading or writing what is kept."""
    gatherings: int = 256
    """Next-hops about which facts are gathered at the same time; more wait for their turn."""
    fetches: int = 256
    """Policy hosts that are asked at the same time."""
    answers: int = 4096
    """Policy domains whose answers are kept in memory."""


DEFAULT_LIMITS: Final = Limits()


class BoundedResolver:
    """Satisfies `ports.Resolver`: a question that takes too long, or meets trouble of ours, has failed.

    Failed is INDETERMINATE, never INSECURE, so nothing gets weaker by it.
    """

    def __init__(self, resolver: Resolver, *, seconds: float, until: float = float("inf")) -> None:
        """`until`: a time of the event loop's clock after which nothing is waited for."""
        self._resolver = resolver
        self._seconds = seconds
        self._until = until

    async def resolve(self, name: str, record_type: RecordType) -> Answer:
        if len(name) > 253:
            # RFC 1035 §2.3.4: "_mta-sts." before a very long domain is no name, so nothing is there.
            reason = "longer than a name can be"
            return Answer(name, record_type, Outcome.NO_NAME, Security.SECURE, ttl=3600, reason=reason)
        now = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout_at(min(now + self._seconds, self._until)):
                return await self._resolver.resolve(name, record_type)
        except TimeoutError:
            reason = "no answer in time"
        except Fault as fault:
            reason = f"this machine could not ask: {fault}"
        return Answer(name, record_type, Outcome.FAILED, Security.INDETERMINATE, reason=reason)


class UnsteadyClock:
    """Satisfies `ports.SteadyClock` by believing a clock all that it says."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def now(self) -> datetime:
        return self._clock.now()

    latest = now


class PolicyKeeper:
    """Knows the MTA-STS policies of all domains; see the top of this file."""

    def __init__(
        self,
        *,
        resolver: Resolver,
        policy_hosts: PolicyHosts,
        store: PolicyStore,
        clock: Clock,
        steady: SteadyClock | None = None,
        limits: Limits = DEFAULT_LIMITS,
        jitter: Callable[[], float] = random.random,
        changed: Callable[[HostName], None] | None = None,
    ) -> None:
        """Make one for a store; no second one may write to it.

        Policies expire by `steady`, a clock that steps do not impress; `clock` says what is due.
        `changed` is called when a domain has another policy than before.
        """
        self._resolver = BoundedResolver(resolver, seconds=limits.lookup)
        self._policy_hosts = policy_hosts
        self._store = store
        self._clock = clock
        self._steady = steady or UnsteadyClock(clock)
        self._limits = limits
        self._jitter = jitter
        self._changed = changed
        self._fetching: dict[HostName, asyncio.Task[PolicyFetch]] = {}
        self._turns = asyncio.Semaphore(limits.fetches)
        self._pauses: dict[HostName, float] = {}
        self._background: set[asyncio.Task[Any]] = set()

    # --- in a question's path ----------------------------------------------------------------------

    async def known(self, domain: HostName) -> PolicyState | None:
        """What is kept; raises `StorageFault` where that cannot be known within a second or so."""
        try:
            async with asyncio.timeout(self._limits.store):
                return await self._store.get(domain)
        except TimeoutError:
            raise StorageFault("the policy store does not answer") from None

    async def learn(
        self, domain: HostName, state: PolicyState | None, now: datetime, *, until: float
    ) -> StsKnowledge:
        """What a decision needs to know; `until` is a time of the event loop's clock.

        A fetch that takes longer goes on, and counts as failed for now.
        """
        record = await self._record(domain, until)
        cached = None if state is None else state.cached
        known = know_sts(record, None, cached)
        if not (isinstance(known.record, Record) and needs_fetch(known.record, cached, now)):
            return known
        task = self._fetching.get(domain)
        if task is None:
            refusal = self._not_yet(domain, state, known.record.id)
            if refusal is not None:
                return know_sts(record, refusal, cached)
            task = self._start(domain, known.record.id)
        time = asyncio.get_running_loop().time()
        done, _ = await asyncio.wait({task}, timeout=max(0.0, min(self._limits.fetch, until - time)))
        if done:
            return know_sts(record, task.result(), cached)
        detail = "it has not answered within the time that an answer to an MTA may take; the fetch goes on"
        return know_sts(record, _failed(domain, FetchStage.TIMEOUT, detail), cached)

    def used(self, state: PolicyState) -> None:
        """Mail asked for this domain: note it some time."""
        now = self._clock.now()
        if schedule.after_use(state, now) is not state:
            self._spawn(
                self._update(state.domain, lambda kept: kept and schedule.after_use(kept, now)),
                f"noting the use of {state.domain}",
            )

    # --- in the background -------------------------------------------------------------------------

    async def due(self, limit: int) -> Sequence[HostName]:
        """Domains to `look` at; raises `StorageFault`."""
        try:
            async with asyncio.timeout(self._limits.store):
                return await self._store.due(self._clock.now(), limit)
        except TimeoutError:
            raise StorageFault("the policy store does not answer") from None

    async def look(self, domain: HostName) -> PolicyState | None:
        """Look at the TXT record, and fetch if the id is new or it is time; what is kept then.

        Raises `StorageFault`.
        """
        state = await self.known(domain)
        if state is None:
            return None
        record = await self._record(domain)
        known = know_sts(record, None, state.cached).record
        record_id = known.id if isinstance(known, Record) else ""
        now, steady = self._clock.now(), self._steady.now()
        idle = schedule.is_idle(state, steady)
        if not idle and (
            needs_fetch(known, state.cached, steady) or self._is_stale(state, record_id, now, steady)
        ):
            running = self._fetching.get(domain)
            if running is not None or self._not_yet(domain, state, record_id) is None:
                await asyncio.shield(running or self._start(domain, record_id))
                return await self.known(domain)
        if schedule.is_over(state, steady) and (idle or record.denied):
            await self._store.remove(domain)
            return None
        ttl = None if record.failed else record.ttl
        jitter = self._jitter()
        await self._update(
            domain, lambda kept: kept and schedule.after_look(kept, record_id, ttl, now, jitter=jitter)
        )
        return await self.known(domain)

    async def refresh(self, domain: HostName) -> PolicyFetch | None:
        """Fetch now, because somebody says so: no pause is kept.  None: the domain announces no policy."""
        try:
            state = await self.known(domain)
        except StorageFault:
            state = None
        record = await self._record(domain)
        known = know_sts(record, None).record
        alive = state is not None and state.cached and self._steady.now() < state.cached.expires
        if not isinstance(known, Record) and not alive:
            return None
        running = self._fetching.get(domain)
        record_id = known.id if isinstance(known, Record) else ""
        return await asyncio.shield(running or self._start(domain, record_id))

    async def purge(self, domain: HostName) -> bool:
        """Forget what is kept of the domain; whether there was something.

        Trust on first use begins anew: whoever sits in the path then can prevent it.
        """
        self._pauses.pop(domain, None)
        removed = await self._store.remove(domain)
        self._tell(domain)
        return removed

    def states(self) -> AsyncIterator[PolicyState]:
        """All that is kept, by domain."""
        return self._store.states()

    async def close(self) -> None:
        """Give up what runs in the background; what is kept already stays."""
        tasks = [*self._fetching.values(), *self._background]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # --- fetching ------------------------------------------------------------------------------------

    async def _record(self, domain: HostName, until: float = float("inf")) -> Answer:
        time = asyncio.get_running_loop().time()
        resolver = self._resolver
        if until - time < self._limits.lookup:
            resolver = BoundedResolver(self._resolver, seconds=max(0.0, until - time))
        return await resolver.resolve(record_name(domain), RecordType.TXT)

    def _is_stale(self, state: PolicyState, record_id: str, now: datetime, steady: datetime) -> bool:
        """Whether a policy that holds is to be fetched again, be its record there or not.

        An attacker who hides the record must not be able to let the policy expire (RFC 8461 §10.2).
        """
        alive = state.cached is not None and steady < state.cached.expires
        return alive and schedule.wants_refresh(state, record_id, now, self._jitter())

    def _not_yet(
        self, domain: HostName, state: PolicyState | None, record_id: str
    ) -> PolicyFetchFailed | None:
        """Why the policy host is not asked now; None: it may be."""
        now = self._clock.now()
        paused = self._pauses.get(domain, 0.0) > asyncio.get_running_loop().time()
        if not paused and (state is None or schedule.may_attempt(state, record_id, now)):
            return None
        if state is None or not state.failure:
            return _failed(domain, FetchStage.TIMEOUT, "the last attempt was made a moment ago")
        at = f"{state.attempted_at:%Y-%m-%d %H:%M} UTC" if state.attempted_at else "a moment ago"
        detail = f"the attempt of {at} failed, and it is too soon for the next: {state.failure}"
        return _failed(domain, state.failure_stage or FetchStage.HTTP, detail)

    def _start(self, domain: HostName, record_id: str) -> asyncio.Task[PolicyFetch]:
        task = self._spawn(self._fetch(domain, record_id), f"fetching the policy of {domain}")
        self._fetching[domain] = task

        def over(done: asyncio.Task[PolicyFetch]) -> None:
            if self._fetching.get(domain) is done:
                del self._fetching[domain]

        task.add_done_callback(over)
        return task

    async def _fetch(self, domain: HostName, record_id: str) -> PolicyFetch:
        # Even if this ends in a bug of ours there is a pause.
        self._pause(domain, schedule.AFTER_FAILURE.total_seconds())
        fetch: PolicyFetch
        try:
            async with asyncio.timeout(self._limits.whole_fetch), self._turns:
                fetch = await self._policy_hosts.fetch(domain)
        except TimeoutError:
            fetch = _failed(domain, FetchStage.TIMEOUT, f"no policy in {self._limits.whole_fetch:g} seconds")
        except Fault as fault:
            fetch = _failed(domain, FetchStage.CONNECT, f"trouble on this machine: {printable(str(fault))}")
        policy = fetch if isinstance(fetch, PolicyFetchFailed) else parse_policy(fetch.body)
        if isinstance(policy, Policy):
            await self._keep(domain, record_id, policy)
        else:
            await self._keep_failure(domain, record_id, policy)
        return fetch

    async def _keep(self, domain: HostName, record_id: str, policy: Policy) -> None:
        now, stamp, jitter = self._clock.now(), self._steady.latest(), self._jitter()
        self._pause(domain, schedule.AFTER_SUCCESS.total_seconds())
        loop = asyncio.get_running_loop()

        def change(state: PolicyState | None) -> PolicyState:
            before = state.cached if state else None
            if before is None or before.policy != policy or before.expires <= self._steady.now():
                _LOG.info("policy domain=%s mode=%s id=%s fetched", domain, policy.mode, record_id)
                # At once, however long the disk takes.
                loop.call_soon(self._tell, domain)
            state = state or PolicyState(domain=domain, look_at=now, used_at=now)
            return schedule.after_success(state, record_id, policy, now, stamp=stamp, jitter=jitter)

        await self._update(domain, change)

    async def _keep_failure(
        self, domain: HostName, record_id: str, failed: PolicyFetchFailed | Rejection
    ) -> None:
        now = self._clock.now()
        stage = failed.stage if isinstance(failed, PolicyFetchFailed) else None
        detail = failed.detail if isinstance(failed, PolicyFetchFailed) else str(failed)
        kept: PolicyState | None = None

        def change(state: PolicyState | None) -> PolicyState:
            nonlocal kept
            state = state or PolicyState(domain=domain, look_at=now, used_at=now)
            kept = schedule.after_failure(state, record_id, printable(detail, 300), stage, now)
            return kept

        await self._update(domain, change)
        failures = kept.failures if kept else 1
        self._pause(domain, schedule.retry_after(failures).total_seconds())
        if kept is not None and kept.cached is not None and _is_alarming(kept, self._steady.now()):
            _LOG.warning(
                "policy domain=%s failures=%d until=%s cannot be refreshed, which may be an attack"
                " (RFC 8461 §10.2): %s",
                domain,
                failures,
                f"{kept.cached.expires:%Y-%m-%dT%H:%MZ}",
                kept.failure,
            )

    # --- keeping -------------------------------------------------------------------------------------

    async def _update(self, domain: HostName, change: PolicyChange) -> None:
        """Change what is kept; if that takes long it goes on in the background."""
        task = self._spawn(self._store.update(domain, change), f"keeping the policy of {domain}")
        await asyncio.wait({task}, timeout=self._limits.store)

    def _pause(self, domain: HostName, seconds: float) -> None:
        # By the event loop's clock: no step of the other clock makes a flood of attempts.
        self._pauses.pop(domain, None)
        if len(self._pauses) >= _PAUSES:
            del self._pauses[next(iter(self._pauses))]
        self._pauses[domain] = asyncio.get_running_loop().time() + seconds

    def _tell(self, domain: HostName) -> None:
        if self._changed is not None:
            self._changed(domain)

    def _spawn(self, work: Coroutine[Any, Any, Any], what: str) -> asyncio.Task[Any]:
        task = asyncio.create_task(work, name=what)
        self._background.add(task)
        task.add_done_callback(self._over)
        return task

    def _over(self, task: asyncio.Task[Any]) -> None:
        self._background.discard(task)
        if not task.cancelled() and task.exception() is not None:
            _LOG.error("%s failed", task.get_name(), exc_info=task.exception())


def _failed(domain: HostName, stage: FetchStage, detail: str) -> PolicyFetchFailed:
    return PolicyFetchFailed(domain, policy_url(domain), stage, detail)


def _is_alarming(state: PolicyState, now: datetime) -> bool:
    """After 4, 8, 16, … failures; never about a policy that is withdrawn (RFC 8461 §10.2)."""
    failures, cached = state.failures, state.cached
    if cached is None or cached.policy.mode is Mode.NONE or now >= cached.expires:
        return False
    return failures >= _ALARMING and failures & (failures - 1) == 0
