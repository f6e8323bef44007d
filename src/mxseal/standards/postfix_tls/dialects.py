"""What is the same policy is written in another way for other MTAs.

=============  ==========================================================================
map name       written for
=============  ==========================================================================
any other      Postfix since 3.4, and Exim: level, ``match=``, ``servername=hostname``
QUERYwithTLSRPT  Postfix since 3.10: the same, and what its TLS reports need to know
sts            Sendmail's ``FEATURE(`sts')``: MTA-STS alone, since Sendmail does DANE itself
=============  ==========================================================================

Postfix 3.10 (TLSRPT_README, "MTA-STS support via smtp_tls_policy_maps")::

    attribute  = name "=" value / "{" name "=" value "}"     ; braces: the value may have blanks
    policy_type=sts                       ; once
    policy_domain=example.com             ; once
    mx_host_pattern=*.example.net         ; one for each mx line
    { policy_string = mode: enforce }     ; one for each line of the policy

Since Postfix 3.10.5 the patterns are also what MX hosts are held to
(smtp_tls_enforce_sts_mx_patterns): with these attributes ``*.example.net``
means one label, as RFC 8461 §4.1 wants, which ``match=`` cannot say.

The attributes belong to MTA-STS only; with a ``dane`` level Postfix reports
TLSA records by itself, and takes the attributes for a mistake.  Nor is
``policy_failure`` ever sent: whatever its level, Postfix defers mail which has
it, also where RFC 8461 §5.1 lets mail flow.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Final

import msgspec

from mxseal.standards.postfix_tls.policy import MAX_REPLY_OCTETS, SecurityLevel, TlsPolicy, match_of
from mxseal.vocabulary.names import HostName
from mxseal.vocabulary.rejection import Rejection

_SECTION: Final = "TLSRPT_README"


class Dialect(StrEnum):
    """How a policy is written."""

    PLAIN = "plain"
    TLSRPT = "tlsrpt"
    SENDMAIL = "sendmail"


_DIALECTS: Final = {"querywithtlsrpt": Dialect.TLSRPT, "sts": Dialect.SENDMAIL}


def dialect_of(map_name: str) -> Dialect:
    """What a map's name asks for; names are compared without case."""
    return _DIALECTS.get(map_name.lower(), Dialect.PLAIN)


class StsPolicy(msgspec.Struct, frozen=True):
    """A `TlsPolicy` of level ``secure``, and the MTA-STS policy that it comes from, for Postfix 3.10.

    The constructor raises `ValueError` for what Postfix would not read.
    """

    policy: TlsPolicy
    policy_domain: HostName
    mx_patterns: tuple[str, ...]
    """As RFC 8461 §3.2 writes them, with ``*.``."""
    policy_strings: tuple[str, ...] = ()
    """Lines of the policy, for reports."""

    def __post_init__(self) -> None:
        if self.policy.level is not SecurityLevel.SECURE:
            raise ValueError(f"level {self.policy.level} takes no attributes of MTA-STS")
        if not self.mx_patterns:
            raise ValueError("a policy of MTA-STS that is enforced has an mx pattern")
        for pattern in self.mx_patterns:
            if isinstance(match_of(pattern), Rejection):
                raise ValueError(f"not an mx pattern: {pattern!r}")  # noqa: TRY004 - it is of the right type
        for line in self.policy_strings:
            if not _can_be_quoted(line):
                raise ValueError(f"not a line that Postfix can read: {line!r}")

    @property
    def level(self) -> SecurityLevel:
        return self.policy.level

    def __str__(self) -> str:
        patterns = "".join(f" mx_host_pattern={pattern}" for pattern in self.mx_patterns)
        strings = "".join(f" {{ policy_string = {line} }}" for line in self.policy_strings)
        return f"{self.policy} policy_type=sts policy_domain={self.policy_domain}{patterns}{strings}"


def with_sts(
    policy: TlsPolicy, policy_domain: HostName, mx_patterns: Sequence[str], lines: Sequence[str]
) -> StsPolicy | Rejection:
    """What Postfix 3.10 is told beside the policy, as far as it fits and can be read.

    Lines of the policy are for reports only, so one that Postfix could not read (with
    braces, or other characters than printable ASCII) is left out, and all are where
    the answer would be too long with them.  Patterns are never left out: where they
    are too many the result is a rejection, and the caller answers TEMP.
    """
    patterns = tuple(dict.fromkeys(mx_patterns))
    quotable = tuple(line for line in lines if _can_be_quoted(line))
    try:
        written = StsPolicy(policy, policy_domain, patterns, quotable)
        if not _fits(written):
            written = StsPolicy(policy, policy_domain, patterns)
    except ValueError as error:
        return Rejection("", 0, 0, str(error), "policy", _SECTION)
    if _fits(written):
        return written
    what = f"{len(patterns)} mx patterns are more than {MAX_REPLY_OCTETS} octets have room for"
    return Rejection("", 0, 0, what, "policy", _SECTION)


def _fits(policy: StsPolicy) -> bool:
    return len(f"OK {policy}") <= MAX_REPLY_OCTETS


def _can_be_quoted(line: str) -> bool:
    """Whether a line comes out of Postfix' braces as it went in; it normalises blanks, and braces must balance."""
    return line.isascii() and line.isprintable() and line.strip() == line != "" and not set(line) & set("{}")
