"""The words of delivering: what is asked of one session, what came of it, and what became of each recipient."""

from enum import StrEnum

import msgspec

from mxseal.decisions.delivery import Level
from mxseal.decisions.policy_lifecycle import Reason
from mxseal.standards.smtp import Answered, Mailbox, Message, Said, Unfit
from mxseal.standards.tlsrpt import ResultType
from mxseal.vocabulary.names import Address, HostName
from mxseal.vocabulary.observations import SessionOutcome


class Mail(msgspec.Struct, frozen=True, kw_only=True):
    """A message and for whom it is."""

    sender: Mailbox | None
    """None: the null reverse-path (RFC 5321 §4.5.5)."""
    recipients: tuple[Mailbox, ...]
    message: Message


# --- one session ---------------------------------------------------------------------------------


class TlsUse(StrEnum):
    """What a session does about TLS."""

    REQUIRED = "required"
    """No TLS, no mail."""
    IF_OFFERED = "if-offered"
    """TLS if the server offers it and answers 220; otherwise the session goes on in the clear (RFC 7435 §3)."""
    NONE = "none"
    """In the clear, because TLS was tried just now and failed."""


class Errand(msgspec.Struct, frozen=True, kw_only=True):
    """One session to be had with one address of one MX host."""

    host: HostName | None
    """None for an address literal."""
    address: Address
    tls: TlsUse
    sni: HostName | None
    mail: Mail
    seconds: float
    """For the whole session up to the end of data; the answer to that is waited for as long as RFC 5321 asks."""


class Denied(msgspec.Struct, frozen=True, kw_only=True):
    """This is not the server that the policy means: nothing is said to it any more."""

    reason: Reason
    result_type: ResultType
    detail: str
    """Why, without names: what RFC 8460 calls the failure-reason-code; printable."""


class Admitted(msgspec.Struct, frozen=True, kw_only=True):
    """This server may be given the mail."""

    proof: Reason
    """How it was authenticated, or that it was not."""
    objection: Denied | None = None
    """What a policy in mode testing has against it (RFC 8461 §5)."""


Admission = Admitted | Denied


class Visit(msgspec.Struct, frozen=True, kw_only=True):
    """What came of an errand."""

    host: HostName | None
    """None for an address literal."""
    address: Address
    session: SessionOutcome | None
    """None: TLS was not tried."""
    admission: Admission | None = None
    """None: there was no TLS session to judge."""
    answers: tuple[Answered, ...] = ()
    """One for each recipient, in order; empty where the mail was not offered at all."""
    unfit: Unfit | None = None
    """The server cannot be given this mail, so it was not offered."""
    trouble: str = ""
    """Why the mail was not offered though the session stood; printable."""
    helo: str = ""
    """The name in the server's greeting."""
    sending_ip: Address | None = None

    @property
    def name(self) -> str:
        """For people: the host's name, or the address literal."""
        return str(self.host) if self.host is not None else f"[{self.address}]"


# --- one recipient -------------------------------------------------------------------------------


class Delivered(msgspec.Struct, frozen=True, kw_only=True, tag="delivered"):
    """An MX host has taken the mail and with it the responsibility (RFC 5321 §6.1)."""

    recipient: str
    host: HostName | None
    """None for an address literal."""
    address: Address
    level: Level
    """What the host was held to."""
    tls: str
    """The version, for instance ``TLSv1.3``; empty for a session in the clear."""
    cipher: str
    proof: Reason
    """How the host was authenticated, or that it was not."""
    said: Said
    """Its answer to the end of data."""
    sealed: bool
    """Whether the host was authenticated, and is the domain's for certain: nobody on the way could read it."""


class Deferred(msgspec.Struct, frozen=True, kw_only=True, tag="deferred"):
    """Not now: try again later."""

    recipient: str
    reasons: tuple[Reason, ...]
    """One for each attempt or obstacle."""
    maybe_delivered: bool = False
    """A session broke off before the answer to the end of data: the next attempt may make a duplicate (RFC 1047)."""


class Bounced(msgspec.Struct, frozen=True, kw_only=True, tag="bounced"):
    """Never: trying again does not help."""

    recipient: str
    reasons: tuple[Reason, ...]
    status: str
    """The enhanced status code (RFC 3463), for instance ``5.1.1``."""
    said: Said | None = None
    """The server's words, where a server said it."""


Fate = Delivered | Deferred | Bounced
