"""The TXT record that announces a policy (RFC 8461 §3.1)."""

import re
from collections.abc import Iterable
from typing import Final

import msgspec

from mxseal.vocabulary.fields import Field, Grammar, meant_texts, read_fields, select_text
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
_GRAMMAR: Final = Grammar(
    version="v=STSv1",
    prefix="sts-",
    record="sts-text-record",
    delimiter="sts-field-delim",
    section="RFC 8461 §3.1",
    needed="'; id=' and 1 to 32 letters or digits",
    meant=re.compile(rb"[\s\"']*v\s*=\s*STSv1(?![0-9])", re.IGNORECASE),
)
_ID: Final = re.compile(r"[A-Za-z0-9]{1,32}\Z")


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
        return f"{_GRAMMAR.version}; id={self.id};{fields}"


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
    texts = tuple(texts)
    selected = select_text(texts, _GRAMMAR)
    if selected is None:
        meant = map(parse_record, meant_texts(texts, _GRAMMAR))
        return NoRecord(len(texts), tuple(read for read in meant if isinstance(read, Rejection)))
    return selected if isinstance(selected, Rejection) else parse_record(selected)


def parse_record(text: str) -> Record | Rejection:
    """Read one record, its character-strings joined already."""
    fields = read_fields(text, _GRAMMAR)
    if isinstance(fields, Rejection):
        return fields
    # RFC 8461 §3.2: of a field that is there twice, all but the first are ignored.
    first: dict[str, Field] = {}
    for field in fields:
        first.setdefault(field.name, field)
    identity = first.pop("id", None)
    if identity is None:
        what = "the id is missing: '; id=' and 1 to 32 letters or digits"
        return Rejection(text, len(text), len(text), what, "sts-id", _GRAMMAR.section)
    if not _ID.match(identity.value):
        # By the grammar such a field is an extension that is called "id", and the sts-id is still missing.
        return _not_an_id(text, identity)
    return Record(identity.value, tuple((field.name, field.value) for field in first.values()), text)


def _not_an_id(text: str, field: Field) -> Rejection:
    bad = re.search(r"[^A-Za-z0-9]", field.value)
    start = field.start + (bad.start() if bad else 32)
    end = start + 1 if bad else field.start + len(field.value)
    what = "an id has 1 to 32 letters or digits, nothing else"
    return Rejection(text, start, end, what, "sts-id", _GRAMMAR.section)
