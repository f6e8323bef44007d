"""The checkup of a domain: evidence in, findings out.

`judge` is pure: the same evidence, time and roots give the same judgement, so
saved evidence can be judged again with later rules.

    facts.py        evidence read once: parsed texts, a verdict on each handshake
    mx.py           RFC 5321, RFC 7505          MX001 …
    dnssec.py       RFC 4035, and --all-servers DNS001 …
    dane.py         RFC 7672, RFC 7671          DANE001 …
    mta_sts.py      RFC 8461                    STS001 …
    tlsrpt.py       RFC 8460                    RPT001 …
    starttls.py     RFC 3207                    TLS002 …
    cross.py        all of it together          TLS001
    senders.py      what three kinds of senders would do
    summary.py      the table
    catalogue.py    every finding, its severity, explanation and cure

A rule file takes the facts and yields findings; which of them apply to a
domain that takes no mail is decided here.
"""

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Final

from mxseal.decisions.checkup.catalogue import CATALOGUE, Entry
from mxseal.decisions.checkup.cross import judge_whole, seals
from mxseal.decisions.checkup.dane import judge_dane
from mxseal.decisions.checkup.dnssec import judge_dnssec
from mxseal.decisions.checkup.facts import Facts, gather_facts
from mxseal.decisions.checkup.judgement import (
    Breaks,
    Changes,
    Fate,
    HostSummary,
    HostView,
    Judgement,
    Named,
    Overview,
    Protection,
    Seal,
    Sender,
    SenderView,
    Standard,
    State,
)
from mxseal.decisions.checkup.mta_sts import judge_mta_sts
from mxseal.decisions.checkup.mx import judge_mx
from mxseal.decisions.checkup.senders import view_senders
from mxseal.decisions.checkup.starttls import judge_starttls
from mxseal.decisions.checkup.summary import breaks_ahead, summarize
from mxseal.decisions.checkup.tlsrpt import judge_tlsrpt
from mxseal.standards.certificate import Roots
from mxseal.vocabulary.findings import Finding, Severity
from mxseal.vocabulary.observations import Evidence

__all__ = [
    "CATALOGUE",
    "Breaks",
    "Changes",
    "Entry",
    "Fate",
    "HostSummary",
    "HostView",
    "Judgement",
    "Named",
    "Overview",
    "Protection",
    "Seal",
    "Sender",
    "SenderView",
    "Standard",
    "State",
    "judge",
    "needs_action",
]

Rule = Callable[[Facts], Iterator[Finding]]

_ALWAYS: Final[tuple[Rule, ...]] = (judge_mx, judge_dnssec)
_FOR_MAIL: Final[tuple[Rule, ...]] = (judge_whole, judge_dane, judge_mta_sts, judge_starttls, judge_tlsrpt)

_WORST_FIRST: Final = (Severity.BROKEN, Severity.OPEN, Severity.WARNING, Severity.NOTE)


def judge(evidence: Evidence, now: datetime, *, roots: Roots, previous: Evidence | None = None) -> Judgement:
    """What is to be said about a domain.

    Args:
        evidence: what was observed.
        now: the time to judge for (UTC): dates of certificates and signatures are compared with it.
        roots: trust anchors for PKIX.
        previous: evidence of an earlier check of the same domain, for findings about change.
    """
    facts = gather_facts(evidence, now, roots, previous)
    findings = _findings(facts)
    overview, hosts = summarize(facts)
    state = _state(findings)
    return Judgement(
        domain=evidence.domain,
        state=state,
        sealed_by=seals(facts) if state is State.SEALED else (),
        observed_at=evidence.at,
        judged_at=now,
        findings=tuple(findings),
        senders=view_senders(facts),
        breaks=breaks_ahead(facts, findings),
        overview=overview,
        hosts=hosts,
        changes=_changes(findings, previous, roots) if previous is not None else None,
    )


def _findings(facts: Facts) -> list[Finding]:
    rules = _ALWAYS if facts.takes_no_mail else _ALWAYS + _FOR_MAIL
    return sorted(
        (finding for rule in rules for finding in rule(facts)),
        key=lambda found: (_WORST_FIRST.index(found.severity), found.id, found.subject, found.sentence),
    )


def _changes(findings: list[Finding], previous: Evidence, roots: Roots) -> Changes:
    """By id and subject; sentences hold days and digests, which change by themselves."""
    earlier = _findings(gather_facts(previous, previous.at, roots))
    before = {Named(finding.id, finding.subject) for finding in earlier}
    today = {Named(finding.id, finding.subject) for finding in findings}
    return Changes(
        since=previous.at, appeared=tuple(sorted(today - before)), gone=tuple(sorted(before - today))
    )


def needs_action(judgement: Judgement, *, strict: bool = False) -> bool:
    """Whether something has to be done: the domain is open or broken; with `strict` also for a warning."""
    if judgement.state is not State.SEALED:
        return True
    return strict and any(finding.severity is Severity.WARNING for finding in judgement.findings)


def _state(findings: list[Finding]) -> State:
    severities = {finding.severity for finding in findings}
    if Severity.BROKEN in severities:
        return State.BROKEN
    return State.OPEN if Severity.OPEN in severities else State.SEALED
