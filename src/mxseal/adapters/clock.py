"""The only place that asks what time it is."""

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol


class SystemClock:
    """Satisfies `journeys.ports.Clock`."""

    def now(self) -> datetime:
        return datetime.now(tz=UTC)  # noqa: TID251 - this is the place


class EventLoopSleeper:
    """Satisfies `journeys.ports.Sleeper`."""

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class _Clock(Protocol):
    def now(self) -> datetime: ...


def _elapsed() -> float:
    """Seconds since the machine started; sleep counts, steps of the clock do not."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class SteadyClock:
    """Satisfies `journeys.ports.Clock`: never runs ahead of the time that has really passed.

    A policy holds for its max_age.  If somebody sets the clock a year ahead, all
    policies would be over, and that is what an attacker wants (RFC 8461 §10.2); so
    a step ahead is believed only after `PATIENCE`.  A step back is followed at
    once, which makes policies hold longer, never shorter.
    """

    PATIENCE: Final = timedelta(days=1)
    TOLERANCE: Final = timedelta(seconds=1)

    def __init__(self, clock: _Clock | None = None, elapsed: Callable[[], float] = _elapsed) -> None:
        """`clock` is the one that may be set; `elapsed` counts seconds from any beginning."""
        self._clock = clock or SystemClock()
        self._elapsed = elapsed
        self._start = self._clock.now()
        self._since = elapsed()
        self._ahead_since: float | None = None

    def now(self) -> datetime:
        """The time, UTC, aware."""
        said, elapsed = self._clock.now(), self._elapsed()
        passed = self._start + timedelta(seconds=elapsed - self._since)
        if said <= passed + self.TOLERANCE:
            self._ahead_since = None
            return min(said, passed)
        if self._ahead_since is None:
            self._ahead_since = elapsed
        if elapsed - self._ahead_since < self.PATIENCE.total_seconds():
            return passed
        self._start, self._since, self._ahead_since = said, elapsed, None
        return said
