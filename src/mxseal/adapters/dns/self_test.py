"""Is the upstream good enough?  The questions that `mxseal doctor` puts to each server."""

import asyncio
from collections.abc import Callable
from datetime import datetime

import dns.name
import dns.rcode
import dns.rdatatype
import msgspec

from mxseal.adapters.dns.anchors import TrustAnchors
from mxseal.adapters.dns.chain import Chain
from mxseal.adapters.dns.resolver import SYSTEM_NOW
from mxseal.adapters.dns.sections import denials_of, rrset_of, signatures_of, signed_denials
from mxseal.adapters.dns.signatures import Budget
from mxseal.adapters.dns.transport import (
    VALIDATING,
    Flags,
    NoReply,
    Query,
    Reply,
    Server,
    Transport,
    over_tcp,
    server_text,
)
from mxseal.vocabulary.observations import Security
from mxseal.vocabulary.rejection import printable

_VERDICT = Flags(dnssec_ok=False, checking_disabled=False, authentic_data=True)


class UpstreamCheck(msgspec.Struct, frozen=True):
    """One thing that was tried with one server."""

    server: str
    check: str
    """``reachable``, ``records``, ``chain``, ``denial``, ``tcp``, ``validates``."""
    passed: bool
    needed: bool
    """Whether `ValidatingResolver` cannot work without it."""
    detail: str


async def check_upstream(
    server: Server,
    *,
    anchors: TrustAnchors | None = None,
    timeout: float = 3.0,  # noqa: ASYNC109 - it bounds each question, not the whole
    now: Callable[[], datetime] = SYSTEM_NOW,
) -> tuple[UpstreamCheck, ...]:
    """Whether `server` answers, passes DNSSEC records on, denies with proof, speaks TCP and validates.

    The questions are about the topmost trusted zone; no third party is asked.
    """
    trusted = anchors or TrustAnchors.for_root()
    top = min(trusted.zones, key=lambda zone: len(zone.labels))
    who = server_text(server)
    transport = Transport([server], timeout=timeout)

    def result(check: str, passed: bool, detail: str, *, needed: bool = True) -> UpstreamCheck:
        return UpstreamCheck(who, check, passed, needed, detail)

    keys = await transport.ask(top, dns.rdatatype.DNSKEY)
    if isinstance(keys, NoReply):
        return (result("reachable", passed=False, detail=keys.reason),)
    found = [result("reachable", passed=True, detail="answers over UDP")]
    found.append(_records(keys, top, result))
    chain = Chain(transport, trusted, now)
    zone = await chain.zone_of(top)
    found.append(result("chain", zone.security is Security.SECURE, zone.reason))
    nothing = dns.name.Name((b"mxseal-self-test", *top.labels))
    denial = await transport.ask(nothing, dns.rdatatype.TXT, VALIDATING)
    if isinstance(denial, NoReply):
        found.append(result("denial", passed=False, detail=denial.reason))
    elif not denials_of(denial.message):
        found.append(result("denial", passed=False, detail="denials come without NSEC or NSEC3 records"))
    else:
        signed = signed_denials(denial.message, top, zone.keys, now=int(now().timestamp()), budget=Budget())
        proved = bool(signed.nsec or signed.nsec3)
        detail = "denials come with signed proofs" if proved else "; ".join(signed.troubles[:1])
        found.append(result("denial", proved, detail))
    found.append(await _tcp(server, top, timeout, result))
    verdict = await transport.ask(top, dns.rdatatype.SOA, _VERDICT)
    validates = isinstance(verdict, Reply) and verdict.authentic_data
    found.append(
        result(
            "validates",
            validates,
            "sets the AD bit for a signed name" if validates else "gives no AD bit (mxseal does not need it)",
            needed=False,
        )
    )
    return tuple(found)


def _records(reply: Reply, top: dns.name.Name, result: Callable[..., UpstreamCheck]) -> UpstreamCheck:
    rrset = rrset_of(reply.message.answer, top, dns.rdatatype.DNSKEY)
    if rrset is None:
        code = dns.rcode.to_text(dns.rcode.Rcode(reply.rcode))
        return result("records", passed=False, detail=f"no DNSKEY for the topmost zone ({code})")
    if not signatures_of(reply.message.answer, rrset):
        return result("records", passed=False, detail="signatures (RRSIG) are stripped")
    return result("records", passed=True, detail="passes DNSKEY and RRSIG records on")


async def _tcp(
    server: Server, top: dns.name.Name, limit: float, result: Callable[..., UpstreamCheck]
) -> UpstreamCheck:
    query = Query.make(top, dns.rdatatype.DNSKEY)
    try:
        async with asyncio.timeout(limit):
            reply = await over_tcp(query, server)
    except TimeoutError:
        return result("tcp", passed=False, detail="no answer over TCP in time")
    except OSError as error:
        return result("tcp", passed=False, detail=f"TCP: {error.strerror or error}")
    if isinstance(reply, str):
        return result("tcp", passed=False, detail=printable(reply))
    return result("tcp", passed=True, detail="answers over TCP")
