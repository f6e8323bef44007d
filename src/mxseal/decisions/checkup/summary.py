"""The domain and its MX hosts in short, for the table above the findings."""

from collections.abc import Iterable, Iterator
from datetime import datetime

from mxseal.decisions.checkup.facts import Facts, HostFacts
from mxseal.decisions.checkup.judgement import Breaks, HostSummary, Overview, Seal
from mxseal.decisions.checkup.mta_sts import ends_soon
from mxseal.decisions.checkup.wording import day
from mxseal.standards import mta_sts, tlsrpt
from mxseal.standards.certificate import Certificate, Trusted, parse_certificate
from mxseal.standards.dane import Mismatch, Verified, short
from mxseal.standards.mta_sts import Mode, Policy
from mxseal.vocabulary.findings import Finding
from mxseal.vocabulary.observations import (
    Answer,
    PolicyFetched,
    Security,
    TlsaData,
    TlsaState,
    Unreachable,
)
from mxseal.vocabulary.rejection import printable


def summarize(facts: Facts) -> tuple[Overview, tuple[HostSummary, ...]]:
    """What the table shows."""
    return _overview(facts), tuple(_host(facts, host) for host in facts.hosts)


def breaks_ahead(facts: Facts, findings: Iterable[Finding]) -> tuple[Breaks, ...]:
    """What ends on a known day; earliest first."""
    today = day(facts.now)
    ahead = {(finding.on, finding.sentence) for finding in findings if finding.on >= today}
    return tuple(Breaks(on, what) for on, what in sorted(ahead))


def _security(answer: Answer) -> Seal:
    return {
        Security.SECURE: Seal.GOOD,
        Security.INSECURE: Seal.NONE,
        Security.BOGUS: Seal.BROKEN,
        Security.INDETERMINATE: Seal.UNKNOWN,
    }[answer.security]


def _overview(facts: Facts) -> Overview:
    record = facts.sts_record
    policy = facts.policy
    valid = policy if isinstance(policy, Policy) else None
    reports = facts.tlsrpt_record
    return Overview(
        mx_dnssec=_security(facts.evidence.mx),
        mta_sts=_policy_seal(facts),
        mode=valid.mode.value if valid is not None else "",
        policy_id=record.id if isinstance(record, mta_sts.Record) else "",
        max_age=valid.max_age if valid is not None else None,
        policy_certificate_ends=_policy_certificate_ends(facts),
        tlsrpt=_reports_seal(facts),
        rua=tuple(printable(uri, 200) for uri in reports.rua) if isinstance(reports, tlsrpt.Record) else (),
    )


def _policy_seal(facts: Facts) -> Seal:
    if facts.sts_record is None:
        return Seal.UNKNOWN
    if isinstance(facts.sts_record, mta_sts.NoRecord) and not facts.sts_record.near:
        return Seal.NONE
    if not isinstance(facts.policy, Policy):
        return Seal.BROKEN
    return Seal.GOOD if facts.policy.mode is Mode.ENFORCE else Seal.WARNING


def _policy_certificate_ends(facts: Facts) -> datetime | None:
    fetch = facts.evidence.policy_fetch
    if not isinstance(fetch, PolicyFetched) or not fetch.chain:
        return None
    leaf = parse_certificate(fetch.chain[0])
    return leaf.not_after if isinstance(leaf, Certificate) else None


def _reports_seal(facts: Facts) -> Seal:
    match facts.tlsrpt_record:
        case None:
            return Seal.UNKNOWN
        case tlsrpt.Record():
            reached = [endpoint.reachable for endpoint in facts.evidence.report_endpoints]
            return Seal.WARNING if False in reached else Seal.GOOD
        case tlsrpt.NoRecord(near=()):
            return Seal.NONE
        case _:
            return Seal.BROKEN


def _host(facts: Facts, host: HostFacts) -> HostSummary:
    lookup = host.evidence.tlsa
    address = lookup.ipv6 if lookup.ipv6.addresses() else lookup.ipv4
    leaf = host.leaf
    handshakes = [session.handshake for session in host.handshakes if session.handshake is not None]
    return HostSummary(
        host=host.evidence.name,
        preference=host.evidence.preference,
        addresses=tuple(map(str, host.addresses)),
        dnssec=_security(address),
        starttls=_starttls_seal(host),
        dane=_dane_seal(host),
        mta_sts=_sts_seal(facts, host),
        tlsa=tuple(_tlsa_lines(host)),
        tls=handshakes[0].version if handshakes else "",
        certificate_ends=leaf.not_after if leaf is not None else None,
        key_kinds=tuple(
            sorted({session.leaf.key_kind for session in host.handshakes if session.leaf is not None})
        ),
    )


def _starttls_seal(host: HostFacts) -> Seal:
    outcomes = [session.session.outcome for session in host.first_sessions]
    spoken = [outcome for outcome in outcomes if not isinstance(outcome, Unreachable)]
    if not spoken:
        return Seal.UNKNOWN
    good = len(host.handshakes) > 0 and all(
        session.handshake is not None
        for session in host.first_sessions
        if not isinstance(session.session.outcome, Unreachable)
    )
    if good:
        return Seal.GOOD
    return Seal.WARNING if host.handshakes else Seal.BROKEN


def _dane_seal(host: HostFacts) -> Seal:
    if host.state is TlsaState.FAILED:
        return Seal.BROKEN
    if host.state is not TlsaState.FOUND:
        return Seal.NONE
    if not host.usability.usable:
        return Seal.WARNING
    if host.mismatched:
        return Seal.BROKEN
    if host.verified:
        return Seal.WARNING if host.usability.unusable else Seal.GOOD
    return Seal.UNKNOWN if _starttls_seal(host) is Seal.UNKNOWN else Seal.BROKEN


def _sts_seal(facts: Facts, host: HostFacts) -> Seal:
    policy = facts.active_policy
    if policy is None:
        return Seal.NONE
    if policy.matching(host.evidence.name) is None:
        return Seal.BROKEN
    if not host.handshakes:
        return Seal.UNKNOWN if _starttls_seal(host) is Seal.UNKNOWN else Seal.BROKEN
    if not all(isinstance(session.pkix, Trusted) for session in host.handshakes):
        return Seal.BROKEN
    soon = any(session.leaf is not None and ends_soon(session.leaf, facts.now) for session in host.handshakes)
    return Seal.WARNING if soon or policy.mode is not Mode.ENFORCE else Seal.GOOD


def _tlsa_lines(host: HostFacts) -> Iterator[str]:
    """Each record with what became of it."""
    unusable = dict(host.usability.unusable)
    matched = {session.dane.record for session in host.verified if isinstance(session.dane, Verified)}
    for record in host.evidence.tlsa.records[:8]:
        if record in unusable:
            yield f"{short(record)}  unusable"
        elif record in matched:
            yield f"{short(record)}  matches"
        else:
            yield f"{short(record)}  {_why_not(host, record)}"


def _why_not(host: HostFacts, record: TlsaData) -> str:
    del record
    if not host.handshakes:
        return "not compared"
    if any(isinstance(session.dane, Mismatch) for session in host.mismatched):
        return "no match"
    return "for another key"
