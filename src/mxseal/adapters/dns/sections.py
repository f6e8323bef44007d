"""Finding RRsets, their signatures and the records of denial in a reply."""

from collections.abc import Callable, Sequence

import dns.message
import dns.name
import dns.rdataclass
import dns.rdatatype
import dns.rdtypes.ANY.NSEC
import dns.rdtypes.ANY.NSEC3
import dns.rrset
import msgspec

from mxseal.adapters.dns import denial
from mxseal.adapters.dns.denial import Denial, Nsec, Nsec3, Unproved
from mxseal.adapters.dns.signatures import Budget, DnsKey, Rrsig, Unverified, Verified, verify_rrset

_MAX_DENIALS = 12
"""NSEC and NSEC3 RRsets of one reply that are looked at; the longest legal proof needs 4."""

Section = Sequence[dns.rrset.RRset]


def rrset_of(
    section: Section, name: dns.name.Name, rdtype: dns.rdatatype.RdataType
) -> dns.rrset.RRset | None:
    """The RRset in the section; names compare without regard to case."""
    for rrset in section:
        if rrset.rdtype == rdtype and rrset.rdclass == dns.rdataclass.IN and rrset.name == name:
            return rrset
    return None


def signatures_of(section: Section, rrset: dns.rrset.RRset) -> list[Rrsig]:
    """The RRSIG records that claim to cover `rrset`."""
    return [
        rdata
        for other in section
        if other.rdtype == dns.rdatatype.RRSIG and other.covers == rrset.rdtype and other.name == rrset.name
        for rdata in other
        if isinstance(rdata, Rrsig)
    ]


def covering_dname(section: Section, name: dns.name.Name) -> dns.rrset.RRset | None:
    """A DNAME RRset of a proper ancestor of `name`; the highest one, since it acts first."""
    found = [
        rrset
        for rrset in section
        if rrset.rdtype == dns.rdatatype.DNAME
        and rrset.rdclass == dns.rdataclass.IN
        and rrset.name != name
        and name.is_subdomain(rrset.name)
    ]
    return min(found, key=lambda rrset: len(rrset.name.labels), default=None)


def denials_of(message: dns.message.Message) -> list[dns.rrset.RRset]:
    """The NSEC and NSEC3 RRsets of the authority section."""
    found = [
        rrset
        for rrset in message.authority
        if rrset.rdtype in (dns.rdatatype.NSEC, dns.rdatatype.NSEC3) and rrset.rdclass == dns.rdataclass.IN
    ]
    return found[:_MAX_DENIALS]


class Signed(msgspec.Struct):
    """The records of denial in a reply whose signatures hold, and why the others' do not."""

    zone: dns.name.Name
    nsec: list[Nsec] = []
    nsec3: list[Nsec3] = []
    ttl: int = 1 << 31
    expires: int = 1 << 62
    troubles: list[str] = []

    def prove(self, name: dns.name.Name, rdtype: int) -> Denial | Unproved:
        """That `name` does not exist or has no `rdtype`."""
        return self._either(
            lambda: denial.prove_nsec(name, rdtype, self.zone, self.nsec),
            lambda: denial.prove_nsec3(name, rdtype, self.zone, self.nsec3),
        )

    def prove_expansion(self, name: dns.name.Name, encloser: dns.name.Name) -> Denial | Unproved:
        """That a wildcard below `encloser` may stand in for `name`."""

        def by_nsec() -> Denial | Unproved:
            if denial.nsec_proves_expansion(name, encloser, self.zone, self.nsec):
                return Denial(denial.Denied.NAME, "NSEC")
            return Unproved("nothing proves that the name itself does not exist")

        return self._either(
            by_nsec, lambda: denial.nsec3_proves_expansion(name, encloser, self.zone, self.nsec3)
        )

    def _either(
        self, by_nsec: Callable[[], Denial | Unproved], by_nsec3: Callable[[], Denial | Unproved]
    ) -> Denial | Unproved:
        result: Denial | Unproved = Unproved("no NSEC or NSEC3 record of the zone")
        if self.nsec:
            result = by_nsec()
        if isinstance(result, Unproved) and self.nsec3:
            result = by_nsec3()
        if isinstance(result, Unproved) and self.troubles:
            return Unproved(f"{result.reason} ({self.troubles[0]})")
        return result


def signed_denials(
    message: dns.message.Message,
    zone: dns.name.Name,
    keys: Sequence[DnsKey],
    *,
    now: int,
    budget: Budget,
) -> Signed:
    """Verify the records of denial against the zone's keys."""
    signed = Signed(zone)
    for rrset in denials_of(message):
        result = verify_rrset(
            rrset, signatures_of(message.authority, rrset), zone, keys, now=now, budget=budget
        )
        if isinstance(result, Verified) and result.closest_encloser is not None:
            # A wildcard's NSEC, shown under another owner, would prove what is not so.
            result = Unverified(f"NSEC at {rrset.name} comes from a wildcard")
        if isinstance(result, Unverified):
            signed.troubles.append(result.reason)
            continue
        signed.ttl = min(signed.ttl, result.ttl)
        signed.expires = min(signed.expires, result.expires)
        for rdata in rrset:
            if isinstance(rdata, dns.rdtypes.ANY.NSEC.NSEC):
                signed.nsec.append((rrset.name, rdata))
            elif isinstance(rdata, dns.rdtypes.ANY.NSEC3.NSEC3):
                signed.nsec3.append((rrset.name, rdata))
    return signed
