"""The TLS policy: a level and its attributes."""

import re
from collections.abc import Iterable
from enum import StrEnum
from typing import Final

import msgspec

from mxseal.vocabulary.names import HostName, parse_host_name
from mxseal.vocabulary.rejection import Rejection

MAX_REPLY_OCTETS: Final = 100_000
"""socketmap_max_reply_size: what is longer makes Postfix defer the mail."""

_SECTION: Final = "postconf(5) smtp_tls_policy_maps"
_WORD: Final = re.compile(r"[^ \t,]+")
_KEYWORDS: Final = frozenset({"nexthop", "dot-nexthop", "hostname"})


class SecurityLevel(StrEnum):
    """The levels of postconf(5) smtp_tls_security_level."""

    NONE = "none"
    MAY = "may"
    ENCRYPT = "encrypt"
    DANE = "dane"
    DANE_ONLY = "dane-only"
    FINGERPRINT = "fingerprint"
    VERIFY = "verify"
    SECURE = "secure"


class TlsPolicy(msgspec.Struct, frozen=True):
    """A policy that Postfix can read.

    The constructor raises `ValueError` for one that it would not, or would
    read as something else: match lists belong to ``secure`` and ``verify``
    and are never empty at ``secure`` here, where Postfix would fill in its
    own default.
    """

    level: SecurityLevel
    match: tuple[str, ...] = ()
    """As Postfix writes them: ``mx.example.com``, ``.example.net``, ``nexthop``, …"""
    servername: str = ""
    """For SNI: ``hostname``, ``nexthop`` or a host name; empty: the attribute is not sent."""

    def __post_init__(self) -> None:
        if self.match and self.level not in (SecurityLevel.SECURE, SecurityLevel.VERIFY):
            raise ValueError(f"level {self.level} takes no match list")
        if self.level is SecurityLevel.SECURE and not self.match:
            raise ValueError("level secure needs a match list that is not empty")
        for name in self.match:
            if not _is_match_name(name):
                raise ValueError(f"not a name to match: {name!r}")
        if self.servername not in ("", "hostname", "nexthop") and not _is_host(self.servername):
            raise ValueError(f"not a server name: {self.servername!r}")

    def __str__(self) -> str:
        """The text of the policy; `parse_policy` reads it to an equal value."""
        match = f" match={':'.join(self.match)}" if self.match else ""
        servername = f" servername={self.servername}" if self.servername else ""
        return f"{self.level}{match}{servername}"


def match_of(mx_pattern: str) -> str | Rejection:
    """An MX pattern of RFC 8461 §4.1 as Postfix matches: ``*.example.net`` becomes ``.example.net``."""
    if mx_pattern.startswith("*."):
        host = _match_name(mx_pattern[1:])
        return (
            host
            if isinstance(host, str)
            else Rejection(mx_pattern, 0, len(mx_pattern), host.message, host.rule, host.section)
        )
    host = _match_name(mx_pattern)
    if isinstance(host, str) and (host.startswith(".") or host in _KEYWORDS):
        return Rejection(mx_pattern, 0, len(mx_pattern), "not an MX pattern", "mx pattern", "RFC 8461 §4.1")
    return host


def secure(mx_patterns: Iterable[str], *, servername: str = "hostname") -> TlsPolicy | Rejection:
    """What an enforced MTA-STS policy asks for.

    A rejection if a pattern is none, if there is none at all, or if the answer
    would be longer than Postfix reads: the caller must then answer TEMP, since
    an answer that leaves patterns out refuses hosts that are in order.
    """
    names: dict[str, None] = {}
    for pattern in mx_patterns:
        name = match_of(pattern)
        if isinstance(name, Rejection):
            return name
        names[name] = None
    if not names:
        return Rejection(
            "", 0, 0, "no MX pattern, and an empty match list means something else", "match", _SECTION
        )
    policy = TlsPolicy(SecurityLevel.SECURE, tuple(names), servername)
    text = str(policy)
    if len(text) + len("OK ") > MAX_REPLY_OCTETS:
        return Rejection(
            text[:500],
            500,
            500,
            f"longer than the {MAX_REPLY_OCTETS} octets that Postfix reads",
            "policy",
            _SECTION,
        )
    return policy


def parse_policy(text: str) -> TlsPolicy | Rejection:  # noqa: C901 - one pass over the words reads best
    """Read a policy as Postfix would; only the attributes that `TlsPolicy` has are known."""

    def reject(message: str, start: int, end: int, rule: str) -> Rejection:
        return Rejection(text[:500], min(start, 500), min(end, 500), message, rule, _SECTION)

    if len(text) > MAX_REPLY_OCTETS:
        return reject(f"longer than the {MAX_REPLY_OCTETS} octets that Postfix reads", 0, 0, "policy")
    words = list(_WORD.finditer(text))
    if not words:
        return reject("a policy begins with a level, and this one is empty", 0, 0, "level")
    first = words[0]
    # Postfix compares levels without regard to case (name_code(…, NAME_CODE_FLAG_NONE, …)).
    if first[0].lower() not in _LEVELS:
        return reject(f"the level must be one of {', '.join(_LEVELS)}", first.start(), first.end(), "level")
    match: list[str] = []
    servername = ""
    for word in words[1:]:
        name, equals, value = word[0].partition("=")
        at = word.start() + len(name) + 1
        if not equals or not value:
            return reject("an attribute is written name=value", word.start(), word.end(), "attribute")
        if name == "match":
            for part in value.split(":"):
                read = _match_name(part)
                if isinstance(read, Rejection):
                    return reject(read.message, at, at + len(part), "match")
                match.append(read)
                at += len(part) + 1
        elif name == "servername" and not servername:
            if value not in ("hostname", "nexthop") and not _is_host(value):
                return reject("a servername is a host name, 'hostname' or 'nexthop'", at, word.end(), name)
            servername = value
        else:
            what = "given twice" if name == "servername" else "unknown"
            return reject(f"this attribute is {what}", word.start(), word.start() + len(name), "attribute")
    try:
        return TlsPolicy(_LEVELS[first[0].lower()], tuple(match), servername)
    except ValueError as error:
        return reject(str(error), first.start(), first.end(), "match")


_LEVELS: Final = {level.value: level for level in SecurityLevel}


def _match_name(name: str) -> str | Rejection:
    """A name of a match list: a keyword, a host name, or a dot and a domain; in canonical form already."""
    if name in _KEYWORDS:
        return name
    inner = name.removeprefix(".")
    host = parse_host_name(inner)
    if isinstance(host, Rejection):
        return Rejection(name, 0, len(name), host.message, "match", _SECTION)
    if host != inner:
        return Rejection(name, 0, len(name), f"not in canonical form, which is {host}", "match", _SECTION)
    return name


def _is_match_name(name: str) -> bool:
    return isinstance(_match_name(name), str)


def _is_host(name: str) -> bool:
    host = parse_host_name(name)
    return isinstance(host, HostName) and host == name
