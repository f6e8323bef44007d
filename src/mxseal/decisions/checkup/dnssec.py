"""What DNSSEC proves, zone by zone (RFC 4035), and whether all servers say the same."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from mxseal.decisions.checkup.facts import Facts
from mxseal.decisions.checkup.wording import finding, listed, why_failed
from mxseal.vocabulary.findings import Finding, Severity
from mxseal.vocabulary.observations import (
    Answer,
    AuthoritativeAnswer,
    Outcome,
    RecordType,
    Security,
)

SIGNATURES_AHEAD: Final = timedelta(hours=12)
"""Some signers on the fly make signatures that live for a day or two, so less than this is late for all."""

_SHA1: Final = ("RSASHA1", "RSASHA1-NSEC3-SHA1", "RSASHA1NSEC3SHA1", "DSA", "DSA-NSEC3-SHA1", "DSANSEC3SHA1")


def judge_dnssec(facts: Facts) -> Iterator[Finding]:
    """Each zone that mail to the domain rests on, once."""
    delivery = list(_for_delivery(facts))
    answers = [*delivery, *_beside(facts)]
    yield from _bogus(answers, delivery)
    yield from _unsigned(facts)
    yield from _old_algorithms(answers)
    yield from _late_signatures(facts, answers)
    yield from _servers(facts)


def _for_delivery(facts: Facts) -> Iterator[Answer]:
    """Without these no mail is delivered."""
    evidence = facts.evidence
    yield evidence.mx
    if facts.takes_no_mail:
        return
    for host in evidence.hosts:
        yield host.tlsa.ipv6
        yield host.tlsa.ipv4
        yield from host.tlsa.questions


def _beside(facts: Facts) -> Iterator[Answer]:
    """Without these there is no policy, or no report, and mail flows."""
    evidence = facts.evidence
    if facts.takes_no_mail:
        return
    yield evidence.sts_record
    yield from evidence.policy_host
    yield evidence.tlsrpt_record


def _bogus(answers: list[Answer], delivery: list[Answer]) -> Iterator[Finding]:
    by_zone: dict[str, list[Answer]] = defaultdict(list)
    for answer in answers:
        if answer.security is Security.BOGUS:
            by_zone[_zone_of(answer, Security.BOGUS)].append(answer)
    for zone, broken in by_zone.items():
        yield finding(
            "DNS002",
            zone,
            f"DNSSEC of {zone} is broken: {broken[0].reason or 'answers are bogus'}",
            evidence=map(why_failed, broken),
            severity=None if any(answer in delivery for answer in broken) else Severity.WARNING,
            zone=zone,
        )


def _unsigned(facts: Facts) -> Iterator[Finding]:
    """The first zone without protection on the way to the domain, and to each MX host."""
    told: set[str] = set()
    mx = facts.evidence.mx
    if not mx.failed and mx.security is Security.INSECURE:
        zone = _zone_of(mx, Security.INSECURE)
        told.add(zone)
        yield _insecure(facts, mx, zone, "DNS001", facts.domain)
    if facts.takes_no_mail:
        return
    for host in facts.hosts:
        lookup = host.evidence.tlsa
        if not host.is_insecure:
            continue
        answer = lookup.ipv6 if lookup.ipv6.addresses() else lookup.ipv4
        zone = _zone_of(answer, Security.INSECURE)
        if zone not in told and not _is_same_unsigned(mx, facts.domain, host.name):
            told.add(zone)
            yield _insecure(facts, answer, zone, "DNS004", host.name)


def _is_same_unsigned(mx: Answer, domain: str, host: str) -> bool:
    """Where no chain was walked, a host below an unsigned domain is taken to be in the domain's zone."""
    return (
        not mx.zones and mx.security is Security.INSECURE and (host == domain or host.endswith(f".{domain}"))
    )


def _insecure(facts: Facts, answer: Answer, zone: str, usual: str, subject: str) -> Finding:
    proof = next((proof for proof in answer.zones if proof.zone == zone), None)
    reason = proof.reason if proof is not None else answer.reason
    if proof is not None and proof.algorithm:
        # RFC 4035 §5.2: signed, with DS records that name nothing that a validator knows.
        return finding(
            "DNS003",
            zone,
            f"{zone} is signed, but counts as unsigned: {reason}",
            evidence=[reason],
            zone=zone,
        )
    what = "the domain" if usual == "DNS001" else "its MX host"
    where = f" (zone {zone})" if zone != subject else ""
    del facts
    return finding(
        usual, subject, f"{what} {subject} is not signed with DNSSEC{where}", evidence=[reason], zone=zone
    )


def _zone_of(answer: Answer, security: Security) -> str:
    """The topmost zone of this status on the way to the answer; without a walk the answer's name."""
    for proof in answer.zones:
        if proof.security is security:
            return proof.zone
    if answer.zones and security is Security.BOGUS:
        return answer.zones[-1].zone
    return answer.final_name if not answer.failed else answer.name


def _old_algorithms(answers: list[Answer]) -> Iterator[Finding]:
    told: set[str] = set()
    for answer in answers:
        for proof in answer.zones:
            if (
                proof.algorithm.upper() in _SHA1
                and proof.security is Security.SECURE
                and proof.zone not in told
            ):
                told.add(proof.zone)
                yield finding(
                    "DNS006", proof.zone, f"{proof.zone} is signed with {proof.algorithm}", zone=proof.zone
                )


def _late_signatures(facts: Facts, answers: list[Answer]) -> Iterator[Finding]:
    earliest: dict[str, Answer] = {}
    for answer in answers:
        expire = answer.signatures_expire
        if expire is None or not answer.is_secure or expire - facts.now >= SIGNATURES_AHEAD:
            continue
        zone = answer.zones[-1].zone if answer.zones else answer.final_name
        known = earliest.get(zone)
        if known is None or known.signatures_expire is None or expire < known.signatures_expire:
            earliest[zone] = answer
    for zone, answer in earliest.items():
        expire = answer.signatures_expire
        if expire is not None:
            yield finding(
                "DNS005",
                zone,
                f"signatures of {zone} expire at {expire:%Y-%m-%d %H:%M} UTC",
                on=expire,
                evidence=[f"{answer.name} {answer.record_type}"],
                zone=zone,
            )


# --- with --all-servers ----------------------------------------------------------------------------

_DIGEST: Final = re.compile(r"\b[0-9a-f]{32,}\b")
_Server = tuple[str, str, str]


def _servers(facts: Facts) -> Iterator[Finding]:
    questions: dict[tuple[str, RecordType], list[AuthoritativeAnswer]] = defaultdict(list)
    for answer in facts.evidence.authoritative:
        questions[answer.name, answer.record_type].append(answer)
    silent: dict[_Server, list[str]] = defaultdict(list)
    different: dict[_Server, list[str]] = defaultdict(list)
    for (name, record_type), answers in questions.items():
        usual = Counter(map(_content, answers)).most_common()
        spoken = [content for content, _ in usual if content is not None]
        for answer in answers:
            place = (answer.zone, str(answer.server), str(answer.address))
            content = _content(answer)
            if content is None:
                if not answer.detail.startswith("not asked"):
                    silent[place].append(f"{name} {record_type}: {answer.detail or 'no answer'}")
            elif content != spoken[0]:
                said = listed(answer.records) or answer.outcome.value
                others = listed(spoken[0][1]) or spoken[0][0].value
                serial = f" (serial {answer.serial})" if answer.serial is not None else ""
                different[place].append(f"{name} {record_type}: {said}{serial}; others: {others}")
    for id_, servers, verb in (
        ("DNS007", different, "answers differently"),
        ("DNS008", silent, "does not answer"),
    ):
        for (zone, server, address), lines in servers.items():
            yield finding(
                id_,
                server,
                f"{server} [{address}] {verb}: {_DIGEST.sub(_shortened, lines[0])}",
                evidence=lines,
                zone=zone,
                server=server,
                address=address,
            )


def _shortened(digest: re.Match[str]) -> str:
    return f"{digest[0][:16]}…"


def _content(answer: AuthoritativeAnswer) -> tuple[Outcome, tuple[str, ...]] | None:
    return None if answer.outcome is Outcome.FAILED else (answer.outcome, answer.records)
