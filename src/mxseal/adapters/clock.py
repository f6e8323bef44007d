"""The only place that asks what time it is."""

from datetime import UTC, datetime


class SystemClock:
    """Satisfies `journeys.ports.Clock`."""

    def now(self) -> datetime:
        return datetime.now(tz=UTC)  # noqa: TID251 - this is the place
