"""The small protocols through which journeys touch the world.

`adapters/` satisfies them; `adapters/memory` does so from a dictionary, for
tests, the demo and ``--replay``.  No method raises for trouble of the other
side: that is part of the value.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime
from typing import Protocol

from mxseal.decisions.mailing import Admission, Errand, Visit
from mxseal.decisions.schedule import PolicyState
from mxseal.vocabulary.names import Address, HostName
from mxseal.vocabulary.observations import (
    Answer,
    AuthoritativeAnswer,
    EndpointReached,
    Handshake,
    KeyKind,
    PolicyFetch,
    RecordType,
    SmtpSession,
)


class Resolver(Protocol):
    """DNS with a security status (docs/architecture.md, rule 4)."""

    async def resolve(self, name: str, record_type: RecordType) -> Answer:
        """The answer to one question, aliases followed, with its proved security."""
        ...


class AuthoritativeServers(Protocol):
    """Single authoritative servers, asked without recursion."""

    async def ask(
        self, zone: str, server: HostName, address: Address, name: str, record_type: RecordType
    ) -> AuthoritativeAnswer: ...


class PolicyHosts(Protocol):
    """The HTTPS side of MTA-STS (RFC 8461 §3.3)."""

    async def fetch(self, policy_domain: HostName) -> PolicyFetch: ...


class MxHosts(Protocol):
    """SMTP sessions up to the TLS handshake; nothing is ever mailed."""

    async def probe(
        self,
        host: HostName,
        address: Address,
        *,
        sni: HostName | None = None,
        key_kind: KeyKind = KeyKind.ANY,
    ) -> SmtpSession: ...


class Courier(Protocol):
    """SMTP sessions that hand mail over."""

    async def visit(self, errand: Errand, admit: Callable[[Handshake], Admission]) -> Visit:
        """One session with one address.

        `admit` is asked as soon as TLS stands; who is denied hears nothing more, not
        even EHLO.  Where the errand requires TLS, nothing is ever mailed without it.
        """
        ...


class ReportEndpoints(Protocol):
    """Destinations of TLS reports (`rua`)."""

    async def reach(self, uri: str) -> EndpointReached: ...


class Clock(Protocol):
    def now(self) -> datetime:
        """The time, UTC, aware."""
        ...


class SteadyClock(Clock, Protocol):
    """A clock whose `now` no step ahead of the machine's clock reaches; by it policies expire."""

    def latest(self) -> datetime:
        """The same, never behind the time that has passed: what a fetch is stamped with."""
        ...


class Sleeper(Protocol):
    async def sleep(self, seconds: float) -> None:
        """Come back after so many seconds; a test's comes back at once and moves its clock."""
        ...


PolicyChange = Callable[[PolicyState | None], PolicyState | None]
"""From the state that is kept (None: none is) to the one to keep (None: nothing has to be written)."""


class PolicyStore(Protocol):
    """What is kept of policy domains over restarts (docs/architecture.md, rule 3).

    A store answers from memory as long as it can, whatever becomes of its disk, and
    says what is wrong in `trouble`.
    """

    async def get(self, domain: HostName) -> PolicyState | None:
        """What is kept; None: nothing is, and that is certain.

        Raises `StorageFault` if it cannot be known.  Whoever gets that must not act
        as if there were no policy.
        """
        ...

    async def update(self, domain: HostName, change: PolicyChange) -> bool:
        """Change what is kept, with nothing between reading and writing.

        True: it survives if this process is killed now.  False: it is kept in memory
        only, and will be written as soon as that can be done; or there was no room.
        Raises nothing, and `get` knows the new state before this comes back.
        """
        ...

    async def remove(self, domain: HostName) -> bool:
        """Forget the domain; whether something was there."""
        ...

    async def due(self, now: datetime, limit: int) -> Sequence[HostName]:
        """Domains to look at (`decisions.schedule.is_due`), the most overdue first."""
        ...

    def states(self) -> AsyncIterator[PolicyState]:
        """All that is kept, by domain."""
        ...

    @property
    def trouble(self) -> str:
        """What is wrong with the store now, one line; empty if nothing is."""
        ...
