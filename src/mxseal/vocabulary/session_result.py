"""What became of one TLS session under one policy: what RFC 8460 counts.

Our own delivery makes these values, and so does whoever reads what an MTA says
about its sessions.  They are facts about one moment; adding them up to a report
is `standards.tlsrpt`'s.  Types are texts here, because the registry of result
types grows by specification, and an MTA may know newer ones than we do.
"""

import msgspec

from mxseal.vocabulary.names import Address, HostName
from mxseal.vocabulary.observations import Moment


class AppliedPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """The policy that a session was held to (RFC 8460 §4.4)."""

    policy_type: str
    """``tlsa``, ``sts`` or ``no-policy-found``."""
    domain: HostName
    """With ``tlsa`` the TLSA base domain, otherwise the policy domain."""
    strings: tuple[str, ...] = ()
    """The lines of the MTA-STS policy, or the TLSA records in presentation format."""
    mx_patterns: tuple[str, ...] = ()
    """The patterns of the MTA-STS policy."""


class SessionFailure(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was wrong; a session can have several (RFC 8460 §4.4)."""

    result_type: str
    """For instance ``certificate-expired`` (RFC 8460 §4.3)."""
    reason: str = ""
    """The failure-reason-code: what a TLS library or a parser said, printable."""


class SessionResult(msgspec.Struct, frozen=True, kw_only=True):
    """One session under one policy; a policy that could not be fetched has no session, and so no MX host."""

    at: Moment
    """When it ended (UTC)."""
    domain: HostName
    """The domain of the recipients: to its operator the report goes (RFC 8460 §3)."""
    policy: AppliedPolicy
    succeeded: bool
    """Whether the policy was kept; with ``no-policy-found``, whether there was a TLS session.

    Says nothing about the mail: under a policy in mode testing it is delivered all the same.
    """
    failures: tuple[SessionFailure, ...] = ()
    mx_host: HostName | None = None
    receiving_helo: str = ""
    """The name in the server's greeting, printable."""
    receiving_ip: Address | None = None
    sending_ip: Address | None = None
