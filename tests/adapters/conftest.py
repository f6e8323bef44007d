"""Servers of this process on loopback, and a certification authority, for tests of what goes over the wire."""

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from mxseal.adapters.clock import SystemClock
from mxseal.adapters.tls import Connection
from mxseal.lab.ca import CertificateAuthority


class Client(Connection):
    """The client, as a server in a test sees it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        super().__init__(reader, writer)
        self._rest = b""

    async def readline(self) -> bytes:
        """One line, or what there is at the end."""
        while b"\n" not in self._rest and (data := await self.read()):
            self._rest += data
        line, end, self._rest = self._rest.partition(b"\n")
        return line + end

    async def accept_tls(self, context: ssl.SSLContext) -> None:
        """Not with asyncio's own TLS: a server of it keeps back the alert that says why a handshake failed."""
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        await self._drive(self._tls.do_handshake)

    def reset(self) -> None:
        """Close with RST instead of FIN, and without the close_notify of TLS."""
        linger = struct.pack("ii", 1, 0)
        self._writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self._writer.transport.abort()

    def cut(self) -> None:
        """Close with FIN, but without the close_notify of TLS."""
        self._tls = None


Handler = Callable[[Client], Awaitable[None]]


@pytest.fixture(scope="session")
def authority():
    """The root that tests trust; see `mxseal.lab.ca`."""
    return CertificateAuthority(SystemClock().now())


@pytest.fixture
def server_context(tmp_path):
    """Makes a server's TLS context from certificates (one of each key type, where there are several)."""

    def make(*certificates):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        for number, certificate in enumerate(certificates):
            path = tmp_path / f"{id(context)}-{number}.pem"
            path.write_bytes(certificate.pem())
            context.load_cert_chain(path)
        return context

    return make


@pytest.fixture
def serving():
    """``async with serving(handler) as port``: a server on 127.0.0.1; its connections end with it."""
    return _serving


@contextlib.asynccontextmanager
async def _serving(handler: Handler, *, host: str = "127.0.0.1") -> AsyncIterator[int]:
    connections: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.add(asyncio.current_task())
        client = Client(reader, writer)
        try:
            # A client that goes away, or that finds fault with our certificate, is what is tested.
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await handler(client)
        finally:
            await client.close()

    server = await asyncio.start_server(connected, host, 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for connection in connections:
            connection.cancel()
        for ended in await asyncio.gather(*connections, return_exceptions=True):
            if isinstance(ended, Exception):
                raise ended


@pytest.fixture
def closed_port():
    """A port of 127.0.0.1 where nobody listens, and nobody will."""
    with socket.socket() as bound, socket.create_server(("127.0.0.1", 0)) as listening:
        # Not merely free, for then a neighbour could take it: it is the far end's port of a connection.
        bound.connect(listening.getsockname())
        yield bound.getsockname()[1]
