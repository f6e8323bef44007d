"""Texts of the form ``v=…; name=value; name=value``, as TXT records are written.

RFC 8461 §3.1 and RFC 8460 §3 choose the record among all TXT records of a name
in the same way (`select_text`), and have the same grammar but for the version
and their names of the rules (`read_fields`)::

    record     = version 1*(field-delim field) [field-delim]
    field      = ext-name "=" ext-value
    field-delim = *WSP ";" *WSP
    ext-name   = (ALPHA / DIGIT) *31(ALPHA / DIGIT / "_" / "-" / ".")
    ext-value  = 1*(%x21-3A / %x3C / %x3E-7E)  ; no "=", ";", SP, CTLs
"""

import re
from collections.abc import Sequence
from typing import Final

import msgspec

from mxseal.vocabulary.observations import TextData
from mxseal.vocabulary.rejection import Rejection

_DELIM: Final = re.compile(r"[ \t]*;[ \t]*")
_BLANKS: Final = re.compile(r"[ \t]*")
_NAME: Final = re.compile(r"([A-Za-z0-9][A-Za-z0-9_.-]{0,31})=")
_VALUE: Final = re.compile(r"[\x21-\x3a\x3c\x3e-\x7e]+")
_LIST: Final = re.compile(r"[\x21-\x3a\x3c-\x7e](?:[ \t]*[\x21-\x3a\x3c-\x7e])*+")
_END_OF_WORD: Final = re.compile(r"[;= \t]|\Z")
_MEANT_KEPT: Final = 5


class Grammar(msgspec.Struct, frozen=True):
    """What is different between the records."""

    version: str
    """For instance ``v=STSv1``."""
    prefix: str
    """Of the rules' names, for instance ``sts-``."""
    record: str
    """The rule for the whole, for instance ``sts-text-record``."""
    delimiter: str
    """The rule for what is between two fields."""
    section: str
    needed: str
    """What must follow the version, for messages."""
    meant: re.Pattern[bytes]
    """Begins what somebody may have meant to be such a record: wrong case, a leading blank or quote, no semicolon."""
    lists: frozenset[str] = frozenset()
    """Names whose values may hold ``=``, and blanks inside."""


class Field(msgspec.Struct, frozen=True):
    """One field, and where its value begins."""

    name: str
    value: str
    start: int


def select_text(texts: Sequence[TextData], grammar: Grammar) -> str | Rejection | None:
    """The one text that is such a record, valid or not; None: there is none.

    Several character-strings are joined without adding spaces.  Several records are
    as bad as none, and a rejection.
    """
    joined = [b"".join(text.strings) for text in texts]
    version = grammar.version.encode()
    # The RFCs discard records that do not begin with the version and ";" where there are several.  Their
    # grammars also allow blanks before the semicolon; such a record counts where no other one does.
    exactly = [text for text in joined if text.startswith(version + b";")]
    ours = exactly or [text for text in joined if re.match(re.escape(version) + rb"[ \t]*;", text)]
    if not ours:
        return None
    if len(ours) == 1:
        return as_text(ours[0])
    first, second, *_ = lines = [as_text(text).replace("\n", "\ufffd") for text in ours]
    start = len(first) + 1
    return Rejection(
        "\n".join(lines),
        start,
        start + len(second),
        f"{len(ours)} records begin with '{grammar.version};', and exactly one must: remove the others",
        grammar.record,
        grammar.section,
    )


def meant_texts(texts: Sequence[TextData], grammar: Grammar) -> list[str]:
    """Texts that are no such record, and look as if they were meant to be one; a few of them."""
    joined = [b"".join(text.strings) for text in texts]
    return [as_text(text) for text in joined if grammar.meant.match(text)][:_MEANT_KEPT]


def read_fields(text: str, grammar: Grammar) -> list[Field] | Rejection:
    """All fields after the version, at least one, in order."""
    if not text.startswith(grammar.version):
        what = f"a record begins with '{grammar.version};', exactly so"
        return _reject(text, (0, min(len(grammar.version) + 1, len(text))), what, "version", grammar)
    fields: list[Field] = []
    position = len(grammar.version)
    while position < len(text):
        delimiter = _DELIM.match(text, position)
        if delimiter is None:
            return _not_a_delimiter(text, position, grammar)
        position = delimiter.end()
        if position == len(text):
            break
        name = _NAME.match(text, position)
        if name is None:
            return _not_a_name(text, position, grammar)
        value = (_LIST if name[1] in grammar.lists else _VALUE).match(text, name.end())
        if value is None:
            what = f"a value must follow '{name[0]}'"
            return _reject(text, (name.end(), name.end()), what, "ext-value", grammar)
        fields.append(Field(name[1], value[0], value.start()))
        position = value.end()
    if not fields:
        return _reject(text, (position, position), f"{grammar.needed} must follow", "field", grammar)
    return fields


def as_text(octets: bytes) -> str:
    """Octets of a TXT record for reading and showing; octets that are not UTF-8 make it Latin-1."""
    try:
        return octets.decode()
    except UnicodeDecodeError:
        return octets.decode("latin-1")


def _reject(text: str, span: tuple[int, int], message: str, rule: str, grammar: Grammar) -> Rejection:
    return Rejection(text, *span, message, grammar.prefix + rule, grammar.section)


def _not_a_delimiter(text: str, position: int, grammar: Grammar) -> Rejection:
    blanks = _BLANKS.match(text, position)
    at = blanks.end() if blanks else position
    if at == len(text):
        what = "blanks at the end: leave them away"
        return Rejection(text, position, at, what, grammar.delimiter, grammar.section)
    if at > position:
        what = "fields are separated by ';', and a value has no blanks"
        return Rejection(text, at, at + 1, what, grammar.delimiter, grammar.section)
    if at == len(grammar.version):
        what, rule = f"a record begins with '{grammar.version};', exactly so", "version"
    elif text[at] == "=":
        what, rule = "a value has no '='", "ext-value"
    else:
        what, rule = "a value has printable ASCII characters only", "ext-value"
    return _reject(text, (at, at + 1), what, rule, grammar)


def _not_a_name(text: str, position: int, grammar: Grammar) -> Rejection:
    word = _END_OF_WORD.search(text, position)
    end = word.start() if word else len(text)
    stop = text[end : end + 1]
    if stop == ";" and end == position:
        what, end = "a field is missing between two ';'", end + 1
    elif stop in ("", ";"):
        what = "a field is written name=value: the '=' is missing"
    elif stop == "=":
        what = "a name has 1 to 32 letters, digits, '_', '-' or '.', and begins with a letter or digit"
    else:
        what, position, end = "a field is written name=value, without blanks", end, end + 1
    return _reject(text, (position, end), what, "ext-name", grammar)
