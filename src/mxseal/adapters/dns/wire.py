"""A reply's octets → dnspython's records, in time that grows with the octets.

dnspython's own reader hashes each record as it goes, and for that writes its names out again; a reply of
64 kB whose short compressed names stand for long ones costs it 13 seconds.  This one reads what the
validation looks at: class IN, the answer and authority sections, and EDNS.  The records themselves are
dnspython's, so that everything behind works on either; names are read once for each place in the reply.
"""

import struct
from collections.abc import Iterator
from typing import Any, Final

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rdtypes.ANY.CNAME
import dns.rdtypes.ANY.DNAME
import dns.rdtypes.ANY.MX
import dns.rdtypes.ANY.NS
import dns.rdtypes.ANY.NSEC
import dns.rdtypes.ANY.SOA
import dns.rrset
import dns.wire

_HEADER: Final = 12
_RECORD: Final = struct.Struct("!HHIH")
_MAX_NAME: Final = 255
_MAX_POINTERS: Final = 127
"""In one name: no honest one has more than labels."""
_IN: Final = dns.rdataclass.IN
_OPT: Final = int(dns.rdatatype.OPT)
_RRSIG: Final = int(dns.rdatatype.RRSIG)
_TYPES: Final = {int(rdtype): rdtype for rdtype in dns.rdatatype.RdataType}

Cname = dns.rdtypes.ANY.CNAME.CNAME
Dname = dns.rdtypes.ANY.DNAME.DNAME
Mx = dns.rdtypes.ANY.MX.MX
Nsec = dns.rdtypes.ANY.NSEC.NSEC
Ns = dns.rdtypes.ANY.NS.NS
Soa = dns.rdtypes.ANY.SOA.SOA


class Records(dns.rrset.RRset):
    """An RRset that keeps its records in a list, in the order of the reply and without hashing them."""

    __slots__ = ["rdatas"]

    def __init__(
        self, name: dns.name.Name, rdtype: dns.rdatatype.RdataType, covers: dns.rdatatype.RdataType, ttl: int
    ) -> None:
        super().__init__(name, _IN, rdtype, covers)
        self.ttl = ttl
        self.rdatas: list[dns.rdata.Rdata] = []

    def __iter__(self) -> Iterator[Any]:
        return iter(self.rdatas)

    def __len__(self) -> int:
        return len(self.rdatas)

    def __getitem__(self, place: Any) -> Any:
        return self.rdatas[place]


def read(data: bytes) -> dns.message.Message:
    """The message; raises one of `transport.MALFORMED`.  What follows behind the records is ignored."""
    number, flags, questions, answers, authorities, additionals = struct.unpack_from("!6H", data)
    message = dns.message.QueryMessage(id=number)
    message.flags = dns.flags.Flag(flags)
    reader = _Reader(data)
    for _ in range(questions):
        reader.name()
        reader.at += 4
    message.answer = reader.section(answers)
    message.authority = reader.section(authorities)
    for _ in range(additionals):
        reader.additional(message)
    return message


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = _HEADER
        self.compressed = False
        """Whether the last name was."""
        self._parser = _Parser(data, self)
        self._names: dict[int, tuple[dns.name.Name, bytes]] = {}

    def name(self) -> tuple[dns.name.Name, bytes]:
        """The name that begins here, and its octets in lower case, for comparing (RFC 1035 §4.1.4)."""
        data, place, end = self.data, self.at, 0
        labels: list[bytes] = []
        octets = pointers = 0
        lowest = start = place
        rest: tuple[dns.name.Name, bytes] | None = None
        while True:
            length = data[place]
            if length >= 0xC0:
                end = end or place + 2
                place = (length & 0x3F) << 8 | data[place + 1]
                pointers += 1
                if place >= lowest or pointers > _MAX_POINTERS:
                    raise dns.name.BadPointer
                lowest = place
                rest = self._names.get(place)
                if rest is not None:
                    break
                continue
            if length > 63:
                raise dns.name.BadLabelType
            label = data[place + 1 : place + 1 + length]
            place += 1 + length
            octets += 1 + length
            if len(label) < length or octets > _MAX_NAME:
                raise dns.exception.FormError
            labels.append(label)
            if not length:
                end = end or place
                break
        self.at = end
        self.compressed = pointers > 0
        if rest is None:
            found = self._new(tuple(labels))
        elif labels:
            found = self._new((*labels, *rest[0].labels))
        else:
            found = rest
        self._names[start] = found
        return found

    @staticmethod
    def _new(labels: tuple[bytes, ...]) -> tuple[dns.name.Name, bytes]:
        name = dns.name.Name(labels)
        return name, canonical_name(name)

    def _head(self) -> tuple[dns.name.Name, bytes, int, int, int, int]:
        """Owner, its octets, type, class, TTL, and where the record ends."""
        name, key = self.name()
        rdtype, rdclass, ttl, length = _RECORD.unpack_from(self.data, self.at)
        self.at += _RECORD.size
        if self.at + length > len(self.data):
            raise dns.exception.FormError
        return name, key, rdtype, rdclass, ttl, self.at + length

    def section(self, count: int) -> list[dns.rrset.RRset]:
        found: dict[tuple[bytes, int, int], Records] = {}
        seen: set[tuple[bytes, int, int, bytes]] = set()
        for _ in range(count):
            name, key, rdtype, rdclass, ttl, end = self._head()
            if rdclass != _IN or rdtype == _OPT:
                self.at = end
                continue
            ttl = 0 if ttl > 0x7FFFFFFF else ttl  # RFC 2181 §8
            known = _TYPES.get(rdtype) or dns.rdatatype.RdataType.make(rdtype)
            rdata = self._whole(end, _IN, known)
            covers = rdata.covers() if rdtype == _RRSIG else dns.rdatatype.NONE
            records = found.get((key, rdtype, covers))
            if records is None:
                records = found[key, rdtype, covers] = Records(name, known, covers, ttl)
            raw = (key, rdtype, covers, self.data[self.at : end])
            if raw not in seen:
                seen.add(raw)
                records.rdatas.append(rdata)
            records.ttl = min(records.ttl, ttl)  # RFC 2181 §5.2: they should not differ
            self.at = end
        return list(found.values())

    def _whole(
        self, end: int, rdclass: dns.rdataclass.RdataClass, rdtype: dns.rdatatype.RdataType
    ) -> dns.rdata.Rdata:
        start = self.at
        self._parser.current, self._parser.end = start, end
        rdata = dns.rdata.from_wire_parser(rdclass, rdtype, self._parser)
        if self._parser.current != end:
            raise dns.exception.FormError
        self.at = start
        return rdata

    def additional(self, message: dns.message.Message) -> None:
        """Of the additional section, EDNS alone says something to us (RFC 6891 §6.1.1)."""
        name, _, rdtype, rdclass, ttl, end = self._head()
        if rdtype == _OPT:
            if name != dns.name.root or message.opt:
                raise dns.exception.FormError
            options = self._whole(end, dns.rdataclass.RdataClass.make(rdclass), dns.rdatatype.OPT)
            message.opt = dns.rrset.from_rdata(name, ttl, options)
        self.at = end


class _Parser(dns.wire.Parser):
    """What the records' own readers use; names come from the reader that remembers them."""

    def __init__(self, data: bytes, reader: _Reader) -> None:
        super().__init__(data)
        self._reader = reader

    def get_name(self, origin: dns.name.Name | None = None, decompress: bool = False) -> dns.name.Name:
        del origin  # nothing is relative here
        self._reader.at = self.current
        name, _ = self._reader.name()
        self.current = self._reader.at
        if self.current > self.end or (self._reader.compressed and not decompress):
            raise dns.exception.FormError
        return name


def canonical_name(name: dns.name.Name) -> bytes:
    """RFC 4034 §6.2: uncompressed, in lower case."""
    return name.to_wire(canonicalize=True) or b""


def canonical_rdata(rdata: dns.rdata.Rdata) -> bytes:
    """RFC 4034 §6.2, RFC 6840 §5.1.  dnspython's `to_digestable` needs a hundred times as long for long names."""
    match rdata:
        case Mx():
            return struct.pack("!H", rdata.preference) + canonical_name(rdata.exchange)
        case Soa():
            times = (rdata.serial, rdata.refresh, rdata.retry, rdata.expire, rdata.minimum)
            return canonical_name(rdata.mname) + canonical_name(rdata.rname) + struct.pack("!5I", *times)
        case Nsec():
            types = b"".join(bytes((window, len(bitmap))) + bitmap for window, bitmap in rdata.windows)
            return (rdata.next.to_wire() or b"") + types
        case Ns() | Cname() | Dname():
            return canonical_name(rdata.target)
        case _:
            return rdata.to_digestable()
