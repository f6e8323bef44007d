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
    """Satisfies `journeys.ports.SteadyClock`: no step of the clock makes policies expire early.

    A policy holds for its max_age.  If somebody sets the clock a year ahead, all
    policies would be over, and that is what an attacker wants (RFC 8461 §10.2).
    So what the clock says is compared with the time that has really passed since
    this object was made: `now` is the earlier of both, `latest` the later one.  Where
    they disagree for longer than `PATIENCE` the clock is believed.
    """

    PATIENCE: Final = timedelta(days=1)
    TOLERANCE: Final = timedelta(seconds=1)

    def __init__(self, clock: _Clock | None = None, elapsed: Callable[[], float] = _elapsed) -> None:
        """`clock` is the one that may be set; `elapsed` counts seconds from any beginning."""
        self._clock = clock or SystemClock()
        self._elapsed = elapsed
        self._start = self._clock.now()
        self._since = elapsed()
        self._disagree_since: float | None = None

    def now(self) -> datetime:
        """The time by which policies are judged, UTC: never ahead of what has passed."""
        return min(self._both())

    def latest(self) -> datetime:
        """The time with which a fetch is stamped, UTC: never behind what has passed."""
        return max(self._both())

    def _both(self) -> tuple[datetime, datetime]:
        said, elapsed = self._clock.now(), self._elapsed()
        passed = self._start + timedelta(seconds=elapsed - self._since)
        if abs(said - passed) <= self.TOLERANCE:
            self._disagree_since = None
        elif self._disagree_since is None:
            self._disagree_since = elapsed
        elif elapsed - self._disagree_since >= self.PATIENCE.total_seconds():
            self._start, self._since, self._disagree_since = said, elapsed, None
            passed = said
        return said, passed
