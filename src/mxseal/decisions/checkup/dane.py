"""DANE: TLSA records against what the MX hosts show (RFC 7672, RFC 7671)."""

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Final

from mxseal.decisions.checkup.facts import Facts, HostFacts, SessionFacts
from mxseal.decisions.checkup.wording import day, finding, listed, why_failed
from mxseal.standards.certificate import Certificate, Distrust, parse_certificate
from mxseal.standards.dane import (
    Failure,
    MatchingType,
    Mismatch,
    Selector,
    Usage,
    Verified,
    matches,
    passed_over,
    recognise_wrong_digest,
    short,
    tlsa_for,
    tlsa_name,
)
from mxseal.vocabulary.findings import Finding, Severity
from mxseal.vocabulary.names import HostName
from mxseal.vocabulary.observations import (
    Answer,
    Outcome,
    RecordType,
    Security,
    TlsaData,
    TlsaState,
)

_MAX_COMPARED: Final = 16


def judge_dane(facts: Facts) -> Iterator[Finding]:
    """Host by host, then what follows for the domain."""
    for host in facts.hosts:
        if host.state is TlsaState.FAILED:
            yield from _failed(host)
        elif host.state is TlsaState.FOUND:
            yield from _records(host)
            yield from _certificates(facts, host)
    yield from _coverage(facts)
    yield from _insecure(facts)


# --- the cure: the record that is right --------------------------------------------------------------


def base_of(host: HostFacts) -> HostName:
    """Below which name the host's TLSA records belong (RFC 7672 §2.2.3)."""
    return host.evidence.tlsa.base_domain or host.evidence.name


def line_of(host: HostFacts, record: TlsaData) -> str:
    """A record as a zone file has it, whole."""
    return f"{tlsa_name(base_of(host))}. IN TLSA {record}"


def right_records(host: HostFacts) -> list[TlsaData]:
    """``3 1 1`` for each key that the host shows, or ``3 1 2`` where nothing weaker counts (RFC 7671 §9)."""
    keys = dict.fromkeys(session.leaf.spki for session in host.handshakes if session.leaf is not None)
    records = {key: tlsa_for(key) for key in keys}
    weaker = passed_over((*host.usability.usable, *records.values()))
    return [
        tlsa_for(key, matching_type=MatchingType.SHA2_512) if record in weaker else record
        for key, record in records.items()
    ]


def right_lines(host: HostFacts, records: Iterable[TlsaData] | None = None) -> str:
    """The records to publish, a line each, or how to make one where no certificate was seen."""
    lines = [line_of(host, record) for record in (right_records(host) if records is None else records)]
    return "\n".join(lines) or f"mxseal dane tlsa cert.pem --name {base_of(host)}"


def _widely_known(host: HostFacts) -> list[TlsaData]:
    """``3 1 1`` for each key, also where SHA-512 is published: for those that do not know it."""
    return list(dict.fromkeys(tlsa_for(s.leaf.spki) for s in host.handshakes if s.leaf is not None))


# --- one host ----------------------------------------------------------------------------------------


def _failed(host: HostFacts) -> Iterator[Finding]:
    lookup = host.evidence.tlsa
    broken = next((question for question in lookup.questions if question.failed), None)
    if broken is None or broken.security is Security.BOGUS or not host.addresses:
        return  # MX010, or DNS002 says it
    yield finding(
        "DANE003",
        host.name,
        f"the TLSA lookup for {host.name} fails: {broken.reason}",
        evidence=[why_failed(broken)],
        name=broken.name,
    )


def _records(host: HostFacts) -> Iterator[Finding]:
    usable, unusable = host.usability.usable, host.usability.unusable
    lines = [f"{short(record)}: {why}" for record, why in unusable]
    if not usable:
        yield finding(
            "DANE006",
            host.name,
            f"no TLSA record of {host.name} can be used",
            evidence=lines,
            tlsa=right_lines(host),
        )
    elif unusable:
        yield finding(
            "DANE005",
            host.name,
            f"{len(unusable)} of {len(usable) + len(unusable)} TLSA records of {host.name} cannot be used",
            evidence=lines,
            records="\n".join(line_of(host, record) for record, _ in unusable[:_MAX_COMPARED]),
        )
    if usable and all(record.matching_type == MatchingType.SHA2_512 for record in usable):
        yield finding(
            "DANE016",
            host.name,
            f"all TLSA records of {host.name} are SHA-512",
            evidence=map(short, usable),
            tlsa=right_lines(host, _widely_known(host)),
        )


def _certificates(facts: Facts, host: HostFacts) -> Iterator[Finding]:
    """The records against what each address shows, for each kind of key."""
    if not host.handshakes or not host.usability.usable:
        return
    unsent = _unsent_anchors(facts, host)
    if host.mismatched:
        yield from _mismatch(facts, host, unsent)
    elif unsent:
        yield from _not_sent(host, unsent, Severity.WARNING)
    yield from _wrong_digests(host)
    yield from _expired_anchor(facts, host)
    if not host.mismatched:
        yield from _renewal(host)


def _mismatch(facts: Facts, host: HostFacts, unsent: list[tuple[TlsaData, Certificate]]) -> Iterator[Finding]:
    del facts
    lines = [line for session in host.mismatched for line in _reasons(session)]
    if not host.verified:
        if unsent:
            yield from _not_sent(host, unsent, None)
            return
        id_, what = _why_all(host)
    else:
        id_, what = _why_some(host)
    records = right_records(host)
    yield finding(
        id_,
        host.name,
        what,
        evidence=dict.fromkeys(lines),
        host=base_of(host),
        tlsa=right_lines(host, records),
        mtype=max((record.matching_type for record in records), default=1),
    )


def _reasons(session: SessionFacts) -> list[str]:
    if not isinstance(session.dane, Mismatch):
        return []
    return [f"{session.place}: {reason}" for reason in session.dane.reasons]


_DATES = (Distrust.EXPIRED, Distrust.NOT_YET_VALID)


def _why_all(host: HostFacts) -> tuple[str, str]:
    """The one reason that all sessions share, if a trust anchor was found and something else is wrong."""
    kinds = {
        reason.kind
        for session in host.mismatched
        if isinstance(session.dane, Mismatch)
        for reason in session.dane.reasons
        if reason.failure is Failure.NOT_VALID
    }
    if Distrust.NAME_MISMATCH.value in kinds:
        return "DANE011", f"the certificate of {host.name} does not name it, as DANE-TA(2) demands"
    dates = kinds & {kind.value for kind in _DATES}
    if dates:
        word = "has expired" if Distrust.EXPIRED.value in dates else "is not yet valid"
        return "DANE012", f"the certificate of {host.name} {word}, and DANE-TA(2) looks at dates"
    return "DANE008", f"no TLSA record of {host.name} matches its certificate"


def _why_some(host: HostFacts) -> tuple[str, str]:
    good = {session.session.address for session in host.verified}
    bad = {session.session.address for session in host.mismatched}
    if bad - good:
        where = listed(sorted(bad - good))
        return "DANE009", f"no TLSA record of {host.name} matches its certificate at {where}"
    kinds = listed(sorted({session.leaf.key_kind for session in host.mismatched if session.leaf is not None}))
    return "DANE010", f"no TLSA record of {host.name} matches its {kinds or 'other'} certificate"


def _unsent_anchors(facts: Facts, host: HostFacts) -> list[tuple[TlsaData, Certificate]]:
    """DANE-TA(2) records of known roots which no session sent (RFC 7671 §5.2.2)."""
    records = [record for record in host.usability.usable if record.usage == Usage.DANE_TA]
    if not records:
        return []
    sent = [certificate for session in host.handshakes for certificate in _certificates_of(session)]
    lacking = [record for record in records if not any(matches(record, one) for one in sent)]
    return [(record, root) for record in lacking for root in facts.roots if matches(record, root)]


def _not_sent(
    host: HostFacts, unsent: list[tuple[TlsaData, Certificate]], severity: Severity | None
) -> Iterator[Finding]:
    record, root = unsent[0]
    yield finding(
        "DANE015",
        host.name,
        f"the TLSA record {short(record)} of {host.name} names the CA {root.subject}, which is not sent",
        severity=severity,
        evidence=[f"{short(record)}: {root.subject}" for record, root in unsent],
        issuer=root.subject,
        record=line_of(host, record),
        tlsa=right_lines(host),
    )


def _certificates_of(session: SessionFacts) -> list[Certificate]:
    parsed = (parse_certificate(octets) for octets in session.chain[:16])
    return [certificate for certificate in parsed if isinstance(certificate, Certificate)]


def _is_matched(host: HostFacts, record: TlsaData) -> bool:
    """Whether some session verified by this record, or would have."""
    for session in host.handshakes:
        certificates = _certificates_of(session)
        places = certificates[:1] if record.usage == Usage.DANE_EE else certificates[1:]
        if any(matches(record, certificate) for certificate in places):
            return True
    return False


@lru_cache(maxsize=512)
def _mistake(record: TlsaData, chain: tuple[bytes, ...]) -> str | None:
    """Some hundred digests; hosts that many domains share are looked at once."""
    parsed = (parse_certificate(octets) for octets in chain[:16])
    return recognise_wrong_digest(record, [one for one in parsed if isinstance(one, Certificate)])


def _wrong_digests(host: HostFacts) -> Iterator[Finding]:
    told: set[TlsaData] = set()
    for session in host.handshakes:
        # A hostile RRset has hundreds of records, and each costs some hundred digests.
        for record in host.usability.usable[:_MAX_COMPARED]:
            if record in told or _is_matched(host, record):
                continue
            mistake = _mistake(record, session.chain)
            if mistake is not None:
                told.add(record)
                yield finding(
                    "DANE014",
                    host.name,
                    f"the TLSA record {short(record)} of {host.name} can never match: {mistake}",
                    record=line_of(host, record),
                    tlsa=right_lines(host),
                )


def _expired_anchor(facts: Facts, host: HostFacts) -> Iterator[Finding]:
    for session in host.verified:
        verdict = session.dane
        if not isinstance(verdict, Verified) or verdict.record.usage != Usage.DANE_TA:
            continue
        anchor = parse_certificate(verdict.certificate) if verdict.certificate is not None else None
        if isinstance(anchor, Certificate) and anchor.not_after < facts.now:
            yield finding(
                "DANE018",
                host.name,
                f"the trust anchor of the TLSA record {short(verdict.record)} of {host.name} has expired",
                evidence=[f"{anchor.subject} ended on {day(anchor.not_after)}"],
                tlsa=right_lines(host),
            )
            return


def _renewal(host: HostFacts) -> Iterator[Finding]:
    """What the next certificate and the next key will do."""
    leaf = host.leaf
    if not host.verified or leaf is None:
        return
    weaker = passed_over(host.usability.usable)
    counting = [record for record in host.usability.usable if record not in weaker]
    if any(record.usage == Usage.DANE_TA and _is_matched(host, record) for record in counting):
        return  # the CA vouches for the next key
    spare = [record for record in counting if not _is_matched(host, record)]
    pinned = [
        record for record in counting if record.usage == Usage.DANE_EE and record.selector == Selector.CERT
    ]
    if pinned and len(pinned) == len(counting) - len(spare):
        yield finding(
            "DANE017",
            host.name,
            f"{short(pinned[0])} holds the whole certificate of {host.name}, which ends on {day(leaf.not_after)}",
            on=leaf.not_after,
            tlsa=right_lines(host),
        )
    elif not spare:
        yield finding(
            "DANE007",
            host.name,
            f"{host.name} has no TLSA record for its next key; its certificate ends on {day(leaf.not_after)}",
            on=leaf.not_after,
            host=base_of(host),
        )


# --- the domain --------------------------------------------------------------------------------------


def _coverage(facts: Facts) -> Iterator[Finding]:
    sealed = [host for host in facts.hosts if host.state is TlsaState.FOUND]
    lacking = [host for host in facts.hosts if host.state in (TlsaState.ABSENT, TlsaState.NOT_ASKED)]
    stray = _stray(facts)
    if stray and lacking:
        names = listed(answer.name for answer in stray)
        yield finding(
            "DANE013",
            stray[0].name,
            f"TLSA records stand at {names}, where no sender looks",
            evidence=[
                f"{answer.name}. IN TLSA {short(record)}" for answer in stray for record in answer.tlsa()
            ],
            tlsa="\n".join(map(right_lines, lacking[:4])),
        )
    if sealed:
        have = "has" if len(sealed) == 1 else "have"
        for host in lacking:
            why = "is not signed with DNSSEC" if host.is_insecure else "has none"
            yield finding(
                "DANE002",
                host.name,
                f"{host.name} {why}, where {listed(other.name for other in sealed)} {have} TLSA records",
                tlsa=f"sign the zone of {host.name}, or ask its operator to"
                if host.is_insecure
                else right_lines(host),
            )
        if facts.evidence.mx.found and facts.evidence.mx.security is Security.INSECURE:
            yield finding(
                "DANE019",
                facts.domain,
                f"the MX hosts have TLSA records, but the MX records of {facts.domain} are not signed",
                zone=facts.domain,
            )
    elif not stray and facts.mx_is_proved and facts.evidence.mx.is_secure:
        possible = [host for host in lacking if host.state is TlsaState.ABSENT]
        if possible and len(possible) == len(facts.reachable_hosts) and not _insecure_answers(facts):
            yield finding(
                "DANE001",
                facts.domain,
                f"{facts.domain} and its MX hosts are signed, but there are no TLSA records",
                tlsa="\n".join(map(right_lines, possible)),
            )


def _stray(facts: Facts) -> list[Answer]:
    """TLSA records at names that no sender asks for."""
    right = {tlsa_name(host.evidence.name) for host in facts.hosts}
    right |= {question.name for host in facts.hosts for question in host.evidence.tlsa.questions}
    return [answer for answer in facts.evidence.stray_tlsa if answer.found and answer.name not in right]


def _insecure(facts: Facts) -> Iterator[Finding]:
    for name, answer in _insecure_answers(facts).items():
        zones = [proof.zone for proof in answer.zones if proof.security is Security.INSECURE]
        yield finding(
            "DANE004",
            name,
            f"the TLSA records of {name} are not protected by DNSSEC, so senders ignore them",
            evidence=[f"{answer.name}. IN TLSA {short(record)}" for record in answer.tlsa()],
            zone=zones[0] if zones else name,
        )


def _insecure_answers(facts: Facts) -> dict[str, Answer]:
    """By MX host: TLSA records at the right name, without DNSSEC."""
    found: dict[str, Answer] = {}
    stray = {answer.name: answer for answer in facts.evidence.stray_tlsa}
    for host in facts.hosts:
        if host.state not in (TlsaState.ABSENT, TlsaState.NOT_ASKED):
            continue
        asked = [q for q in host.evidence.tlsa.questions if q.record_type is RecordType.TLSA]
        there = stray.get(tlsa_name(HostName(host.name)))
        for answer in (*asked, *((there,) if there is not None else ())):
            if answer.outcome is Outcome.FOUND and answer.security is Security.INSECURE and answer.tlsa():
                found.setdefault(host.name, answer)
    return found
