"""TLS inside of a connection that already runs: for STARTTLS and for policy hosts.

asyncio's own `start_tls` hides what the lab wants to see and to break (garbage
behind the 220, handshakes that fail), so octets are passed through an
`ssl.SSLObject` by hand: `receive` takes what came from the network and gives
the clear text in it, `send` takes clear text; both write what TLS has to say.
"""

import contextlib
import ssl
from collections.abc import Callable

_CHUNK = 16384


class TlsFailed(Exception):
    """The handshake or the session broke; the peer has been told by an alert."""


class TlsPump:
    """The server's side of one TLS session."""

    def __init__(self, context: ssl.SSLContext, write: Callable[[bytes], object]) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._write = write
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self.is_open = False
        """Whether the handshake is done."""

    @property
    def version(self) -> str:
        return self._tls.version() or ""

    @property
    def tls(self) -> ssl.SSLObject:
        return self._tls

    def receive(self, data: bytes) -> bytes:
        """Octets from the network in, clear text out; raises `TlsFailed`."""
        self._incoming.write(data)
        clear = bytearray()
        try:
            if not self.is_open:
                self._tls.do_handshake()
                self.is_open = True
            while chunk := self._tls.read(_CHUNK):
                clear += chunk
        except (ssl.SSLWantReadError, ssl.SSLZeroReturnError):
            pass  # no more octets for now, or close_notify; what came before it counts
        except ssl.SSLError as error:
            raise TlsFailed(str(error)) from error
        finally:
            self._flush()
        return bytes(clear)

    def send(self, clear: bytes) -> None:
        self._tls.write(clear)
        self._flush()

    def close(self) -> None:
        """Say close_notify, as far as the session is open."""
        if self.is_open:
            # The peer's close_notify has not come, and nobody waits for it.
            with contextlib.suppress(ssl.SSLError):
                self._tls.unwrap()
            self._flush()

    def _flush(self) -> None:
        if waiting := self._outgoing.read():
            self._write(waiting)
