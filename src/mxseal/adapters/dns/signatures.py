"""One RRset against the keys of one zone (RFC 4035 §5.3), with a limit to the effort.

The limits are there because an attacker's zone can be built so that a naive validator tries every
signature with every key of the same tag ("KeyTrap", CVE-2023-50387).  A zone that needs more is bogus.
"""

import struct
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

import dns.dnssec
import dns.exception
import dns.name
import dns.rdatatype
import dns.rdtypes.ANY.DNSKEY
import dns.rdtypes.ANY.DS
import dns.rdtypes.ANY.RRSIG
import dns.rrset
import msgspec
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from dns.dnssecalgs import get_algorithm_cls_from_dnskey
from dns.dnssecalgs.base import GenericPublicKey
from dns.dnssectypes import Algorithm, DSDigest
from dns.rdtypes.dnskeybase import Flag

from mxseal.adapters.dns.wire import canonical_name, canonical_rdata

DnsKey = dns.rdtypes.ANY.DNSKEY.DNSKEY
Ds = dns.rdtypes.ANY.DS.DS
Rrsig = dns.rdtypes.ANY.RRSIG.RRSIG

# RFC 9904 §3: what validators must or should implement.  SHA-1 is on its way out (RFC 9905), but zones that
# still use it are secure to unbound and BIND of today's distributions, so they are to us.
SUPPORTED_ALGORITHMS: Final = frozenset(
    {
        Algorithm.RSASHA1,
        Algorithm.RSASHA1NSEC3SHA1,
        Algorithm.RSASHA256,
        Algorithm.RSASHA512,
        Algorithm.ECDSAP256SHA256,
        Algorithm.ECDSAP384SHA384,
        Algorithm.ED25519,
        Algorithm.ED448,
    }
)
SUPPORTED_DIGESTS: Final = frozenset({DSDigest.SHA1, DSDigest.SHA256, DSDigest.SHA384})

MAX_CHECKS: Final = 64
"""Signature checks and key digests for the RRsets of one question, or of one step of the chain."""
MAX_SIGNATURES: Final = 8
"""Signatures of one RRset that are looked at."""
MAX_FAILURES: Final = 16
"""Of these checks so many may fail: honest replies hardly need one, and failing is what a trap is made of."""
MAX_KEYS_PER_TAG: Final = 4
_MAX_KEY_OCTETS: Final = 1030
"""An RSA key of 8192 bits with a usual exponent; larger ones cost time without giving safety."""
_MAX_EXPONENT_OCTETS: Final = 5
"""Of an RSA key; a long exponent makes one check a hundred times as dear.  BIND's limit is 35 bits."""
_RSA: Final = frozenset(
    {Algorithm.RSASHA1, Algorithm.RSASHA1NSEC3SHA1, Algorithm.RSASHA256, Algorithm.RSASHA512}
)


class Budget:
    """The effort left for one question; never shared between questions, or one could starve another."""

    __slots__ = ("failures", "left")

    def __init__(self, checks: int = MAX_CHECKS) -> None:
        self.left = checks
        self.failures = MAX_FAILURES

    def spend(self) -> bool:
        """Take one check; False when none is left."""
        if self.left <= 0 or self.failures <= 0:
            return False
        self.left -= 1
        return True

    def failed(self) -> None:
        """The check that was taken has failed."""
        self.failures -= 1


class Verified(msgspec.Struct, frozen=True):
    """The RRset is what the zone signed."""

    ttl: int
    """The smallest of TTL, original TTL and time to expiration (RFC 4035 §5.3.3)."""
    expires: int
    """When the signature ends, seconds since 1970."""
    closest_encloser: dns.name.Name | None
    """Set where the owner came from the wildcard below this name (RFC 4035 §5.3.4)."""
    algorithm: int


class Unverified(msgspec.Struct, frozen=True):
    """No signature of the zone holds; `reason` is about the one that came closest."""

    reason: str


def verify_rrset(
    rrset: dns.rrset.RRset,
    signatures: Iterable[Rrsig],
    zone: dns.name.Name,
    keys: Sequence[DnsKey],
    *,
    now: int,
    budget: Budget,
) -> Verified | Unverified:
    """Whether one of `signatures` by `zone` holds for `rrset`; `now` in seconds since 1970."""
    what = f"{_text(rrset.name)} {dns.rdatatype.to_text(rrset.rdtype)}"
    troubles: list[tuple[int, str]] = []
    tried = 0
    for signature in signatures:
        if signature.type_covered != rrset.rdtype or signature.rdclass != rrset.rdclass:
            continue
        tried += 1
        if tried > MAX_SIGNATURES:
            troubles.append((5, f"more than {MAX_SIGNATURES} signatures over {what}"))
            break
        trouble = _unfit(rrset, signature, zone, now)
        if trouble is not None:
            troubles.append(trouble)
            continue
        candidates = _candidates(signature, keys)
        if not candidates:
            troubles.append((2, f"{what}: no key {signature.key_tag} in zone {_text(zone)}"))
            continue
        data = _signed_data(rrset, signature)
        for key in candidates:
            if not budget.spend():
                limit = f"{MAX_FAILURES} failing" if budget.left > 0 else f"{MAX_CHECKS}"
                return Unverified(f"{what}: more than {limit} signature checks needed")
            if _check(key, signature.signature, data):
                expires = now + _ahead(signature.expiration, now)
                return Verified(
                    ttl=max(0, min(rrset.ttl, signature.original_ttl, expires - now)),
                    expires=expires,
                    closest_encloser=_wildcard_base(rrset.name, signature.labels),
                    algorithm=int(signature.algorithm),
                )
            budget.failed()
        troubles.append((4, f"{what}: the signature by key {signature.key_tag} does not verify"))
    return Unverified(max(troubles)[1] if troubles else f"{what} has no signature")


def _unfit(rrset: dns.rrset.RRset, signature: Rrsig, zone: dns.name.Name, now: int) -> tuple[int, str] | None:
    """The rules of RFC 4035 §5.3.1, as far as they need no key."""
    what = f"{_text(rrset.name)} {dns.rdatatype.to_text(rrset.rdtype)}"
    if signature.signer != zone:
        return 1, f"{what}: signed by {_text(signature.signer)}, which is not its zone {_text(zone)}"
    if not rrset.name.is_subdomain(zone) or signature.labels < _label_count(zone):
        return 1, f"{what}: signed by {_text(zone)}, which it is not in"
    if signature.labels > _label_count(rrset.name):
        return 1, f"{what}: the signature is for a longer name"
    if signature.algorithm not in SUPPORTED_ALGORITHMS:
        return 1, f"{what}: signed with an unsupported algorithm ({signature.algorithm})"
    if _ahead(signature.expiration, now) < 0:
        return 3, f"{what}: the signature expired on {_date(now + _ahead(signature.expiration, now))}"
    if _ahead(signature.inception, now) > 0:
        return 3, f"{what}: the signature is valid only from {_date(now + _ahead(signature.inception, now))}"
    return None


def _candidates(signature: Rrsig, keys: Sequence[DnsKey]) -> list[DnsKey]:
    found = [
        key for key in keys if key.algorithm == signature.algorithm and _key_tag(key) == signature.key_tag
    ]
    return found[:MAX_KEYS_PER_TAG]


def zone_keys(keys: Iterable[DnsKey]) -> tuple[DnsKey, ...]:
    """The keys that may sign a zone's data (RFC 4034 §2.1.1, §2.1.2; RFC 5011 §2.1)."""
    return tuple(
        key
        for key in keys
        if key.flags & Flag.ZONE
        and not key.flags & Flag.REVOKE
        and key.protocol == 3
        and key.algorithm in SUPPORTED_ALGORITHMS
    )


def usable_ds(records: Iterable[Ds]) -> tuple[Ds, ...]:
    """Those DS records that we can follow; SHA-1 only where there is no SHA-2 (RFC 4509 §3)."""
    supported = [
        ds for ds in records if ds.algorithm in SUPPORTED_ALGORITHMS and ds.digest_type in SUPPORTED_DIGESTS
    ]
    strong = [ds for ds in supported if ds.digest_type != DSDigest.SHA1]
    return tuple(sorted(strong or supported, key=lambda ds: (ds.key_tag, ds.digest_type, ds.digest)))


def keys_for_ds(zone: dns.name.Name, ds: Ds, keys: Sequence[DnsKey], budget: Budget) -> Iterable[DnsKey]:
    """The keys of `keys` whose digest is `ds` (RFC 4035 §5.2)."""
    fitting = [key for key in keys if key.algorithm == ds.algorithm and _key_tag(key) == ds.key_tag]
    for key in fitting[:MAX_KEYS_PER_TAG]:
        if not budget.spend():
            return
        try:
            digest = dns.dnssec.make_ds(zone, key, DSDigest(ds.digest_type), validating=True).digest
        except (dns.exception.DNSException, ValueError):
            continue
        if digest == ds.digest:
            yield key
        else:
            budget.failed()


def _signed_data(rrset: dns.rrset.RRset, signature: Rrsig) -> bytes:
    """What was signed (RFC 4034 §3.1.8.1): the RRSIG without its signature, then the RRs in canonical form."""
    owner = rrset.name
    base = _wildcard_base(owner, signature.labels)
    if base is not None:
        owner = dns.name.Name((b"*", *base.labels))
    head = struct.pack(
        "!HBBIIIH",
        signature.type_covered,
        signature.algorithm,
        signature.labels,
        signature.original_ttl,
        signature.expiration,
        signature.inception,
        signature.key_tag,
    )
    fixed = canonical_name(owner) + struct.pack("!HHI", rrset.rdtype, rrset.rdclass, signature.original_ttl)
    parts = [head, canonical_name(signature.signer)]
    for rdata in sorted({canonical_rdata(rdata) for rdata in rrset}):  # RFC 4034 §6.3: equal ones are one
        parts += (fixed, struct.pack("!H", len(rdata)), rdata)
    return b"".join(parts)


def _label_count(name: dns.name.Name) -> int:
    """As the Labels field counts (RFC 4034 §3.1.3): without the root and without a leading ``*``."""
    return len(name.labels) - 1 - name.is_wild()


def _wildcard_base(owner: dns.name.Name, labels: int) -> dns.name.Name | None:
    if labels >= _label_count(owner):
        return None
    return owner.split(labels + 1)[1]


def _check(key: DnsKey, signature: bytes, data: bytes) -> bool:
    public = _public_key(int(key.flags), int(key.algorithm), key.key)
    if public is None:
        return False
    try:
        public.verify(signature, data)
    except (InvalidSignature, UnsupportedAlgorithm, ValueError):
        return False
    return True


@lru_cache(maxsize=4096)
def _public_key(flags: int, algorithm: int, key: bytes) -> GenericPublicKey | None:
    if len(key) > _MAX_KEY_OCTETS or (algorithm in _RSA and _exponent_octets(key) > _MAX_EXPONENT_OCTETS):
        return None
    record = DnsKey(1, dns.rdatatype.DNSKEY, flags, 3, algorithm, key)  # type: ignore[no-untyped-call]
    try:
        return get_algorithm_cls_from_dnskey(record).public_cls.from_dnskey(record)
    except (ValueError, UnsupportedAlgorithm, dns.exception.DNSException):
        return None


def _exponent_octets(key: bytes) -> int:
    """RFC 3110 §2: one octet tells the length, or a zero and two more."""
    return key[0] if key[:1] > b"\0" else int.from_bytes(key[1:3])


def _key_tag(key: DnsKey) -> int:
    return _tag(int(key.flags), key.protocol, int(key.algorithm), key.key)


@lru_cache(maxsize=4096)
def _tag(flags: int, protocol: int, algorithm: int, key: bytes) -> int:
    # By its parts: the hash of a whole record is dearer than the tag.
    return dns.dnssec.key_id(DnsKey(1, dns.rdatatype.DNSKEY, flags, protocol, algorithm, key))  # type: ignore[no-untyped-call]


def _ahead(moment: int, now: int) -> int:
    """How far `moment` lies ahead, in the serial arithmetic of RFC 4034 §3.1.5."""
    difference = (moment - now) & 0xFFFFFFFF
    return difference - (1 << 32) if difference >= 1 << 31 else difference


def _date(moment: int) -> str:
    return datetime.fromtimestamp(moment, tz=UTC).strftime("%Y-%m-%d %H:%M UTC")


def _text(name: dns.name.Name) -> str:
    return name.to_text(omit_final_dot=len(name.labels) > 1)


def algorithm_name(algorithm: int) -> str:
    """As IANA names it, or the number."""
    try:
        return Algorithm(algorithm).name
    except ValueError:
        return str(algorithm)
