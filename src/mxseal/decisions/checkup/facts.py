"""Evidence read once for all rules: parsed texts, verdicts on each handshake, the delivery decision.

Still no opinion: a rule turns facts into findings.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from mxseal.decisions.authentication import verify_dane
from mxseal.decisions.delivery import Decision, HostRequirement, Level, Obstacle, decide_evidence
from mxseal.standards import mta_sts, tlsrpt
from mxseal.standards.certificate import (
    Certificate,
    Roots,
    Trusted,
    Untrusted,
    parse_certificate,
    verify_pkix,
)
from mxseal.standards.dane import Mismatch, Usability, Verdict, Verified, classify, reference_identifiers
from mxseal.vocabulary.names import Address
from mxseal.vocabulary.observations import (
    Evidence,
    Handshake,
    KeyKind,
    MxHostEvidence,
    PolicyFetched,
    SmtpSession,
    TlsaState,
    Unreachable,
)
from mxseal.vocabulary.rejection import Rejection

Verdicts = dict[tuple[object, ...], Trusted | Untrusted]


@dataclass(frozen=True)
class SessionFacts:
    """One session, and what the two standards say of its certificates."""

    session: SmtpSession
    leaf: Certificate | None = None
    pkix: Trusted | Untrusted | None = None
    """None: there was no handshake."""
    dane: Verdict | None = None
    """None: no handshake, or no secure TLSA records."""

    @property
    def handshake(self) -> Handshake | None:
        outcome = self.session.outcome
        return outcome if isinstance(outcome, Handshake) else None

    @property
    def chain(self) -> tuple[bytes, ...]:
        return self.handshake.chain if self.handshake is not None else ()

    @property
    def place(self) -> str:
        """For evidence lines: ``192.0.2.1 (RSA)``."""
        kind = self.leaf.key_kind if self.leaf is not None else ""
        return f"{self.session.address} ({kind})" if kind else str(self.session.address)


@dataclass(frozen=True)
class HostFacts:
    """One MX host."""

    evidence: MxHostEvidence
    requirement: HostRequirement | None
    """What a sender that knows both standards owes to it."""
    usability: Usability
    sessions: tuple[SessionFacts, ...]

    @property
    def name(self) -> str:
        return str(self.evidence.name)

    @property
    def state(self) -> TlsaState:
        return self.evidence.tlsa.state

    @property
    def addresses(self) -> tuple[Address, ...]:
        return self.evidence.tlsa.addresses

    @property
    def is_insecure(self) -> bool:
        """It has addresses, and DNSSEC does not protect them."""
        return self.state is TlsaState.NOT_ASKED

    @property
    def has_dane(self) -> bool:
        return self.state is TlsaState.FOUND and bool(self.usability.usable)

    @property
    def demands_tls(self) -> bool:
        """Whether DANE or MTA-STS forbid to send mail to it without TLS."""
        if self.requirement is None:
            return False
        listed = self.requirement.obstacle is Obstacle.NOT_LISTED
        return listed or self.requirement.level in (Level.DANE, Level.PKIX, Level.ENCRYPT)

    @property
    def first_sessions(self) -> tuple[SessionFacts, ...]:
        """One an address: what a client with usual settings gets."""
        return tuple(s for s in self.sessions if s.session.key_kind is KeyKind.ANY)

    @property
    def handshakes(self) -> tuple[SessionFacts, ...]:
        return tuple(session for session in self.sessions if session.handshake is not None)

    @cached_property
    def verified(self) -> tuple[SessionFacts, ...]:
        return tuple(session for session in self.handshakes if isinstance(session.dane, Verified))

    @cached_property
    def mismatched(self) -> tuple[SessionFacts, ...]:
        return tuple(session for session in self.handshakes if isinstance(session.dane, Mismatch))

    @property
    def leaf(self) -> Certificate | None:
        """The certificate that it shows first."""
        return next((session.leaf for session in self.handshakes if session.leaf is not None), None)


@dataclass(frozen=True)
class Facts:
    """All that the rules look at."""

    evidence: Evidence
    now: datetime
    roots: Roots
    previous: Evidence | None
    decision: Decision
    hosts: tuple[HostFacts, ...]

    @property
    def domain(self) -> str:
        return str(self.evidence.domain)

    @cached_property
    def takes_no_mail(self) -> bool:
        """The domain does not exist, says by a null MX that it takes no mail, or has nowhere to take it."""
        mx = self.evidence.mx
        nowhere = mx.denied and all(host.state is TlsaState.NO_ADDRESS for host in self.hosts)
        return nowhere or self.is_null

    @cached_property
    def is_null(self) -> bool:
        """RFC 7505 §3: a single MX record without a name."""
        records = self.evidence.mx.records
        return (
            bool(records)
            and all(mx.exchange is None for mx in self.evidence.mx.mx())
            and (len(records) == len(self.evidence.mx.mx()))
        )

    @cached_property
    def mx_is_proved(self) -> bool:
        """Nobody can forge the list of MX hosts; without MX records the domain's name is the list."""
        mx = self.evidence.mx
        return not mx.failed and (mx.is_secure or mx.denied)

    @cached_property
    def sts_record(self) -> mta_sts.Record | mta_sts.NoRecord | Rejection | None:
        """None: the lookup failed."""
        answer = self.evidence.sts_record
        return None if answer.failed else mta_sts.select_record(answer.texts())

    @cached_property
    def policy(self) -> mta_sts.Policy | Rejection | None:
        """What the policy host serves; None if nothing came."""
        fetch = self.evidence.policy_fetch
        return mta_sts.parse_policy(fetch.body) if isinstance(fetch, PolicyFetched) else None

    @property
    def active_policy(self) -> mta_sts.Policy | None:
        """The policy, if it is valid and in mode enforce or testing."""
        policy = self.policy
        return policy if isinstance(policy, mta_sts.Policy) and policy.mode is not mta_sts.Mode.NONE else None

    @property
    def enforced_policy(self) -> mta_sts.Policy | None:
        policy = self.active_policy
        return policy if policy is not None and policy.mode is mta_sts.Mode.ENFORCE else None

    @cached_property
    def tlsrpt_record(self) -> tlsrpt.Record | tlsrpt.NoRecord | Rejection | None:
        """None: the lookup failed."""
        answer = self.evidence.tlsrpt_record
        return None if answer.failed else tlsrpt.select_record(answer.texts())

    @cached_property
    def reachable_hosts(self) -> tuple[HostFacts, ...]:
        """Those that have an address."""
        return tuple(host for host in self.hosts if host.addresses)

    @cached_property
    def some_host_answers(self) -> bool:
        """Whether an SMTP session came to be with any MX host."""
        return any(
            not isinstance(session.session.outcome, Unreachable)
            for host in self.hosts
            for session in host.sessions
        )

    @property
    def policy_url(self) -> str:
        return mta_sts.policy_url(self.evidence.domain)


def gather_facts(evidence: Evidence, now: datetime, roots: Roots, previous: Evidence | None = None) -> Facts:
    """Read the evidence; each different chain is judged once."""
    decision = decide_evidence(evidence, now=now)
    requirements = {requirement.host: requirement for requirement in decision.hosts}
    mx_is_proved = not evidence.mx.failed and (evidence.mx.is_secure or evidence.mx.denied)
    hosts = tuple(
        HostFacts(
            host,
            requirements.get(host.name),
            classify(host.tlsa.records),
            tuple(_session_facts(evidence, host, now, roots, mx_is_proved=mx_is_proved)),
        )
        for host in evidence.hosts
    )
    return Facts(evidence, now, roots, previous, decision, hosts)


def _session_facts(
    evidence: Evidence, host: MxHostEvidence, now: datetime, roots: Roots, *, mx_is_proved: bool
) -> Iterator[SessionFacts]:
    known: dict[tuple[bytes, ...], SessionFacts] = {}
    names = reference_identifiers(host.tlsa.base_domain or host.name, evidence.domain, mx_secure=mx_is_proved)
    for session in host.sessions:
        outcome = session.outcome
        if not isinstance(outcome, Handshake):
            yield SessionFacts(session)
            continue
        facts = known.get(outcome.chain)
        if facts is None:
            leaf = parse_certificate(outcome.chain[0]) if outcome.chain else None
            facts = known[outcome.chain] = SessionFacts(
                session,
                None if isinstance(leaf, Rejection) else leaf,
                verify_pkix(outcome.chain, roots, host.name, now),
                verify_dane(host.tlsa.records, outcome.chain, names=names, at=now)
                if host.tlsa.state is TlsaState.FOUND
                else None,
            )
        yield SessionFacts(session, facts.leaf, facts.pkix, facts.dane)
