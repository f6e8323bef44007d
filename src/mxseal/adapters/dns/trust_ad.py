"""The AD bit of a validating resolver that the administrator named (RFC 4035 §4.9.3, RFC 7672 §2.1.3).

AD says that somebody validated; it is worth as much as that somebody and the way to him.  So the resolver
has to show first, and again every hour, that it validates: a signed name comes with AD, and a broken zone
gives SERVFAIL but answers with CD.  Stubs that are known to pass on the AD bit of whoever is behind them
(systemd-resolved, Docker) are refused.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final, Literal

import dns.name
import dns.rcode
import dns.rdatatype
import dns.rdtypes.ANY.CNAME
import msgspec

from mxseal.adapters.dns.chain import failure
from mxseal.adapters.dns.convert import name_text, to_name, to_records
from mxseal.adapters.dns.resolver import (
    MAX_ALIASES,
    REFERRAL,
    SYSTEM_NOW,
    is_referral,
    negative_ttl,
    weakest,
)
from mxseal.adapters.dns.sections import covering_dname, rrset_of
from mxseal.adapters.dns.transport import Flags, NoReply, Reply, Server, Transport, server_text
from mxseal.vocabulary.faults import ConfigurationFault
from mxseal.vocabulary.names import Address
from mxseal.vocabulary.observations import Alias, Answer, Outcome, RecordType, Security

REFUSED: Final = {
    Address("127.0.0.53"): "systemd-resolved's stub, which passes on the AD bit of any server",
    Address("127.0.0.54"): "systemd-resolved's proxy, which passes on the AD bit of any server",
    Address("127.0.0.11"): "Docker's DNS forwarder, which passes on the AD bit of any server",
}
PROOF_INTERVAL: Final = 3600
_RETRY_PROOF: Final = 10

# AD in a question asks for the bit without the signatures (RFC 6840 §5.7).
_VERDICT: Final = Flags(dnssec_ok=False, checking_disabled=False, authentic_data=True)
_UNCHECKED: Final = Flags(dnssec_ok=False, checking_disabled=True)

Cname = dns.rdtypes.ANY.CNAME.CNAME


class AdProof(msgspec.Struct, frozen=True):
    """By what a resolver shows that it validates."""

    signed: str = "."
    """A name whose SOA is signed."""
    broken: str = "dnssec-failed.org"
    """A name whose zone's signatures do not fit its DS, on purpose."""


class TrustAdResolver:
    """Satisfies `journeys.ports.Resolver` with the verdict of `servers`.

    Raises `ConfigurationFault` for servers whose AD bit means nothing, unless `force` is set.  If the proof
    fails, every answer is FAILED and INDETERMINATE, with the reason; it is tried again after ten seconds.
    """

    def __init__(
        self,
        servers: Sequence[Server],
        *,
        proof: AdProof | Literal["unproved"] | None = None,
        force: bool = False,
        timeout: float = 5.0,
        now: Callable[[], datetime] = SYSTEM_NOW,
    ) -> None:
        for address, _ in servers:
            if address in REFUSED and not force:
                raise ConfigurationFault(
                    f"the AD bit of {address} is not trusted: it is {REFUSED[address]}",
                    cure="name a validating resolver such as unbound on 127.0.0.1, or do not set trust_ad: "
                    "then mxseal validates by itself",
                )
        self.transports: tuple[Transport, ...] = tuple(
            Transport([server], timeout=timeout) for server in servers
        )
        self._all = Transport(servers, timeout=timeout)
        self._proof: AdProof | Literal["unproved"] = proof or AdProof()
        self._now = now
        self._checked_until = 0
        self._trouble = ""
        self._proving: asyncio.Task[str] | None = None

    async def prove(self) -> str:
        """Let every server show that it validates; the trouble as text, empty if there is none."""
        if self._proof == "unproved":
            return ""
        troubles = [await self._prove(transport, self._proof) for transport in self.transports]
        self._trouble = "; ".join(filter(None, troubles))
        keep = _RETRY_PROOF if self._trouble else PROOF_INTERVAL
        self._checked_until = int(self._now().timestamp()) + keep
        return self._trouble

    async def _prove(self, transport: Transport, proof: AdProof) -> str:
        who = server_text(transport.servers[0])
        signed, broken = to_name(proof.signed), to_name(proof.broken)
        if isinstance(signed, str) or isinstance(broken, str):
            return f"the names for the proof are no DNS names: {proof.signed}, {proof.broken}"
        good, bad, unchecked = await asyncio.gather(
            transport.ask(signed, dns.rdatatype.SOA, _VERDICT),
            transport.ask(broken, dns.rdatatype.SOA, _VERDICT),
            transport.ask(broken, dns.rdatatype.SOA, _UNCHECKED),
        )
        for reply in (good, bad, unchecked):
            if isinstance(reply, NoReply):
                return f"{who}: not proved that it validates: {reply.reason}"
        if not (isinstance(good, Reply) and good.rcode == dns.rcode.NOERROR and good.authentic_data):
            return f"{who} does not validate: no AD bit for the signed name {proof.signed}"
        if not (isinstance(bad, Reply) and bad.rcode == dns.rcode.SERVFAIL):
            return f"{who} does not validate: it answers for {proof.broken}, whose signatures are broken"
        if not (isinstance(unchecked, Reply) and unchecked.rcode == dns.rcode.NOERROR):
            return f"{who}: not proved that it validates: {proof.broken} cannot be had even with CD"
        return ""

    async def resolve(self, name: str, record_type: RecordType) -> Answer:
        """The answer with the security that the resolver vouches for."""
        asked = to_name(name)
        if isinstance(asked, str):
            return _failed(name, record_type, Security.INDETERMINATE, f"no DNS name: {asked}")
        trouble = await self._proved()
        if trouble:
            return _failed(name_text(asked), record_type, Security.INDETERMINATE, trouble)
        return await self._resolve(asked, record_type)

    async def _proved(self) -> str:
        if self._proof == "unproved" or self._checked_until > int(self._now().timestamp()):
            return self._trouble
        running = self._proving
        if running is None or running.done() or running.get_loop() is not asyncio.get_running_loop():
            running = self._proving = asyncio.create_task(self.prove())
        return await asyncio.shield(running)

    async def _resolve(self, asked: dns.name.Name, record_type: RecordType) -> Answer:
        rdtype = dns.rdatatype.from_text(record_type)
        what = f"{name_text(asked)} {record_type}"
        reply = await self._all.ask(asked, rdtype, _VERDICT)
        failed = failure(what, reply)
        if isinstance(reply, NoReply) or failed is not None:
            return await self._failure(asked, record_type, reply, failed or what)
        security = Security.SECURE if reply.authentic_data else Security.INSECURE
        steps = _alias_steps(reply, asked, rdtype)
        if isinstance(steps, str):
            return _failed(name_text(asked), record_type, Security.INDETERMINATE, steps)
        aliases = await self._alias_security(steps, security, reply)
        final = steps[-1][1] if steps else asked
        found = rrset_of(reply.message.answer, final, rdtype)
        ttls = [rrset.ttl for rrset in reply.message.answer]
        if found is None and is_referral(reply.message):
            return _failed(name_text(asked), record_type, Security.INDETERMINATE, REFERRAL)
        if found is not None:
            outcome = Outcome.FOUND
        else:
            outcome = Outcome.NO_NAME if reply.rcode == dns.rcode.NXDOMAIN else Outcome.NO_DATA
            ttls.append(negative_ttl(reply.message) or 0)
        records = to_records(found or ())
        who = server_text(reply.server)
        reason = f"{who} says that it is authentic (AD)" if reply.authentic_data else f"{who} gives no AD bit"
        return Answer(
            name=name_text(asked),
            record_type=record_type,
            outcome=outcome,
            security=weakest(security, *(alias.security for alias in aliases)),
            records=records,
            aliases=aliases,
            ttl=min(ttls, default=0),
            reason=reason,
            extended_errors=reply.extended_errors,
        )

    async def _alias_security(
        self, steps: list[tuple[dns.name.Name, dns.name.Name]], security: Security, whole: Reply
    ) -> tuple[Alias, ...]:
        """One AD bit stands for the whole reply; where it is absent, each step is asked for by itself."""
        aliases = []
        for owner, target in steps:
            own = security
            if security is Security.INSECURE:
                # The CNAME that a DNAME makes is not signed; unbound fails when asked for it by itself.
                dname = covering_dname(whole.message.answer, owner)
                reply = await (
                    self._all.ask(owner, dns.rdatatype.CNAME, _VERDICT)
                    if dname is None
                    else self._all.ask(dname.name, dns.rdatatype.DNAME, _VERDICT)
                )
                if isinstance(reply, NoReply) or failure("", reply) is not None:
                    own = Security.INDETERMINATE
                elif reply.authentic_data:
                    own = Security.SECURE
            aliases.append(Alias(name_text(owner), name_text(target), own))
        return tuple(aliases)

    async def _failure(
        self, asked: dns.name.Name, record_type: RecordType, reply: Reply | NoReply, reason: str
    ) -> Answer:
        """SERVFAIL: the resolver found it bogus if it has an answer with CD."""
        security = Security.INDETERMINATE
        errors = reply.extended_errors
        if isinstance(reply, Reply) and reply.rcode == dns.rcode.SERVFAIL:
            again = await self._all.ask(asked, dns.rdatatype.from_text(record_type), _UNCHECKED)
            if isinstance(again, Reply) and failure("", again) is None:
                security = Security.BOGUS
                reason = f"{server_text(reply.server)} finds it bogus"
                reason += f" ({errors[0]})" if errors else " (SERVFAIL, but an answer with CD)"
        return _failed(name_text(asked), record_type, security, reason, errors)


def _alias_steps(
    reply: Reply, asked: dns.name.Name, rdtype: dns.rdatatype.RdataType
) -> list[tuple[dns.name.Name, dns.name.Name]] | str:
    """The aliases in the answer, in order; a text if they have no end."""
    steps: list[tuple[dns.name.Name, dns.name.Name]] = []
    name = asked
    while rrset_of(reply.message.answer, name, rdtype) is None:
        alias = rrset_of(reply.message.answer, name, dns.rdatatype.CNAME)
        target = next((rdata.target for rdata in alias or () if isinstance(rdata, Cname)), None)
        if target is None:
            break
        if len(steps) >= MAX_ALIASES or any(owner == target for owner, _ in steps):
            return "the aliases run in a circle, or there are too many"
        steps.append((name, target))
        name = target
    return steps


def _failed(
    name: str, record_type: RecordType, security: Security, reason: str, errors: tuple[str, ...] = ()
) -> Answer:
    return Answer(name, record_type, Outcome.FAILED, security, reason=reason, extended_errors=errors)
