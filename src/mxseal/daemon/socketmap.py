"""Postfix and Sendmail ask: one connection."""

import asyncio
from collections import deque
from collections.abc import Callable
from logging import getLogger
from typing import Final, cast

from mxseal.daemon.answering import Answer, Answerer
from mxseal.daemon.connections import Connections
from mxseal.standards.postfix_tls import Dialect, dialect_of
from mxseal.standards.socketmap import Pump, Request, reply
from mxseal.vocabulary.rejection import Rejection, printable

log: Final = getLogger("mxseal.socketmap")

MOST_WAITING: Final = 64
"""Requests on one connection that wait for their turn before no more is read from it."""

_NOT_A_REQUEST: Final = reply("PERM not a socketmap request; the service's log tells what is wrong")


class SocketmapProtocol(asyncio.Protocol):
    """One connection; an idle one is left open for as long as the client wants.

    Closing it would lose mail's time: where Postfix finds a connection closed, it asks
    again on a new one only if the last system call that failed did not time out.
    """

    name = "socketmap"

    def __init__(self, answerer: Answerer, connections: Connections) -> None:
        self._answerer = answerer
        self._connections = connections
        self._counters = answerer.counters
        self._ready = answerer.table.entries.get
        self._now: Callable[[], float] = answerer.table.now
        self._pump = Pump()
        self._queue: deque[Request | Rejection] = deque()
        self._task: asyncio.Task[None] | None = None
        self._transport: asyncio.Transport
        self._write: Callable[[bytes], None]
        self._clear = False
        """Whether nothing is waiting here, neither of requests nor of replies."""
        self._can_write = True
        self._reads = True
        self._ended = False

    # --- what the event loop calls -----------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Not asked whether it is one: uvloop's transports are none of asyncio's classes.
        self._transport = cast("asyncio.Transport", transport)
        self._write = self._transport.write
        self._clear = self._connections.admit(self, self._transport)
        self._ended = not self._clear

    def data_received(self, data: bytes) -> None:
        if self._clear:
            found = self._ready(data)
            if found is not None and self._now() < found[1]:
                self._write(found[0])
                self._counters.ready += 1
                return
        self._take(data)

    def eof_received(self) -> bool:
        """Some clients say that they have asked their last question; they get their answers all the same."""
        self._ended = True
        return self._is_busy

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._clear = False
        self._ended = True
        self._queue.clear()
        if self._task is not None:
            self._task.cancel()
        self._connections.leave(self)

    def pause_writing(self) -> None:
        """The client does not read its answers; so its questions are not read either."""
        self._can_write = self._clear = False
        self._read(False)

    def resume_writing(self) -> None:
        self._can_write = True
        self._go_on()

    # --- what is not ready ---------------------------------------------------------------------------

    def stop(self) -> None:
        """The service ends: answer what was asked, then close."""
        self._ended = True
        if not self._is_busy:
            self._transport.close()

    def abort(self) -> None:
        self._transport.abort()

    @property
    def _is_busy(self) -> bool:
        return bool(self._queue) or self._task is not None

    def _read(self, wanted: bool) -> None:
        if wanted != self._reads and not self._transport.is_closing():
            self._reads = wanted
            if wanted:
                self._transport.resume_reading()
            else:
                self._transport.pause_reading()

    def _take(self, data: bytes) -> None:
        if self._pump.broken or self._transport.is_closing():
            return
        self._queue.extend(self._pump.receive(data))
        self._clear = False
        if len(self._queue) > MOST_WAITING:
            self._read(False)
        self._go_on()

    def _go_on(self) -> None:
        """Answer the waiting requests in their order, until one has to be found out."""
        while self._queue and self._task is None and self._can_write:
            event = self._queue.popleft()
            if isinstance(event, Rejection):
                self._complain(event)
                continue
            octets = event.frame
            found = self._ready(octets)
            if found is not None and self._now() < found[1]:
                self._counters.ready += 1
                self._write(found[0])
                continue
            dialect = dialect_of(event.map_name)
            answer = self._answerer.at_once(event.key, dialect)
            if answer is not None:
                self._say(octets, answer)
                continue
            self._task = asyncio.ensure_future(self._find_out(octets, event, dialect))
        if self._is_busy or not self._can_write:
            return
        if self._ended or self._pump.broken:
            self._transport.close()
            return
        self._clear = self._pump.is_idle
        self._read(True)

    async def _find_out(self, octets: bytes, request: Request, dialect: Dialect) -> None:
        answer = await self._answerer.find_out(request.key, dialect)
        self._say(octets, answer)
        self._task = None
        self._go_on()

    def _say(self, octets: bytes, answer: Answer) -> None:
        told = reply(str(answer.reply))
        self._answerer.keep(octets, told, answer)
        self._write(told)

    def _complain(self, rejection: Rejection) -> None:
        self._counters.malformed[self.name] += 1
        log.warning("not a request", extra={"why": str(rejection), "octets": printable(rejection.text, 80)})
        self._write(_NOT_A_REQUEST)
