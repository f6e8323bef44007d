"""When to look at a policy again: record, refreshing, and attempts after a failure.

RFC 8461 §3.3 asks senders to refresh cached policies before they expire
("once per day" is its suggestion), §10.2 to notice long before that refreshing
fails, and §3.3 not to try a broken policy host more often than every five
minutes or so.  What is kept of a policy domain between two looks is one
`PolicyState`; the functions here take it from one to the next::

    state = PolicyState(domain=domain, look_at=now, used_at=now)
    if may_attempt(state, record_id, now):
        state = after_success(state, record_id, policy, now, jitter=…)
        state = after_failure(state, record_id, failure, now)      # or so
    state = after_look(state, record_id, ttl, now, jitter=…)
    is_due(state.look_at, now)

Persisted times may lie in the future, because clocks get set back.  No such
time shortens the life of a policy, and none postpones a look: what lies further
ahead than anything that is ever planned counts as due.

`jitter` is a number from 0 up to 1, so that a thousand policies that were
fetched in the same minute are not refreshed in the same minute for ever.
"""

from datetime import datetime, timedelta
from typing import Final

import msgspec

from mxseal.decisions.policy_lifecycle import CachedPolicy
from mxseal.standards.mta_sts import Mode, Policy
from mxseal.vocabulary.names import HostName
from mxseal.vocabulary.observations import FetchStage

AFTER_FAILURE: Final = timedelta(minutes=5)
"""RFC 8461 §3.3: at most one attempt in five minutes where the last one failed."""
AFTER_FAILURES: Final = timedelta(hours=1)
"""The pause doubles with each failure in a row, up to this: a policy host that was mended is seen within the hour."""
AFTER_SUCCESS: Final = timedelta(minutes=1)
"""Servers that disagree about the id must not cause a fetch for each mail."""
SOONEST_LOOK: Final = timedelta(minutes=10)
"""However short the TTL of the TXT record is: mail to the domain looks at it anyway."""
LATEST_LOOK: Final = timedelta(days=1)
REFRESH: Final = timedelta(days=1)
"""RFC 8461 §3.3: "a suggested refresh frequency is once per day"; at half of max_age if that is sooner."""
IDLE: Final = timedelta(days=400)
"""A policy that no mail has asked for as long as that is not refreshed any more, and forgotten when it has expired."""
LINGER: Final = timedelta(days=400)
"""An expired policy is kept so much longer: if the clock was wrong and gets mended, it counts again."""
USE_NOTED: Final = timedelta(days=1)
"""How exactly `used_at` is known; writing it down for each mail would be a write for each mail."""


class PolicyState(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept about one policy domain, over restarts."""

    domain: HostName
    cached: CachedPolicy | None = None
    """None: no valid policy was ever fetched; the rest keeps a broken one from being asked too often."""
    record_id: str = ""
    """The id that the TXT record had when it was seen last."""
    attempted_at: datetime | None = None
    """The last attempt to fetch, successful or not (UTC)."""
    failures: int = 0
    """Attempts that failed since the last success."""
    failure: str = ""
    """What the last attempt failed at; printable and bounded."""
    failure_stage: FetchStage | None = None
    """Where; None with a `failure`: the policy came and was invalid."""
    look_at: datetime
    """When the TXT record is to be looked at, and the policy fetched if it is time (UTC)."""
    used_at: datetime
    """When mail asked last, to within `USE_NOTED` (UTC)."""


def retry_after(failures: int) -> timedelta:
    """The pause after so many failures in a row."""
    if failures <= 0:
        return AFTER_SUCCESS
    # 2^4 × 5 minutes is past the longest pause; a bound on the exponent keeps it a small number.
    return min(AFTER_FAILURE * (1 << min(failures - 1, 4)), AFTER_FAILURES)


def next_attempt(state: PolicyState, record_id: str) -> datetime | None:
    """The first moment at which the policy host may be asked again; None: at once.

    A new id says that something was changed, so then the shortest pause does.
    """
    if state.attempted_at is None:
        return None
    failures = state.failures
    if failures and record_id and record_id != state.record_id:
        failures = 1
    return state.attempted_at + retry_after(failures)


def may_attempt(state: PolicyState, record_id: str, now: datetime) -> bool:
    """Whether the policy host may be asked now.

    An attempt in the future was made by a clock that has been set back since: it
    does not count, or a domain could not be asked for years.
    """
    allowed = next_attempt(state, record_id)
    return allowed is None or now >= allowed or (state.attempted_at is not None and state.attempted_at > now)


def refresh_at(state: PolicyState, record_id: str, jitter: float) -> datetime | None:
    """When the policy is to be fetched again though its id is the same; None: not at all.

    `record_id` is that of the TXT record now, empty if there is none or no answer.
    """
    if state.cached is None or (state.cached.policy.mode is Mode.NONE and not record_id):
        # RFC 8461 §8.3: with "none" and then no record a policy ends; nothing is lost when it expires.
        return None
    interval = min(REFRESH, timedelta(seconds=state.cached.policy.max_age / 2))
    # The last success, as far as it is known: it may be earlier than `fetched_at` after a clock was set back.
    last = state.cached.fetched_at
    if not state.failures and state.attempted_at is not None:
        last = min(last, state.attempted_at)
    return last + interval * (0.8 + 0.2 * jitter)


def wants_refresh(state: PolicyState, record_id: str, now: datetime, jitter: float) -> bool:
    """Whether it is time to fetch again though the id is the same (or cannot be seen)."""
    at = refresh_at(state, record_id, jitter)
    if at is None:
        return False
    # What failed is tried again.  What was tried in the future was so by a clock that was set back since:
    # nothing can be said about its age, so it is time.
    return state.failures > 0 or now >= at or (state.attempted_at is not None and state.attempted_at > now)


def after_success(
    state: PolicyState,
    record_id: str,
    policy: Policy,
    now: datetime,
    *,
    stamp: datetime | None = None,
    jitter: float,
) -> PolicyState:
    """A valid policy was fetched.  It replaces any other, be it weaker (RFC 8461 §5.1, §8.3).

    Its max_age counts from `stamp`, where that is another time than `now`, see `ports.SteadyClock`.
    """
    fetched_at = stamp or now
    if state.cached is not None:
        # After a clock was set back, its earlier "now" must not shorten the life that the policy had.
        fetched_at = max(fetched_at, state.cached.fetched_at)
    policy_id = record_id or (state.cached.policy_id if state.cached else "")
    changed = msgspec.structs.replace(
        state,
        cached=CachedPolicy(policy_id=policy_id, policy=policy, fetched_at=fetched_at),
        record_id=policy_id,
        attempted_at=now,
        failures=0,
        failure="",
        failure_stage=None,
    )
    return after_look(changed, record_id, None, now, jitter=jitter)


def after_failure(
    state: PolicyState, record_id: str, failure: str, stage: FetchStage | None, now: datetime
) -> PolicyState:
    """An attempt failed.  What is cached stays (RFC 8461 §3.3)."""
    failures = state.failures + 1
    return msgspec.structs.replace(
        state,
        record_id=record_id or state.record_id,
        attempted_at=now,
        failures=failures,
        failure=failure,
        failure_stage=stage,
        look_at=now + retry_after(failures),
    )


def after_look(
    state: PolicyState, record_id: str, ttl: int | None, now: datetime, *, jitter: float
) -> PolicyState:
    """The TXT record was looked at; `ttl` in seconds, None: it is not known.

    `record_id` is empty where there was no valid record or no answer.
    """
    pause = SOONEST_LOOK if ttl is None else timedelta(seconds=min(max(ttl, 0), 86400))
    pause = min(max(pause, SOONEST_LOOK), LATEST_LOOK) * (0.9 + 0.1 * jitter)
    look_at = now + pause
    refresh = refresh_at(state, record_id, jitter)
    if refresh is not None and refresh > now:
        look_at = min(look_at, refresh)
    wait = next_attempt(state, record_id)
    if wait is not None and now < wait <= now + AFTER_FAILURES:
        # Looking earlier would lead to nothing that may be done; for a failure it is the time to try again.
        look_at = wait if state.failures else max(look_at, wait)
    return msgspec.structs.replace(
        state, record_id=record_id or state.record_id, look_at=max(look_at, now + AFTER_SUCCESS)
    )


def after_use(state: PolicyState, now: datetime) -> PolicyState:
    """Mail asked for the domain; the same state if that is known well enough already."""
    known = now - USE_NOTED < state.used_at <= now
    return state if known else msgspec.structs.replace(state, used_at=now)


def is_due(look_at: datetime, now: datetime) -> bool:
    """Whether it is time to look; a time further ahead than is ever planned was written by another clock."""
    return look_at <= now or look_at > now + LATEST_LOOK


def is_idle(state: PolicyState, now: datetime) -> bool:
    """Whether no mail has asked for so long that the policy may expire."""
    return now - state.used_at > IDLE


def is_over(state: PolicyState, now: datetime) -> bool:
    """Whether nothing is lost by forgetting the domain: no policy, or one that expired long ago."""
    if state.cached is None:
        last = state.attempted_at or state.look_at
        return last <= now - LATEST_LOOK
    return state.cached.expires <= now - LINGER


def worth_keeping(state: PolicyState, now: datetime) -> int:
    """What to give up first where there is no room for all: the smaller number."""
    if state.cached is None:
        return 0
    if state.cached.expires <= now:
        return 1
    return _WORTH[state.cached.policy.mode]


_WORTH: Final = {Mode.NONE: 2, Mode.TESTING: 3, Mode.ENFORCE: 4}
MOST_WORTH: Final = _WORTH[Mode.ENFORCE]
"""Never given up for another one: whoever could make room so could make policies vanish."""
