"""One polite look at an MX host."""

import asyncio
import ssl
from contextlib import suppress
from typing import Final

import msgspec

from mxseal.adapters.smtp.own_name import own_name
from mxseal.adapters.tls import Connection, explain, lacks_version, probing_context
from mxseal.standards.starttls import (
    Dialogue,
    Event,
    Extended,
    Greeted,
    Lost,
    Parted,
    Refused,
    Reply,
    UpgradeNow,
    Violated,
)
from mxseal.vocabulary.names import Address, HostName
from mxseal.vocabulary.observations import (
    Handshake,
    HandshakeFailed,
    HandshakeTrouble,
    KeyKind,
    ProtocolViolation,
    SessionOutcome,
    SmtpSession,
    Stage,
    StarttlsNotOffered,
    StarttlsRefused,
    Unreachable,
)
from mxseal.vocabulary.rejection import printable

# RFC 5321 §4.2.2, §4.2.3: the codes by which a server says that it knows no EHLO.  What is left
# then is HELO, which has no extensions, so STARTTLS is not offered (RFC 5321 §3.2).
_NO_EHLO: Final = frozenset({500, 502, 504})

_PARTING: Final = 5.0
"""Seconds that the answer to QUIT is waited for; nothing is learnt from it."""


class SmtpProber:
    """Satisfies `journeys.ports.MxHosts`.

    Args:
        port: where MX hosts listen.
        ehlo_name: what EHLO says.  By default this machine's name if that is fully
            qualified, else the address literal of our end of the connection, as
            RFC 5321 §4.1.4 wants; no DNS is asked for it.
        timeout: seconds for a whole session.
        stage_timeout: seconds for connecting, for each reply and for the handshake.
            RFC 5321 §4.5.3.2 lets an MTA wait for minutes; somebody who waits for
            `check` does not.
    """

    def __init__(
        self,
        *,
        port: int = 25,
        ehlo_name: HostName | Address | None = None,
        timeout: float = 60.0,
        stage_timeout: float = 30.0,
    ) -> None:
        self._port = port
        self._ehlo_name = ehlo_name or own_name()
        self._timeout = timeout
        self._stage_timeout = stage_timeout

    async def probe(
        self,
        host: HostName,
        address: Address,
        *,
        sni: HostName | None = None,
        key_kind: KeyKind = KeyKind.ANY,
    ) -> SmtpSession:
        """One session with `host` at `address`; trouble of the other side is in the outcome."""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        session = _Session(self._stage_timeout, sni, key_kind)
        try:
            async with asyncio.timeout(self._timeout):
                outcome = await session.run(address, self._port, self._ehlo_name)
        except TimeoutError:
            outcome = session.timed_out(self._timeout)
        finally:
            await session.close()
        return SmtpSession(
            host=host,
            address=address,
            port=self._port,
            outcome=outcome,
            sni=sni,
            key_kind=key_kind,
            greeting=session.greeting,
            milliseconds=round((loop.time() - begun) * 1000),
        )


class _Session:
    """What is known while a session runs."""

    def __init__(self, stage_timeout: float, sni: HostName | None, key_kind: KeyKind) -> None:
        self.greeting = ""
        self._stage = Stage.CONNECT
        self._stage_timeout = stage_timeout
        self._sni = sni
        self._key_kind = key_kind
        self._connection: Connection | None = None
        self._handshake: Handshake | None = None
        self._outcome: SessionOutcome | None = None
        """Known, while only goodbyes are left to say."""

    async def run(self, address: Address, port: int, ehlo_name: HostName | Address | None) -> SessionOutcome:
        try:
            async with asyncio.timeout(self._stage_timeout):
                self._connection = await Connection.open(address, port)
        except TimeoutError:
            return self.timed_out(self._stage_timeout)
        except OSError as error:
            refused = isinstance(error, ConnectionRefusedError | ConnectionResetError)
            return Unreachable(Stage.CONNECT, explain(error), refused)
        dialogue = Dialogue(ehlo_name or Address(self._connection.local_address))
        try:
            return await self._converse(self._connection, dialogue)
        except TimeoutError:
            return self.timed_out(self._stage_timeout)
        except OSError as error:
            return self._broken_off(explain(error))

    async def close(self) -> None:
        if self._connection is not None:
            await self._connection.close()

    def timed_out(self, seconds: float) -> SessionOutcome:
        what = {
            Stage.CONNECT: "no connection",
            Stage.HANDSHAKE: "no TLS session",
            Stage.GREETING: "no greeting",
        }.get(self._stage, f"no whole answer to {self._stage.value.upper()}")
        return self._broken_off(f"{what} within {seconds:g} seconds")

    def _broken_off(self, detail: str) -> SessionOutcome:
        """The outcome of a session that ended at the present stage without a word."""
        if self._outcome is not None:
            return self._outcome
        if self._stage is Stage.HANDSHAKE:
            return HandshakeFailed(detail)
        return Unreachable(self._stage, detail)

    async def _converse(self, connection: Connection, dialogue: Dialogue) -> SessionOutcome:
        while True:
            event = await self._next_event(connection, dialogue)
            outcome = await self._take(event, connection, dialogue)
            if outcome is not None:
                return outcome

    async def _next_event(self, connection: Connection, dialogue: Dialogue) -> Event:
        async with asyncio.timeout(self._stage_timeout):
            while True:
                event = dialogue.next_event()
                if event is not None:
                    return event
                self._stage = dialogue.stage
                await connection.write(dialogue.data_to_send())
                dialogue.receive(await connection.read())

    async def _take(self, event: Event, connection: Connection, dialogue: Dialogue) -> SessionOutcome | None:
        """What an event means; None if the session goes on."""
        match event:
            case Greeted(host=host):
                self.greeting = host
                return None
            case Extended(inside_tls=False, extensions=extensions) if "STARTTLS" in extensions:
                dialogue.start_tls()
                return None
            case Extended(inside_tls=False):
                return await self._part(connection, dialogue, StarttlsNotOffered())
            case UpgradeNow():
                return await self._shake_hands(connection, dialogue)
            case Extended() if self._handshake is not None:
                answered = msgspec.structs.replace(self._handshake, ehlo_again=True)
                return await self._part(connection, dialogue, answered)
            case Refused(stage=stage, reply=reply):
                return await self._part(connection, dialogue, self._handshake or _refusal(stage, reply))
            case Violated(stage=stage, detail=detail):
                return self._handshake or ProtocolViolation(stage, detail)
            case Lost(detail=detail):
                return self._broken_off(detail)
            case Extended() | Parted():  # before the handshake, before QUIT: the dialogue has no such way
                raise AssertionError(f"an event that cannot come here: {event}")

    async def _shake_hands(self, connection: Connection, dialogue: Dialogue) -> HandshakeFailed | None:
        self._stage = Stage.HANDSHAKE
        try:
            async with asyncio.timeout(self._stage_timeout):
                await connection.start_tls(probing_context(self._key_kind), self._sni)
        except ssl.SSLError as error:
            trouble = HandshakeTrouble.VERSION if lacks_version(error) else HandshakeTrouble.OTHER
            return HandshakeFailed(self._explain(error), trouble)
        # `ehlo_again` becomes true when EHLO is answered; whatever comes, this session was made.
        self._outcome = self._handshake = Handshake(
            connection.version, connection.cipher, connection.chain, ehlo_again=False
        )
        dialogue.tls_established()
        return None

    def _explain(self, error: ssl.SSLError) -> str:
        detail = explain(error)
        if self._key_kind is not KeyKind.ANY:
            return f"{detail}; offered was TLS 1.2 with {self._key_kind.value.upper()} certificates only"
        return detail

    async def _part(
        self, connection: Connection, dialogue: Dialogue, outcome: SessionOutcome
    ) -> SessionOutcome:
        """Say QUIT, and wait a moment for the answer, so that the server's log shows a clean end."""
        self._outcome = outcome
        dialogue.quit()
        with suppress(OSError):  # which TimeoutError is, too
            async with asyncio.timeout(min(_PARTING, self._stage_timeout)):
                await connection.write(dialogue.data_to_send())
                while dialogue.next_event() is None:
                    dialogue.receive(await connection.read())
        return outcome


def _refusal(stage: Stage, reply: Reply) -> SessionOutcome:
    if stage is Stage.STARTTLS:
        return StarttlsRefused(reply.code, printable(reply.text))
    if stage is Stage.EHLO and reply.code in _NO_EHLO:
        return StarttlsNotOffered()
    return Unreachable(stage, str(reply))
