"""TLS over an asyncio connection, with the peer's whole chain in hand.

`asyncio` can upgrade a connection by itself, but then neither the chain of a
peer that does not verify, nor a bound on the octets of the handshake, nor the
difference between a closed and a cut connection is to be had.  So `ssl` runs on
memory buffers here (`ssl.SSLObject`), and this module carries octets
(docs/adr/0006-tls-on-memory-buffers.md).  Nothing
is resumed: each handshake is a full one, and shows certificates.
"""

import asyncio
import functools
import os
import ssl
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final, Protocol, TypeVar, cast

from mxseal.vocabulary.faults import DataFault
from mxseal.vocabulary.names import Address, HostName
from mxseal.vocabulary.observations import KeyKind
from mxseal.vocabulary.rejection import printable

MAX_HANDSHAKE: Final = 256 * 1024
"""Octets that a peer may send until the handshake is done.  OpenSSL by itself takes 100 KiB of certificates."""

_CHUNK: Final = 16 * 1024
Result = TypeVar("Result")


class TlsTooLong(ConnectionError):
    """The peer sent more than `MAX_HANDSHAKE` octets before the handshake was done."""


class _SslInternals(Protocol):
    """What the C object below `ssl.SSLObject` has on 3.11 and 3.12."""

    def get_unverified_chain(self) -> Sequence[Any] | None: ...


# --- contexts -----------------------------------------------------------------------------------

# TLS 1.2 cipher lists of OpenSSL, by the kind of certificate that they can be used with.
# Security level 0, as Postfix' SMTP client has it: short keys and SHA-1 signatures are to be
# seen and judged, not to end the handshake.  No anonymous ciphers: there is no chain to see.
_CIPHERS: Final = {
    KeyKind.ANY: "DEFAULT:!aNULL:!PSK:!SRP:@SECLEVEL=0",
    KeyKind.RSA: "aRSA:!PSK:!SRP:!eNULL:@SECLEVEL=0",
    KeyKind.ECDSA: "aECDSA:!PSK:!SRP:!eNULL:@SECLEVEL=0",
}


@functools.cache
def probing_context(key_kind: KeyKind) -> ssl.SSLContext:
    """A context that verifies nothing, TLS 1.2 or newer; made once for each kind.

    With `KeyKind.RSA` and `ECDSA` it is TLS 1.2 and nothing else: there the cipher
    names the kind of certificate.  In TLS 1.3 only the signature algorithms do, and
    `ssl` cannot set those before Python 3.15.  Servers choose their certificate the
    same way in both, so what is seen over 1.2 holds for 1.3; a server that speaks 1.3
    only cannot be asked this question.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if key_kind is not KeyKind.ANY:
        context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_CIPHERS[key_kind])
    context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_RENEGOTIATION
    return context


def verifying_context(roots: Sequence[bytes] | None) -> ssl.SSLContext:
    """A context for HTTPS: PKIX to `roots` (DER; None: the system's), names by DNS-ID only, TLS 1.2 or newer.

    RFC 8461 §3.3 with RFC 6125 §6.4.4: a common name identifies nobody.  Given roots
    are trust anchors as they are, self-signed or not.  A connection that is cut
    instead of closed is an error, so that a text whose end is the end of the
    connection cannot be shortened in the path.  Raises `DataFault` if a root is no certificate.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.hostname_checks_common_name = False
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_RENEGOTIATION
    context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
    if roots is None:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    elif roots:
        try:
            context.load_verify_locations(cadata=b"".join(roots))
        except ssl.SSLError as error:
            raise DataFault(
                f"a trust anchor is no certificate: {printable(str(error.reason or error), 100)}",
                cure="give certificates, in DER or PEM as the option says",
            ) from None
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


# --- connections ----------------------------------------------------------------------------------


class Connection:
    """A TCP connection whose octets may pass through TLS from some point on."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._tls: ssl.SSLObject | None = None
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()

    @classmethod
    async def open(cls, address: str, port: int) -> "Connection":
        """Connect; raises OSError."""
        return cls(*await asyncio.open_connection(address, port))

    @property
    def local_address(self) -> str:
        """Our end, as text, without an IPv6 zone."""
        return str(self._writer.get_extra_info("sockname")[0]).partition("%")[0]

    async def start_tls(self, context: ssl.SSLContext, server_name: HostName | Address | None) -> None:
        """Shake hands; raises OSError, which ssl.SSLError and `TlsTooLong` are.

        `server_name` is sent as SNI, and verified if `context` does; an address is
        verified only (RFC 6066 §3 has no address in SNI, RFC 9525 §6.4 calls it IP-ID).
        """
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=server_name)
        await self._drive(self._tls.do_handshake, MAX_HANDSHAKE)

    @property
    def version(self) -> str:
        return (self._tls and self._tls.version()) or ""

    @property
    def cipher(self) -> str:
        cipher = self._tls and self._tls.cipher()
        return cipher[0] if cipher else ""

    @property
    def chain(self) -> tuple[bytes, ...]:
        """The certificates that the peer sent, DER, leaf first, whether they verify or not."""
        return _peer_chain(self._tls) if self._tls is not None else ()

    async def read(self) -> bytes:
        """Some octets, or ``b""`` at the end; raises OSError, also for a connection that was cut inside of TLS."""
        if self._tls is None:
            return await self._reader.read(_CHUNK)
        tls = self._tls
        try:
            return await self._drive(lambda: tls.read(_CHUNK))
        except ssl.SSLZeroReturnError:
            return b""
        except ssl.SSLEOFError:
            raise ConnectionAbortedError("it was cut without the close_notify of TLS") from None

    async def write(self, data: bytes) -> None:
        """Send all of `data`; raises OSError."""
        if not data:
            return
        if self._tls is None:
            self._writer.write(data)
            await self._writer.drain()
            return
        tls, view = self._tls, memoryview(data)
        while view:
            view = view[await self._drive(functools.partial(tls.write, view)) :]

    async def close(self) -> None:
        """Let go of the connection, in whatever state it is."""
        if self._tls is not None:
            # A parting close_notify where it can be had for nothing (RFC 8446 §6.1).
            with suppress(ssl.SSLError):
                self._tls.unwrap()
            # Here goes as well the alert that says why a handshake failed: it is the peer's due.
            with suppress(OSError):
                self._writer.write(self._outgoing.read())
        self._writer.close()
        try:
            with suppress(OSError):  # which TimeoutError is, too
                async with asyncio.timeout(1):
                    await self._writer.wait_closed()
        finally:
            # Also where somebody cancels: octets that nobody takes would keep the socket open.
            self._writer.transport.abort()

    async def _drive(self, step: Callable[[], Result], bound: int | None = None) -> Result:
        """Repeat a step of the SSL object until it needs no more octets."""
        came = 0
        while True:
            try:
                result = step()
            except ssl.SSLWantReadError:
                await self._flush()
                data = await self._reader.read(_CHUNK)
                came += len(data)
                if bound is not None and came > bound:
                    raise TlsTooLong(f"more than {bound} octets and no TLS session yet") from None
                if data:
                    self._incoming.write(data)
                else:
                    self._incoming.write_eof()
            else:
                await self._flush()
                return result

    async def _flush(self) -> None:
        if self._outgoing.pending:
            self._writer.write(self._outgoing.read())
            await self._writer.drain()


def _peer_chain(tls: ssl.SSLObject) -> tuple[bytes, ...]:
    public = getattr(tls, "get_unverified_chain", None)
    if public is not None:  # Python 3.13
        return tuple(bytes(certificate) for certificate in public())
    # 3.11 and 3.12 have the same below the surface, as objects; 2 is `_ssl.ENCODING_DER`.
    internals = cast("_SslInternals", tls._sslobj)  # type: ignore[attr-defined]  # noqa: SLF001 - see above
    return tuple(certificate.public_bytes(2) for certificate in internals.get_unverified_chain() or ())


# --- words ------------------------------------------------------------------------------------------

_REASONS: Final = {
    "UNSUPPORTED_PROTOCOL": "the server speaks no TLS 1.2 or newer",
    "TLSV1_ALERT_PROTOCOL_VERSION": "the server refused the offered TLS versions",
    "SSLV3_ALERT_HANDSHAKE_FAILURE": "the server found nothing in common with what was offered (alert handshake_failure)",
    "TLSV1_UNRECOGNIZED_NAME": "the server does not know the name in SNI (alert unrecognized_name)",
    "TLSV1_ALERT_INTERNAL_ERROR": "the server had an internal error (alert internal_error)",
    "WRONG_VERSION_NUMBER": "what came is not TLS",
    "UNEXPECTED_EOF_WHILE_READING": "the server closed the connection during the TLS handshake",
    "RECORD_LAYER_FAILURE": "what came is not TLS",
}

_NO_VERSION: Final = ("UNSUPPORTED_PROTOCOL", "TLSV1_ALERT_PROTOCOL_VERSION")

# The codes of OpenSSL's x509_vfy.h that are met every day.
_VERDICTS: Final = {
    9: "it is not valid yet",
    10: "it has expired",
    18: "it is self-signed, and not trusted",
    19: "its chain ends in a root that is not trusted",
    20: "its issuer is neither sent nor known",
    62: "it does not have this name",
}


def lacks_version(error: ssl.SSLError) -> bool:
    """Whether the handshake failed because the peer speaks none of the TLS versions that were offered."""
    return error.reason in _NO_VERSION


def explain(error: OSError) -> str:
    """What a failed handshake or connection means, in a line that is safe to show."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _VERDICTS.get(error.verify_code) or printable(str(error.verify_message), 300)
    # Python 3.11.2, which Debian 12 has, says the one where later ones say the other.
    if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return "the server closed the connection during the TLS handshake"
    if isinstance(error, ssl.SSLError):
        reason = str(error.reason or error)
        return _REASONS.get(reason) or printable(reason.lower().replace("_", " "), 300)
    if error.errno is not None:
        return os.strerror(error.errno)
    return printable(str(error) or type(error).__name__, 300)
