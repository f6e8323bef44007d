"""From a trust anchor down to the zone that holds a name (RFC 4035 §5).

The walk asks for the DS of each name on the way.  What comes is a signed DS RRset (a secure zone begins
here), a proof that there is none at a delegation (everything below is insecure), or a proof that the name
is no delegation (the same zone goes on).  Steps are shared between questions that run at the same time and
kept as long as their records allow; each step has its own limit of effort, so that no question can use up
another's.
"""

import asyncio
from collections.abc import Callable, Coroutine
from datetime import datetime
from typing import Final

import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset
import msgspec

from mxseal.adapters.dns.anchors import TrustAnchors
from mxseal.adapters.dns.convert import name_text
from mxseal.adapters.dns.denial import Denied, Unproved
from mxseal.adapters.dns.failover import ask_around, passes_nothing_on, with_blame
from mxseal.adapters.dns.kept import Kept
from mxseal.adapters.dns.sections import covering_dname, rrset_of, signatures_of, signed_denials
from mxseal.adapters.dns.signatures import (
    Budget,
    DnsKey,
    Ds,
    Unverified,
    Verified,
    algorithm_name,
    keys_for_ds,
    usable_ds,
    verify_rrset,
    zone_keys,
)
from mxseal.adapters.dns.transport import NoReply, Reply, Server, Transport, server_text
from mxseal.vocabulary.observations import Security, ZoneProof

MAX_OCTETS_KEPT: Final = 1 << 25
_STEP_OCTETS: Final = 1000
"""What a step and a key take in memory, roughly, beside the key's own octets."""
_LONGEST_KEPT: Final = 86_400
_BOGUS_KEPT: Final = 10
"""Seconds that a broken step is remembered, so that broken zones do not cost a walk for each question."""
_MAX_DS: Final = 16
MAX_FRESH_STEPS: Final = 64
"""Steps that one question may cost beyond those that are remembered, aliases included: an attacker's names
may have more than a hundred labels, each of them worth a lookup."""


class Zone(msgspec.Struct, frozen=True):
    """A zone on the way, with what may be believed of it; `keys` only if it is secure."""

    name: dns.name.Name
    security: Security
    reason: str
    keys: tuple[DnsKey, ...] = ()
    proofs: tuple[ZoneProof, ...] = ()
    """From the trust anchor to this zone."""
    expires: int = 1 << 62
    """When the first signature of the chain to here ends, seconds since 1970."""
    kept_until: int = 0
    extended_errors: tuple[str, ...] = ()
    blamed: Server | None = None
    """Where it is bogus because of one reply: the server that it came from."""

    @property
    def is_secure(self) -> bool:
        return self.security is Security.SECURE


class NoCut(msgspec.Struct, frozen=True):
    """The name is no delegation; if `ends`, nothing below it exists either."""

    ends: bool
    kept_until: int

    @property
    def security(self) -> Security:
        """It is proved."""
        return Security.SECURE

    @property
    def blamed(self) -> Server | None:
        """Nobody's reply is to blame."""
        return None


Step = Zone | NoCut


class Walk:
    """How many fresh steps one question may still cause."""

    __slots__ = ("left",)

    def __init__(self) -> None:
        self.left = MAX_FRESH_STEPS


def failure(what: str, reply: Reply | NoReply) -> str | None:
    """Why a reply cannot be used at all, or None."""
    if isinstance(reply, NoReply):
        return f"{what}: {reply.reason}"
    if reply.rcode not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
        code = dns.rcode.to_text(dns.rcode.Rcode(reply.rcode))
        return f"{what}: {code} from {server_text(reply.server)}"
    return None


class Chain:
    """Walks and remembers; see the module's docstring."""

    def __init__(
        self, transport: Transport, anchors: TrustAnchors, now: Callable[[], datetime], *, servers: int = 1
    ) -> None:
        self._transport = transport
        self._servers = servers
        self._anchors = anchors
        self._now = now
        self._kept: Kept[dns.name.Name, Step] = Kept(MAX_OCTETS_KEPT)
        self._running: dict[dns.name.Name, asyncio.Task[Step]] = {}

    def anchor_of(self, name: dns.name.Name) -> dns.name.Name | None:
        """The trusted zone from which the walk to `name` begins."""
        return self._anchors.closest(name)

    async def zone_of(self, name: dns.name.Name, walk: Walk | None = None) -> Zone:
        """The deepest zone at or above `name`, or the first that is not secure."""
        walk = walk or Walk()
        anchor = self._anchors.closest(name)
        if anchor is None:
            return Zone(
                dns.name.root, Security.INDETERMINATE, f"no trust anchor at or above {name_text(name)}"
            )
        zone = await self._step(anchor, lambda: self._anchored(anchor))
        if not isinstance(zone, Zone):
            raise TypeError(zone)
        for depth in range(len(anchor.labels) + 1, len(name.labels) + 1):
            if not zone.is_secure:
                break
            child = name.split(depth)[1]
            parent = zone
            if self._remembered(child) is None:
                walk.left -= 1
                if walk.left < 0:
                    reason = f"more than {MAX_FRESH_STEPS} steps on the way to {name_text(name)}"
                    return self._broken(parent, child, Security.INDETERMINATE, reason)
            step = await self._step(child, lambda parent=parent, child=child: self._descend(parent, child))  # type: ignore[misc]
            if isinstance(step, Zone):
                zone = step
            elif step.ends:
                break
        return zone

    # --- remembering ---

    async def _step(self, name: dns.name.Name, make: Callable[[], Coroutine[None, None, Step]]) -> Step:
        kept = self._remembered(name)
        if kept is not None:
            return kept
        task = self._running.get(name)
        if task is None or task.done() or task.get_loop() is not asyncio.get_running_loop():
            task = asyncio.create_task(self._make(name, make))
            self._running[name] = task
        # Shielded: who waits may give up, and the others still get the result.
        return await asyncio.shield(task)

    def _remembered(self, name: dns.name.Name) -> Step | None:
        kept = self._kept.get(name)
        # The upper bound is for a clock that was set back.
        if kept is not None and not 0 < kept.kept_until - self._seconds() <= _LONGEST_KEPT:
            self._kept.drop(name)
            return None
        return kept

    async def _make(self, name: dns.name.Name, make: Callable[[], Coroutine[None, None, Step]]) -> Step:
        try:
            step = await make()
        finally:
            self._running.pop(name, None)
        if step.kept_until > self._seconds():
            keys = step.keys if isinstance(step, Zone) else ()
            self._kept.put(name, step, _STEP_OCTETS + sum(len(key.key) + _STEP_OCTETS for key in keys))
        return step

    def _seconds(self) -> int:
        return int(self._now().timestamp())

    # --- one step ---

    async def _anchored(self, anchor: dns.name.Name) -> Step:
        records = self._anchors.zones[anchor]
        top = Zone(anchor, Security.SECURE, "trust anchor")
        ds = usable_ds(record for record in records if isinstance(record, Ds))
        keys = zone_keys(record for record in records if isinstance(record, DnsKey))
        if not ds and not keys:
            return self._broken(
                top, anchor, Security.INDETERMINATE, "no trust anchor with a supported algorithm"
            )
        return await self._keys_of(top, anchor, ds, keys, ttl=_LONGEST_KEPT)

    async def _descend(self, parent: Zone, child: dns.name.Name) -> Step:
        """Is there a delegation at `child`, and does trust pass through it?"""
        return await ask_around(
            self._transport, self._servers, lambda avoid: self._descend_by(parent, child, avoid)
        )

    async def _descend_by(self, parent: Zone, child: dns.name.Name, avoid: frozenset[Server]) -> Step:
        what = f"DS of {name_text(child)}"
        reply = await self._transport.ask(child, dns.rdatatype.DS, avoid=avoid)
        failed = failure(what, reply)
        if failed is not None or isinstance(reply, NoReply):
            return self._broken(parent, child, Security.INDETERMINATE, failed or what, reply.extended_errors)
        message = reply.message
        budget = Budget()
        ds = rrset_of(message.answer, child, dns.rdatatype.DS)
        if ds is not None:
            return await self._delegated(parent, child, reply, ds, budget)
        alias = rrset_of(message.answer, child, dns.rdatatype.CNAME)
        dname = covering_dname(message.answer, child)
        for rrset in (alias, dname):
            if rrset is not None:
                # A name that is an alias is no delegation (RFC 2181 §10.1), and nothing is below a DNAME.
                result = self._verify(parent, message, rrset, budget)
                if isinstance(result, Unverified):
                    continue
                encloser = result.closest_encloser
                if encloser is None or (
                    rrset is alias and self._stands_in(child, encloser, parent, message, budget)
                ):
                    return NoCut(ends=rrset is dname, kept_until=self._until(result.ttl))
        return self._undelegated(parent, child, reply, budget)

    def _stands_in(
        self,
        child: dns.name.Name,
        encloser: dns.name.Name,
        parent: Zone,
        message: dns.message.Message,
        budget: Budget,
    ) -> bool:
        """Whether the wildcard below `encloser` rightly stands in for the name.

        Without the proof, a wildcard's CNAME under the name of a delegation would hide the delegation.
        """
        signed = signed_denials(message, parent.name, parent.keys, now=self._seconds(), budget=budget)
        proof = signed.prove_expansion(child, encloser)
        return not isinstance(proof, Unproved) and not proof.weak

    async def _delegated(
        self,
        parent: Zone,
        child: dns.name.Name,
        reply: Reply,
        ds: dns.rrset.RRset,
        budget: Budget,
    ) -> Step:
        result = self._verify(parent, reply.message, ds, budget)
        if isinstance(result, Verified) and result.closest_encloser is not None:
            result = Unverified(f"DS of {name_text(child)} comes from a wildcard")
        if isinstance(result, Unverified):
            return self._bogus(parent, child, result.reason, reply)
        records = [record for record in ds if isinstance(record, Ds)]
        usable = usable_ds(records)[:_MAX_DS]
        top = msgspec.structs.replace(parent, expires=min(parent.expires, result.expires))
        if not usable:
            kinds = sorted({(record.algorithm, record.digest_type) for record in records})
            shown = ", ".join(f"algorithm {algorithm_name(a)} digest {d}" for a, d in kinds[:4])
            # RFC 4035 §5.2: a zone that we cannot validate is treated as unsigned.
            reason = f"only DS records that nobody here can follow ({shown})"
            return self._insecure(top, child, reason, result.ttl, algorithm=algorithm_name(kinds[0][0]))
        return await self._keys_of(top, child, usable, (), ttl=result.ttl)

    def _undelegated(self, parent: Zone, child: dns.name.Name, reply: Reply, budget: Budget) -> Step:
        signed = signed_denials(reply.message, parent.name, parent.keys, now=self._seconds(), budget=budget)
        proof = signed.prove(child, dns.rdatatype.DS)
        if isinstance(proof, Unproved):
            reason = f"nothing proves that {name_text(child)} has no DS: {proof.reason}"
            return self._bogus(parent, child, reason, reply)
        top = msgspec.structs.replace(parent, expires=min(parent.expires, signed.expires))
        if proof.weak:
            return self._insecure(top, child, f"no DS: {proof.weak}", signed.ttl)
        if proof.is_cut:
            return self._insecure(top, child, f"no DS ({proof.how} proves it)", signed.ttl)
        return NoCut(ends=proof.denied is Denied.NAME, kept_until=self._until(signed.ttl))

    async def _keys_of(
        self, parent: Zone, name: dns.name.Name, ds: tuple[Ds, ...], trusted: tuple[DnsKey, ...], *, ttl: int
    ) -> Step:
        """The zone's DNSKEY RRset, believed if a key that the DS (or the anchor) names has signed it."""
        zone = await ask_around(
            self._transport,
            self._servers,
            lambda avoid: self._keys_by(parent, name, ds, trusted, ttl=ttl, avoid=avoid),
        )
        # Whom to ask about the keys was tried here; that the DS came from another server, is no one's fault.
        return msgspec.structs.replace(zone, blamed=None)

    async def _keys_by(
        self,
        parent: Zone,
        name: dns.name.Name,
        ds: tuple[Ds, ...],
        trusted: tuple[DnsKey, ...],
        *,
        ttl: int,
        avoid: frozenset[Server],
    ) -> Zone:
        what = f"DNSKEY of {name_text(name)}"
        reply = await self._transport.ask(name, dns.rdatatype.DNSKEY, avoid=avoid)
        failed = failure(what, reply)
        if failed is not None or isinstance(reply, NoReply):
            return self._broken(parent, name, Security.INDETERMINATE, failed or what, reply.extended_errors)
        rrset = rrset_of(reply.message.answer, name, dns.rdatatype.DNSKEY)
        if rrset is None:
            reason = f"{name_text(name)} has to be signed, but no DNSKEY came"
            return self._bogus(parent, name, reason, reply)
        published = zone_keys(key for key in rrset if isinstance(key, DnsKey))
        budget = Budget()
        entries: list[tuple[str, DnsKey]] = [("trust anchor", key) for key in trusted if key in published]
        for record in ds:
            found = keys_for_ds(name, record, published, budget)
            entries += [(f"DS {record.key_tag}", key) for key in found]
        reason = f"no DNSKEY of {name_text(name)} fits " + (
            "DS " + ", ".join(str(record.key_tag) for record in ds[:4]) if ds else "the trust anchor"
        )
        signatures = signatures_of(reply.message.answer, rrset)
        for label, key in entries:
            result = verify_rrset(rrset, signatures, name, [key], now=self._seconds(), budget=budget)
            if isinstance(result, Unverified):
                reason = result.reason
                continue
            algorithm = algorithm_name(key.algorithm)
            proof = ZoneProof(name_text(name), Security.SECURE, f"{label} → DNSKEY {key.key_id()}", algorithm)
            expires = min(parent.expires, result.expires)
            # No longer than the chain above it holds: then that is walked anew, and this with it.
            ttl = min(ttl, result.ttl, expires - self._seconds())
            return Zone(
                name,
                Security.SECURE,
                f"signed by {name_text(name)} ({algorithm})",
                published,
                (*parent.proofs, proof),
                expires,
                self._until(ttl),
            )
        return self._bogus(parent, name, reason, reply)

    def _verify(
        self, zone: Zone, message: dns.message.Message, rrset: dns.rrset.RRset, budget: Budget
    ) -> Verified | Unverified:
        return verify_rrset(
            rrset,
            signatures_of(message.answer, rrset),
            zone.name,
            zone.keys,
            now=self._seconds(),
            budget=budget,
        )

    def _insecure(
        self, parent: Zone, name: dns.name.Name, reason: str, ttl: int, *, algorithm: str = ""
    ) -> Zone:
        proof = ZoneProof(name_text(name), Security.INSECURE, reason, algorithm)
        return Zone(
            name,
            Security.INSECURE,
            f"{name_text(name)}: {reason}",
            (),
            (*parent.proofs, proof),
            parent.expires,
            self._until(min(ttl, parent.expires - self._seconds())),
        )

    def _broken(
        self,
        parent: Zone,
        name: dns.name.Name,
        security: Security,
        reason: str,
        extended_errors: tuple[str, ...] = (),
    ) -> Zone:
        kept = self._until(_BOGUS_KEPT) if security is Security.BOGUS else 0
        proofs = (*parent.proofs, ZoneProof(name_text(name), security, reason))
        return Zone(name, security, reason, (), proofs, parent.expires, kept, extended_errors)

    def _bogus(self, parent: Zone, name: dns.name.Name, reason: str, reply: Reply) -> Zone:
        """Broken by what this reply has, or has not."""
        if name in self._anchors.zones and passes_nothing_on(reply):
            # Of the zone that trust begins with, everybody else's replies have signatures.
            reason = f"the resolver {server_text(reply.server)} passes no DNSSEC records on: {reason}"
        else:
            reason = with_blame(reason, reply)
        zone = self._broken(parent, name, Security.BOGUS, reason, reply.extended_errors)
        return msgspec.structs.replace(zone, blamed=reply.server)

    def _until(self, ttl: int) -> int:
        return self._seconds() + min(ttl, _LONGEST_KEPT)
