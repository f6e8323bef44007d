"""The policy: which MX hosts, how strictly, and for how long (RFC 8461 §3.2)."""

import re
from collections.abc import Iterator
from enum import StrEnum
from typing import Final

import msgspec

from mxseal.standards.mta_sts.patterns import MxPattern, parse_mx_pattern
from mxseal.vocabulary.names import HostName
from mxseal.vocabulary.rejection import Rejection

MAX_AGE_CAP: Final = 31_557_600
"""Seconds: the largest max_age that RFC 8461 §3.2 knows, about a year."""
MIN_SENSIBLE_MAX_AGE: Final = 86_400
"""Seconds: below a day, the trust on first use that the policy rests on is forgotten over a weekend."""
MAX_POLICY_OCTETS: Final = 65_536
"""RFC 8461 §3.3 suggests to accept no more than 64 kilobytes."""
MAX_MX_LINES: Final = 1_000
"""Our own bound; real policies have fewer than fifty."""

# sts-policy-record    = sts-policy-field *WSP *(sts-policy-term sts-policy-field *WSP) [sts-policy-term]
# sts-policy-field     = sts-policy-version / sts-policy-mode / sts-policy-max-age / sts-policy-mx
#                        / sts-policy-extension
# sts-policy-field-delim = ":" *WSP
# sts-policy-term      = LF / CRLF
# sts-policy-ext-name  = sts-policy-alphanum *31(sts-policy-alphanum / "_" / "-" / ".")
# sts-policy-ext-value = sts-policy-vchar [*(%x20 / sts-policy-vchar) sts-policy-vchar]
# sts-policy-vchar     = %x21-7E / UTF8-2 / UTF8-3 / UTF8-4
#
# Every known field has the form of an extension too, so one expression reads all lines, and a
# repeated field that will be ignored must still have that form.
_VCHAR: Final = r"\x21-\x7e\x80-\ud7ff\ue000-\U0010ffff"
_FIELD: Final = re.compile(
    rf"([A-Za-z0-9][A-Za-z0-9_.-]{{0,31}}):[ \t]*([{_VCHAR}](?:[ {_VCHAR}]*[{_VCHAR}])?)[ \t]*+\Z"
)
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}")
_NOT_VCHAR: Final = re.compile(rf"[^ {_VCHAR}]")
_NO_VCHAR: Final = {
    "\t": "a tab inside of a value",
    "\r": "a carriage return by itself: a line ends with LF or CRLF",
}
_MAX_AGE: Final = re.compile(r"[0-9]{1,10}\Z")

_SECTION: Final = "RFC 8461 §3.2"


class Mode(StrEnum):
    """What a sender does with a host that fails the policy (RFC 8461 §5)."""

    ENFORCE = "enforce"
    """It must not deliver to that host."""
    TESTING = "testing"
    """It delivers, and reports the failure (RFC 8460)."""
    NONE = "none"
    """There is no policy any more (RFC 8461 §8.3)."""

    @property
    def meaning(self) -> str:
        """In a few words, for people."""
        return _MEANINGS[self]


_MEANINGS: Final = {
    Mode.ENFORCE: "mail goes only to hosts that fit the policy and prove who they are",
    Mode.TESTING: "mail is delivered in any case, failures are only reported",
    Mode.NONE: "the domain has withdrawn its policy",
}


class Policy(msgspec.Struct, frozen=True):
    """A valid policy.

    A policy whose mode is not ``none`` has at least one pattern; the
    constructor raises `ValueError` otherwise, so that no code path, not even
    reading a damaged cache, leads to an empty match list.
    """

    mode: Mode
    mx: tuple[MxPattern, ...]
    """In the order of the text, each once."""
    max_age: int
    """Seconds from the last successful fetch, at most `MAX_AGE_CAP`."""
    extensions: tuple[tuple[str, str], ...] = ()
    """Fields that RFC 8461 does not define, the first of each name, in order."""
    lines: tuple[str, ...] = ()
    """As received, without line ends: the ``policy-string`` of RFC 8460 §4.4."""
    published_max_age: int | None = None
    """What the text said, where that is more than `MAX_AGE_CAP`."""

    def __post_init__(self) -> None:
        if not self.mx and self.mode is not Mode.NONE:
            raise ValueError(f"a policy in mode {self.mode} has at least one mx pattern")
        if not 0 <= self.max_age <= MAX_AGE_CAP:
            raise ValueError(f"max_age is between 0 and {MAX_AGE_CAP}")
        if not self.lines:
            msgspec.structs.force_setattr(self, "lines", tuple(self._canonical_lines()))

    def matching(self, host: HostName) -> MxPattern | None:
        """The first pattern that an MX host fits (RFC 8461 §4.1); None if there is none."""
        return next((pattern for pattern in self.mx if pattern.matches(host)), None)

    def warnings(self) -> tuple[str, ...]:
        """What is valid and probably not meant, a sentence each, for people."""
        found: list[str] = []
        if self.published_max_age is not None:
            found.append(
                f"max_age {self.published_max_age} is more than RFC 8461 §3.2 allows, and counts as {MAX_AGE_CAP}"
            )
        if self.max_age < MIN_SENSIBLE_MAX_AGE and self.mode is Mode.ENFORCE:
            found.append(
                f"max_age {self.max_age} is less than a day: an attacker has to wait only that long"
                " (RFC 8461 §10.2); weeks or more are usual"
            )
        if self.mx and self.mode is Mode.NONE:
            found.append("mx lines have no effect in mode none")
        misspelt = [name for name, _ in self.extensions if name.lower().replace("-", "_") in _RULE_OF]
        found += [
            f"'{name}' is not a key of RFC 8461 (they are in lower case) and is ignored" for name in misspelt
        ]
        return tuple(found)

    def _canonical_lines(self) -> Iterator[str]:
        yield "version: STSv1"
        yield f"mode: {self.mode}"
        for pattern in self.mx:
            yield f"mx: {pattern}"
        yield f"max_age: {self.max_age if self.published_max_age is None else self.published_max_age}"
        for name, value in self.extensions:
            yield f"{name}: {value}"

    def __str__(self) -> str:
        """The canonical text with CRLF; it parses to a policy equal in all but `lines`."""
        return "".join(f"{line}\r\n" for line in self._canonical_lines())


def policy_host(domain: HostName) -> HostName:
    """Where the policy is served (RFC 8461 §3.3); `InvalidName` if that would be longer than a name can be."""
    return HostName(f"mta-sts.{domain}")


def policy_url(domain: HostName) -> str:
    """The well-known URL of the policy (RFC 8461 §3.3)."""
    return f"https://mta-sts.{domain}/.well-known/mta-sts.txt"


def parse_policy(body: bytes | str) -> Policy | Rejection:
    """Read a policy as it came over HTTPS.

    Whatever is wrong with any line makes the whole policy invalid (result
    type sts-policy-invalid, RFC 8460 §4.3.2.2).  Above all, one bad ``mx``
    line is never just left out: the hosts that it meant would then fail
    the policy, and if it were the only line, an empty list would have to
    mean "any host" or "none", both of which somebody would get wrong.
    """
    text = _decoded(body)
    if isinstance(text, Rejection):
        return text
    fields: dict[str, tuple[int, str]] = {}
    patterns: dict[MxPattern, None] = {}
    lines: list[str] = []
    mx_lines = 0
    for start, line in _lines(text):
        field = _FIELD.match(line)
        if field is None:
            return _not_a_field(text, start, line)
        name, value = field.groups()
        if name == "mx":
            mx_lines += 1
            if mx_lines > MAX_MX_LINES:
                return _reject(text, start, len(line), f"more than {MAX_MX_LINES} mx lines", "sts-policy-mx")
            pattern = parse_mx_pattern(value)
            if isinstance(pattern, Rejection):
                return _moved(pattern, text, start + field.start(2))
            patterns[pattern] = None
        elif name not in fields:
            # RFC 8461 §3.2: of a field other than mx that is there twice, the first one counts.
            fields[name] = (start + field.start(2), value)
        lines.append(line)
    return _policy(text, fields, tuple(patterns), tuple(lines))


def _policy(
    text: str, fields: dict[str, tuple[int, str]], mx: tuple[MxPattern, ...], lines: tuple[str, ...]
) -> Policy | Rejection:
    """The policy that the fields make, if they are complete and mean something."""
    for name in ("version", "mode", "max_age"):
        if name not in fields:
            return _missing(text, name, fields)
    at, version = fields.pop("version")
    if version != "STSv1":
        return _reject(text, at, len(version), "the version must be STSv1, exactly so", "sts-policy-version")
    at, mode = fields.pop("mode")
    if mode not in _MODES:
        what = "the mode must be enforce, testing or none, in lower case"
        return _reject(text, at, len(mode), what, "sts-policy-mode")
    at, max_age = fields.pop("max_age")
    if not _MAX_AGE.match(max_age):
        what = "max_age is a number of seconds with at most 10 digits"
        return _reject(text, at, len(max_age), what, "sts-policy-max-age-value")
    if not mx and mode != "none":
        return _missing(text, "mx", fields)
    seconds = int(max_age)
    return Policy(
        mode=_MODES[mode],
        mx=mx,
        max_age=min(seconds, MAX_AGE_CAP),
        extensions=tuple((name, value) for name, (_, value) in fields.items()),
        lines=lines,
        published_max_age=seconds if seconds > MAX_AGE_CAP else None,
    )


_MODES: Final = {mode.value: mode for mode in Mode}
_RULE_OF: Final = {
    "version": "sts-policy-version",
    "mode": "sts-policy-mode",
    "max_age": "sts-policy-max-age",
    "mx": "sts-policy-mx",
}


def _decoded(body: bytes | str) -> str | Rejection:
    if len(body) > MAX_POLICY_OCTETS:
        start = body[:MAX_POLICY_OCTETS]
        shown = start.decode(errors="replace") if isinstance(start, bytes) else start
        what = f"a policy has at most {MAX_POLICY_OCTETS} octets"
        return Rejection(shown, len(shown), len(shown), what, "sts-policy-record", "RFC 8461 §3.3")
    if isinstance(body, str):
        return body
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        # Latin-1, so that octets and characters are counted alike.
        shown = body.decode("latin-1")
        return _reject(shown, error.start, 1, "an octet that is not UTF-8", "sts-policy-vchar")


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Each line with its place.  Not `str.splitlines`, which also splits at U+0085, U+2028 and more."""
    start = 0
    *ended, last = text.split("\n")
    for line in ended:
        yield start, line.removesuffix("\r")
        start += len(line) + 1
    # One line end may follow the last field: ``[sts-policy-term]``.  A CR alone is none, also there.
    if last or not ended:
        yield start, last


def _reject(text: str, start: int, length: int, message: str, rule: str) -> Rejection:
    return Rejection(text, start, start + length, message, rule, _SECTION)


def _moved(inner: Rejection, text: str, offset: int) -> Rejection:
    """A rejection of a part, as one of the whole text."""
    return msgspec.structs.replace(inner, text=text, start=offset + inner.start, end=offset + inner.end)


def _missing(text: str, name: str, fields: dict[str, tuple[int, str]]) -> Rejection:
    for other, (at, _) in fields.items():
        if other.lower().replace("-", "_") == name:
            start = text.rindex(other, 0, at)
            what = f"the key must be '{name}', exactly so"
            return _reject(text, start, len(other), what, f"{_RULE_OF[name]}-field")
    what = f"the field '{name}' is missing"
    if name == "mx":
        what += ": a policy names at least one MX pattern, except in mode none"
    return _reject(text, len(text), 0, what, _RULE_OF[name])


def _not_a_field(text: str, start: int, line: str) -> Rejection:
    """Which part of ``name ":" *WSP value *WSP`` the line breaks."""
    if not text:
        return _reject(text, 0, 0, "the policy is empty", "sts-policy-record")
    if not line.strip(" \t"):
        what = "a line is empty, and each must hold a field 'name: value'"
        return _reject(text, start, len(line), what, "sts-policy-field")
    if line.startswith("\ufeff"):
        what = "a byte order mark: save the file without it"
        return _reject(text, start, 1, what, "sts-policy-field")
    if line[0] in " \t":
        blanks = len(line) - len(line.lstrip(" \t"))
        return _reject(text, start, blanks, "blanks before a field: leave them away", "sts-policy-field")
    name = _NAME.match(line)
    end = name.end() if name else 0
    if line[end : end + 1] != ":":
        return _not_a_name(text, start, line, end)
    value = line[end + 1 :]
    bad = _NOT_VCHAR.search(value.lstrip(" \t").rstrip(" \t"))
    if bad is None:
        at = start + len(line)
        return _reject(text, at, 0, "a value must follow the ':'", "sts-policy-ext-value")
    at = start + end + 1 + len(value) - len(value.lstrip(" \t")) + bad.start()
    what = _NO_VCHAR.get(bad[0], "a character that no value has")
    return _reject(text, at, 1, what, "sts-policy-vchar")


def _not_a_name(text: str, start: int, line: str, end: int) -> Rejection:
    rest = line[end:]
    if rest.lstrip(" \t").startswith(":"):
        blanks = len(rest) - len(rest.lstrip(" \t"))
        what = "blanks before the ':': leave them away"
        return _reject(text, start + end, blanks, what, "sts-policy-field-delim")
    if ":" not in line:
        what = "a field is written 'name: value': the ':' is missing"
        return _reject(text, start + end, len(rest), what, "sts-policy-field-delim")
    what = "a name has 1 to 32 letters, digits, '_', '-' or '.', and begins with a letter or digit"
    return _reject(text, start + end, 1, what, "sts-policy-ext-name")
