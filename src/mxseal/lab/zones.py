"""DNS zones of the laboratory: data, signatures, and proofs that something does not exist.

A `Zone` is a dictionary of RRsets that signs what it is asked for when it is
first asked (RFC 4034 §3, §4; RFC 5155), so a lab of hundreds of zones starts at
once and a zone can be changed while it runs.  A `Tree` of zones answers as

* a *recursive resolver* would, one that passes DNSSEC records on and does not
  validate (`Tree.resolve`): aliases followed, DS answered by the parent,
  denials with their proofs;
* one *authoritative server* (`answer_authoritatively`): its own zones only,
  referrals below them.
"""

import bisect
import functools
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import cast

import dns.dnssec
import dns.dnssectypes
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rdtypes.ANY.DNSKEY
import dns.rrset
import msgspec
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from mxseal.lab.ca import rsa_key

TTL = 300
"""Of every record in the laboratory, in seconds."""

_IN = dns.rdataclass.IN
_KSK = 257
_MAX_ALIASES = 10
_GOST = dns.dnssectypes.Algorithm.ECCGOST

Name = dns.name.Name
RRset = dns.rrset.RRset
RdataType = dns.rdatatype.RdataType
DNSKEY = dns.rdtypes.ANY.DNSKEY.DNSKEY
ZoneKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey


class Signing(StrEnum):
    """How a zone is signed, and what is wrong with that."""

    ECDSA = "ecdsa"
    RSA = "rsa"
    ED25519 = "ed25519"
    NSEC3 = "nsec3"
    """ECDSA, with hashed denial of existence (RFC 5155; RFC 9276 §3.1: no salt, no extra iterations)."""
    NONE = "none"
    """No keys, and the parent proves that there is no DS: an insecure delegation (RFC 4035 §4.3)."""
    EXPIRED = "expired"
    """The signatures ran out seven days ago."""
    EXPIRING = "expiring"
    """The signatures have six hours left."""
    SHA1 = "sha1"
    """RSASHA1: still accepted by many, no longer by all (RFC 8624 §3.1)."""
    WRONG_DS = "wrong-ds"
    """The parent's DS belongs to a key that is gone."""
    STRIPPED = "stripped"
    """The parent has a DS, and the zone is served without signatures."""
    UNSUPPORTED = "unsupported"
    """An algorithm that nobody supports any more (GOST): validators treat it as unsigned (RFC 4035 §5.2)."""


class Reply(msgspec.Struct):
    """What goes into a response."""

    rcode: dns.rcode.Rcode = dns.rcode.NOERROR
    answer: list[RRset] = msgspec.field(default_factory=list)
    authority: list[RRset] = msgspec.field(default_factory=list)
    additional: list[RRset] = msgspec.field(default_factory=list)
    authoritative: bool = False
    alias: Name | None = None
    """Where the answer's last CNAME points to, if the question is not answered yet."""


class Zone:
    """One zone; owner names are given relative to the apex (``@`` is the apex)."""

    def __init__(self, apex: str, *, now: datetime, signing: Signing = Signing.ECDSA) -> None:
        self.apex = dns.name.from_text(apex)
        self.signing = signing
        self._rrsets: dict[Name, dict[RdataType, RRset]] = {}
        self._tampered: dict[tuple[Name, RdataType], RRset] = {}
        self._glue: dict[Name, list[RRset]] = {}
        self._signatures: dict[tuple[Name, RdataType], RRset] = {}
        expired = signing is Signing.EXPIRED
        self._inception = now - timedelta(days=37 if expired else 5)
        left = {Signing.EXPIRED: timedelta(days=-7), Signing.EXPIRING: timedelta(hours=6)}
        self._expiration = now + left.get(signing, timedelta(days=25))
        if self._has_keys:
            self._private_key, self.dnskey = _zone_key(signing)
            self._put(self.apex, dns.rdatatype.DNSKEY, [self.dnskey])
            if signing is Signing.NSEC3:
                self.add("@", "NSEC3PARAM", "1 0 0 -")

    # --- building ---

    def add(self, owner: str, rdtype: str, *texts: str) -> None:
        """Add records in presentation format; names in them may be relative to the apex."""
        kind = dns.rdatatype.from_text(rdtype)
        rdatas = [dns.rdata.from_text(_IN, kind, text, origin=self.apex, relativize=False) for text in texts]
        name = self._absolute(owner)
        existing = self._rrsets.get(name, {}).get(kind)
        self._put(name, kind, [*(existing or ()), *rdatas])

    def replace(self, owner: str, rdtype: str, *texts: str) -> None:
        """Put these records in the place of an RRset, or take it away if there are none."""
        name, kind = self._absolute(owner), dns.rdatatype.from_text(rdtype)
        self._rrsets.get(name, {}).pop(kind, None)
        if texts:
            self.add(owner, rdtype, *texts)
        elif not self._rrsets.get(name, True):
            del self._rrsets[name]
        self._forget()

    def tamper(self, owner: str, rdtype: str, *texts: str) -> None:
        """Serve other records than those that were signed: the RRset becomes bogus."""
        kind = dns.rdatatype.from_text(rdtype)
        name = self._absolute(owner)
        self._tampered[name, kind] = dns.rrset.from_text_list(
            name, TTL, "IN", kind, list(texts), origin=self.apex, relativize=False
        )

    def delegate(self, child: "Zone", servers: Sequence[str], glue: dict[str, str]) -> None:
        """Make a zone cut: NS, DS where the child has keys, and glue for servers within the child."""
        self._put(
            child.apex,
            dns.rdatatype.NS,
            [dns.rdata.from_text(_IN, dns.rdatatype.NS, f"{server}.") for server in servers],
        )
        if (ds := child.ds()) is not None:
            self._put(child.apex, dns.rdatatype.DS, [ds])
        self._glue[child.apex] = [
            dns.rrset.from_text(f"{server}.", TTL, "IN", "A", glue[server])
            for server in servers
            if dns.name.from_text(server).is_subdomain(child.apex)
        ]

    def ds(self) -> dns.rdata.Rdata | None:
        """The DS record for the parent zone; None for an unsigned zone."""
        if not self._has_keys:
            return None
        key = _zone_key(self.signing)[1] if self.signing is Signing.WRONG_DS else self.dnskey
        return dns.dnssec.make_ds(self.apex, key, "SHA256")

    def copy(self, now: datetime) -> "Zone":
        """A second version of the zone with the same keys, as a secondary that lags behind has it."""
        other = Zone(self.apex.to_text(), now=now, signing=Signing.NONE)
        other.signing = self.signing
        if self._has_keys:
            other._private_key, other.dnskey = self._private_key, self.dnskey
        other._rrsets = {name: dict(rrsets) for name, rrsets in self._rrsets.items()}
        return other

    # --- asking ---

    def lookup(self, name: Name, kind: RdataType) -> Reply:
        """Answer from this zone alone; `Reply.alias` says where to go on."""
        cut = self._cut_above(name, kind)
        if cut is not None:
            return self._referral(cut)
        rrsets = self._rrsets.get(name)
        if rrsets is not None:
            return self._found(name, name, rrsets, kind)
        if name in self._empty_non_terminals:
            return self._denial(dns.rcode.NOERROR, self._prove_no_data(name))
        encloser = self._closest_encloser(name)
        wildcard = dns.name.Name((b"*", *encloser.labels))
        if wildcard in self._rrsets:
            reply = self._found(name, wildcard, self._rrsets[wildcard], kind)
            reply.authority += self._prove_expansion(name, encloser)
            return reply
        return self._denial(dns.rcode.NXDOMAIN, self._prove_no_name(name, encloser, wildcard))

    def _found(self, name: Name, owner: Name, rrsets: dict[RdataType, RRset], kind: RdataType) -> Reply:
        if kind == dns.rdatatype.ANY:
            return Reply(
                answer=[part for each in list(rrsets) for part in self._signed(owner, each, name)],
                authoritative=True,
            )
        if kind in rrsets:
            return Reply(answer=self._signed(owner, kind, name), authoritative=True)
        cname = rrsets.get(dns.rdatatype.CNAME)
        if cname is not None:
            signed = self._signed(owner, dns.rdatatype.CNAME, name)
            return Reply(answer=signed, authoritative=True, alias=signed[0][0].target)
        return self._denial(dns.rcode.NOERROR, self._prove_no_data(owner))

    def _denial(self, rcode: dns.rcode.Rcode, proof: list[RRset]) -> Reply:
        soa = self._signed(self.apex, dns.rdatatype.SOA)
        return Reply(rcode=rcode, authority=[*soa, *proof], authoritative=True)

    def _referral(self, cut: Name) -> Reply:
        rrsets = self._rrsets[cut]
        authority = [rrsets[dns.rdatatype.NS]]
        if dns.rdatatype.DS in rrsets:
            authority += self._signed(cut, dns.rdatatype.DS)
        else:
            authority += self._prove_no_data(cut)
        return Reply(authority=authority, additional=list(self._glue.get(cut, ())))

    def _signed(self, owner: Name, kind: RdataType, name: Name | None = None) -> list[RRset]:
        """The RRset as it is served, with its RRSIG; `name` is where a wildcard is expanded to."""
        rrset = self._tampered.get((owner, kind)) or self._rrsets[owner][kind]
        parts = [rrset]
        signature = self._signature(owner, kind)
        if signature is not None:
            parts.append(signature)
        if name is None or name == owner:
            return parts
        return [_renamed(part, name) for part in parts]

    def _signature(self, owner: Name, kind: RdataType) -> RRset | None:
        if not self._has_keys or self.signing is Signing.STRIPPED or self._is_unsigned(owner, kind):
            return None
        if (owner, kind) not in self._signatures:
            self._signatures[owner, kind] = self._sign(self._rrsets[owner][kind])
        return self._signatures[owner, kind]

    def _sign(self, rrset: RRset) -> RRset:
        rrsig = dns.dnssec.sign(
            rrset,
            self._private_key,
            self.apex,
            _with_algorithm(self.dnskey, dns.dnssectypes.Algorithm.ECDSAP256SHA256)
            if self.signing is Signing.UNSUPPORTED
            else self.dnskey,
            inception=self._inception,
            expiration=self._expiration,
            policy=dns.dnssec.allow_all_policy,
        )
        if self.signing is Signing.UNSUPPORTED:
            relabelled = rrsig.replace(algorithm=_GOST, key_tag=dns.dnssec.key_id(self.dnskey))
            return dns.rrset.from_rdata(rrset.name, rrset.ttl, relabelled)
        return dns.rrset.from_rdata(rrset.name, rrset.ttl, rrsig)

    # --- denial of existence ---

    def _prove_no_data(self, name: Name) -> list[RRset]:
        if not self._has_keys or self.signing is Signing.STRIPPED:
            return []
        if self.signing is Signing.NSEC3:
            return self._nsec3_proof(matching=[name])
        return self._nsec_proof([name])

    def _prove_expansion(self, name: Name, encloser: Name) -> list[RRset]:
        """That the name itself is not there, behind an answer from a wildcard (RFC 4035 §3.1.3.3)."""
        if not self._has_keys or self.signing is Signing.STRIPPED:
            return []
        if self.signing is Signing.NSEC3:
            return self._nsec3_proof(covering=[_next_closer(name, encloser)])
        return self._nsec_proof([name])

    def _prove_no_name(self, name: Name, encloser: Name, wildcard: Name) -> list[RRset]:
        if not self._has_keys or self.signing is Signing.STRIPPED:
            return []
        if self.signing is Signing.NSEC3:
            # RFC 5155 §7.2.2: the closest encloser matches; next closer name and wildcard are covered.
            covering = [_next_closer(name, encloser), wildcard]
            return self._nsec3_proof(matching=[encloser], covering=covering)
        return self._nsec_proof([name, wildcard])

    def _nsec_proof(self, names: Iterable[Name]) -> list[RRset]:
        """The NSEC records that match or cover these names, each once."""
        chain = self._nsec_names
        places = dict.fromkeys(bisect.bisect_right(chain, name) - 1 for name in names)
        proof: list[RRset] = []
        for place in places:
            owner, following = chain[place], chain[(place + 1) % len(chain)]
            types = {*self._visible_types(owner), dns.rdatatype.NSEC, dns.rdatatype.RRSIG}
            bitmap = " ".join(dns.rdatatype.to_text(kind) for kind in sorted(types))
            nsec = dns.rrset.from_text(owner, TTL, "IN", "NSEC", f"{following} {bitmap}")
            proof += self._sign_once(nsec)
        return proof

    def _nsec3_proof(self, matching: Iterable[Name] = (), covering: Iterable[Name] = ()) -> list[RRset]:
        chain = self._nsec3_chain
        hashes = [digest for digest, _ in chain]
        wanted: dict[int, None] = {}
        for name in matching:
            wanted[bisect.bisect_left(hashes, _hash(name))] = None
        for name in covering:
            wanted[(bisect.bisect_left(hashes, _hash(name)) - 1) % len(chain)] = None
        proof: list[RRset] = []
        for index in wanted:
            digest, name = chain[index]
            types = set(self._visible_types(name))
            if self._any_signed(name, types):
                types.add(dns.rdatatype.RRSIG)
            bitmap = " ".join(dns.rdatatype.to_text(kind) for kind in sorted(types))
            following = hashes[(index + 1) % len(chain)]
            owner = dns.name.from_text(digest, self.apex)
            nsec3 = dns.rrset.from_text(owner, TTL, "IN", "NSEC3", f"1 0 0 - {following} {bitmap}")
            proof += self._sign_once(nsec3)
        return proof

    def _sign_once(self, rrset: RRset) -> list[RRset]:
        key = (rrset.name, rrset.rdtype)
        if key not in self._signatures:
            self._signatures[key] = self._sign(rrset)
        return [rrset, self._signatures[key]]

    def _visible_types(self, name: Name) -> Iterable[RdataType]:
        return self._rrsets.get(name, {})

    def _any_signed(self, name: Name, types: Iterable[RdataType]) -> bool:
        return any(not self._is_unsigned(name, kind) for kind in types)

    # --- shape of the zone ---

    @property
    def _has_keys(self) -> bool:
        return self.signing is not Signing.NONE

    def _is_cut(self, name: Name) -> bool:
        return name != self.apex and dns.rdatatype.NS in self._rrsets.get(name, {})

    def _is_unsigned(self, owner: Name, kind: RdataType) -> bool:
        """NS at a zone cut belongs to the child (RFC 4035 §2.2)."""
        return kind == dns.rdatatype.NS and self._is_cut(owner)

    def _cut_above(self, name: Name, kind: RdataType) -> Name | None:
        for ancestor in _ancestors(name, self.apex):
            if self._is_cut(ancestor) and not (ancestor == name and kind == dns.rdatatype.DS):
                return ancestor
        return None

    def _closest_encloser(self, name: Name) -> Name:
        for ancestor in _ancestors(name, self.apex):
            if ancestor in self._rrsets or ancestor in self._empty_non_terminals:
                return ancestor
        return self.apex

    @functools.cached_property
    def _empty_non_terminals(self) -> frozenset[Name]:
        found = {above for name in self._rrsets for above in _ancestors(name, self.apex)}
        return frozenset(found - self._rrsets.keys())

    @functools.cached_property
    def _nsec_names(self) -> list[Name]:
        return sorted(self._rrsets)

    @functools.cached_property
    def _nsec3_chain(self) -> list[tuple[str, Name]]:
        return sorted((_hash(name), name) for name in (*self._rrsets, *self._empty_non_terminals))

    def _absolute(self, owner: str) -> Name:
        return dns.name.from_text(owner, self.apex)

    def _put(self, name: Name, kind: RdataType, rdatas: Sequence[dns.rdata.Rdata]) -> None:
        self._rrsets.setdefault(name, {})[kind] = dns.rrset.from_rdata(name, TTL, *rdatas)
        self._forget()

    def _forget(self) -> None:
        self._signatures.clear()
        for derived in ("_empty_non_terminals", "_nsec_names", "_nsec3_chain"):
            self.__dict__.pop(derived, None)


class Tree:
    """All zones under one root, asked as one asks a recursive resolver."""

    def __init__(self) -> None:
        self._zones: dict[Name, Zone] = {}

    def add(self, zone: Zone) -> None:
        self._zones[zone.apex] = zone

    def zone(self, apex: str) -> Zone:
        return self._zones[dns.name.from_text(apex)]

    def __iter__(self) -> Iterator[Zone]:
        return iter(self._zones.values())

    def resolve(self, name: Name, kind: RdataType) -> Reply:
        """The answer of a resolver that has asked every server on the way."""
        answer: list[RRset] = []
        proofs: list[RRset] = []
        for _ in range(_MAX_ALIASES):
            reply = self._zone_for(name, kind).lookup(name, kind)
            answer += reply.answer
            if reply.alias is None:
                return Reply(rcode=reply.rcode, answer=answer, authority=[*proofs, *reply.authority])
            proofs += reply.authority
            name = reply.alias
        return Reply(rcode=dns.rcode.SERVFAIL)

    def _zone_for(self, name: Name, kind: RdataType) -> Zone:
        # RFC 4035 §3.1.4.1: the parent answers for DS.
        start = name.parent() if kind == dns.rdatatype.DS and name != dns.name.root else name
        for ancestor in _ancestors(start, dns.name.root):
            if ancestor in self._zones:
                return self._zones[ancestor]
        raise KeyError("a tree needs a root zone")


def answer_authoritatively(zones: dict[Name, Zone], name: Name, kind: RdataType) -> Reply:
    """What one server says that serves exactly these zones, without recursion."""
    holders = [zone for apex, zone in zones.items() if name.is_subdomain(apex)]
    if kind == dns.rdatatype.DS:
        holders = [zone for zone in holders if zone.apex != name] or holders
    if not holders:
        return Reply(rcode=dns.rcode.REFUSED)
    zone = max(holders, key=lambda each: len(each.apex))
    reply = zone.lookup(name, kind)
    seen = {name}
    while reply.alias is not None and reply.alias.is_subdomain(zone.apex) and reply.alias not in seen:
        seen.add(reply.alias)
        further = zone.lookup(reply.alias, kind)
        further.answer = [*reply.answer, *further.answer]
        reply = further
    return reply


def _zone_key(signing: Signing) -> tuple[ZoneKey, DNSKEY]:
    private: ZoneKey
    if signing is Signing.RSA:
        private, algorithm = rsa_key(1), dns.dnssectypes.Algorithm.RSASHA256
    elif signing is Signing.SHA1:
        private, algorithm = rsa_key(1), dns.dnssectypes.Algorithm.RSASHA1
    elif signing is Signing.ED25519:
        private, algorithm = ed25519.Ed25519PrivateKey.generate(), dns.dnssectypes.Algorithm.ED25519
    else:
        private, algorithm = (
            ec.generate_private_key(ec.SECP256R1()),
            dns.dnssectypes.Algorithm.ECDSAP256SHA256,
        )
    dnskey: DNSKEY = dns.dnssec.make_dnskey(private.public_key(), algorithm, flags=_KSK)
    if signing is Signing.UNSUPPORTED:
        dnskey = _with_algorithm(dnskey, _GOST)
    return private, dnskey


def _with_algorithm(key: DNSKEY, algorithm: dns.dnssectypes.Algorithm) -> DNSKEY:
    """The same key octets under another algorithm number."""
    return cast("DNSKEY", key.replace(algorithm=algorithm))


def _ancestors(name: Name, apex: Name) -> Iterator[Name]:
    """The name itself and those above it, up to and with the apex."""
    while name.is_subdomain(apex):
        yield name
        if name == apex:
            return
        name = name.parent()


def _next_closer(name: Name, encloser: Name) -> Name:
    """The name one label longer than the closest encloser (RFC 5155 §1.3)."""
    return Name(name.labels[-(len(encloser) + 1) :])


def _hash(name: Name) -> str:
    return dns.dnssec.nsec3_hash(name, None, 0, 1)


def _renamed(rrset: RRset, name: Name) -> RRset:
    return dns.rrset.from_rdata_list(name, rrset.ttl, list(rrset))
