"""Policies that the administrator sets for single domains, before anything that is found out.

A file of lines, as Postfix' own tables are written (postmap(1), texthash)::

    # next-hop            what it is told
    example.com           dane-only
    .example.net          secure match=.example.net servername=hostname
    [relay.example.org]   encrypt
    broken.example        notfound
    held.example          temp until their certificate is renewed

The left side is a next-hop; without a port it means every port, and with a
leading dot all domains below it.  The right side is a TLS policy in Postfix'
words, ``notfound`` (nothing is said, so Postfix' next table or its default
decides) or ``temp`` and a reason (mail waits).  The most exact line counts.

An override is the one thing that may be weaker than what a domain's own policy
demands (RFC 8461 §5): it is somebody's decision, and stands in a file.
"""

from collections.abc import Iterator
from typing import Final

import msgspec

from mxseal.standards.postfix_tls import (
    Dialect,
    NotFound,
    Ok,
    Reply,
    SecurityLevel,
    Temporary,
    parse_policy,
)
from mxseal.vocabulary.names import HostName, NextHop, parse_next_hop
from mxseal.vocabulary.rejection import Rejection

MAX_LINES: Final = 100_000


class Overrides(msgspec.Struct, frozen=True):
    """What the file says."""

    replies: dict[str, Reply] = {}
    """By the canonical text of the next-hop."""

    def reply(self, next_hop: NextHop) -> Reply | None:
        """What the most exact line says; None: no line is about this next-hop."""
        if not self.replies:
            return None
        return next((found for key in _keys(next_hop) if (found := self.replies.get(key)) is not None), None)


def override_in(dialect: Dialect, reply: Reply) -> Reply:
    """The override for an MTA: Sendmail knows no other level than ``secure``."""
    if dialect is not Dialect.SENDMAIL or not isinstance(reply, Ok):
        return reply
    return reply if reply.policy.level is SecurityLevel.SECURE else NotFound()


def parse_overrides(text: str) -> Overrides | Rejection:
    """Read the file; a rejection tells the line and the place in it."""
    replies: dict[str, Reply] = {}
    position = 0
    for number, line in enumerate(text.split("\n")):
        start, position = position, position + len(line) + 1
        content = line.rstrip()
        if not content or content.lstrip().startswith("#"):
            continue
        if number >= MAX_LINES:
            return _reject(text, start, position - 1, f"there are more than {MAX_LINES} lines")
        key, *rest = content.split(None, 1)
        value = rest[0] if rest else ""
        at = start + line.index(key)
        next_hop = parse_next_hop(key)
        if isinstance(next_hop, Rejection):
            return _reject(text, at + next_hop.start, at + next_hop.end, next_hop.message)
        if str(next_hop) in replies:
            return _reject(text, at, at + len(key), f"{next_hop} has a line already")
        at = start + len(content) - len(value)
        reply = _read_reply(value)
        if isinstance(reply, Rejection):
            return _reject(text, at + reply.start, at + reply.end, reply.message)
        replies[str(next_hop)] = reply
    return Overrides(replies)


def _read_reply(value: str) -> Reply | Rejection:
    word, _, rest = value.partition(" ")
    if not word:
        return Rejection(value, 0, 0, "a policy must follow, or 'notfound', or 'temp' and a reason")
    if value.lower() == "notfound":
        return NotFound()
    if word.lower() == "temp":
        return Temporary(rest.strip() or "held back by the administrator")
    policy = parse_policy(value)
    return policy if isinstance(policy, Rejection) else Ok(policy)


def _keys(next_hop: NextHop) -> Iterator[str]:
    """The texts under which a line may stand, the most exact first."""
    yield str(next_hop)
    if next_hop.port is not None:
        yield str(msgspec.structs.replace(next_hop, port=None))
    parent: HostName | None = next_hop.host.parent if next_hop.host is not None and next_hop.uses_mx else None
    while parent is not None:
        if next_hop.port is not None:
            yield f".{parent}:{next_hop.port}"
        yield f".{parent}"
        parent = parent.parent


def _reject(text: str, start: int, end: int, message: str) -> Rejection:
    return Rejection(text, start, end, message, "override")
