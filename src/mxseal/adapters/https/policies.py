"""Fetching MTA-STS policies (RFC 8461 §3.3)."""

import asyncio
import functools
import ssl
from collections.abc import Sequence
from typing import Final

import msgspec

from mxseal.adapters.https.addresses import NotFound, Resolver, find_addresses
from mxseal.adapters.https.exchange import NoText, Text, get_text
from mxseal.adapters.tls import Connection, explain, probing_context, verifying_context
from mxseal.standards.mta_sts import policy_host, policy_url
from mxseal.vocabulary.names import Address, HostName, InvalidName
from mxseal.vocabulary.observations import (
    FetchStage,
    KeyKind,
    PolicyFetch,
    PolicyFetched,
    PolicyFetchFailed,
)

_TELLING: Final = (
    FetchStage.HTTP,
    FetchStage.CERTIFICATE,
    FetchStage.TLS,
    FetchStage.TIMEOUT,
    FetchStage.CONNECT,
    FetchStage.DNS,
)
"""Of several failures, the one that got furthest speaks for the fetch."""

_CHAIN_TIMEOUT: Final = 5.0
"""Seconds for having another look at a chain that did not verify."""


class _Failure(msgspec.Struct, frozen=True):
    """Why one address, or with None the fetch as a whole, did not give the policy."""

    address: Address | None
    stage: FetchStage
    detail: str
    status: int | None = None
    content_type: str = ""
    chain: tuple[bytes, ...] = ()

    def __str__(self) -> str:
        return f"{self.address}: {self.detail}"


class PolicyFetcher:
    """Satisfies `journeys.ports.PolicyHosts`.

    Addresses come from `resolver` and are tried one after another until one gives an
    HTTP response; what a verified policy host says over HTTP is final.  The DNS
    answers may be insecure: the certificate is what counts (RFC 8461 §3.3).

    Args:
        resolver: asked for AAAA and A of the policy host.
        roots: trust anchors, DER; None: the system's.
        allow_private: also connect to addresses that are not public.
        port: of the policy hosts; RFC 8461 knows 443 only.
        timeout: seconds for a whole fetch; RFC 8461 §3.3 suggests a minute.
        address_timeout: seconds for one address.
    """

    def __init__(
        self,
        resolver: Resolver,
        *,
        roots: Sequence[bytes] | None = None,
        allow_private: bool = False,
        port: int = 443,
        timeout: float = 60.0,
        address_timeout: float = 20.0,
    ) -> None:
        self._resolver = resolver
        self._roots = None if roots is None else tuple(roots)
        self._allow_private = allow_private
        self._port = port
        self._timeout = timeout
        self._address_timeout = address_timeout

    @functools.cached_property
    def _context(self) -> ssl.SSLContext:
        return verifying_context(self._roots)

    async def fetch(self, policy_domain: HostName) -> PolicyFetch:
        """The policy's text, or where and why it did not come; never raises for the other side's trouble."""
        failures: list[_Failure] = []
        try:
            async with asyncio.timeout(self._timeout):
                return await self._fetch(policy_domain, failures)
        except TimeoutError:
            failures.append(_Failure(None, FetchStage.TIMEOUT, f"no policy within {self._timeout:g} seconds"))
            return self._failed(policy_domain, failures)

    async def _fetch(self, policy_domain: HostName, failures: list[_Failure]) -> PolicyFetch:
        try:
            host = policy_host(policy_domain)
        except InvalidName as error:
            return self._failed(policy_domain, [_Failure(None, FetchStage.DNS, error.rejection.message)])
        found = await find_addresses(self._resolver, host, allow_private=self._allow_private)
        if isinstance(found, NotFound):
            return self._failed(policy_domain, [_Failure(None, FetchStage.DNS, found.detail)])
        failures += [
            _Failure(address, FetchStage.CONNECT, "not a public address, and so refused")
            for address in found.refused
        ]
        context = self._context
        for address in found.addresses:
            result = await self._try(context, host, address)
            if not isinstance(result, _Failure):
                text, chain = result
                return PolicyFetched(
                    policy_domain=policy_domain,
                    url=self._url(policy_domain),
                    body=text.body,
                    address=address,
                    content_type=text.content_type,
                    chain=chain,
                )
            failures.append(result)
            if result.stage is FetchStage.CERTIFICATE:
                failures[-1] = msgspec.structs.replace(result, chain=await self._chain(host, address))
            if result.status is not None:
                break
        return self._failed(policy_domain, failures)

    async def _try(
        self, context: ssl.SSLContext, host: HostName, address: Address
    ) -> tuple[Text, tuple[bytes, ...]] | _Failure:
        try:
            async with asyncio.timeout(self._address_timeout):
                return await self._attempt(context, host, address)
        except TimeoutError:
            detail = f"no policy within {self._address_timeout:g} seconds"
            return _Failure(address, FetchStage.TIMEOUT, detail)

    async def _attempt(
        self, context: ssl.SSLContext, host: HostName, address: Address
    ) -> tuple[Text, tuple[bytes, ...]] | _Failure:
        try:
            connection = await Connection.open(address, self._port)
        except OSError as error:
            return _Failure(address, FetchStage.CONNECT, f"no connection: {explain(error)}")
        try:
            try:
                await connection.start_tls(context, host)
            except ssl.SSLCertVerificationError as error:
                detail = f"the certificate is not valid for {host}: {explain(error)}"
                return _Failure(address, FetchStage.CERTIFICATE, detail)
            except OSError as error:
                return _Failure(address, FetchStage.TLS, f"no TLS session: {explain(error)}")
            return await self._get(connection, host, address)
        finally:
            await connection.close()

    async def _get(
        self, connection: Connection, host: HostName, address: Address
    ) -> tuple[Text, tuple[bytes, ...]] | _Failure:
        chain = connection.chain
        host_header = host if self._port == 443 else f"{host}:{self._port}"
        try:
            text = await get_text(connection, host_header, "/.well-known/mta-sts.txt")
        except OSError as error:
            return _Failure(address, FetchStage.HTTP, f"the connection broke: {explain(error)}", chain=chain)
        if isinstance(text, NoText):
            return _Failure(address, FetchStage.HTTP, text.detail, text.status, text.content_type, chain)
        return text, chain

    async def _chain(self, host: HostName, address: Address) -> tuple[bytes, ...]:
        """The chain that did not verify, for the evidence: OpenSSL keeps it only if nothing is verified."""
        try:
            async with asyncio.timeout(min(_CHAIN_TIMEOUT, self._address_timeout)):
                connection = await Connection.open(address, self._port)
                try:
                    await connection.start_tls(probing_context(KeyKind.ANY), host)
                    return connection.chain
                finally:
                    await connection.close()
        except OSError:  # which TimeoutError is, too
            return ()

    def _url(self, policy_domain: HostName) -> str:
        url = policy_url(policy_domain)
        if self._port == 443:
            return url
        scheme, _, rest = url.partition("://")
        host, slash, path = rest.partition("/")
        return f"{scheme}://{host}:{self._port}{slash}{path}"

    def _failed(self, policy_domain: HostName, failures: Sequence[_Failure]) -> PolicyFetchFailed:
        telling = min(failures, key=lambda failure: (failure.status is None, _TELLING.index(failure.stage)))
        return PolicyFetchFailed(
            policy_domain=policy_domain,
            url=self._url(policy_domain),
            stage=telling.stage,
            detail=telling.detail,
            status=telling.status,
            content_type=telling.content_type,
            attempts=tuple(str(failure) for failure in failures if failure.address is not None),
            chain=telling.chain,
        )
