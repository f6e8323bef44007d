"""Findings made from the catalogue and a domain's own values."""

from collections.abc import Iterable
from datetime import date, datetime
from typing import Final

from mxseal.decisions.checkup.catalogue import CATALOGUE
from mxseal.vocabulary.findings import Finding, Severity
from mxseal.vocabulary.observations import Answer
from mxseal.vocabulary.rejection import printable

MAX_EVIDENCE: Final = 40
"""Lines; a domain with hundreds of bad records must not fill the screen."""

_MAX_CURE: Final = 4000
"""Characters of a line; a TLSA record with a whole certificate must not be cut."""


def finding(
    id_: str,
    subject: str,
    sentence: str,
    *,
    severity: Severity | None = None,
    on: datetime | date | None = None,
    evidence: Iterable[str] = (),
    **values: object,
) -> Finding:
    """A finding of the catalogue.

    Args:
        id_: of the catalogue.
        subject: what it is about.
        sentence: what is so here; everything from outside in it is made printable.
        severity: if it is another here than the catalogue's usual one.
        on: the day on which it breaks.
        evidence: details, a line each.
        values: for the cure's template.
    """
    entry = CATALOGUE[id_]
    lines = [printable(line, 400) for line in evidence]
    if len(lines) > MAX_EVIDENCE:
        lines = [*lines[:MAX_EVIDENCE], f"… and {len(lines) - MAX_EVIDENCE} more"]
    cure = entry.cure.format(**values)
    return Finding(
        id=id_,
        severity=severity or entry.severity,
        subject=printable(subject, 260),
        sentence=printable(sentence, 1000),
        cure="\n".join(printable(line, _MAX_CURE) for line in cure.split("\n")),
        section=entry.section,
        on=f"{on:%Y-%m-%d}" if on is not None else "",
        evidence=tuple(lines),
    )


def listed(words: Iterable[str], limit: int = 6) -> str:
    """``a, b and c``; shortened beyond `limit`."""
    items = list(dict.fromkeys(words))
    if len(items) > limit:
        items = [*items[:limit], f"{len(items) - limit} more"]
    if len(items) < 2:
        return "".join(items)
    return f"{', '.join(items[:-1])} and {items[-1]}"


def counted(number: int, noun: str) -> str:
    """``1 record``, ``2 records``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def day(moment: datetime) -> str:
    """``2026-12-07``."""
    return f"{moment:%Y-%m-%d}"


def why_failed(answer: Answer) -> str:
    """One line: the question, and why it has no good answer."""
    question = f"{answer.name} {answer.record_type}"
    return answer.reason if answer.reason.startswith(question) else f"{question}: {answer.reason}"
