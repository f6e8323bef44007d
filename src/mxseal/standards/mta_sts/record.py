"""The TXT record that announces a policy (RFC 8461 §3.1)."""

import re
from collections.abc import Iterable
from typing import Final

import msgspec

from mxseal.vocabulary.names import HostName
from mxseal.vocabulary.observations import TextData
from mxseal.vocabulary.rejection import Rejection

# sts-text-record = sts-version 1*(sts-field-delim sts-field) [sts-field-delim]
# sts-field       = sts-id / sts-extension        ; sts-id is required
# sts-field-delim = *WSP ";" *WSP
# sts-version     = %s"v=STSv1"
# sts-id          = %s"id=" 1*32(ALPHA / DIGIT)
# sts-extension   = sts-ext-name "=" sts-ext-value
# sts-ext-name    = (ALPHA / DIGIT) *31(ALPHA / DIGIT / "_" / "-" / ".")
# sts-ext-value   = 1*(%x21-3A / %x3C / %x3E-7E)  ; no "=", ";", SP, CTLs
_VERSION: Final = "v=STSv1"
_DELIM: Final = re.compile(r"[ \t]*;[ \t]*")
_EXT_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}(?==)")
_EXT_VALUE: Final = re.compile(r"[\x21-\x3a\x3c\x3e-\x7e]+")
_ID: Final = re.compile(r"[A-Za-z0-9]{1,32}\Z")

# RFC 8461 §3.1 discards records that do not begin with "v=STSv1;".  Its grammar allows
# blanks before the semicolon, and a record that follows the grammar is not thrown away here.
_OURS: Final = re.compile(rb"v=STSv1[ \t]*;")
# What somebody may have meant to be a record of ours: wrong case, a leading blank or quote, no semicolon.
_MEANT: Final = re.compile(rb"[\s\"']*v\s*=\s*STSv1(?![0-9])", re.IGNORECASE)
_MEANT_KEPT: Final = 5

_SECTION: Final = "RFC 8461 §3.1"


class Record(msgspec.Struct, frozen=True):
    """A valid record: the domain has a policy, and `id` changes whenever the policy does."""

    id: str
    extensions: tuple[tuple[str, str], ...] = ()
    """Fields that RFC 8461 does not define, the first of each name, in order; to be ignored."""
    text: str = ""
    """As received, its character-strings joined."""

    def __str__(self) -> str:
        """The canonical text, which parses to an equal id and equal extensions."""
        fields = "".join(f" {name}={value};" for name, value in self.extensions)
        return f"{_VERSION}; id={self.id};{fields}"


class NoRecord(msgspec.Struct, frozen=True):
    """No TXT record begins with ``v=STSv1;``."""

    discarded: int
    """How many TXT records were there that are not about MTA-STS."""
    near: tuple[Rejection, ...] = ()
    """What is wrong with those among them that look as if they were meant to be one."""


def record_name(domain: HostName) -> str:
    """Where the record is: ``_mta-sts.`` and the policy domain."""
    return f"_mta-sts.{domain}"


def select_record(texts: Iterable[TextData]) -> Record | NoRecord | Rejection:
    """The record among all TXT records at `record_name`.

    Unrelated ones are discarded; if more than one remains, the domain has no
    available policy, as if the record were malformed (RFC 8461 §3.1).
    """
    # RFC 8461 §3.1: several character-strings are joined without adding spaces.
    joined = [b"".join(text.strings) for text in texts]
    ours = [text for text in joined if _OURS.match(text)]
    if not ours:
        meant = [parse_record(as_text(text)) for text in joined if _MEANT.match(text)][:_MEANT_KEPT]
        return NoRecord(len(joined), tuple(r for r in meant if isinstance(r, Rejection)))
    if len(ours) > 1:
        first, second, *_ = lines = [as_text(text).replace("\n", "\ufffd") for text in ours]
        start = len(first) + 1
        return Rejection(
            "\n".join(lines),
            start,
            start + len(second),
            f"{len(ours)} records begin with '{_VERSION};', and exactly one must: remove the others",
            "sts-text-record",
            _SECTION,
        )
    return parse_record(as_text(ours[0]))


def parse_record(text: str) -> Record | Rejection:
    """Read one record, its character-strings joined already."""

    def reject(message: str, start: int, end: int, rule: str) -> Rejection:
        return Rejection(text, start, end, message, rule, _SECTION)

    if not text.startswith(_VERSION):
        return reject(f"a record begins with '{_VERSION};', exactly so", 0, min(8, len(text)), "sts-version")
    fields: dict[str, str] = {}
    id_at = position = len(_VERSION)
    while position < len(text):
        delim = _DELIM.match(text, position)
        if delim is None:
            return _not_a_delimiter(text, position)
        position = delim.end()
        if position == len(text) and fields:
            break
        name = _EXT_NAME.match(text, position)
        if name is None:
            return _not_a_name(text, position)
        value = _EXT_VALUE.match(text, name.end() + 1)
        if value is None:
            at = name.end() + 1
            return reject(f"a value must follow '{name[0]}='", at, at, "sts-ext-value")
        if name[0] == "id" and "id" not in fields:
            id_at = value.start()
        # RFC 8461 §3.2: of a field that is there twice, all but the first are ignored.
        fields.setdefault(name[0], value[0])
        position = value.end()
    if not fields:
        return reject("a field must follow the version: 'id=' and 1 to 32 letters or digits", position,
                      position, "sts-id")  # fmt: skip
    identity = fields.pop("id", None)
    if identity is None:
        return reject(
            "the id is missing: 'id=' and 1 to 32 letters or digits", len(text), len(text), "sts-id"
        )
    if not _ID.match(identity):
        # Such a field is an sts-extension that is called "id"; the sts-id is still missing.
        bad = next((i for i, c in enumerate(identity) if not (c.isascii() and c.isalnum())), 32)
        start = id_at + min(bad, 32)
        end = start + 1 if bad < 32 else id_at + len(identity)
        return reject("an id has 1 to 32 letters or digits, nothing else", start, end, "sts-id")
    return Record(identity, tuple(fields.items()), text)


def _not_a_delimiter(text: str, position: int) -> Rejection:
    blanks = re.compile(r"[ \t]*").match(text, position)
    at = blanks.end() if blanks else position
    if at == len(text):
        return Rejection(
            text, position, at, "blanks at the end: leave them away", "sts-field-delim", _SECTION
        )
    if at == position == len(_VERSION):
        message, rule = f"a record begins with '{_VERSION};', exactly so", "sts-version"
    elif text[at] == "=":
        message, rule = "a value has no '='", "sts-ext-value"
    elif at > position:
        message, rule = "fields are separated by ';', and a value has no blanks", "sts-field-delim"
    else:
        message, rule = "a value has printable ASCII characters only", "sts-ext-value"
    return Rejection(text, at, at + 1, message, rule, _SECTION)


def _not_a_name(text: str, position: int) -> Rejection:
    end = next((i for i in range(position, len(text)) if text[i] in ";= \t"), len(text))
    if position < len(text) and text[position] == ";":
        message = "a field is missing between two ';'"
        end = position + 1
    elif position == len(text):
        message = "a field must follow the version: 'id=' and 1 to 32 letters or digits"
        return Rejection(text, position, position, message, "sts-id", _SECTION)
    elif end < len(text) and text[end] in " \t":
        message = "a field is written name=value, without blanks"
        position, end = end, end + 1
    elif end == len(text) or text[end] == ";":
        message = "a field is written name=value: the '=' is missing"
    else:
        message = "a name has 1 to 32 letters, digits, '_', '-' or '.', and begins with a letter or digit"
    return Rejection(text, position, end, message, "sts-ext-name", _SECTION)


def as_text(octets: bytes) -> str:
    """Octets of a TXT record for reading and showing; octets that are not UTF-8 make it Latin-1."""
    try:
        return octets.decode()
    except UnicodeDecodeError:
        return octets.decode("latin-1")
