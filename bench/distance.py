"""An event loop whose servers are far away: what arrives is handled a round trip later.

Loopback has no latency, and with none there is nothing to wait for at the same time, which is what
most of a check's time goes by on the real internet.  Kernels with netem could delay packets; this
needs none.  A connection begins after two round trips (SYN, SYN-ACK, ACK, first octets of the
server), each later piece of data is handled after one more.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any


class _Delayed:
    """Calls in the order in which they came, each after its delay."""

    def __init__(self, inner: Any, loop: asyncio.AbstractEventLoop, round_trip: float) -> None:
        self.inner = inner
        self.loop = loop
        self.round_trip = round_trip
        self.last = 0.0
        self.waiting: deque[Callable[[], object]] = deque()

    def later(self, round_trips: int, call: Callable[[], object]) -> None:
        self.last = max(self.last, self.loop.time() + round_trips * self.round_trip)
        self.waiting.append(call)
        self.loop.call_at(self.last, self._next)

    def _next(self) -> None:
        self.waiting.popleft()()

    def connection_lost(self, error: Exception | None) -> None:
        self.later(1, partial(self.inner.connection_lost, error))

    def pause_writing(self) -> None:
        self.inner.pause_writing()

    def resume_writing(self) -> None:
        self.inner.resume_writing()


class _Stream(_Delayed, asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.later(2, partial(self.inner.connection_made, transport))

    def data_received(self, data: bytes) -> None:
        self.later(1, partial(self.inner.data_received, data))

    def eof_received(self) -> bool:
        self.later(1, self._end)
        return True

    def _end(self) -> None:
        if not self.inner.eof_received():
            self.transport.close()


class _Datagrams(_Delayed, asyncio.DatagramProtocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.inner.connection_made(transport)

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.later(1, partial(self.inner.datagram_received, data, addr))

    def error_received(self, exc: Exception) -> None:
        self.inner.error_received(exc)


class DistantLoop(asyncio.SelectorEventLoop):
    """Wraps each server's protocol; clients are left alone."""

    round_trip = 0.0

    async def create_server(self, protocol_factory: Any, *args: Any, **kwargs: Any) -> Any:
        if self.round_trip:
            protocol_factory = partial(self._wrap, _Stream, protocol_factory)
        return await super().create_server(protocol_factory, *args, **kwargs)

    async def create_datagram_endpoint(self, protocol_factory: Any, *args: Any, **kwargs: Any) -> Any:
        if not self.round_trip:
            return await super().create_datagram_endpoint(protocol_factory, *args, **kwargs)
        transport, protocol = await super().create_datagram_endpoint(
            partial(self._wrap, _Datagrams, protocol_factory), *args, **kwargs
        )
        return transport, protocol.inner

    def _wrap(self, kind: type[_Delayed], factory: Callable[[], Any]) -> _Delayed:
        return kind(factory(), self, self.round_trip)
