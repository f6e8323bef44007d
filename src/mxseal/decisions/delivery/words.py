"""The words of a decision."""

from datetime import datetime
from enum import StrEnum
from typing import Literal

import msgspec

from mxseal.decisions.policy_lifecycle import EffectivePolicy, Reason
from mxseal.standards.mta_sts import MxPattern
from mxseal.vocabulary.names import HostName
from mxseal.vocabulary.observations import Answer, Security, TlsaData, TlsaLookup

Mixed = Literal["sts", "dane-only"]
"""What a one-answer MTA is told where MTA-STS enforces and only some of the MX hosts have DANE."""

Names = tuple[HostName, ...]


class Level(StrEnum):
    """What a sender owes to one MX host."""

    DANE = "dane"
    """TLS, authenticated by the usable TLSA records; otherwise nothing is delivered (RFC 7672 §2.2)."""
    PKIX = "pkix"
    """TLS with a certificate that a configured root vouches for (RFC 8461 §4.2)."""
    ENCRYPT = "encrypt"
    """TLS, not authenticated: secure TLSA records exist but none is usable (RFC 7672 §2.2)."""
    OPPORTUNISTIC = "opportunistic"
    """TLS if the host offers it (RFC 7435)."""
    SKIP = "skip"
    """No delivery to this host now; see `Obstacle`."""


class Obstacle(StrEnum):
    """Why a host is skipped."""

    LOOKUP_FAILED = "lookup-failed"
    """A DNS lookup failed or was bogus: not now, perhaps later (RFC 7672 §2.1.2)."""
    NOT_LISTED = "not-listed"
    """MTA-STS enforces and no pattern names this host (RFC 8461 §4.1)."""
    NO_ADDRESS = "no-address"


class HostKnowledge(msgspec.Struct, frozen=True):
    """One MX host and the walk to its TLSA records."""

    name: HostName
    preference: int
    tlsa: TlsaLookup


class HostRequirement(msgspec.Struct, frozen=True, kw_only=True):
    """What a sender owes to one MX host, and all that is needed to check it."""

    host: HostName
    preference: int
    level: Level
    obstacle: Obstacle | None = None
    records: tuple[TlsaData, ...] = ()
    """With DANE: the usable TLSA records."""
    base_domain: HostName | None = None
    """With DANE: the TLSA base domain, which is also the name for SNI (RFC 7672 §8.1)."""
    names: tuple[HostName, ...] = ()
    """With DANE: the reference identifiers for DANE-TA(2) (RFC 7672 §3.2.2); with PKIX: the host's name."""
    mx_is_proved: bool = True
    """With DANE: whether the MX records that name it are signed.

    If not, the host is authenticated, and whether it is the domain's nobody knows (RFC 7672 §2.2.1).
    """
    pattern: MxPattern | None = None
    """With PKIX: the pattern that names this host."""
    reasons: tuple[Reason, ...] = ()


class Kind(StrEnum):
    """The answers that a one-answer MTA can be given, in Postfix' words."""

    DANE_ONLY = "dane-only"
    DANE = "dane"
    SECURE = "secure"
    NOT_FOUND = "not-found"
    TEMP = "temp"


class OneAnswer(msgspec.Struct, frozen=True):
    """One answer for the whole domain."""

    kind: Kind
    patterns: tuple[MxPattern, ...] = ()
    """With SECURE: the policy's, never empty."""
    detail: str = ""
    """With TEMP: why, in a few printable words."""


class Course(StrEnum):
    """What happens to mail to this domain as a whole."""

    DELIVER = "deliver"
    """At least one MX host may be tried, on its terms."""
    DEFER = "defer"
    """None may be tried now; the mail waits."""
    BOUNCE = "bounce"
    """There is no such destination (RFC 5321 §5.1, RFC 7505 §4.1)."""


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What a sender must do with mail to a domain."""

    domain: HostName | None
    """The policy domain; None for an address literal."""
    course: Course
    answer: OneAnswer
    hosts: tuple[HostRequirement, ...]
    """By preference."""
    policy: EffectivePolicy | None
    """What MTA-STS says; None where it cannot say anything (RFC 8461 §3.4)."""
    reasons: tuple[Reason, ...]
    """About the domain as a whole; the last one says why the answer is what it is."""
    valid_until: datetime


def is_unknown(answer: Answer) -> bool:
    return answer.failed or answer.security in (Security.BOGUS, Security.INDETERMINATE)
