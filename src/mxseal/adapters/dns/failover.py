"""Asking the next server where one server's reply turns out to be bogus.

A list of resolvers often has one in it that passes no DNSSEC records on: a home router, an old forwarder.
Its replies are well-formed, so only the validation finds out.  Another server's reply may then be proved;
that cannot make anything weaker, since each reply has to stand on its own.
"""

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

import dns.rdatatype

from mxseal.adapters.dns.transport import Reply, Server, Transport, server_text
from mxseal.vocabulary.observations import Security


class Verdict(Protocol):
    """What validation made of a reply."""

    @property
    def security(self) -> Security: ...

    @property
    def blamed(self) -> Server | None:
        """Whose reply is the reason that it is bogus; None if it is not, or if asking anew cannot help."""
        ...


V = TypeVar("V", bound=Verdict)


async def ask_around(
    transport: Transport, servers: int, attempt: Callable[[frozenset[Server]], Awaitable[V]]
) -> V:
    """The first verdict that blames no server, else the first of all; `attempt` is told whom to avoid."""
    tried: frozenset[Server] = frozenset()
    first: V | None = None
    while True:
        verdict = await attempt(tried)
        if verdict.security in (Security.SECURE, Security.INSECURE):
            if tried:
                transport.demote(tried)
            return verdict
        first = first or verdict
        if verdict.blamed is None:
            return first
        tried |= {verdict.blamed}
        if len(tried) >= servers:
            return first


def passes_nothing_on(reply: Reply) -> bool:
    """Whether there is no signature at all in a reply that needs some."""
    sections = (*reply.message.answer, *reply.message.authority)
    return not any(rrset.rdtype == dns.rdatatype.RRSIG for rrset in sections)


def with_blame(reason: str, reply: Reply) -> str:
    """The reason, and whose fault it seems to be where a reply has no signatures at all."""
    if passes_nothing_on(reply):
        return f"{reason} (no DNSSEC records came from {server_text(reply.server)})"
    return reason
