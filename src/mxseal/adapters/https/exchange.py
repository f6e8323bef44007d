"""One HTTP request over an open TLS connection, judged as RFC 8461 §3.3 judges it."""

from typing import Final

import h11
import msgspec

from mxseal._version import __version__
from mxseal.adapters.tls import Connection
from mxseal.vocabulary.rejection import printable

MAX_BODY: Final = 64 * 1024
"""Octets of a policy (RFC 8461 §3.3 suggests 64 kilobytes)."""

MAX_HEADERS: Final = 16 * 1024
"""Octets of a status line with its headers."""

MAX_OCTETS: Final = 512 * 1024
"""Octets of a whole response: one-octet chunks around a full body, and no more."""


class Text(msgspec.Struct, frozen=True):
    """A 200 with a body of acceptable type and size."""

    body: bytes
    content_type: str


class NoText(msgspec.Struct, frozen=True):
    """The response cannot be taken."""

    detail: str
    status: int | None = None
    content_type: str = ""
    """Where that is what is wrong."""


async def get_text(connection: Connection, host: str, path: str) -> Text | NoText:
    """GET `path`; raises ssl.SSLError or OSError if the connection breaks.

    `host` is the Host header's value, with the port unless it is 443.
    """
    http = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEADERS)
    request = h11.Request(
        method="GET",
        target=path,
        headers=[
            ("Host", host),
            ("User-Agent", f"mxseal/{__version__}"),
            ("Accept", "text/plain"),
            # No decompression, so no decompression bombs.
            ("Accept-Encoding", "identity"),
            ("Connection", "close"),
        ],
    )
    await connection.write((http.send(request) or b"") + (http.send(h11.EndOfMessage()) or b""))
    try:
        return await _Response(connection, http).read()
    except h11.RemoteProtocolError as error:
        return NoText(f"not HTTP, or broken: {printable(str(error), 200)}")


class _Response:
    def __init__(self, connection: Connection, http: h11.Connection) -> None:
        self._connection = connection
        self._http = http
        self._octets = 0

    async def read(self) -> Text | NoText:
        event = await self._next_event()
        while isinstance(event, h11.InformationalResponse):
            event = await self._next_event()
        if not isinstance(event, h11.Response):
            return NoText("the server closed the connection without an answer")
        accepted = _judge(event)
        if isinstance(accepted, NoText):
            return accepted
        body = bytearray()
        while isinstance(data := await self._next_event(), h11.Data):
            body += data.data
            if len(body) > MAX_BODY:
                return NoText(f"a body of more than {MAX_BODY} octets", event.status_code)
        return Text(bytes(body), accepted)

    async def _next_event(self) -> object:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            data = await self._connection.read()
            pending, _ = self._http.trailing_data
            if not data and not pending and self._http.their_state is h11.SEND_RESPONSE:
                return h11.ConnectionClosed()
            self._octets += len(data)
            if self._octets > MAX_OCTETS:
                raise h11.RemoteProtocolError(f"a response of more than {MAX_OCTETS} octets")
            self._http.receive_data(data)
        return event


def _judge(response: h11.Response) -> str | NoText:
    """The content type, if a body of this response can be a policy."""
    status = response.status_code
    if 300 <= status <= 399:
        # RFC 8461 §3.3: "HTTP 3xx redirects MUST NOT be followed".
        to = "".join(f" to {printable(location, 200)}" for location in _values(response, b"location")[:1])
        return NoText(f"a redirect (status {status}){to}, which must not be followed", status)
    if status != 200:
        # RFC 8461 §3.3: a policy is valid only if the response code is 200, not just any 2yz.
        return NoText(f"status {status} {printable(response.reason.decode('latin-1'), 80)}".rstrip(), status)
    encoding = ", ".join(_values(response, b"content-encoding"))
    if {coding.strip().lower() for coding in encoding.split(",")} - {"", "identity"}:
        return NoText(f"content encoding {printable(encoding, 80)}, which nobody asked for", status)
    # RFC 8461 §3.2: senders validate that the media type is text/plain, so that whoever may put
    # pages or pictures on a web server cannot publish policies; its parameters are ignored.
    # Web servers that were told it twice say it twice; then each one has to be right.
    content_types = _values(response, b"content-type")
    shown = printable(", ".join(content_types), 200)
    if {text.partition(";")[0].strip().lower() for text in content_types} != {"text/plain"}:
        return NoText(f"the content type is {shown or 'missing'}, not text/plain", status, shown)
    return shown


def _values(response: h11.Response, name: bytes) -> list[str]:
    """What all header lines of a name say, so that none hides another (RFC 9110 §5.2)."""
    return [value.decode("latin-1") for given, value in response.headers if given == name]
