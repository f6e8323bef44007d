"""Can the destinations of TLS reports be reached (RFC 8460 §3)?  Looks, and sends nothing."""

import asyncio
import functools
import ssl
from collections.abc import Sequence
from typing import Final

import msgspec

from mxseal.adapters.https.addresses import NotFound, Resolver, find_addresses
from mxseal.adapters.tls import Connection, explain, verifying_context
from mxseal.standards.tlsrpt import (
    HttpsDestination,
    MailDestination,
    UnknownDestination,
    parse_destination,
)
from mxseal.vocabulary.names import Address, HostName
from mxseal.vocabulary.observations import EndpointReached, RecordType
from mxseal.vocabulary.rejection import Rejection

_HTTPS: Final = 443

MAX_EXCHANGES: Final = 4
"""MX hosts of a report domain whose addresses are looked for."""


class _Verdict(msgspec.Struct, frozen=True):
    reachable: bool | None
    detail: str


class ReportEndpointProber:
    """Satisfies `journeys.ports.ReportEndpoints`.

    A ``mailto:`` destination is reachable if its domain takes mail by DNS: an MX host
    with an address, or an address of its own (RFC 5321 §5.1), and no null MX
    (RFC 7505).  An ``https:`` destination is reachable if a verified TLS session
    comes to be; no request is made, since RFC 8460 knows no other than the report.

    Args:
        resolver: asked for MX, AAAA and A.
        roots: trust anchors, DER; None: the system's.
        allow_private: also connect to addresses that are not public.
        https_port: what stands for port 443, which a URI that names none points to.
        timeout: seconds for one destination.
    """

    def __init__(
        self,
        resolver: Resolver,
        *,
        roots: Sequence[bytes] | None = None,
        allow_private: bool = False,
        https_port: int = 443,
        timeout: float = 20.0,
    ) -> None:
        self._resolver = resolver
        self._roots = None if roots is None else tuple(roots)
        self._allow_private = allow_private
        self._https_port = https_port
        self._timeout = timeout

    @functools.cached_property
    def _context(self) -> ssl.SSLContext:
        return verifying_context(self._roots)

    async def reach(self, uri: str) -> EndpointReached:
        """Whether `uri` can be reached; never raises for the other side's trouble."""
        try:
            async with asyncio.timeout(self._timeout):
                verdict = await self._reach(uri)
        except TimeoutError:
            verdict = _Verdict(reachable=False, detail=f"no answer within {self._timeout:g} seconds")
        return EndpointReached(uri, verdict.reachable, verdict.detail)

    async def _reach(self, uri: str) -> _Verdict:
        match parse_destination(uri):
            case MailDestination(domain=domain):
                return await self._mail_domain(domain)
            case HttpsDestination(host=host, port=port):
                return await self._https(host, self._https_port if port == _HTTPS else port)
            case UnknownDestination():
                # RFC 8460 §3 supports these two schemes.
                return _Verdict(reachable=False, detail="reports go to mailto: and https: only")
            case Rejection() as rejection:
                return _Verdict(reachable=False, detail=str(rejection))

    # --- mailto -------------------------------------------------------------------------------

    async def _mail_domain(self, domain: HostName) -> _Verdict:
        mx = await self._resolver.resolve(domain, RecordType.MX)
        if mx.failed:
            return _Verdict(
                reachable=None, detail=f"the MX lookup of {domain} failed: {mx.reason}".rstrip(": ")
            )
        exchanges = mx.mx()
        hosts = [record.exchange for record in exchanges if record.exchange is not None]
        if exchanges and not hosts:
            return _Verdict(reachable=False, detail=f"{domain} takes no mail (null MX, RFC 7505)")
        if mx.found and not hosts:
            # RFC 5321 §5.1: MX records that cannot be used do not make the domain its own MX host.
            return _Verdict(reachable=False, detail=f"the MX records of {domain} name no host")
        hosts = hosts or [domain]
        missing: list[NotFound] = []
        for host in hosts[:MAX_EXCHANGES]:
            # Nothing is connected to, so a private address is an address as any other.
            found = await find_addresses(self._resolver, host, allow_private=True)
            if not isinstance(found, NotFound):
                through = f"MX {host}" if exchanges else "its own address"
                return _Verdict(reachable=True, detail=f"{domain} takes mail through {through}")
            missing.append(found)
        denied = all(one.denied for one in missing) and len(hosts) <= MAX_EXCHANGES
        detail = "; ".join(one.detail for one in missing)
        return _Verdict(reachable=False if denied else None, detail=detail)

    # --- https --------------------------------------------------------------------------------

    async def _https(self, host: HostName | Address, port: int) -> _Verdict:
        context = self._context
        found = await find_addresses(self._resolver, host, allow_private=self._allow_private)
        if isinstance(found, NotFound):
            return _Verdict(reachable=False if found.denied else None, detail=found.detail)
        if not found.addresses:
            refused = ", ".join(found.refused)
            return _Verdict(reachable=None, detail=f"not tried: {host} has no public address ({refused})")
        verdict = _Verdict(reachable=None, detail="")
        for address in found.addresses:
            verdict = await self._shake_hands(context, host, address, port)
            if verdict.reachable:
                break
        return verdict

    async def _shake_hands(
        self, context: ssl.SSLContext, host: HostName | Address, address: Address, port: int
    ) -> _Verdict:
        try:
            # One dead address must not use up the time of the others.
            async with asyncio.timeout(self._timeout / 3):
                return await self._session(context, host, address, port)
        except TimeoutError:
            return _Verdict(
                reachable=False, detail=f"{address}: no TLS session within {self._timeout / 3:g} seconds"
            )

    async def _session(
        self, context: ssl.SSLContext, host: HostName | Address, address: Address, port: int
    ) -> _Verdict:
        try:
            connection = await Connection.open(address, port)
        except OSError as error:
            return _Verdict(reachable=False, detail=f"{address}: no connection: {explain(error)}")
        try:
            await connection.start_tls(context, host)
        except ssl.SSLCertVerificationError as error:
            detail = f"{address}: the certificate is not valid for {host}: {explain(error)}"
            return _Verdict(reachable=False, detail=detail)
        except OSError as error:
            return _Verdict(reachable=False, detail=f"{address}: no TLS session: {explain(error)}")
        finally:
            await connection.close()
        return _Verdict(reachable=True, detail=f"TLS session with {host} at {address}")
