"""What NSEC and NSEC3 records prove; pure functions over records whose signatures were verified before.

An NSEC record says: between my owner and my next name there is nothing, and my owner has these types
(RFC 4034 §4).  NSEC3 says the same about hashes of names (RFC 5155).  Two traps are in every rule below:
a record from the parent's side of a zone cut says nothing about the child (RFC 6840 §4.1), and a span with
opt-out may hide unsigned delegations (RFC 5155 §6).
"""

import base64
from collections.abc import Sequence
from enum import Enum
from typing import Final

import dns.dnssec
import dns.name
import dns.rdatatype
import dns.rdtypes.ANY.NSEC
import dns.rdtypes.ANY.NSEC3
import msgspec

Nsec = tuple[dns.name.Name, dns.rdtypes.ANY.NSEC.NSEC]
Nsec3 = tuple[dns.name.Name, dns.rdtypes.ANY.NSEC3.NSEC3]

MAX_ITERATIONS: Final = 150
"""NSEC3 with more iterations counts as insecure (RFC 9276 §3.2), as in unbound and BIND 9.18."""
_NXNAME: Final = 128
"""The meta-type of compact denial of existence (RFC 9824 §3.1)."""
_NS, _CNAME, _SOA, _DS, _DNAME = (
    dns.rdatatype.NS,
    dns.rdatatype.CNAME,
    dns.rdatatype.SOA,
    dns.rdatatype.DS,
    dns.rdatatype.DNAME,
)


class Denied(Enum):
    """What is proved not to be there."""

    TYPE = "type"
    NAME = "name"
    UNKNOWN = "unknown"
    """Nothing is proved about the name, but that it is in no signed zone (`Denial.weak` says why)."""


class Denial(msgspec.Struct, frozen=True):
    """A proof."""

    denied: Denied
    how: str
    """In a few words, for instance ``NSEC of a.test``."""
    is_cut: bool = False
    """The name is a delegation: it has NS but is not the apex."""
    weak: str = ""
    """Set where the proof yields *insecure*: opt-out, or too many NSEC3 iterations."""


class Unproved(msgspec.Struct, frozen=True):
    """The records at hand do not prove it."""

    reason: str


# --- NSEC (RFC 4035 §5.4) ---------------------------------------------------------------------------


def prove_nsec(
    name: dns.name.Name, rdtype: int, zone: dns.name.Name, records: Sequence[Nsec]
) -> Denial | Unproved:
    """That `name` does not exist, or has no `rdtype`."""
    records = [
        record for record in records if record[0].is_subdomain(zone) and record[1].next.is_subdomain(zone)
    ]
    for owner, nsec in records:
        if owner == name:
            return _from_types(_nsec_types(nsec), rdtype, name, f"NSEC of {_text(owner)}")
    for owner, nsec in records:
        if not _covers(owner, nsec, name, zone):
            continue
        how = f"NSEC {_text(owner)} → {_text(nsec.next)}"
        if nsec.next.is_subdomain(name):
            return Denial(Denied.TYPE, f"{how}: an empty non-terminal")  # RFC 4592 §2.2.2
        wildcard = dns.name.Name((b"*", *_closest_encloser(name, owner, nsec).labels))
        return _wildcard_denial(wildcard, rdtype, zone, records, how)
    return Unproved(f"no NSEC record matches or covers {_text(name)}")


def _wildcard_denial(
    wildcard: dns.name.Name, rdtype: int, zone: dns.name.Name, records: Sequence[Nsec], how: str
) -> Denial | Unproved:
    """The name is not there; is the wildcard that would stand in for it?"""
    for owner, nsec in records:
        if owner == wildcard:
            return _from_types(_nsec_types(nsec), rdtype, wildcard, f"{how}, and NSEC of {_text(wildcard)}")
    for owner, nsec in records:
        if _covers(owner, nsec, wildcard, zone):
            if nsec.next.is_subdomain(wildcard):
                return Denial(Denied.TYPE, f"{how}: {_text(wildcard)} is an empty non-terminal")
            return Denial(Denied.NAME, how)
    return Unproved(f"nothing proves that {_text(wildcard)} does not stand in")


def nsec_proves_expansion(
    name: dns.name.Name, encloser: dns.name.Name, zone: dns.name.Name, records: Sequence[Nsec]
) -> bool:
    """That no closer match than the wildcard below `encloser` exists for `name` (RFC 4035 §5.3.4)."""
    return any(
        _covers(owner, nsec, name, zone)
        and not nsec.next.is_subdomain(name)
        and _closest_encloser(name, owner, nsec) == encloser
        for owner, nsec in records
        if owner.is_subdomain(zone) and nsec.next.is_subdomain(zone)
    )


def _covers(
    owner: dns.name.Name, nsec: dns.rdtypes.ANY.NSEC.NSEC, name: dns.name.Name, zone: dns.name.Name
) -> bool:
    """Whether `name` lies within the span, and the span may speak about it."""
    # The last record of a zone leads back to the apex (RFC 4034 §4.1.1).
    if not owner < name or not (name < nsec.next or nsec.next == zone):
        return False
    # RFC 6840 §4.1: what is below a delegation or a DNAME is not this record's business.
    return not (name.is_subdomain(owner) and _ends_authority(_nsec_types(nsec)))


def _closest_encloser(
    name: dns.name.Name, owner: dns.name.Name, nsec: dns.rdtypes.ANY.NSEC.NSEC
) -> dns.name.Name:
    """The longest existing ancestor: what `name` has in common with either end of the span."""
    depth = max(name.fullcompare(owner)[2], name.fullcompare(nsec.next)[2])
    return name.split(depth)[1]


def _nsec_types(record: dns.rdtypes.ANY.NSEC.NSEC | dns.rdtypes.ANY.NSEC3.NSEC3) -> frozenset[int]:
    return frozenset(
        window * 256 + octet * 8 + bit
        for window, bitmap in record.windows
        for octet, value in enumerate(bitmap)
        for bit in range(8)
        if value & 0x80 >> bit
    )


# --- both ---------------------------------------------------------------------------------------------


def _ends_authority(types: frozenset[int]) -> bool:
    return _DNAME in types or (_NS in types and _SOA not in types)


def _from_types(types: frozenset[int], rdtype: int, name: dns.name.Name, how: str) -> Denial | Unproved:
    """What a record that matches the name says about the type."""
    if rdtype in types:
        return Unproved(
            f"{how} says that there is a {dns.rdatatype.to_text(dns.rdatatype.RdataType(rdtype))}"
        )
    if _CNAME in types:
        return Unproved(f"{how} says that there is a CNAME")  # RFC 6840 §4.3
    is_cut = _NS in types and _SOA not in types
    if rdtype == _DS:
        if _SOA in types and name != dns.name.root:
            return Unproved(f"{how} is from the child's side of the cut")  # RFC 6840 §4.4
    elif is_cut:
        return Unproved(f"{how} is from the parent's side of the cut")  # RFC 6840 §4.1
    if _NXNAME in types:
        return Denial(Denied.NAME, f"{how} (compact denial)")  # RFC 9824 §3.1
    return Denial(Denied.TYPE, how, is_cut=is_cut)


# --- NSEC3 (RFC 5155 §8) --------------------------------------------------------------------------------


class _Hashed:
    """NSEC3 records of one zone and one set of parameters, found by hash."""

    def __init__(self, zone: dns.name.Name, records: Sequence[Nsec3]) -> None:
        # RFC 5155 §8.2: all records of a response share their parameters; take the first's.
        self.zone = zone
        first = records[0][1]
        self.iterations = first.iterations
        self._salt = first.salt
        self._spans: list[tuple[bytes, dns.rdtypes.ANY.NSEC3.NSEC3]] = []
        for owner, nsec3 in records:
            if (nsec3.iterations, nsec3.salt) == (first.iterations, first.salt):
                digest = _owner_hash(owner, zone)
                if digest is not None and len(digest) == len(nsec3.next):
                    self._spans.append((digest, nsec3))
        self._hashes: dict[dns.name.Name, bytes] = {}

    def _hash(self, name: dns.name.Name) -> bytes:
        if name not in self._hashes:
            text = dns.dnssec.nsec3_hash(name, self._salt, self.iterations, 1)
            self._hashes[name] = base64.b32hexdecode(text)
        return self._hashes[name]

    def match(self, name: dns.name.Name) -> dns.rdtypes.ANY.NSEC3.NSEC3 | None:
        wanted = self._hash(name)
        return next((nsec3 for digest, nsec3 in self._spans if digest == wanted), None)

    def cover(self, name: dns.name.Name) -> dns.rdtypes.ANY.NSEC3.NSEC3 | None:
        wanted = self._hash(name)
        for digest, nsec3 in self._spans:
            if digest < nsec3.next:
                if digest < wanted < nsec3.next:
                    return nsec3
            elif wanted > digest or wanted < nsec3.next:  # the last record, around to the first
                return nsec3
        return None

    def closest_encloser(
        self, name: dns.name.Name
    ) -> tuple[dns.name.Name, dns.name.Name, dns.rdtypes.ANY.NSEC3.NSEC3] | Unproved:
        """RFC 5155 §8.3: the encloser, the next closer name, and the record that covers the latter."""
        for depth in range(len(name.labels) - 1, len(self.zone.labels) - 1, -1):
            encloser = name.split(depth)[1]
            matching = self.match(encloser)
            if matching is None:
                continue
            if _ends_authority(_nsec_types(matching)):
                return Unproved(f"the closest encloser {_text(encloser)} is a delegation or a DNAME")
            next_closer = name.split(depth + 1)[1]
            covering = self.cover(next_closer)
            if covering is None:
                return Unproved(f"no NSEC3 record covers {_text(next_closer)}")
            return encloser, next_closer, covering
        return Unproved(f"no NSEC3 record matches an encloser of {_text(name)}")


def _usable(zone: dns.name.Name, records: Sequence[Nsec3]) -> list[Nsec3]:
    """RFC 5155 §8.1, §8.2: unknown hash algorithms and unknown flags are ignored."""
    return [
        (owner, nsec3)
        for owner, nsec3 in records
        if nsec3.algorithm == 1 and nsec3.flags <= 1 and len(owner.labels) == len(zone.labels) + 1
    ]


def _owner_hash(owner: dns.name.Name, zone: dns.name.Name) -> bytes | None:
    if not owner.is_subdomain(zone):
        return None
    label = owner.labels[0].upper()
    try:
        return base64.b32hexdecode(label + b"=" * (-len(label) % 8))
    except ValueError:
        return None


def prove_nsec3(
    name: dns.name.Name,
    rdtype: int,
    zone: dns.name.Name,
    records: Sequence[Nsec3],
    *,
    max_iterations: int = MAX_ITERATIONS,
) -> Denial | Unproved:
    """That `name` does not exist, or has no `rdtype`."""
    usable = _usable(zone, records)
    if not usable:
        return Unproved("no NSEC3 record with a known hash algorithm and known flags")
    if usable[0][1].iterations > max_iterations:
        return _too_many(usable[0][1].iterations, max_iterations)
    hashed = _Hashed(zone, usable)
    matching = hashed.match(name)
    if matching is not None:  # §8.5, §8.6
        return _from_types(_nsec_types(matching), rdtype, name, f"NSEC3 of {_text(name)}")
    found = hashed.closest_encloser(name)
    if isinstance(found, Unproved):
        return found
    encloser, next_closer, covering = found
    how = f"NSEC3 over {_text(next_closer)}"
    wildcard = dns.name.Name((b"*", *encloser.labels))
    if covering.flags & 1:
        # §8.6 for DS, §9.2 for the rest: an unsigned delegation may be hidden here, so that nothing is
        # known about the name, but that it is in no signed zone.
        return Denial(Denied.UNKNOWN, how, weak=f"{how} has opt-out, so the name may be in an unsigned zone")
    matching = hashed.match(wildcard)
    if matching is not None:  # §8.7
        return _from_types(_nsec_types(matching), rdtype, wildcard, f"{how}, and NSEC3 of {_text(wildcard)}")
    if hashed.cover(wildcard) is not None:  # §8.4
        return Denial(Denied.NAME, how)
    return Unproved(f"nothing proves that {_text(wildcard)} does not stand in")


def nsec3_proves_expansion(
    name: dns.name.Name,
    encloser: dns.name.Name,
    zone: dns.name.Name,
    records: Sequence[Nsec3],
    *,
    max_iterations: int = MAX_ITERATIONS,
) -> Denial | Unproved:
    """That the next closer name below `encloser` does not exist (RFC 5155 §8.8)."""
    usable = _usable(zone, records)
    if not usable:
        return Unproved(f"nothing proves that {_text(name)} itself does not exist")
    if usable[0][1].iterations > max_iterations:
        return _too_many(usable[0][1].iterations, max_iterations)
    next_closer = name.split(len(encloser.labels) + 1)[1]
    covering = _Hashed(zone, usable).cover(next_closer)
    if covering is None:
        return Unproved(f"no NSEC3 record covers {_text(next_closer)}")
    how = f"NSEC3 over {_text(next_closer)}"
    # RFC 5155 §9.2: an unsigned delegation may be hidden where the wildcard stands in.
    return Denial(Denied.NAME, how, weak=f"{how} has opt-out" if covering.flags & 1 else "")


def _too_many(iterations: int, limit: int) -> Denial:
    weak = f"NSEC3 with {iterations} iterations, more than {limit} (RFC 9276)"
    return Denial(Denied.UNKNOWN, "NSEC3", weak=weak)


def _text(name: dns.name.Name) -> str:
    return name.to_text(omit_final_dot=len(name.labels) > 1)
