"""Policy hosts: HTTPS servers on loopback, told apart by SNI, good and bad (RFC 8461 §3.3)."""

import asyncio
import ssl
from collections.abc import Callable
from enum import StrEnum
from typing import cast

import msgspec

from mxseal.lab.ca import Flaw
from mxseal.lab.tls_pump import TlsFailed, TlsPump

_MAX_REQUEST = 16 * 1024
_HUGE = 1024 * 1024
PATH = "/.well-known/mta-sts.txt"
"""RFC 8461 §3.2."""


class Manner(StrEnum):
    """How a policy host serves the policy."""

    GOOD = "good"
    NOT_FOUND = "404"
    ERROR = "500"
    REDIRECT = "redirect"
    HTML = "text/html"
    HUGE = "huge"
    """A megabyte of valid policy."""
    SLOW = "slow"
    """One octet a second."""
    UNKNOWN = "unknown"
    """The server knows no such name and ends the handshake (alert unrecognized_name, RFC 6066 §3)."""
    DOWN = "down"
    """Nothing listens there."""


class PolicySite(msgspec.Struct):
    """What one policy host serves."""

    host: str
    body: bytes
    manner: Manner = Manner.GOOD
    flaw: Flaw = Flaw.NONE
    days_left: int = 60
    attacked: bool = False
    """Whether the attacker resets each connection to it."""


class PolicyServer:
    """All policy hosts behind one address and port."""

    def __init__(self, make_context: Callable[[PolicySite], ssl.SSLContext]) -> None:
        self._make_context = make_context
        self._contexts: dict[str, ssl.SSLContext] = {}
        self._entrance: ssl.SSLContext | None = None
        self.sites: dict[str, PolicySite] = {}
        self.sessions: set[HttpsSession] = set()
        self.requests = 0

    def session(self) -> "HttpsSession":
        return HttpsSession(self)

    def entrance(self, choose: Callable[[str | None], PolicySite | None]) -> ssl.SSLContext:
        """A context for one connection that picks the site's own when the client has said its SNI."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)

        def on_sni(tls: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> int | None:
            site = choose(name)
            if site is None:
                return int(ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME)
            tls.context = self._context(site)
            return None

        context.sni_callback = on_sni
        return context

    def _context(self, site: PolicySite) -> ssl.SSLContext:
        if site.host not in self._contexts:
            self._contexts[site.host] = self._make_context(site)
        return self._contexts[site.host]


class HttpsSession(asyncio.Protocol):
    """One connection, one request, one response (HTTP/1.1 with Connection: close)."""

    def __init__(self, server: PolicyServer) -> None:
        self._server = server
        self._transport: asyncio.Transport | None = None
        self._tls: TlsPump | None = None
        self._request = bytearray()
        self._site: PolicySite | None = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._server.sessions.add(self)
        self._tls = TlsPump(self._server.entrance(self._choose), self._write)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._server.sessions.discard(self)
        if self._timer is not None:
            self._timer.cancel()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _choose(self, name: str | None) -> PolicySite | None:
        site = self._site = self._server.sites.get((name or "").lower())
        if site is not None and site.attacked:
            # The attacker reads the name in the ClientHello, which is not encrypted.
            self.abort()
        return None if site is not None and site.manner is Manner.UNKNOWN else site

    def _write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def data_received(self, data: bytes) -> None:
        if self._tls is None:
            return
        try:
            self._request += self._tls.receive(data)
        except TlsFailed:
            self._close()
            return
        if b"\r\n\r\n" in self._request:
            self._respond()
        elif len(self._request) > _MAX_REQUEST:
            self._close()

    def _respond(self) -> None:
        if self._tls is None or self._site is None:
            return
        self._server.requests += 1
        request_line = bytes(self._request).partition(b"\r\n")[0].decode("ascii", "replace")
        self._request.clear()
        response = render(self._site, request_line)
        if self._site.manner is Manner.SLOW:
            self._drip(response)
            return
        self._tls.send(response)
        self._close()

    def _drip(self, rest: bytes) -> None:
        if self._tls is None or self._transport is None or self._transport.is_closing():
            return
        self._tls.send(rest[:1])
        if len(rest) > 1:
            self._timer = asyncio.get_running_loop().call_later(1.0, self._drip, rest[1:])
        else:
            self._close()

    def _close(self) -> None:
        if self._tls is not None:
            self._tls.close()
        if self._transport is not None:
            self._transport.close()


def render(site: PolicySite, request_line: str) -> bytes:
    """The whole response of a site to a request."""
    method, _, rest = request_line.partition(" ")
    path = rest.partition(" ")[0]
    status, content_type, body, extra = "200 OK", "text/plain; charset=utf-8", site.body, ""
    if method not in ("GET", "HEAD") or path != PATH or site.manner is Manner.NOT_FOUND:
        status, body = "404 Not Found", b"no such page\n"
    elif site.manner is Manner.ERROR:
        status, body = "500 Internal Server Error", b"out of order\n"
    elif site.manner is Manner.REDIRECT:
        status, body = "301 Moved Permanently", b"over there\n"
        extra = f"Location: https://www.{site.host.removeprefix('mta-sts.')}{PATH}\r\n"
    elif site.manner is Manner.HTML:
        content_type = "text/html"
    elif site.manner is Manner.HUGE:
        body += b"x-filler: " + b"x" * _HUGE + b"\r\n"
    head = (
        f"HTTP/1.1 {status}\r\n"
        f"Content-Type: {content_type}\r\n"
        f"Content-Length: {len(body)}\r\n"
        f"{extra}Connection: close\r\n\r\n"
    )
    return head.encode("ascii") + (b"" if method == "HEAD" else body)
