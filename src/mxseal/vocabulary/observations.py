"""What the world said about a domain: evidence, before anybody judges it.

Each value here is an observation: a DNS answer, an SMTP session up to its TLS
handshake, a fetched policy.  An observation carries what is needed to judge it
later (security, lifetime, raw octets) and never an opinion.  `Evidence` is all
that was observed about one policy domain; it is what ``--save`` writes and
``--replay`` reads.
"""

from collections.abc import Iterator
from datetime import datetime
from enum import StrEnum
from typing import Annotated

import msgspec

from mxseal.vocabulary.names import Address, HostName

Moment = Annotated[datetime, msgspec.Meta(tz=True)]
"""A time with its zone; saved evidence without one is refused."""

# --- DNS ---------------------------------------------------------------------------------------


class RecordType(StrEnum):
    """The record types that mail transport security asks for, and those that prove them."""

    A = "A"
    AAAA = "AAAA"
    CAA = "CAA"
    CNAME = "CNAME"
    DNSKEY = "DNSKEY"
    DS = "DS"
    MX = "MX"
    NS = "NS"
    SOA = "SOA"
    TLSA = "TLSA"
    TXT = "TXT"


class Security(StrEnum):
    """The security status of a DNS answer (RFC 4035 §4.3).

    `INDETERMINATE` is also what a lookup that failed gets: who could not ask
    does not know, and must not act as if the answer were insecure.
    """

    SECURE = "secure"
    INSECURE = "insecure"
    BOGUS = "bogus"
    INDETERMINATE = "indeterminate"


class Outcome(StrEnum):
    """What kind of answer it was."""

    FOUND = "found"
    NO_DATA = "nodata"
    NO_NAME = "nxdomain"
    FAILED = "failed"
    """No answer that can be used: time-out, SERVFAIL, REFUSED, malformed, or bogus."""


class MxData(msgspec.Struct, frozen=True, tag="mx"):
    """RFC 5321 §5.1; `exchange` is None for the null MX of RFC 7505 (``0 .``).

    A record whose exchange is no host name (an address, for instance) is `OtherData` within the answer.
    """

    preference: int
    exchange: HostName | None


class AddressData(msgspec.Struct, frozen=True, tag="address"):
    address: Address


class TextData(msgspec.Struct, frozen=True, tag="text"):
    """A TXT record: its character-strings as they came, which are octets, not text."""

    strings: tuple[bytes, ...]


class TlsaData(msgspec.Struct, frozen=True, tag="tlsa"):
    """A TLSA record as it came (RFC 6698 §2.1); whether it is usable is judged in `standards.dane`."""

    usage: int
    selector: int
    matching_type: int
    data: bytes

    def __str__(self) -> str:
        """Presentation format, RFC 6698 §2.2."""
        return f"{self.usage} {self.selector} {self.matching_type} {self.data.hex()}"


class OtherData(msgspec.Struct, frozen=True, tag="other"):
    """Any other record, in presentation format."""

    text: str


RecordData = MxData | AddressData | TextData | TlsaData | OtherData


class Alias(msgspec.Struct, frozen=True):
    """One CNAME step (or a DNAME's synthesis) with the security of this step alone."""

    owner: str
    target: str
    security: Security


class ZoneProof(msgspec.Struct, frozen=True):
    """One step of the chain of trust: a zone that was walked through, top down."""

    zone: str
    """The apex without trailing dot; ``.`` is the root."""
    security: Security
    reason: str
    """Why: for instance ``DS 20326 → DNSKEY``, ``no DS (NSEC proves it)``, ``signature expired on …``."""
    algorithm: str = ""
    """Of the keys, as IANA names it, for instance ``ECDSAP256SHA256``.

    An insecure zone has one only if it is signed with what nobody can verify (RFC 4035 §5.2).
    """


class Answer(msgspec.Struct, frozen=True):
    """The answer to one question, after following aliases.

    `security` is the weakest of all steps; for the steps apart see `aliases`.
    """

    name: str
    record_type: RecordType
    outcome: Outcome
    security: Security
    records: tuple[RecordData, ...] = ()
    aliases: tuple[Alias, ...] = ()
    ttl: int = 0
    """Seconds that the answer may be kept: the smallest of TTLs, original TTLs and time to signature expiry;
    for a denial from the SOA record (RFC 2308 §5)."""
    reason: str = ""
    """In a few words why outcome and security are what they are; names the step that failed."""
    zones: tuple[ZoneProof, ...] = ()
    """The chain of trust from the root to the zone that holds the last name, where this back end walked it."""
    signatures_expire: Moment | None = None
    """The earliest expiration of the signatures this answer rests on (UTC)."""
    extended_errors: tuple[str, ...] = ()
    """Extended DNS Errors (RFC 8914) the resolver gave, as text."""

    @property
    def found(self) -> bool:
        return self.outcome is Outcome.FOUND

    @property
    def denied(self) -> bool:
        """The other side answered that there is no such record or name."""
        return self.outcome in (Outcome.NO_DATA, Outcome.NO_NAME)

    @property
    def failed(self) -> bool:
        return self.outcome is Outcome.FAILED

    @property
    def is_secure(self) -> bool:
        return self.security is Security.SECURE

    @property
    def final_name(self) -> str:
        """The name at the end of the aliases."""
        return self.aliases[-1].target if self.aliases else self.name

    def mx(self) -> tuple[MxData, ...]:
        """The MX records by ascending preference, then by name."""
        found = (record for record in self.records if isinstance(record, MxData))
        return tuple(sorted(found, key=lambda record: (record.preference, record.exchange or "")))

    def addresses(self) -> tuple[Address, ...]:
        return tuple(record.address for record in self.records if isinstance(record, AddressData))

    def texts(self) -> tuple[TextData, ...]:
        return tuple(record for record in self.records if isinstance(record, TextData))

    def tlsa(self) -> tuple[TlsaData, ...]:
        return tuple(record for record in self.records if isinstance(record, TlsaData))


class TlsaState(StrEnum):
    """What TLSA discovery found for one MX host (RFC 7672 §2.2)."""

    FOUND = "found"
    """A secure TLSA RRset; whether a record of it is usable is judged in `standards.dane`."""
    ABSENT = "absent"
    """No TLSA RRset, or only an insecure one: DANE does not apply (RFC 7672 §2.2.1, §2.2.2)."""
    NOT_ASKED = "not-asked"
    """The addresses are insecure, so TLSA records are not even looked up (RFC 7672 §2.2.2)."""
    FAILED = "failed"
    """A lookup failed or was bogus: this host must not be used now (RFC 7672 §2.1.2)."""
    NO_ADDRESS = "no-address"
    """The host has no address: this host cannot be used, with or without DANE."""


class TlsaLookup(msgspec.Struct, frozen=True):
    """The walk from an MX host's name to its TLSA RRset, with every answer on the way."""

    host: HostName
    state: TlsaState
    ipv4: Answer
    ipv6: Answer
    base_domain: HostName | None = None
    """The TLSA base domain: where the records were found (RFC 7672 §2.2.3); None if none were."""
    records: tuple[TlsaData, ...] = ()
    questions: tuple[Answer, ...] = ()
    """The TLSA (and CNAME) questions, in the order in which they were asked."""
    reason: str = ""

    @property
    def addresses(self) -> tuple[Address, ...]:
        """IPv6 first, as RFC 6724 orders and MTAs do by default."""
        return self.ipv6.addresses() + self.ipv4.addresses()


class AuthoritativeAnswer(msgspec.Struct, frozen=True):
    """What one authoritative server said to one question."""

    zone: str
    server: HostName
    address: Address
    name: str
    record_type: RecordType
    outcome: Outcome
    records: tuple[str, ...] = ()
    """In presentation format, sorted."""
    serial: int | None = None
    detail: str = ""


# --- SMTP --------------------------------------------------------------------------------------


class KeyKind(StrEnum):
    """Which certificates the probing client offered to accept."""

    ANY = "any"
    RSA = "rsa"
    ECDSA = "ecdsa"


class Stage(StrEnum):
    """Where in an SMTP session something happened."""

    CONNECT = "connect"
    GREETING = "greeting"
    EHLO = "ehlo"
    STARTTLS = "starttls"
    HANDSHAKE = "handshake"
    EHLO_AGAIN = "ehlo-again"


class Unreachable(msgspec.Struct, frozen=True, tag="unreachable"):
    """No SMTP session came to be: refused, timed out, closed or not SMTP, before STARTTLS."""

    stage: Stage
    detail: str
    refused: bool = False
    """Whether the connection was refused by an answer; silence may be the fault of the network that asks."""


class StarttlsNotOffered(msgspec.Struct, frozen=True, tag="starttls-not-offered"):
    """The EHLO reply has no STARTTLS keyword (RFC 3207 §4)."""


class StarttlsRefused(msgspec.Struct, frozen=True, tag="starttls-refused"):
    """STARTTLS was offered, and answered with something else than 220."""

    code: int
    text: str


class ProtocolViolation(msgspec.Struct, frozen=True, tag="protocol-violation"):
    """The peer broke SMTP in a way that must end the session: octets behind the 220, an endless reply, …"""

    stage: Stage
    detail: str


class HandshakeTrouble(StrEnum):
    """What a handshake failed at, as far as that makes a difference."""

    VERSION = "version"
    """The server has no TLS version that was offered."""
    OTHER = "other"


class HandshakeFailed(msgspec.Struct, frozen=True, tag="handshake-failed"):
    """STARTTLS was accepted but no TLS session came to be."""

    detail: str
    trouble: HandshakeTrouble = HandshakeTrouble.OTHER


class Handshake(msgspec.Struct, frozen=True, tag="handshake"):
    """A TLS session, made without verification so that the whole chain can be judged afterwards."""

    version: str
    """For instance ``TLSv1.3``."""
    cipher: str
    chain: tuple[bytes, ...]
    """The certificates that the server sent, DER, leaf first."""
    ehlo_again: bool = True
    """Whether EHLO was answered inside of TLS."""


SessionOutcome = (
    Unreachable | StarttlsNotOffered | StarttlsRefused | ProtocolViolation | HandshakeFailed | Handshake
)


class SmtpSession(msgspec.Struct, frozen=True):
    """One SMTP session with one address of an MX host, up to the verdict's eve; no mail was offered."""

    host: HostName
    address: Address
    port: int
    outcome: SessionOutcome
    sni: HostName | None = None
    key_kind: KeyKind = KeyKind.ANY
    greeting: str = ""
    """The host name of the 220 greeting, as it came, printable and bounded."""
    milliseconds: int = 0


# --- MTA-STS policy over HTTPS -------------------------------------------------------------------


class FetchStage(StrEnum):
    """Where in a policy fetch something failed (RFC 8461 §3.3)."""

    DNS = "dns"
    CONNECT = "connect"
    TLS = "tls"
    """The handshake failed for another reason than the certificate."""
    CERTIFICATE = "certificate"
    """The policy host's certificate is not valid for it: result type sts-webpki-invalid (RFC 8460 §4.3.2.2)."""
    HTTP = "http"
    TIMEOUT = "timeout"


class PolicyFetched(msgspec.Struct, frozen=True, tag="fetched"):
    """The policy host answered 200 with a text of acceptable type and size over verified TLS."""

    policy_domain: HostName
    url: str
    body: bytes
    address: Address
    content_type: str = ""
    chain: tuple[bytes, ...] = ()


class PolicyFetchFailed(msgspec.Struct, frozen=True, tag="fetch-failed"):
    """No policy came; at each address tried, why."""

    policy_domain: HostName
    url: str
    stage: FetchStage
    detail: str
    status: int | None = None
    """The HTTP status, where one came."""
    content_type: str = ""
    """The media type, where the fetch failed because it is not acceptable (RFC 8461 §3.2)."""
    attempts: tuple[str, ...] = ()
    """One line an address that was tried."""
    chain: tuple[bytes, ...] = ()
    """The certificates that the policy host sent, where it came so far."""


PolicyFetch = PolicyFetched | PolicyFetchFailed


class EndpointReached(msgspec.Struct, frozen=True):
    """Whether a report destination (`rua`) can be reached, without sending anything to it."""

    uri: str
    reachable: bool | None
    """None: not tried (for instance because the address is private)."""
    detail: str = ""


# --- all of it -------------------------------------------------------------------------------------


class MxHostEvidence(msgspec.Struct, frozen=True):
    """One MX host: its names, records and sessions."""

    name: HostName
    preference: int
    tlsa: TlsaLookup
    sessions: tuple[SmtpSession, ...] = ()

    def handshakes(self) -> Iterator[tuple[SmtpSession, Handshake]]:
        for session in self.sessions:
            if isinstance(session.outcome, Handshake):
                yield session, session.outcome


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """All that was observed about one policy domain at one time."""

    domain: HostName
    at: Moment
    """When collecting began (UTC)."""
    mx: Answer
    hosts: tuple[MxHostEvidence, ...]
    """By preference; a domain with an implicit MX has itself here (RFC 5321 §5.1)."""
    sts_record: Answer
    """TXT at ``_mta-sts.`` + domain."""
    policy_fetch: PolicyFetch | None
    """None if nothing asked for a fetch: no valid record was there."""
    policy_host: tuple[Answer, ...] = ()
    """The A and AAAA answers for ``mta-sts.`` + domain."""
    tlsrpt_record: Answer
    """TXT at ``_smtp._tls.`` + domain."""
    report_endpoints: tuple[EndpointReached, ...] = ()
    stray_tlsa: tuple[Answer, ...] = ()
    """TLSA answers at names where operators put them by mistake, for instance at the mail domain itself."""
    authoritative: tuple[AuthoritativeAnswer, ...] = ()
    """With ``--all-servers``: each server's own answer."""
    left_out: tuple[str, ...] = ()
    """What was not examined because of a limit on hosts, addresses or time, one line each."""
    private_allowed: bool = False
    """Whether addresses of private networks were meant to be connected to (a lab)."""
    smtp_port: int = 25
    roots: tuple[bytes, ...] | None = None
    """The trust anchors given by ``--ca-file``, DER; None: the system's."""
