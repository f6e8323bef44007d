"""HTTP for everybody else: ``GET /v1/policy/DOMAIN`` in JSON, and ``GET /metrics`` for Prometheus.

Each listener has its own routes, so that metrics can be shown to other people than
policies.  There is no TLS and nobody is asked who he is: it listens on loopback or a
unix socket, or stands behind a server that does both (RFC 9112).
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime
from logging import getLogger
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import h11
import msgspec

from mxseal.daemon.answering import Answerer, kind_of, port_of
from mxseal.daemon.connections import Connections
from mxseal.daemon.counters import Counters, exposition
from mxseal.decisions.overrides import override_in
from mxseal.decisions.postfix_answer import reply_in
from mxseal.standards.postfix_tls import Dialect, parse_key
from mxseal.vocabulary.rejection import Rejection
from mxseal.vocabulary.saved import to_builtins

log: Final = getLogger("mxseal.http")

SCHEMA_VERSION: Final = 1
IDLE_SECONDS: Final = 30.0
_MAX_EVENT: Final = 16 * 1024
_READ: Final = 64 * 1024
_JSON: Final = "application/json"


class Response(msgspec.Struct, frozen=True):
    status: int
    body: bytes
    content_type: str = _JSON
    headers: tuple[tuple[str, str], ...] = ()


class HostPolicy(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is owed to one MX host."""

    host: str
    preference: int
    level: str
    """`dane`, `pkix`, `encrypt`, `opportunistic` or `skip`."""
    obstacle: str | None = None
    """With `skip`: `lookup-failed`, `not-listed` or `no-address`."""
    pattern: str | None = None
    """With `pkix`: the MX pattern that names this host."""
    names: tuple[str, ...] = ()
    """Names that a certificate may be for."""
    tlsa: tuple[str, ...] = ()
    """With `dane`: the usable TLSA records."""


class ReasonGiven(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    text: str
    section: str = ""


class PolicyAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """How mail to a next-hop must travel."""

    schema_version: int
    kind: str
    next_hop: str
    answer: str
    """`dane-only`, `dane`, `secure`, `not-found` or `temp`; with an override its level."""
    postfix: str
    """The same in Postfix' words, as a socketmap has it."""
    sendmail: str
    override: bool
    """Whether the administrator has set it; nothing was found out then, and all below is empty."""
    course: str | None
    """What becomes of mail: `deliver`, `defer` or `bounce`."""
    mx_patterns: tuple[str, ...]
    hosts: tuple[HostPolicy, ...]
    """By preference."""
    reasons: tuple[ReasonGiven, ...]
    at: datetime | None
    valid_until: datetime | None


class Problem(msgspec.Struct, frozen=True):
    """What is wrong, as ``application/problem+json``."""

    title: str
    status: int
    detail: str


def problem(status: int, title: str, detail: str, *headers: tuple[str, str]) -> Response:
    body = msgspec.json.encode(Problem(title, status, detail))
    return Response(status, body, "application/problem+json", headers)


Routes = Callable[[str, str], Awaitable[Response]]
"""Method and path → response."""


class PolicyRoutes:
    """``GET /v1/policy/NEXT-HOP``."""

    def __init__(self, answerer: Answerer) -> None:
        self._answerer = answerer

    async def __call__(self, method: str, path: str) -> Response:
        if path == "/healthz":
            return Response(200, b'{"status":"ok"}')
        prefix = "/v1/policy/"
        if not path.startswith(prefix):
            return problem(404, "Not Found", "GET /v1/policy/DOMAIN is what there is")
        if method not in ("GET", "HEAD"):
            return problem(405, "Method Not Allowed", "a policy can be read only", ("Allow", "GET, HEAD"))
        return await self._policy(unquote(path[len(prefix) :], errors="surrogateescape"))

    async def _policy(self, key: str) -> Response:
        next_hop = parse_key(key, port_of)
        if next_hop is None:
            return problem(
                400, "Bad Request", "a domain's parent has no policy for it: ask for the domain itself"
            )
        if isinstance(next_hop, Rejection):
            return problem(400, "Bad Request", str(next_hop))
        override = self._answerer.overrides.reply(next_hop)
        if override is not None:
            return _ok(
                _answer(
                    next_hop=str(next_hop),
                    answer=kind_of(override).replace("notfound", "not-found"),
                    postfix=str(override).strip(),
                    sendmail=str(override_in(Dialect.SENDMAIL, override)).strip(),
                    override=True,
                )
            )
        found = await self._answerer.find(next_hop)
        if found is None:
            return problem(
                503, "Service Unavailable", "no answer now; the service's log tells why", ("Retry-After", "5")
            )
        served = found.served
        decision = served.decision
        return _ok(
            _answer(
                next_hop=str(next_hop),
                answer=decision.answer.kind.value,
                postfix=str(reply_in(Dialect.PLAIN, decision)).strip(),
                sendmail=str(reply_in(Dialect.SENDMAIL, decision)).strip(),
                override=False,
                course=decision.course.value,
                mx_patterns=tuple(map(str, decision.answer.patterns)),
                hosts=tuple(
                    HostPolicy(
                        host=host.host,
                        preference=host.preference,
                        level=host.level.value,
                        obstacle=host.obstacle.value if host.obstacle else None,
                        pattern=host.pattern,
                        names=tuple(map(str, host.names)),
                        tlsa=tuple(map(str, host.records)),
                    )
                    for host in decision.hosts
                ),
                reasons=tuple(
                    ReasonGiven(text=reason.text, section=reason.section) for reason in decision.reasons
                ),
                at=served.at,
                valid_until=served.valid_until,
            )
        )


def _answer(
    *,
    next_hop: str,
    answer: str,
    postfix: str,
    sendmail: str,
    override: bool,
    course: str | None = None,
    mx_patterns: tuple[str, ...] = (),
    hosts: tuple[HostPolicy, ...] = (),
    reasons: tuple[ReasonGiven, ...] = (),
    at: datetime | None = None,
    valid_until: datetime | None = None,
) -> PolicyAnswer:
    return PolicyAnswer(
        schema_version=SCHEMA_VERSION,
        kind="policy-answer",
        next_hop=next_hop,
        answer=answer,
        postfix=postfix,
        sendmail=sendmail,
        override=override,
        course=course,
        mx_patterns=mx_patterns,
        hosts=hosts,
        reasons=reasons,
        at=at,
        valid_until=valid_until,
    )


def _ok(answer: PolicyAnswer) -> Response:
    body: Any = to_builtins(answer)
    return Response(200, msgspec.json.encode(body), headers=(("Cache-Control", "no-store"),))


class MetricsRoutes:
    """``GET /metrics``."""

    def __init__(self, counters: Counters, gauges: Callable[[], dict[str, tuple[str, float]]]) -> None:
        self._counters = counters
        self._gauges = gauges

    async def __call__(self, method: str, path: str) -> Response:
        if path != "/metrics":
            return problem(404, "Not Found", "GET /metrics is what there is")
        if method not in ("GET", "HEAD"):
            return problem(405, "Method Not Allowed", "metrics can be read only", ("Allow", "GET, HEAD"))
        text = exposition(self._counters, self._gauges())
        return Response(200, text.encode(), "text/plain; version=0.0.4; charset=utf-8")


class HttpConnection:
    """One connection, for as long as its client sends requests and is not idle for long."""

    def __init__(
        self,
        name: str,
        routes: Routes,
        connections: Connections,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self.name = name
        self._routes = routes
        self._connections = connections
        self._reader = reader
        self._writer = writer
        self._wire = h11.Connection(h11.SERVER, max_incomplete_event_size=_MAX_EVENT)
        self._stopping = False
        self._busy = False

    async def run(self) -> None:
        """Answer requests until there are no more."""
        transport = self._writer.transport
        if not self._connections.admit(self, transport):
            return
        try:
            with suppress(OSError, TimeoutError):
                while not self._stopping and await self._one():
                    self._wire.start_next_cycle()
        except h11.LocalProtocolError as error:
            # The client left in the middle of something.
            log.debug("HTTP connection ended", extra={"why": str(error)})
        finally:
            self._connections.leave(self)
            self._writer.close()
            with suppress(OSError):
                await self._writer.wait_closed()

    def stop(self) -> None:
        self._stopping = True
        if not self._busy:
            self._writer.close()

    def abort(self) -> None:
        self._writer.transport.abort()

    async def _one(self) -> bool:
        """One request and its response; whether another one may follow."""
        try:
            async with asyncio.timeout(IDLE_SECONDS):
                request = await self._request()
        except h11.RemoteProtocolError as error:
            await self._send(problem(error.error_status_hint, "Bad Request", str(error)), close=True)
            return False
        if request is None:
            return False
        self._busy = True
        method, path = request.method.decode(), urlsplit(request.target.decode()).path
        response = await self._routes(method, path)
        async with asyncio.timeout(IDLE_SECONDS):
            await self._send(response, close=self._stopping, head=method == "HEAD")
        self._busy = False
        return self._wire.our_state is h11.DONE and self._wire.their_state is h11.DONE

    async def _request(self) -> h11.Request | None:
        request: h11.Request | None = None
        while True:
            event = self._wire.next_event()
            if event is h11.NEED_DATA:
                self._wire.receive_data(await self._reader.read(_READ))
            elif isinstance(event, h11.Request):
                request = event
            elif isinstance(event, h11.EndOfMessage):
                return request
            elif isinstance(event, h11.ConnectionClosed):
                return None
            elif isinstance(event, h11.Data):
                # No request here has a body that means anything; a long one is not waited for.
                raise h11.RemoteProtocolError("a request has no body here", error_status_hint=413)
            else:
                return None

    async def _send(self, response: Response, *, close: bool, head: bool = False) -> None:
        headers = [
            ("Content-Type", response.content_type),
            ("Content-Length", str(len(response.body))),
            ("X-Content-Type-Options", "nosniff"),
            *response.headers,
        ]
        if close:
            headers.append(("Connection", "close"))
        if self._wire.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            return
        self._write(h11.Response(status_code=response.status, headers=headers))
        if not head:
            self._write(h11.Data(data=response.body))
        self._write(h11.EndOfMessage())
        await self._writer.drain()

    def _write(self, event: h11.Response | h11.Data | h11.EndOfMessage) -> None:
        data = self._wire.send(event)
        if data:
            self._writer.write(data)
