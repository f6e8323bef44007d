"""MX hosts: SMTP servers with STARTTLS on loopback that take mail and keep it in memory.

Each host has a behaviour of its own, and the attacker (`mxseal.lab.attacks`) may
sit in front of it.  Only as much of RFC 5321 as a sending server needs.
"""

import asyncio
import ssl
from enum import StrEnum
from typing import cast

import msgspec

from mxseal.lab.attacks import Attack
from mxseal.lab.tls_pump import TlsFailed, TlsPump

_MAX_LINE = 4096
_MAX_MESSAGE = 4 * 1024 * 1024


class Behaviour(StrEnum):
    """How an MX host treats STARTTLS."""

    STARTTLS = "starttls"
    NO_STARTTLS = "no-starttls"
    """A server that knows no TLS."""
    REFUSES = "refuses"
    """Offers STARTTLS and answers 454: the usual sign of a certificate that could not be loaded."""
    CLOSES = "closes"
    """Closes the connection after its 220 to STARTTLS."""
    MUTE = "mute"
    """Hangs up as soon as TLS stands."""
    OLD_TLS = "old-tls"
    """Nothing newer than TLS 1.1."""
    DOWN = "down"
    """Nothing listens there."""


class ReceivedMail(msgspec.Struct, frozen=True):
    """A mail that arrived somewhere in the laboratory."""

    host: str
    sender: str
    recipients: tuple[str, ...]
    content: bytes
    tls: str
    """The TLS version of the session, empty if it came in clear."""
    attacker_read: bool
    """Whether the attacker sat in the session, or at its end, and could read it."""


class MxHost:
    """One address of one MX host."""

    def __init__(
        self,
        name: str,
        context: ssl.SSLContext | None,
        attacker_context: ssl.SSLContext,
        mailbox: list[ReceivedMail],
        *,
        behaviour: Behaviour = Behaviour.STARTTLS,
        hostile: bool = False,
    ) -> None:
        self.name = name
        self.context = context
        self.attacker_context = attacker_context
        self.mailbox = mailbox
        self.behaviour = behaviour
        self.hostile = hostile
        """Whether the attacker owns this host."""
        self.attack: Attack | None = None
        self.sessions: set[SmtpSession] = set()

    def session(self) -> "SmtpSession":
        return SmtpSession(self)

    @property
    def offers_starttls(self) -> bool:
        return self.behaviour is not Behaviour.NO_STARTTLS and self.attack is not Attack.STRIP_STARTTLS


class SmtpSession(asyncio.Protocol):
    """One connection to an MX host."""

    def __init__(self, host: MxHost) -> None:
        self._host = host
        # The attack of the moment of connecting holds for the whole session.
        self._attack = host.attack
        self._transport: asyncio.Transport | None = None
        self._tls: TlsPump | None = None
        self._lines = bytearray()
        self._in_data = False
        self._sender = ""
        self._recipients: list[str] = []

    # --- octets ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._host.sessions.add(self)
        if self._attack is not Attack.TARPIT:
            self._reply(f"220 {self._host.name} ESMTP")

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._host.sessions.discard(self)

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        if self._attack is Attack.TARPIT:
            return
        if self._tls is not None:
            try:
                data = self._tls.receive(data)
            except TlsFailed:
                self._close()
                return
            if self._tls.is_open and self._host.behaviour is Behaviour.MUTE:
                self._close()
                return
        self._lines += data
        while self._transport is not None and not self._transport.is_closing():
            if self._in_data:
                if not self._take_message():
                    break
            elif not self._take_command():
                break

    def _write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def _reply(self, *lines: str, behind: bytes = b"") -> None:
        """One reply, of several lines where it has to be (RFC 5321 §4.2.1)."""
        rows = [line[:3] + "-" + line[4:] for line in lines[:-1]] + [lines[-1]]
        octets = "".join(f"{row}\r\n" for row in rows).encode("ascii", "replace") + behind
        if self._tls is not None and self._tls.is_open:
            self._tls.send(octets)
        else:
            self._write(octets)

    def _close(self) -> None:
        if self._tls is not None:
            self._tls.close()
        if self._transport is not None:
            self._transport.close()

    # --- commands ---

    def _take_command(self) -> bool:
        end = self._lines.find(b"\n")
        if end < 0:
            if len(self._lines) > _MAX_LINE:
                self._reply("500 5.5.2 Line too long")
                self._close()
            return False
        line = bytes(self._lines[:end]).rstrip(b"\r").decode("ascii", "replace")
        del self._lines[: end + 1]
        self._obey(*line.partition(" ")[::2])
        return True

    def _obey(self, verb: str, argument: str) -> None:
        match verb.upper():
            case "EHLO":
                self._reply(*self._ehlo(argument))
            case "HELO":
                self._reply(f"250 {self._host.name}")
            case "STARTTLS":
                self._starttls()
            case "MAIL":
                self._sender, self._recipients = _path(argument), []
                self._reply("250 2.1.0 Ok")
            case "RCPT":
                self._recipients.append(_path(argument))
                self._reply("250 2.1.5 Ok")
            case "DATA" if self._recipients:
                self._in_data = True
                self._reply("354 End data with <CR><LF>.<CR><LF>")
            case "DATA":
                self._reply("503 5.5.1 No recipients")
            case "RSET" | "NOOP":
                self._reply("250 2.0.0 Ok")
            case "QUIT":
                self._reply("221 2.0.0 Bye")
                self._close()
            case _:
                self._reply("502 5.5.2 Command not recognized")

    def _ehlo(self, client: str) -> list[str]:
        lines = [f"250 {self._host.name} greets {client[:64]}", "250 PIPELINING", "250 8BITMIME"]
        if self._tls is None and self._host.offers_starttls:
            lines.append("250 STARTTLS")
        return [*lines, "250 SIZE 4194304"]

    def _starttls(self) -> None:
        host = self._host
        if self._tls is not None or not host.offers_starttls:
            self._reply("502 5.5.1 STARTTLS not offered")
        elif host.behaviour is Behaviour.REFUSES or self._attack is Attack.REFUSE_STARTTLS:
            self._reply("454 4.7.0 TLS not available due to local problem")
        elif self._attack is Attack.INJECT:
            self._reply("220 2.0.0 Ready to start TLS", behind=b"250 2.0.0 injected in clear\r\n")
        else:
            self._reply("220 2.0.0 Ready to start TLS")
            if host.behaviour is Behaviour.CLOSES:
                self._close()
                return
            # RFC 3207 §4.2: nothing that came in clear survives the handshake.
            self._lines.clear()
            self._sender, self._recipients = "", []
            context = host.attacker_context if self._attack is Attack.OTHER_CERTIFICATE else host.context
            self._tls = TlsPump(context or host.attacker_context, self._write)

    def _take_message(self) -> bool:
        end = self._lines.find(b"\r\n.\r\n")
        empty = self._lines.startswith(b".\r\n")
        if end < 0 and not empty:
            if len(self._lines) > _MAX_MESSAGE:
                self._reply("552 5.3.4 Message too big")
                self._close()
            return False
        content = b"" if empty else bytes(self._lines[: end + 2])
        del self._lines[: 3 if empty else end + 5]
        self._in_data = False
        self._host.mailbox.append(
            ReceivedMail(
                host=self._host.name,
                sender=self._sender,
                recipients=tuple(self._recipients),
                # RFC 5321 §4.5.2: the doubled dots of the sender's side.
                content=content.replace(b"\r\n..", b"\r\n."),
                tls=self._tls.version if self._tls is not None else "",
                attacker_read=self._attack is not None or self._host.hostile,
            )
        )
        self._reply("250 2.0.0 Ok: kept in the laboratory")
        return True


def _path(argument: str) -> str:
    """The address in ``FROM:<a@b>`` or ``TO:<a@b>`` (RFC 5321 §4.1.2)."""
    return argument.partition("<")[2].partition(">")[0][:320]
