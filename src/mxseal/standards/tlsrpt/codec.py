"""Reports as JSON, strictly (RFC 8460 §4.4); what is wrong is told with its JSON path and place.

Strict is for what we send and for what follows the standard.  Real reporters
deviate in many ways; reading those leniently is another module's subject.
"""

import json
import re
from datetime import timedelta
from typing import Final

import msgspec

from mxseal.standards.tlsrpt.report import MAX_FAILURE_DETAILS, Report
from mxseal.vocabulary.names import Address, HostName, InvalidName
from mxseal.vocabulary.rejection import Rejection, printable

MAX_REPORT_OCTETS: Final = 32 * 1024 * 1024
"""Of a report after decompression."""
MAX_DEPTH: Final = 32
"""RFC 8460 needs six levels; extensions may nest a little."""
MAX_DAYS: Final = 31
"""How long the time range of a report may be; RFC 8460 §4.1 wants one day."""

_SECTION: Final = "RFC 8460 §4.4"
_PATH: Final = re.compile(r" - at `(\$[^`]*)`")
_BYTE: Final = re.compile(r" \(byte (\d+)\)")
_KEPT: Final = 65_536
"""Characters: how much of a text a rejection carries along."""


def encode_report(report: Report) -> bytes:
    """The report as compact JSON, in UTF-8; keys without a value are left out."""
    return _ENCODER.encode(report)


def decode_report(body: bytes) -> Report | Rejection:
    """Read a report; what breaks RFC 8460 §4.4 with erratum 6241, or our bounds, is rejected.

    The rejection's `rule` is the JSON path, for instance ``$.policies[0].policy.mx-host``.
    Keys that the RFC does not define are ignored, as I-JSON wants (RFC 7493 §4.2).
    """
    if len(body) > MAX_REPORT_OCTETS:
        what = f"a report has at most {MAX_REPORT_OCTETS} octets"
        return Rejection("", 0, 0, what, "$", _SECTION)
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        shown = body.decode("latin-1")
        return _rejection(shown, error.start, error.start + 1, "an octet that is not UTF-8", "RFC 7493 §2.1")
    too_deep = _too_deep(body)
    if too_deep is not None:
        at = len(body[:too_deep].decode())
        return _rejection(text, at, at + 1, f"nested more than {MAX_DEPTH} levels deep", _SECTION)
    try:
        report = _DECODER.decode(body)
    except (msgspec.DecodeError, RecursionError) as error:
        return _explained(str(error), body, text)
    return _inconsistency(report, text) or _repeated_name(text) or report


def _checked_text(kind: type, raw: object) -> object:
    if kind in (HostName, Address) and isinstance(raw, str):
        try:
            return kind(raw)
        except InvalidName as error:
            raise ValueError(error.rejection.message) from None
    raise TypeError(f"Expected `str`, got `{type(raw).__name__}`")


_ENCODER: Final = msgspec.json.Encoder(enc_hook=str)
_DECODER: Final = msgspec.json.Decoder(Report, dec_hook=_checked_text)


def _inconsistency(report: Report, text: str) -> Rejection | None:
    """What no type can say."""
    if sum(len(policy.failure_details) for policy in report.policies) > MAX_FAILURE_DETAILS:
        return _at_path(text, "$.policies", f"more than {MAX_FAILURE_DETAILS} failure details")
    begin, end = report.date_range.start_datetime, report.date_range.end_datetime
    if end < begin:
        return _at_path(text, "$.date-range", "the range ends before it begins")
    if end - begin > timedelta(days=MAX_DAYS):
        return _at_path(text, "$.date-range", f"the range is longer than {MAX_DAYS} days")
    return None


class _Repeated(Exception):
    """A name is there twice in one object."""


def _repeated_name(text: str) -> Rejection | None:
    """RFC 7493 §2.3: names are unique, because readers differ on which one counts."""

    def unique(pairs: list[tuple[str, object]]) -> None:
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise _Repeated(name)
            seen.add(name)

    try:
        json.loads(text, object_pairs_hook=unique, parse_int=len, parse_float=len)
    except _Repeated as repeated:
        quoted = json.dumps(str(repeated), ensure_ascii=False)
        at = text.rfind(quoted)
        start, end = (at, at + len(quoted)) if at >= 0 else (0, 0)
        return _rejection(text, start, end, "a name is there twice in one object", "RFC 7493 §2.3")
    return None


# --- where it is wrong ---------------------------------------------------------------------------

_NOT_BRACKETS: Final = bytes(octet for octet in range(256) if octet not in b"[]{}")
_ONE_KIND: Final = bytes.maketrans(b"{}", b"[]")
# A string that nobody closes goes to the end; if it did not match, each quote in it would be tried in its turn.
_STRING: Final = r'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)'
_STRING_OCTETS: Final = re.compile(_STRING.encode(), re.DOTALL)
_STRING_OR_BRACKET_OCTETS: Final = re.compile(rb"%b|[\[\]{}]" % _STRING.encode(), re.DOTALL)
_RUN: Final = b"[" * (MAX_DEPTH + 1)
_SEARCHED: Final = 1024 * 1024
"""Octets in which the place of too deep nesting is looked for."""
_STRING_OR_BRACKET: Final = re.compile(rf"{_STRING}|[\[\]{{}}]", re.DOTALL)
_BLANK: Final = re.compile(r"[ \t\r\n]*")
_SCALAR: Final = re.compile(rf"{_STRING}|[^,\]}} \t\r\n]+", re.DOTALL)
_MEMBER: Final = re.compile(rf"[ \t\r\n]*({_STRING})[ \t\r\n]*:[ \t\r\n]*", re.DOTALL)
_STEP: Final = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]")


def _too_deep(body: bytes) -> int | None:
    """Where nesting passes `MAX_DEPTH`; without recursion, and almost free for a shallow text."""
    if body.count(b"[") + body.count(b"{") <= MAX_DEPTH:
        return None
    # One kind of bracket, so that each pass takes away the innermost level and no more.
    brackets = _STRING_OCTETS.sub(b"", body).translate(_ONE_KIND, _NOT_BRACKETS)
    for _ in range(MAX_DEPTH):
        # A long run is too deep whatever follows: megabytes of it are not worth a pass each.
        if not brackets or _RUN in brackets:
            break
        brackets = brackets.replace(b"[]", b"")
    return _place_of_depth(body) if brackets else None


def _place_of_depth(body: bytes) -> int | None:
    depth = 0
    for found in _STRING_OR_BRACKET_OCTETS.finditer(body):
        depth += 1 if found[0] in b"[{" else -1 if found[0] in b"]}" else 0
        if depth > MAX_DEPTH:
            return found.start()
        if found.start() > _SEARCHED:
            return 0
    # Brackets that do not pair are malformed JSON, which the decoder tells better.
    return None


def _explained(error: str, body: bytes, text: str) -> Rejection:
    """The decoder's message as a rejection with a place."""
    path, byte = _PATH.search(error), _BYTE.search(error)
    message = error[: min((found.start() for found in (path, byte) if found), default=len(error))]
    message = printable(message, 300)
    if message[1:2].islower():
        message = message[:1].lower() + message[1:]
    if byte is not None:
        at = len(body[: int(byte[1])].decode(errors="ignore"))
        return _rejection(text, at, at + 1, message, "RFC 8259 §2")
    if path is None and "truncated" in error:
        return _rejection(text, len(text), len(text), "the JSON ends too early", "RFC 8259 §2")
    return _at_path(text, path[1] if path else "$", message)


def _at_path(text: str, path: str, message: str) -> Rejection:
    start = _find(text, path)
    scalar = _SCALAR.match(text, start)
    opens = text[start : start + 1] in ("[", "{")
    end = start + 1 if opens or scalar is None else scalar.end()
    return _rejection(text, start, end, message, _SECTION, path)


def _rejection(text: str, start: int, end: int, message: str, section: str, path: str = "$") -> Rejection:  # noqa: PLR0917 - private
    """With the path in the message; a long text is cut around the place, and what was before it leaves its line ends."""
    where = f" at {path}" if path != "$" else ""
    if len(text) > _KEPT:
        first = max(0, start - _KEPT // 2)
        first = text.find("\n", first, start) + 1 or first
        before = "\n" * text.count("\n", 0, first)
        moved = len(before) - first
        text, start, end = before + text[first : first + _KEPT], start + moved, end + moved
    start, end = min(start, len(text)), min(end, len(text))
    return Rejection(text, start, end, message + where, path, section)


def _find(text: str, path: str) -> int:
    """Where the value begins that a path leads to, or the innermost one on the way that is there."""
    position = _skip_blank(text, 0)
    for name, index in _STEP.findall(path):
        inner = _member(text, position, name) if name else _item(text, position, int(index))
        if inner is None:
            break
        position = inner
    return position


def _member(text: str, position: int, name: str) -> int | None:
    if text[position : position + 1] != "{":
        return None
    while (member := _MEMBER.match(text, position + 1)) is not None:
        if member[1][1:-1] == name:
            return member.end()
        position = _skip_blank(text, _skip_value(text, member.end()))
        if text[position : position + 1] != ",":
            break
    return None


def _item(text: str, position: int, index: int) -> int | None:
    if text[position : position + 1] != "[":
        return None
    position = _skip_blank(text, position + 1)
    for _ in range(index):
        position = _skip_blank(text, _skip_value(text, position))
        if text[position : position + 1] != ",":
            return None
        position = _skip_blank(text, position + 1)
    return position


def _skip_blank(text: str, position: int) -> int:
    blank = _BLANK.match(text, position)
    return blank.end() if blank else position


def _skip_value(text: str, position: int) -> int:
    if text[position : position + 1] not in ("[", "{"):
        scalar = _SCALAR.match(text, position)
        return scalar.end() if scalar else position
    depth = 0
    for found in _STRING_OR_BRACKET.finditer(text, position):
        depth += 1 if found[0] in "[{" else -1 if found[0] in "]}" else 0
        if depth == 0:
            return found.end()
    return len(text)
