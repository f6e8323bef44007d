"""A store for policies that forgets everything when the process ends."""

from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime

from mxseal.decisions.schedule import PolicyState, is_due
from mxseal.vocabulary.names import HostName

PolicyChange = Callable[[PolicyState | None], PolicyState | None]


class MemoryPolicyStore:
    """Satisfies `ports.PolicyStore` from a dictionary: for tests, for one command, and where no disk may be used.

    It has no bound: whoever answers mail for long wants `adapters.sqlite`.
    """

    trouble = ""

    def __init__(self) -> None:
        self.kept: dict[HostName, PolicyState] = {}

    async def get(self, domain: HostName) -> PolicyState | None:
        return self.kept.get(domain)

    async def update(self, domain: HostName, change: PolicyChange) -> bool:
        state = change(self.kept.get(domain))
        if state is not None:
            self.kept[domain] = state
        # Nothing in here survives the process.
        return state is None

    async def remove(self, domain: HostName) -> bool:
        return self.kept.pop(domain, None) is not None

    async def due(self, now: datetime, limit: int) -> Sequence[HostName]:
        found = sorted(
            (state.look_at, domain) for domain, state in self.kept.items() if is_due(state.look_at, now)
        )
        return [domain for _, domain in found[:limit]]

    async def states(self) -> AsyncIterator[PolicyState]:
        for domain in sorted(self.kept):
            yield self.kept[domain]
