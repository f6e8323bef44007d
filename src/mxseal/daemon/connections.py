"""All open connections, over all listeners: counted, bounded, and ended in good order."""

import asyncio
from logging import getLogger
from typing import Final, Protocol

from mxseal.daemon.counters import Counters

log: Final = getLogger("mxseal.connections")


class Connection(Protocol):
    """What a listener's protocol offers so that the service can end."""

    @property
    def name(self) -> str:
        """Of the listener, for counting."""
        ...

    def stop(self) -> None:
        """Answer what was asked, then close."""
        ...

    def abort(self) -> None:
        """Close now."""
        ...


class Connections:
    """Who is connected."""

    def __init__(self, counters: Counters, *, most: int) -> None:
        self._counters = counters
        self._most = most
        self._open: set[Connection] = set()
        self._empty = asyncio.Event()
        self._empty.set()
        self._stopping = False

    def __len__(self) -> int:
        return len(self._open)

    def admit(self, connection: Connection, transport: asyncio.WriteTransport) -> bool:
        """Whether there is room; where there is none the connection is closed."""
        if self._stopping:
            transport.abort()
            return False
        if len(self._open) >= self._most:
            if not self._counters.refused or self._counters.refused % 1000 == 0:
                log.error(
                    "too many connections", extra={"open": len(self._open), "serve.connections": self._most}
                )
            self._counters.refused += 1
            transport.abort()
            return False
        self._open.add(connection)
        self._empty.clear()
        self._counters.accepted[connection.name] += 1
        self._counters.connections[connection.name] += 1
        return True

    def leave(self, connection: Connection) -> None:
        if connection in self._open:
            self._open.discard(connection)
            self._counters.connections[connection.name] -= 1
            if not self._open:
                self._empty.set()

    async def stop(self, seconds: float) -> None:
        """End all: each answers what it was asked; who has not come to an end by then is cut off."""
        self._stopping = True
        for connection in tuple(self._open):
            connection.stop()
        try:
            async with asyncio.timeout(seconds):
                await self._empty.wait()
        except TimeoutError:
            log.warning("connections cut off", extra={"open": len(self._open)})
        for connection in tuple(self._open):
            connection.abort()
