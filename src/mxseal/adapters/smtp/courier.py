"""Sessions that hand mail over: up to the verdict like the prober, and then, if it is good, on to the dot."""

import asyncio
import ssl
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import msgspec

from mxseal.adapters.smtp.own_name import own_name
from mxseal.adapters.tls import Connection, explain, lacks_version, probing_context
from mxseal.decisions.mailing import Admission, Denied, Errand, TlsUse, Visit
from mxseal.standards.smtp import (
    MAX_RECIPIENTS,
    Answered,
    Declined,
    Envelope,
    NotAsked,
    Offers,
    Taken,
    Transaction,
    Unfit,
    Verb,
    read_offers,
)
from mxseal.standards.starttls import (
    BrokenReply,
    Dialogue,
    Event,
    Extended,
    Greeted,
    Lost,
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
    Stage,
    StarttlsNotOffered,
    StarttlsRefused,
    Unreachable,
)
from mxseal.vocabulary.rejection import printable

_PARTING: Final = 5.0
"""Seconds that the answer to QUIT is waited for; the mail is delivered by then."""
_TOO_MANY: Final = (452, 552)

Admit = Callable[[Handshake], Admission]


class Patience(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds; the defaults are what RFC 5321 §4.5.3.2 asks for, and Postfix' for connecting."""

    connect: float = 30.0
    handshake: float = 60.0
    reply: float = 300.0
    """For the greeting and each whole reply."""
    block: float = 180.0
    """For the network to take a piece of the message."""
    end: float = 600.0
    """For the answer to the end of data: who gives up early makes duplicates (RFC 1047)."""


class SmtpCourier:
    """Satisfies `journeys.ports.Courier`.

    Args:
        port: where MX hosts listen.
        ehlo_name: what EHLO says; see `SmtpProber`.
        patience: how long to wait for what.
    """

    def __init__(
        self,
        *,
        port: int = 25,
        ehlo_name: HostName | Address | None = None,
        patience: Patience | None = None,
    ) -> None:
        self._port = port
        self._ehlo_name = ehlo_name or own_name()
        self._patience = patience or Patience()

    async def visit(self, errand: Errand, admit: Admit) -> Visit:
        """One session; trouble of the other side is in what comes back.

        `admit` is asked when TLS stands.  Only what it admits hears another word of us.
        """
        session = _Session(errand, admit, self._patience)
        try:
            await session.run(self._port, self._ehlo_name)
        finally:
            await session.close()
        return session.visit()


class _Session:
    """What is known while a session runs."""

    def __init__(self, errand: Errand, admit: Admit, patience: Patience) -> None:
        self._errand = errand
        self._admit = admit
        self._patience = patience
        self._deadline = asyncio.get_running_loop().time() + errand.seconds
        self._connection: Connection | None = None
        self._stage = Stage.CONNECT
        self._session: SessionOutcome | None = None
        self._admission: Admission | None = None
        self._answers: dict[int, Answered] = {}
        self._unfit: Unfit | None = None
        self._trouble = ""
        self._helo = ""
        self._sending_ip: Address | None = None

    def visit(self) -> Visit:
        count = len(self._errand.mail.recipients)
        return Visit(
            host=self._errand.host,
            address=self._errand.address,
            session=self._session,
            admission=self._admission,
            answers=tuple(self._answers[number] for number in range(count)) if self._answers else (),
            unfit=self._unfit,
            trouble=self._trouble,
            helo=self._helo,
            sending_ip=self._sending_ip,
        )

    async def close(self) -> None:
        if self._connection is not None:
            await self._connection.close()

    async def run(self, port: int, ehlo_name: HostName | Address | None) -> None:
        try:
            async with self._at_most(self._patience.connect):
                self._connection = connection = await Connection.open(self._errand.address, port)
        except OSError as error:  # which TimeoutError is, too
            refused = isinstance(error, ConnectionRefusedError | ConnectionResetError)
            self._session = Unreachable(Stage.CONNECT, self._what_broke(error), refused)
            return
        self._sending_ip = Address(connection.local_address)
        dialogue = Dialogue(ehlo_name or self._sending_ip)
        try:
            ready = await self._make_ready(connection, dialogue)
        except OSError as error:
            self._broken_off(self._what_broke(error))
            return
        if ready:
            await self._hand_over(connection, dialogue)

    def _at_most(self, seconds: float, *, beyond_deadline: bool = False) -> asyncio.Timeout:
        """A limit for one step, which is also the session's."""
        now = asyncio.get_running_loop().time()
        return asyncio.timeout(seconds if beyond_deadline else max(0.0, min(seconds, self._deadline - now)))

    def _what_broke(self, error: OSError) -> str:
        if isinstance(error, TimeoutError) and error.errno is None:
            return "no connection in time" if self._connection is None else "no answer in time"
        return explain(error)

    # --- up to the session that may carry mail ---

    def _broken_off(self, detail: str) -> None:
        """The session ended at the present stage, before the mail was offered."""
        if isinstance(self._session, Handshake):
            self._trouble = f"inside of TLS, {detail}"
        elif self._stage is Stage.HANDSHAKE:
            self._session = HandshakeFailed(detail)
        else:
            self._session = Unreachable(self._stage, detail)

    async def _make_ready(self, connection: Connection, dialogue: Dialogue) -> bool:
        """Whether mail may be offered now."""
        while True:
            ready = await self._take(await self._next_event(connection, dialogue), connection, dialogue)
            if ready is not None:
                return ready

    async def _next_event(self, connection: Connection, dialogue: Dialogue) -> Event:
        async with self._at_most(self._patience.reply):
            while (event := dialogue.next_event()) is None:
                self._stage = dialogue.stage
                await connection.write(dialogue.data_to_send())
                dialogue.receive(await connection.read())
        return event

    async def _take(  # noqa: C901 - one case for each event
        self, event: Event, connection: Connection, dialogue: Dialogue
    ) -> bool | None:
        """What an event means: go on with mail, or not; None: the dialogue goes on."""
        tls = self._errand.tls
        match event:
            case Greeted(host=host):
                self._helo = host
                return None
            case Extended(inside_tls=True):
                if isinstance(self._session, Handshake):
                    self._session = msgspec.structs.replace(self._session, ehlo_again=True)
                return True
            case Extended() if tls is TlsUse.NONE:
                return True
            case Extended(extensions=extensions) if "STARTTLS" in extensions:
                dialogue.start_tls()
                return None
            case Extended():
                self._session = StarttlsNotOffered()
            case UpgradeNow():
                return None if await self._shake_hands(connection, dialogue) else False
            case Refused(stage=Stage.STARTTLS, reply=reply):
                self._session = StarttlsRefused(reply.code, printable(reply.text))
            case _:
                self._turned_away(event)
                if isinstance(event, Refused):
                    await self._part(connection, dialogue)
                return False
        # Left are: not offered, and refused.
        if tls is TlsUse.IF_OFFERED:
            return True
        await self._part(connection, dialogue)
        return False

    def _turned_away(self, event: Event) -> None:
        """There is no session, or none any more."""
        match event:
            case Refused(reply=reply):
                self._broken_off(f"it says {reply}")
                if isinstance(self._session, Handshake):
                    self._session = msgspec.structs.replace(self._session, ehlo_again=True)
            case Lost(detail=detail):
                self._broken_off(detail)
            case Violated(stage=stage, detail=detail):
                if isinstance(self._session, Handshake):
                    self._trouble = f"inside of TLS, it breaks SMTP: {detail}"
                else:
                    self._session = ProtocolViolation(stage, detail)
            case _:  # Parted comes after QUIT, and the others are dealt with
                raise AssertionError(f"an event that cannot come here: {event}")

    async def _shake_hands(self, connection: Connection, dialogue: Dialogue) -> bool:
        """Whether TLS stands with somebody who may be given the mail."""
        self._stage = Stage.HANDSHAKE
        try:
            async with self._at_most(self._patience.handshake):
                await connection.start_tls(probing_context(KeyKind.ANY), self._errand.sni)
        except ssl.SSLError as error:
            trouble = HandshakeTrouble.VERSION if lacks_version(error) else HandshakeTrouble.OTHER
            self._session = HandshakeFailed(explain(error), trouble)
            return False
        self._session = handshake = Handshake(
            connection.version, connection.cipher, connection.chain, ehlo_again=False
        )
        self._admission = self._admit(handshake)
        if isinstance(self._admission, Denied):
            # RFC 8461 §4.2, RFC 7672 §2.2: not even EHLO for who is somebody else.
            return False
        dialogue.tls_established()
        return True

    async def _part(self, connection: Connection, dialogue: Dialogue) -> None:
        """Say QUIT, and wait a moment for the answer, so that the server's log shows a clean end."""
        dialogue.quit()
        with suppress(OSError):
            async with asyncio.timeout(_PARTING):
                await connection.write(dialogue.data_to_send())
                while dialogue.next_event() is None:
                    dialogue.receive(await connection.read())

    # --- the mail ---

    async def _hand_over(self, connection: Connection, dialogue: Dialogue) -> None:
        mail = self._errand.mail
        # The first of two extensions of one name counts, as in `Extensions.get`.
        offers = read_offers(
            {each.keyword: each.parameters for each in reversed(dialogue.extensions.offered)}
        )
        self._unfit = Envelope(mail.sender, mail.recipients, mail.message).unfit(offers)
        usable = True
        if self._unfit is None:
            usable = await self._transact(connection, dialogue, offers)
        if usable:
            await self._part(connection, dialogue)

    async def _transact(self, connection: Connection, dialogue: Dialogue, offers: Offers) -> bool:
        """Give the mail for all recipients, in as many transactions as it takes; whether the session still stands."""
        mail = self._errand.mail
        waiting = deque(range(len(mail.recipients)))
        after_another = False
        while waiting:
            batch = [waiting.popleft() for _ in range(min(MAX_RECIPIENTS, len(waiting)))]
            envelope = Envelope(mail.sender, tuple(mail.recipients[each] for each in batch), mail.message)
            transaction = Transaction(envelope, offers, after_another=after_another)
            await self._drive(transaction, connection, dialogue)
            answers = dict(zip(batch, transaction.answers, strict=True))
            self._answers |= answers
            if transaction.must_close:
                self._answers |= {each: NotAsked("the session ended before its turn") for each in waiting}
                return False
            progress = any(isinstance(each, Taken) for each in answers.values())
            if progress:
                # RFC 5321 §4.5.3.1.10: who has too many recipients takes the others in another transaction.
                waiting.extend(number for number, answer in answers.items() if _too_many(answer))
            after_another = not progress
        return True

    async def _drive(self, transaction: Transaction, connection: Connection, dialogue: Dialogue) -> None:
        try:
            while not transaction.is_over:
                early = dialogue.reader.next_reply() if transaction.awaits is None else None
                if early is not None:
                    _give(transaction, early)
                elif data := transaction.data_to_send():
                    async with self._at_most(self._patience.block, beyond_deadline=transaction.end_sent):
                        await connection.write(data)
                else:
                    await self._next_reply(transaction, connection, dialogue)
        except TimeoutError:
            transaction.lost(f"no answer to {transaction.awaits or 'the message'} in time")
        except OSError as error:
            transaction.lost(f"the connection broke: {explain(error)}")

    async def _next_reply(self, transaction: Transaction, connection: Connection, dialogue: Dialogue) -> None:
        is_end = transaction.awaits is Verb.END
        seconds = self._patience.end if is_end else self._patience.reply
        async with self._at_most(seconds, beyond_deadline=is_end):
            while (reply := dialogue.reader.next_reply()) is None:
                data = await connection.read()
                if not data:
                    transaction.lost("it closed the connection")
                    return
                dialogue.reader.receive(data)
        _give(transaction, reply)


def _give(transaction: Transaction, reply: Reply | BrokenReply) -> None:
    if isinstance(reply, BrokenReply):
        transaction.lost(f"it breaks SMTP: {reply.detail}")
    else:
        transaction.take(reply)


def _too_many(answer: Answered) -> bool:
    return isinstance(answer, Declined) and answer.verb is Verb.RCPT and answer.said.code in _TOO_MANY
