"""A judgement for people: the state, a table, the findings, what senders would do.

Everything fits into 80 columns where names allow it, and is at most 100 wide.
Colour only says again what words and signs say.
"""

import re
import textwrap
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from mxseal.decisions.checkup.catalogue import is_to_paste
from mxseal.decisions.checkup.judgement import (
    Fate,
    HostSummary,
    Judgement,
    Protection,
    Seal,
    Sender,
    SenderView,
    Standard,
    State,
)
from mxseal.vocabulary.findings import Finding, Severity

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

STYLES: Final = {
    Severity.BROKEN: "bold red",
    Severity.OPEN: "bold yellow",
    Severity.WARNING: "yellow",
    Severity.NOTE: "cyan",
}
_STATES: Final = {State.SEALED: "bold green", State.OPEN: "bold yellow", State.BROKEN: "bold red"}
_SEALS: Final = {
    Seal.GOOD: ("✓", "green"),
    Seal.WARNING: ("!", "yellow"),
    Seal.BROKEN: ("✗", "bold red"),
    Seal.NONE: ("–", "dim"),
    Seal.UNKNOWN: ("?", "yellow"),
}
_STANDARDS: Final = {Standard.DANE: "DANE", Standard.MTA_STS: "MTA-STS"}
_ASCII: Final = str.maketrans("✓✗–→…§", "+X->~S")
_FATES: Final = {
    Fate.DELIVERED: "green",
    Fate.PARTLY: "bold red",
    Fate.DEFERRED: "bold red",
    Fate.RETURNED: "dim",
    Fate.UNKNOWN: "yellow",
}
_SENDERS: Final = {
    Sender.DANE: "with DANE (Postfix)",
    Sender.MTA_STS: "with MTA-STS (Gmail)",
    Sender.OLD: "with neither",
}
_WIDEST: Final = 100
_SIGNS: Final = 2 + 4 + 2 + 8 + 10 + 6 + 9
"""Columns between the name and what is said of the certificate."""
_COLUMNS: Final = 2 + _SIGNS + len("certificate")
_TLSA: Final = re.compile(r"(?:TLSA )?[0-3] [01] [0-2] [0-9a-f]+…?")
_DAY: Final = timedelta(days=1)
_INDENT: Final = "  "
_OUTDENT: Final = "  "
_EVIDENCE: Final = 6
"""Lines below a finding; JSON has all of them."""


def render(out: "Console", judgement: Judgement) -> None:
    """Print one domain."""
    width = min(out.width, _WIDEST) if out.is_terminal else _WIDEST
    plain = not _can_show_signs(out.encoding)
    for line in lines(judgement, width):
        if plain:
            line.plain = line.plain.translate(_ASCII)
        # Wrapped here already, where what hangs below what is known.
        out.print(line, soft_wrap=True)


def _can_show_signs(encoding: str) -> bool:
    """Else each would become ``?``, which is a sign with a meaning of its own."""
    try:
        "".join(map(chr, _ASCII)).encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def lines(judgement: Judgement, width: int) -> Iterator["Text"]:
    """The lines of the screen, styled."""
    yield _title(judgement, width)
    yield from _records(judgement, width)
    yield from _hosts(judgement, width)
    for finding in judgement.findings:
        yield from _finding(finding, width)
    yield from _senders(judgement, width)
    yield from _breaks(judgement, width)
    yield from _changes(judgement, width)


def _text(*parts: str | tuple[str, str]) -> "Text":
    from rich.text import Text

    return Text.assemble(*parts)


def _seal(seal: Seal) -> tuple[str, str]:
    return _SEALS[seal]


# --- the head ----------------------------------------------------------------------------------------


def _title(judgement: Judgement, width: int) -> "Text":
    name = judgement.domain.unicode
    if name != judgement.domain:
        name = f"{name} ({judgement.domain})"
    counts = Counter(finding.severity for finding in judgement.findings)
    nouns = {Severity.WARNING: "warning", Severity.NOTE: "note"}
    words = [
        f"{counts[severity]} {_noun(nouns.get(severity, severity.value), counts[severity])}"
        for severity in Severity
        if counts[severity]
    ]
    state = _state(judgement)
    tail = f"  ({', '.join(words)})" if words else ""
    gap = max(2, width - len(name) - len(state) - len(tail))
    return _text((name, "bold"), " " * gap, (state, _STATES[judgement.state]), (tail, "dim"))


def _state(judgement: Judgement) -> str:
    """In capitals, and by what the domain is sealed: who does not know that is not bound by it."""
    if judgement.state is not State.SEALED:
        return judgement.state.value.upper()
    by = " and ".join(_STANDARDS[standard] for standard in judgement.sealed_by)
    if not by:
        return "NO MAIL"
    unseen = all(host.starttls is Seal.UNKNOWN for host in judgement.hosts)
    # TLS006: what is published seals, and whether it fits the MX hosts is not known.
    return f"SEALED by {by}, MX hosts unseen" if unseen else f"SEALED by {by}"


def _noun(noun: str, count: int) -> str:
    return f"{noun}s" if count != 1 and noun in ("warning", "note") else noun


def _records(judgement: Judgement, width: int) -> Iterator["Text"]:
    """MTA-STS and TLSRPT in a line each, where they are there."""
    over = judgement.overview
    if over.mta_sts not in (Seal.NONE, Seal.UNKNOWN):
        words = [over.mode or "no policy that holds"]
        words += [f"id {over.policy_id}"] if over.policy_id else []
        words += [f"max_age {_span(over.max_age)}"] if over.max_age is not None else []
        if over.policy_certificate_ends is not None:
            words.append(f"certificate {_days(over.policy_certificate_ends, judgement)}")
        yield _text(f"{_INDENT}{'MTA-STS':<10}", _seal(over.mta_sts), f" {'  '.join(words)}")
    if over.tlsrpt not in (Seal.NONE, Seal.UNKNOWN):
        first, *others = _wrapped("  ".join(over.rua) or "a record that cannot be used", width - 14)
        yield _text(f"{_INDENT}{'TLSRPT':<10}", _seal(over.tlsrpt), f" {first}")
        for line in others:
            yield _text(" " * 14, line)


def _span(seconds: int) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds} s"


def _days(moment: datetime, judgement: Judgement) -> str:
    left = moment - judgement.judged_at
    return f"{left.days} d" if left.days >= 0 else f"ended {-left // _DAY} d ago"


# --- the table ---------------------------------------------------------------------------------------


def _hosts(judgement: Judgement, width: int) -> Iterator["Text"]:
    if not judgement.hosts:
        return
    names = [_short(host.host, width - _COLUMNS) for host in judgement.hosts]
    wide = max(map(len, [*names, "MX host"]))
    signed = judgement.overview.mx_dnssec
    sign, style = _seal(signed)
    head = f"{_INDENT}{'MX host':<{wide}}  {'pref':>4}  DNSSEC  STARTTLS  DANE  MTA-STS  certificate"
    yield _text((head, "dim"))
    for name, host in zip(names, judgement.hosts, strict=True):
        yield _host(f"{name:<{wide}}", host, judgement, width)
        for line in host.tlsa:
            yield _text((f"{_INDENT}{'':<{min(wide, 20)}}        TLSA {line}", "dim"))
    if signed is not Seal.GOOD:
        yield _text((f"{_INDENT}the MX records: DNSSEC ", "dim"), (sign, style))


def _host(name: str, host: HostSummary, judgement: Judgement, width: int) -> "Text":
    certificate = ""
    if host.certificate_ends is not None:
        certificate = _days(host.certificate_ends, judgement)
        room = width - len(_INDENT) - len(name) - _SIGNS
        for more in (" ".join(host.key_kinds), host.tls):
            if more and len(certificate) + 2 + len(more) <= room:
                certificate += f"  {more}"
    return _text(
        f"{_INDENT}{name}  {host.preference:>4}  ",
        *_cell(host.dnssec, 8),
        *_cell(host.starttls, 10),
        *_cell(host.dane, 6),
        *_cell(host.mta_sts, 9),
        certificate,
    )


def _cell(seal: Seal, width: int) -> tuple[tuple[str, str], str]:
    """A sign in a column."""
    return _seal(seal), " " * (width - 1)


def _short(name: str, longest: int) -> str:
    return name if len(name) <= longest else f"{name[: longest - 1]}…"


def _wrapped(text: str, width: int) -> list[str]:
    """Lines of at most `width`; a word that is longer, for instance a URL, stays whole, and so does a TLSA record."""
    kept = _TLSA.sub(lambda found: found[0].replace(" ", "\xa0"), text)
    parts = textwrap.wrap(kept, max(30, width), break_on_hyphens=False, break_long_words=False)
    return [part.replace("\xa0", " ") for part in parts] or [""]


# --- findings ----------------------------------------------------------------------------------------


def _finding(finding: Finding, width: int) -> Iterator["Text"]:
    yield _text("")
    style = STYLES[finding.severity]
    head = f"{finding.id:<8}{finding.severity.value:<9}"
    body = _wrapped(finding.sentence, width - len(head) - 2)
    yield _text(_INDENT, (f"{finding.id:<8}", "bold"), (f"{finding.severity.value:<9}", style), body[0])
    hang = " " * (len(_INDENT) + len(head))
    for line in body[1:]:
        yield _text(hang, line)
    yield from _cure(finding, hang, width)
    if finding.severity is not Severity.NOTE:
        for line in _unsaid(finding)[:_EVIDENCE]:
            # What is indented (a text with carets below) must keep its columns.
            parts = (
                [line] if line.startswith(" ") or is_to_paste(line) else _wrapped(line, width - len(hang) - 2)
            )
            for part in parts:
                yield _text(hang, (f"  {part}", "dim"))


def _unsaid(finding: Finding) -> list[str]:
    """The evidence without what the sentence has said already."""
    return [
        line
        for line in finding.evidence
        if line not in finding.sentence and not all(part in finding.sentence for part in line.split(": ", 1))
    ]


def _cure(finding: Finding, hang: str, width: int) -> Iterator["Text"]:
    """The cure, and behind its last line, if there is room, the section."""
    given: list[str] = []
    for line in finding.cure.split("\n"):
        given += [line] if is_to_paste(line) else _wrapped(line, width - len(hang) - 2)
    section = f"({finding.section})"
    # Never behind a line that somebody may copy as a whole.
    fits = "\n" not in finding.cure and not is_to_paste(given[-1])
    fits = fits and len(hang) + 2 + len(given[-1]) + 2 + len(section) <= width
    for number, line in enumerate(given, 1):
        tail = f"  {section}" if fits and number == len(given) else ""
        paste = is_to_paste(line)
        # Where it does not fit below the sentence, perhaps it does further left.
        lead = _OUTDENT if paste and len(hang) + 2 + len(line) > width else hang
        arrow = "→ " if number == 1 else "  "
        yield _text(lead, (arrow, "bold"), (line, "green" if paste else ""), (tail, "dim"))
    if not fits:
        yield _text(hang, "  ", (section, "dim"))


# --- senders -----------------------------------------------------------------------------------------


def _senders(judgement: Judgement, width: int) -> Iterator["Text"]:
    yield _text("")
    yield _text((f"{_INDENT}Mail to this domain, today, from a sender", "dim"))
    wide = max(map(len, _SENDERS.values()))
    for view in judgement.senders:
        hang = " " * (len(_INDENT) + wide + 2)
        body = _wrapped(view.sentence, width - len(hang) - 2)
        sign, style = _view_sign(view)
        yield _text(f"{_INDENT}{_SENDERS[view.sender]:<{wide}}  ", (sign, style), f" {body[0]}")
        for line in body[1:]:
            yield _text(hang, "  ", line)


def _view_sign(view: SenderView) -> tuple[str, str]:
    if view.fate is Fate.DELIVERED:
        sealed = view.protection is Protection.AUTHENTICATED
        return ("✓", "green") if sealed else ("!", "yellow")
    sign = {Fate.UNKNOWN: "?", Fate.RETURNED: "–"}.get(view.fate, "✗")
    return sign, _FATES[view.fate]


def _breaks(judgement: Judgement, width: int) -> Iterator["Text"]:
    if not judgement.breaks:
        return
    yield _text("")
    for item in judgement.breaks[:5]:
        lead = f"{_INDENT}breaks on {item.on}  "
        body = _wrapped(item.what, width - len(lead))
        yield _text((lead, "yellow"), body[0])
        for line in body[1:]:
            yield _text(" " * len(lead), line)


def _changes(judgement: Judgement, width: int) -> Iterator["Text"]:
    changes = judgement.changes
    if changes is None:
        return
    yield _text("")
    lead = f"{_INDENT}since {changes.since:%Y-%m-%d}  "
    words = [
        f"{what} {named.id} ({named.subject})"
        for what, names in (("new:", changes.appeared), ("gone:", changes.gone))
        for named in names
    ]
    first, *others = _wrapped("  ".join(words) or "no finding has come or gone", width - len(lead))
    yield _text((lead, "dim"), first)
    for line in others:
        yield _text(" " * len(lead), line)
