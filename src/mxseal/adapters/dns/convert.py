"""dnspython's records → the vocabulary; what it has no word for stays in presentation format."""

from collections.abc import Iterable

import dns.exception
import dns.name
import dns.rdata
import dns.rdtypes.ANY.CNAME
import dns.rdtypes.ANY.MX
import dns.rdtypes.ANY.TLSA
import dns.rdtypes.ANY.TXT
import dns.rdtypes.IN.A
import dns.rdtypes.IN.AAAA

from mxseal.adapters.dns.wire import canonical_rdata
from mxseal.vocabulary.names import Address, HostName, InvalidName
from mxseal.vocabulary.observations import AddressData, MxData, OtherData, RecordData, TextData, TlsaData
from mxseal.vocabulary.rejection import printable


def to_records(rdatas: Iterable[dns.rdata.Rdata]) -> tuple[RecordData, ...]:
    """The records in a fixed order.

    All of them: how many a reply may have is bounded where it is read, and half of an RRset would be
    another RRset (of TLSA records perhaps the unusable half).
    """
    # RFC 4034 §6.3: equal records are one.
    ordered = sorted({canonical_rdata(rdata): rdata for rdata in rdatas}.items())
    return tuple(_to_record(rdata) for _, rdata in ordered)


def _to_record(rdata: dns.rdata.Rdata) -> RecordData:
    match rdata:
        case dns.rdtypes.IN.A.A() | dns.rdtypes.IN.AAAA.AAAA():
            return AddressData(Address(rdata.address))
        case dns.rdtypes.ANY.MX.MX():
            if rdata.exchange == dns.name.root:
                return MxData(rdata.preference, None)  # RFC 7505 §3
            try:
                return MxData(rdata.preference, HostName(name_text(rdata.exchange)))
            except InvalidName:
                # An address, for instance: no MX host, but `check` has to say so.
                return OtherData(f"{rdata.preference} {printable(name_text(rdata.exchange), 300)}")
        case dns.rdtypes.ANY.TXT.TXT():
            return TextData(tuple(rdata.strings))
        case dns.rdtypes.ANY.TLSA.TLSA():
            return TlsaData(rdata.usage, rdata.selector, rdata.mtype, rdata.cert)
        case dns.rdtypes.ANY.CNAME.CNAME():
            return OtherData(name_text(rdata.target))
        case _:
            return OtherData(printable(rdata.to_text(), 4000))


def name_text(name: dns.name.Name) -> str:
    """As the vocabulary writes names: lower case, no trailing dot, ``.`` for the root, odd octets escaped."""
    return name.canonicalize().to_text(omit_final_dot=True) if name != dns.name.root else "."


def to_name(text: str) -> dns.name.Name | str:
    """The DNS name for a text, or why it is none."""
    try:
        name = dns.name.from_text(text.encode("ascii"), dns.name.root)
    except UnicodeEncodeError:
        return "not ASCII: give the A-label form (xn--…)"
    except dns.name.EmptyLabel:
        return "a label is empty"
    except dns.name.LabelTooLong:
        return "a label has more than 63 octets"
    except dns.name.NameTooLong:
        return "a name has at most 255 octets"
    except (dns.exception.DNSException, ValueError) as error:
        return str(error) or type(error).__name__
    return name.canonicalize()
