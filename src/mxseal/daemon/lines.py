r"""Exim asks: a next-hop on a line, and the answer on a line.

    ${readsocket{inet:127.0.0.1:8464}{$domain\n}{5s}{}{TEMP no answer}}

The words are those of socketmap without its frame: ``OK secure match=…``,
``OK dane-only``, ``NOTFOUND``, ``TEMP …``.  A line that is no next-hop, or too
long, gets ``PERM …``.
"""

import asyncio
from logging import getLogger
from typing import Final, cast

from mxseal.daemon.answering import Answerer
from mxseal.daemon.connections import Connections
from mxseal.standards.postfix_tls import Dialect
from mxseal.vocabulary.rejection import printable

log: Final = getLogger("mxseal.lines")

LONGEST_LINE: Final = 2_000
_MOST_WAITING: Final = 64


class LineProtocol(asyncio.Protocol):
    """One connection; any number of lines, answered in their order."""

    name = "lines"

    def __init__(self, answerer: Answerer, connections: Connections) -> None:
        self._answerer = answerer
        self._connections = connections
        self._buffer = bytearray()
        self._task: asyncio.Task[None] | None = None
        self._transport: asyncio.Transport
        self._ended = False
        self._can_write = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Not asked whether it is one: uvloop's transports are none of asyncio's classes.
        self._transport = cast("asyncio.Transport", transport)
        self._ended = not self._connections.admit(self, self._transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if self._task is not None and len(self._buffer) > _MOST_WAITING * 100:
            self._transport.pause_reading()
        self._go_on()

    def eof_received(self) -> bool:
        """Exim says that its question is over; a last line without its end is a line."""
        if self._buffer and not self._buffer.endswith(b"\n"):
            self._buffer += b"\n"
        self._ended = True
        self._go_on()
        return self._task is not None

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._ended = True
        self._buffer.clear()
        if self._task is not None:
            self._task.cancel()
        self._connections.leave(self)

    def pause_writing(self) -> None:
        self._can_write = False

    def resume_writing(self) -> None:
        self._can_write = True
        self._go_on()

    def stop(self) -> None:
        self._ended = True
        if self._task is None:
            self._transport.close()

    def abort(self) -> None:
        self._transport.abort()

    def _go_on(self) -> None:
        while self._task is None and self._can_write and not self._transport.is_closing():
            end = self._buffer.find(b"\n")
            if max(end, len(self._buffer) if end < 0 else 0) > LONGEST_LINE:
                self._refuse("a line is longer than any next-hop")
                return
            if end < 0:
                if self._ended:
                    self._transport.close()
                else:
                    self._transport.resume_reading()
                return
            key = bytes(self._buffer[:end]).decode(errors="surrogateescape").strip()
            del self._buffer[: end + 1]
            if not key or any(character < " " for character in key):
                self._refuse("a line is a next-hop, for instance example.com")
                return
            answer = self._answerer.at_once(key, Dialect.PLAIN)
            if answer is not None:
                self._say(str(answer.reply))
                continue
            self._task = asyncio.ensure_future(self._find_out(key))

    async def _find_out(self, key: str) -> None:
        answer = await self._answerer.find_out(key, Dialect.PLAIN)
        self._say(str(answer.reply))
        self._task = None
        self._go_on()

    def _say(self, text: str) -> None:
        self._transport.write(f"{text.rstrip()}\n".encode())

    def _refuse(self, why: str) -> None:
        self._answerer.counters.malformed[self.name] += 1
        shown = printable(bytes(self._buffer[:80]).decode("latin-1"), 80)
        log.warning("not a line with a next-hop", extra={"why": why, "octets": shown})
        self._say(f"PERM {why}")
        self._transport.close()
