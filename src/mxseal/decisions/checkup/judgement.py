"""What comes out of a check: findings, a state, and what the senders of this world would do."""

from datetime import datetime
from enum import StrEnum

import msgspec

from mxseal.vocabulary.findings import Finding
from mxseal.vocabulary.names import HostName


class State(StrEnum):
    """The domain as a whole; no scores."""

    SEALED = "sealed"
    """DANE or MTA-STS protects mail to it, and nothing stops mail."""
    OPEN = "open"
    """Mail flows, and an attacker in the path can take it."""
    BROKEN = "broken"
    """Mail of senders that follow the standards is lost or waits."""


class Seal(StrEnum):
    """One standard at one place."""

    GOOD = "good"
    WARNING = "warning"
    BROKEN = "broken"
    NONE = "none"
    """Not there; nothing is protected by it."""
    UNKNOWN = "unknown"
    """It could not be seen from here."""


class Sender(StrEnum):
    """Three kinds of senders stand for all."""

    DANE = "dane"
    """Knows DANE and not MTA-STS: Postfix or Exim with DANE switched on, most of the Dutch and German providers."""
    MTA_STS = "mta-sts"
    """Knows MTA-STS and not DANE: Gmail and its like."""
    OLD = "old"
    """Uses TLS if it is offered, whoever answers."""


class Standard(StrEnum):
    """What can oblige a sender to authenticate."""

    DANE = "dane"
    MTA_STS = "mta-sts"


class Fate(StrEnum):
    """What becomes of a mail."""

    DELIVERED = "delivered"
    PARTLY = "partly"
    """With one kind of certificate delivered, with another not: by chance of what the sender prefers."""
    DEFERRED = "deferred"
    """It waits at the sender, and comes back if nothing changes."""
    RETURNED = "returned"
    UNKNOWN = "unknown"


class Protection(StrEnum):
    """How a delivered mail travels."""

    AUTHENTICATED = "authenticated"
    """TLS, with a server that has proved who it is."""
    ENCRYPTED = "encrypted"
    """TLS, with whoever answered."""
    CLEAR = "clear"
    NONE = ""
    """It is not delivered, or that is not known."""


class HostView(msgspec.Struct, frozen=True):
    """What happens at one MX host."""

    host: HostName
    fate: Fate
    protection: Protection
    sentence: str


class SenderView(msgspec.Struct, frozen=True):
    """What one kind of sender would do with mail to this domain, at the time of the evidence."""

    sender: Sender
    fate: Fate
    protection: Protection
    sentence: str
    hosts: tuple[HostView, ...] = ()
    """By preference."""


class Breaks(msgspec.Struct, frozen=True):
    """What stops to work on which day, if nobody does anything."""

    on: str
    """ISO date."""
    what: str


class HostSummary(msgspec.Struct, frozen=True, kw_only=True):
    """One MX host, for a table."""

    host: HostName
    preference: int
    addresses: tuple[str, ...]
    dnssec: Seal
    """Whether its addresses are signed."""
    starttls: Seal
    dane: Seal
    mta_sts: Seal
    """Whether a sender with MTA-STS would deliver to it; without a policy whether its certificate would do."""
    tlsa: tuple[str, ...] = ()
    """Each TLSA record, shortened, with what it matches."""
    tls: str = ""
    certificate_ends: datetime | None = None
    key_kinds: tuple[str, ...] = ()


class Overview(msgspec.Struct, frozen=True, kw_only=True):
    """The domain's records in short."""

    mx_dnssec: Seal
    mta_sts: Seal
    mode: str = ""
    policy_id: str = ""
    max_age: int | None = None
    policy_certificate_ends: datetime | None = None
    tlsrpt: Seal
    rua: tuple[str, ...] = ()


class Named(msgspec.Struct, frozen=True, order=True):
    """A finding without its words, to compare checks by."""

    id: str
    subject: str


class Changes(msgspec.Struct, frozen=True, kw_only=True):
    """What is different from an earlier check, judged by the same rules."""

    since: datetime
    """When the earlier check was made."""
    appeared: tuple[Named, ...]
    gone: tuple[Named, ...]


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that `check` says about one domain."""

    domain: HostName
    state: State
    sealed_by: tuple[Standard, ...] = ()
    """If it is sealed: by what.  Senders that know none of these are not bound; empty for a null MX."""
    observed_at: datetime
    judged_at: datetime
    findings: tuple[Finding, ...]
    """Worst first."""
    senders: tuple[SenderView, ...]
    breaks: tuple[Breaks, ...]
    """Earliest first; only what lies ahead."""
    overview: Overview
    hosts: tuple[HostSummary, ...]
    changes: Changes | None = None
    """None: there is no earlier check to compare with."""
