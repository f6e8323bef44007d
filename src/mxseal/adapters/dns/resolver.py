"""The validating stub: one question, its aliases followed, each step proved."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rdtypes.ANY.CNAME
import dns.rdtypes.ANY.DNAME
import dns.rdtypes.ANY.SOA
import dns.rrset
import msgspec

from mxseal.adapters.clock import SystemClock
from mxseal.adapters.dns.anchors import TrustAnchors
from mxseal.adapters.dns.chain import Chain, Walk, Zone, failure
from mxseal.adapters.dns.convert import name_text, to_name, to_records
from mxseal.adapters.dns.denial import Denied, Unproved
from mxseal.adapters.dns.failover import ask_around, with_blame
from mxseal.adapters.dns.kept import Kept
from mxseal.adapters.dns.sections import (
    covering_dname,
    denials_of,
    rrset_of,
    signatures_of,
    signed_denials,
)
from mxseal.adapters.dns.signatures import Budget, Unverified, verify_rrset
from mxseal.adapters.dns.transport import NoReply, Reply, Server, Transport
from mxseal.vocabulary.observations import (
    AddressData,
    Alias,
    Answer,
    MxData,
    OtherData,
    Outcome,
    RecordData,
    RecordType,
    Security,
    TextData,
    TlsaData,
    ZoneProof,
)

Cname = dns.rdtypes.ANY.CNAME.CNAME
Dname = dns.rdtypes.ANY.DNAME.DNAME

SYSTEM_NOW: Final = SystemClock().now

MAX_ALIASES: Final = 12
"""CNAME and DNAME steps that are followed; unbound stops at 11, BIND at 16."""
MAX_OCTETS_KEPT: Final = 1 << 26
_ANSWER_OCTETS: Final = 2000
"""What an answer takes in memory, roughly, beside its records."""
MAX_TIMEOUTS: Final = 6
"""A whole answer, aliases and chain included, may take so many times the limit for one question."""
_LONGEST_KEPT: Final = 86_400
_NEVER: Final = 1 << 62
REFERRAL: Final = "a referral instead of an answer: the server asked does not resolve recursively"

_WEAKNESS: Final = {
    Security.SECURE: 0,
    Security.INSECURE: 1,
    Security.INDETERMINATE: 2,
    Security.BOGUS: 3,
}


def weakest(*states: Security) -> Security:
    """The status of several steps together."""
    return max(states, key=_WEAKNESS.__getitem__)


class Judged(msgspec.Struct, frozen=True):
    """One step: the question, without following where an alias leads."""

    outcome: Outcome
    security: Security
    reason: str
    rdatas: tuple[dns.rdata.Rdata, ...] = ()
    target: dns.name.Name | None = None
    """Set if the name is an alias."""
    ttl: int = 0
    expires: int = _NEVER
    proofs: tuple[ZoneProof, ...] = ()
    extended_errors: tuple[str, ...] = ()
    blamed: Server | None = None
    """Where it is bogus because of this step's reply: the server that it came from."""


class Effort(msgspec.Struct, frozen=True):
    """What one question may still cost."""

    budget: Budget
    walk: Walk


class ValidatingResolver:
    """Satisfies `journeys.ports.Resolver` with proofs of its own.

    Args:
        servers: recursive resolvers that pass DNSSEC records on; asked in this order, with fail-over.
        anchors: where trust begins; the root's keys as IANA publishes them by default.
        timeout: seconds for one question to the servers, fail-over and TCP included; an answer needs
            several such questions, most of them once per zone, and gets `MAX_TIMEOUTS` times as long.
        now: the time, UTC and aware.
        keep: how many octets of answers are remembered, each as long as its TTL allows; 0 switches that off.

    It holds no sockets between questions, so it needs no closing.
    """

    def __init__(
        self,
        servers: Sequence[Server],
        *,
        anchors: TrustAnchors | None = None,
        timeout: float = 5.0,
        now: Callable[[], datetime] = SYSTEM_NOW,
        keep: int = MAX_OCTETS_KEPT,
        transport: Transport | None = None,
    ) -> None:
        self.transport = transport or Transport(servers, timeout=timeout)
        self._now = now
        self._servers = len(servers)
        self._chain = Chain(self.transport, anchors or TrustAnchors.for_root(), now, servers=self._servers)
        self._limit = timeout * MAX_TIMEOUTS
        self._kept: Kept[tuple[dns.name.Name, RecordType], tuple[int, Answer]] = Kept(keep)
        self._running: dict[tuple[dns.name.Name, RecordType], asyncio.Task[Answer]] = {}

    async def resolve(self, name: str, record_type: RecordType) -> Answer:
        """The answer with its proved security; never raises for trouble of the other side."""
        asked = to_name(name)
        if isinstance(asked, str):
            return Answer(
                name, record_type, Outcome.FAILED, Security.INDETERMINATE, reason=f"no DNS name: {asked}"
            )
        key = (asked, record_type)
        kept = self._kept.get(key)
        if kept is not None:
            until, answer = kept
            left = until - self._seconds()
            if 0 < left <= answer.ttl:  # the upper bound is for a clock that was set back
                return msgspec.structs.replace(answer, ttl=left)
            self._kept.drop(key)
        task = self._running.get(key)
        if task is None or task.done() or task.get_loop() is not asyncio.get_running_loop():
            task = asyncio.create_task(self._resolve_and_keep(key))
            self._running[key] = task
        return await asyncio.shield(task)

    async def _resolve_and_keep(self, key: tuple[dns.name.Name, RecordType]) -> Answer:
        try:
            async with asyncio.timeout(self._limit):
                answer = await self._resolve(*key)
        except TimeoutError:
            return Answer(
                name_text(key[0]),
                key[1],
                Outcome.FAILED,
                Security.INDETERMINATE,
                reason=f"not finished within {self._limit:g} seconds",
            )
        finally:
            self._running.pop(key, None)
        if answer.ttl > 0 and not answer.failed:
            size = _ANSWER_OCTETS + sum(map(_octets, answer.records))
            self._kept.put(key, (self._seconds() + answer.ttl, answer), size)
        return answer

    def _seconds(self) -> int:
        return int(self._now().timestamp())

    # --- following aliases ---

    async def _resolve(self, asked: dns.name.Name, record_type: RecordType) -> Answer:
        rdtype = dns.rdatatype.from_text(record_type)
        walk = Walk()
        aliases: list[Alias] = []
        errors: list[str] = []
        name, security, ttl, expires = asked, Security.SECURE, _LONGEST_KEPT, _NEVER
        while True:
            step = await ask_around(
                self.transport,
                self._servers,
                # Each reply has an effort of its own, or junk from one server would use up another's.
                lambda avoid, name=name: self._judge(name, rdtype, Effort(Budget(), walk), avoid),  # type: ignore[misc]
            )
            security = weakest(security, step.security)
            ttl, expires = min(ttl, step.ttl), min(expires, step.expires)
            errors += [error for error in step.extended_errors if error not in errors]
            target = step.target
            if target is None:
                break
            aliases.append(Alias(name_text(name), name_text(target), step.security))
            if len(aliases) >= MAX_ALIASES or any(alias.owner == name_text(target) for alias in aliases):
                loop = len(aliases) < MAX_ALIASES
                reason = "the aliases run in a circle" if loop else f"more than {MAX_ALIASES} aliases"
                step = Judged(Outcome.FAILED, Security.INDETERMINATE, reason, proofs=step.proofs)
                security = weakest(security, step.security)
                break
            name = target.canonicalize()
        records = to_records(step.rdatas)
        outcome, reason = step.outcome, step.reason
        weak = [alias for alias in aliases if alias.security is not Security.SECURE]
        if step.security is Security.SECURE and weak:
            reason = f"the alias {weak[0].owner} → {weak[0].target} is {weak[0].security}; {reason}"
        return Answer(
            name=name_text(asked),
            record_type=record_type,
            outcome=outcome,
            security=security,
            records=records,
            aliases=tuple(aliases),
            ttl=0 if outcome is Outcome.FAILED else self._capped(ttl, expires),
            reason=reason,
            zones=step.proofs,
            signatures_expire=None if expires >= _NEVER else datetime.fromtimestamp(expires, tz=UTC),
            extended_errors=tuple(errors[:8]),
        )

    def _capped(self, ttl: int, expires: int) -> int:
        return max(0, min(ttl, expires - self._seconds()))

    # --- one step ---

    async def _judge(
        self,
        name: dns.name.Name,
        rdtype: dns.rdatatype.RdataType,
        effort: Effort,
        avoid: frozenset[Server],
    ) -> Judged:
        what = f"{name_text(name)} {dns.rdatatype.to_text(rdtype)}"
        reply = await self.transport.ask(name, rdtype, avoid=avoid)
        failed = failure(what, reply)
        if failed is not None or isinstance(reply, NoReply):
            return Judged(
                Outcome.FAILED,
                Security.INDETERMINATE,
                failed or what,
                extended_errors=reply.extended_errors,
            )
        answer = reply.message.answer
        direct = rrset_of(answer, name, rdtype)
        alias = rrset_of(answer, name, dns.rdatatype.CNAME)
        # Not from above the trust anchor, where nothing may be proved and all be forged.
        top = self._chain.anchor_of(name) or name
        dname = covering_dname([rrset for rrset in answer if rrset.name.is_subdomain(top)], name)
        if direct is not None and not (dname is not None and rdtype == dns.rdatatype.CNAME):
            return await self._positive(name, rdtype, direct, reply, effort)
        if dname is not None and not (alias is not None and signatures_of(answer, alias)):
            return await self._redirected(name, rdtype, dname, reply, effort)
        if alias is not None:
            return await self._positive(name, rdtype, alias, reply, effort)
        return await self._denied(name, rdtype, reply, effort)

    async def _positive(
        self,
        name: dns.name.Name,
        rdtype: dns.rdatatype.RdataType,
        rrset: dns.rrset.RRset,
        reply: Reply,
        effort: Effort,
    ) -> Judged:
        """An RRset, a CNAME at the name, or a DNAME above it."""
        at_parent = rrset.rdtype == dns.rdatatype.DS
        signers = [signature.signer for signature in signatures_of(reply.message.answer, rrset)]
        judged = Judged(Outcome.FAILED, Security.INDETERMINATE, "not judged")
        for place in self._places(rrset.name, signers, at_parent=at_parent):
            zone = await self._chain.zone_of(place, effort.walk)
            if zone.security is not Security.SECURE:
                judged = self._in_weak_zone(zone, reply, rrset)
            else:
                judged = self._verified(name, rrset, reply, zone, effort)
            if judged.security is not Security.BOGUS:
                break
        if judged.outcome is Outcome.FAILED:
            return judged
        if rrset.rdtype == dns.rdatatype.CNAME and rdtype != dns.rdatatype.CNAME:
            target = next((rdata.target for rdata in rrset if isinstance(rdata, Cname)), None)
            return msgspec.structs.replace(judged, target=target)
        return msgspec.structs.replace(judged, rdatas=tuple(rrset))

    def _places(
        self, owner: dns.name.Name, signers: Sequence[dns.name.Name], *, at_parent: bool
    ) -> tuple[dns.name.Name, ...]:
        """Up to where the chain has to be walked: to the zone that claims to have signed, else all the way.

        The claim only saves questions: the walk decides which zones there are, and where the claimed signer
        does not lead to a secure or insecure verdict, the owner's own place does.
        """
        place = owner.parent() if at_parent and owner != dns.name.root else owner
        anchor = self._chain.anchor_of(place)
        claimed = {
            signer
            for signer in signers
            if anchor and place.is_subdomain(signer) and signer.is_subdomain(anchor)
        }
        if len(claimed) == 1:
            signer = claimed.pop()
            return (signer,) if signer == place else (signer, place)
        return (place,)

    def _verified(
        self, name: dns.name.Name, rrset: dns.rrset.RRset, reply: Reply, zone: Zone, effort: Effort
    ) -> Judged:
        """The RRset against the keys of a secure zone."""
        message = reply.message
        result = verify_rrset(
            rrset,
            signatures_of(message.answer, rrset),
            zone.name,
            zone.keys,
            now=self._seconds(),
            budget=effort.budget,
        )
        if isinstance(result, Unverified):
            return self._bogus(zone, reply, result.reason)
        ttl, expires = result.ttl, min(zone.expires, result.expires)
        reason, security = zone.reason, Security.SECURE
        if result.closest_encloser is not None:
            if rrset.rdtype in (dns.rdatatype.DS, dns.rdatatype.DNAME):
                return self._bogus(zone, reply, f"{dns.rdatatype.to_text(rrset.rdtype)} from a wildcard")
            signed = signed_denials(message, zone.name, zone.keys, now=self._seconds(), budget=effort.budget)
            proof = signed.prove_expansion(name, result.closest_encloser)
            if isinstance(proof, Unproved):
                return self._bogus(zone, reply, f"{name_text(name)} from a wildcard: {proof.reason}")
            ttl, expires = min(ttl, signed.ttl), min(expires, signed.expires)
            reason = f"{reason}, from the wildcard *.{name_text(result.closest_encloser)}"
            if proof.weak:
                security, reason = Security.INSECURE, f"{reason}: {proof.weak}"
        return Judged(
            Outcome.FOUND,
            security,
            reason,
            ttl=ttl,
            expires=expires,
            proofs=zone.proofs,
            extended_errors=reply.extended_errors,
        )

    async def _redirected(
        self,
        name: dns.name.Name,
        rdtype: dns.rdatatype.RdataType,
        dname: dns.rrset.RRset,
        reply: Reply,
        effort: Effort,
    ) -> Judged:
        """A DNAME above the name: its CNAME is computed here, whatever the reply shows (RFC 6672 §5.3.1)."""
        judged = await self._positive(dname.name, dns.rdatatype.DNAME, dname, reply, effort)
        if judged.outcome is Outcome.FAILED:
            return judged
        to = next((rdata.target for rdata in dname if isinstance(rdata, Dname)), dns.name.root)
        try:
            target = name.relativize(dname.name).derelativize(to)
        except dns.name.NameTooLong:
            reason = f"the DNAME {name_text(dname.name)} makes a name that is too long"
            return msgspec.structs.replace(
                judged, outcome=Outcome.FAILED, security=Security.INDETERMINATE, reason=reason, rdatas=()
            )
        if rdtype == dns.rdatatype.CNAME:
            record = Cname(dns.rdataclass.IN, dns.rdatatype.CNAME, target)  # type: ignore[no-untyped-call]
            return msgspec.structs.replace(judged, rdatas=(record,))
        return msgspec.structs.replace(judged, target=target.canonicalize(), rdatas=())

    async def _denied(
        self, name: dns.name.Name, rdtype: dns.rdatatype.RdataType, reply: Reply, effort: Effort
    ) -> Judged:
        message = reply.message
        signers = [
            signature.signer
            for rrset in denials_of(message)
            for signature in signatures_of(message.authority, rrset)
        ]
        judged = Judged(Outcome.FAILED, Security.INDETERMINATE, "not judged")
        for place in self._places(name, signers, at_parent=rdtype == dns.rdatatype.DS):
            zone = await self._chain.zone_of(place, effort.walk)
            if zone.security is not Security.SECURE:
                judged = self._in_weak_zone(zone, reply, None)
            else:
                judged = self._denied_by(name, rdtype, reply, zone, effort)
            if judged.security is not Security.BOGUS:
                break
        return judged

    def _denied_by(
        self,
        name: dns.name.Name,
        rdtype: dns.rdatatype.RdataType,
        reply: Reply,
        zone: Zone,
        effort: Effort,
    ) -> Judged:
        """A denial against the keys of a secure zone.  What is denied comes from the proof, not the RCODE."""
        signed = signed_denials(
            reply.message, zone.name, zone.keys, now=self._seconds(), budget=effort.budget
        )
        proof = signed.prove(name, rdtype)
        if isinstance(proof, Unproved):
            return self._bogus(zone, reply, f"the denial is not proved: {proof.reason}")
        denied = proof.denied
        if denied is Denied.UNKNOWN:
            denied = Denied.NAME if reply.rcode == dns.rcode.NXDOMAIN else Denied.TYPE
        missing = "name" if denied is Denied.NAME else dns.rdatatype.to_text(rdtype)
        return Judged(
            Outcome.NO_NAME if denied is Denied.NAME else Outcome.NO_DATA,
            Security.INSECURE if proof.weak else Security.SECURE,
            proof.weak or f"{proof.how} proves that there is no such {missing}",
            # The SOA may be forged, but only to a shorter time than the signed TTL.
            ttl=min(signed.ttl, _or(negative_ttl(reply.message), signed.ttl)),
            expires=min(zone.expires, signed.expires),
            proofs=zone.proofs,
            extended_errors=reply.extended_errors,
        )

    def _in_weak_zone(self, zone: Zone, reply: Reply, rrset: dns.rrset.RRset | None) -> Judged:
        """Below an insecure delegation the reply is taken as it is; below a broken one, not at all."""
        errors = (*zone.extended_errors, *reply.extended_errors)
        if zone.security is not Security.INSECURE:
            return Judged(
                Outcome.FAILED, zone.security, zone.reason, proofs=zone.proofs, extended_errors=errors
            )
        if rrset is None and is_referral(reply.message):
            return Judged(
                Outcome.FAILED, Security.INDETERMINATE, REFERRAL, proofs=zone.proofs, extended_errors=errors
            )
        if rrset is not None:
            outcome, ttl = Outcome.FOUND, rrset.ttl
        else:
            outcome = Outcome.NO_NAME if reply.rcode == dns.rcode.NXDOMAIN else Outcome.NO_DATA
            ttl = _or(negative_ttl(reply.message), 0)
        return Judged(
            outcome,
            Security.INSECURE,
            zone.reason,
            # No longer than the proof that the zone is insecure: it may become signed.
            ttl=max(0, min(ttl, zone.kept_until - self._seconds())),
            expires=zone.expires,
            proofs=zone.proofs,
            extended_errors=errors,
        )

    def _bogus(self, zone: Zone, reply: Reply, reason: str) -> Judged:
        return Judged(
            Outcome.FAILED,
            Security.BOGUS,
            with_blame(reason, reply),
            proofs=zone.proofs,
            extended_errors=reply.extended_errors,
            blamed=reply.server,
        )


def negative_ttl(message: dns.message.Message) -> int | None:
    """RFC 2308 §5: the smaller of the SOA's TTL and its MINIMUM."""
    for rrset in message.authority:
        for rdata in rrset:
            if isinstance(rdata, dns.rdtypes.ANY.SOA.SOA):
                return min(rrset.ttl, rdata.minimum)
    return None


def _octets(record: RecordData) -> int:
    """What a record takes in memory, roughly."""
    match record:
        case TextData():
            return sum(len(string) + 50 for string in record.strings)
        case TlsaData():
            return len(record.data) + 200
        case OtherData():
            return len(record.text) + 100
        case MxData() | AddressData():
            return 300


def _or(ttl: int | None, otherwise: int) -> int:
    return otherwise if ttl is None else ttl


def is_referral(message: dns.message.Message) -> bool:
    """Whether the reply only says who else to ask; it denies nothing."""
    types = {rrset.rdtype for rrset in message.authority}
    recursive = bool(message.flags & dns.flags.RA)
    return not recursive and dns.rdatatype.NS in types and dns.rdatatype.SOA not in types
