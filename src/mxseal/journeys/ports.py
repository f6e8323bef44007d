"""The small protocols through which journeys touch the world.

`adapters/` satisfies them; `adapters/memory` does so from a dictionary, for
tests, the demo and ``--replay``.  No method raises for trouble of the other
side: that is part of the value.
"""

from datetime import datetime
from typing import Protocol

from mxseal.vocabulary.names import Address, HostName
from mxseal.vocabulary.observations import (
    Answer,
    AuthoritativeAnswer,
    EndpointReached,
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


class ReportEndpoints(Protocol):
    """Destinations of TLS reports (`rua`)."""

    async def reach(self, uri: str) -> EndpointReached: ...


class Clock(Protocol):
    def now(self) -> datetime:
        """The time, UTC, aware."""
        ...
