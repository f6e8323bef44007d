"""Trust anchors: where the chain of trust begins.

The root's are built in (IANA, https://data.iana.org/root-anchors/): key tags 20326 (KSK-2017) and 38696
(KSK-2024).  A file with other anchors has the form of unbound's ``trust-anchor-file``: a zone file with DS
or DNSKEY records, for the root or for any zone below.  State as RFC 5011 keeps is deliberately not kept: a
new root key comes with a release or with the file.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import dns.exception
import dns.name
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rdtypes.ANY.DNSKEY
import dns.rdtypes.ANY.DS
import dns.tokenizer
import dns.ttl
import msgspec
from dns.rdtypes.dnskeybase import Flag

from mxseal.vocabulary.faults import DataFault
from mxseal.vocabulary.rejection import printable

_MAX_FILE_SIZE: Final = 1 << 20
_ROOT_DS: Final = (
    "20326 8 2 E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D",
    "38696 8 2 683D2D0ACB8C9B712A1948B27F741219298D0A450D612C483AF444A4C0FB2B16",
)

DsRecord = dns.rdtypes.ANY.DS.DS
KeyRecord = dns.rdtypes.ANY.DNSKEY.DNSKEY


class TrustAnchors(msgspec.Struct, frozen=True):
    """For each zone that is trusted from the start, digests of its keys, or the keys themselves."""

    zones: Mapping[dns.name.Name, tuple[DsRecord | KeyRecord, ...]]

    @classmethod
    def for_root(cls) -> "TrustAnchors":
        """The anchors of the root as IANA publishes them."""
        return cls({dns.name.root: tuple(_ds(text) for text in _ROOT_DS)})

    def closest(self, name: dns.name.Name) -> dns.name.Name | None:
        """The deepest trusted zone at or above `name`."""
        above = [zone for zone in self.zones if name.is_subdomain(zone)]
        return max(above, key=lambda zone: len(zone.labels), default=None)


def _ds(text: str) -> DsRecord:
    record = dns.rdata.from_text(dns.rdataclass.IN, dns.rdatatype.DS, text)
    assert isinstance(record, DsRecord)  # noqa: S101 - dns.rdata.from_text is typed as the base class
    return record


def load_trust_anchors(path: Path) -> TrustAnchors:
    """Read a file of anchors; raises `DataFault` with file and line."""
    cure = "give a file with lines such as '. IN DS 20326 8 2 E06D44B8…' (unbound's trust-anchor-file)"
    try:
        with path.open("rb") as file:
            raw = file.read(_MAX_FILE_SIZE + 1)
    except OSError as error:
        raise DataFault(f"{path}: {error.strerror}", cure=cure) from None
    if len(raw) > _MAX_FILE_SIZE:
        raise DataFault(f"{path}: more than {_MAX_FILE_SIZE} octets, that is no trust anchor file", cure=cure)
    return parse_trust_anchors(raw.decode("utf-8", "replace"), source=str(path))


def parse_trust_anchors(text: str, *, source: str) -> TrustAnchors:
    """The anchors in `text`; raises `DataFault` with `source` and the line."""
    cure = "each line has the form '. IN DS 20326 8 2 E06D44B8…' or '. IN DNSKEY 257 3 8 AwEAAa…'"
    found: dict[dns.name.Name, list[DsRecord | KeyRecord]] = {}
    tokens = dns.tokenizer.Tokenizer(text, filename=source)
    while True:
        line = tokens.where()[1]
        try:
            token = tokens.get(want_leading=True)
            if token.is_eof():
                break
            if token.is_eol():
                continue
            if token.is_whitespace():
                after = tokens.get()
                if after.is_eol_or_eof():
                    continue
                raise DataFault(f"{source}:{line}: the line begins without an owner name", cure=cure)
            owner = dns.name.from_text(token.value, dns.name.root)
            record = _record(tokens)
        except (dns.exception.DNSException, ValueError) as error:
            reason = printable(str(error) or type(error).__name__, 200)
            raise DataFault(f"{source}:{line}: no DS or DNSKEY record: {reason}", cure=cure) from None
        found.setdefault(owner, []).append(record)
    if not found:
        raise DataFault(f"{source}: there is no trust anchor in it", cure=cure)
    return TrustAnchors({owner: tuple(records) for owner, records in found.items()})


def _record(tokens: dns.tokenizer.Tokenizer) -> DsRecord | KeyRecord:
    """TTL and class (both optional, in either order), type and data."""
    word = tokens.get_string()
    while word.upper() == "IN" or word[:1].isdigit():
        if word.upper() != "IN":
            dns.ttl.from_text(word)
        word = tokens.get_string()
    if word.upper() not in ("DS", "DNSKEY"):
        raise ValueError(f"type {word!r} is no trust anchor")
    rdtype = dns.rdatatype.from_text(word)
    record = dns.rdata.from_text(dns.rdataclass.IN, rdtype, tokens, relativize=False)
    if isinstance(record, KeyRecord):
        if not record.flags & Flag.ZONE:
            raise ValueError("this DNSKEY is no zone key")
        return record
    assert isinstance(record, DsRecord)  # noqa: S101 - of the two types, this is the one left
    return record
