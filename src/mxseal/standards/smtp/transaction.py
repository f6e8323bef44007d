"""A mail transaction as a pump: replies in, commands and mail data out (RFC 5321 §3.3)."""

from collections import deque
from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Final

import msgspec

from mxseal.standards.smtp.mailbox import Mailbox
from mxseal.standards.smtp.message import Message
from mxseal.standards.smtp.offers import Offers, Unfit
from mxseal.standards.smtp.status import Said, ServerReply, read_reply

MAX_RECIPIENTS: Final = 100
"""Of one transaction: so many every server takes (RFC 5321 §4.5.3.1.8)."""


class Envelope(msgspec.Struct, frozen=True):
    """From whom, to whom, and what."""

    sender: Mailbox | None
    """None is the null reverse-path, for mail about mail (RFC 5321 §4.5.5)."""
    recipients: tuple[Mailbox, ...]
    message: Message

    @property
    def needs_utf8(self) -> bool:
        """RFC 6531 §3.4: an address or a header that only SMTPUTF8 can carry."""
        addresses = (self.sender, *self.recipients)
        return self.message.utf8_header or not all(each is None or each.is_ascii for each in addresses)

    def unfit(self, offers: Offers) -> Unfit | None:
        """Why a server with these offers cannot be given this mail; None: it can."""
        if offers.size is not None and len(self.message.octets) > offers.size:
            return Unfit.TOO_LARGE
        if self.needs_utf8 and not offers.utf8:
            return Unfit.NEEDS_SMTPUTF8
        if self.message.eight_bit and not offers.eight_bit:
            return Unfit.NEEDS_8BITMIME
        return None


class Verb(StrEnum):
    """What a reply answers."""

    RSET = "RSET"
    MAIL = "MAIL"
    RCPT = "RCPT"
    DATA = "DATA"
    END = "end of data"
    """The line with nothing but a dot."""


class Taken(msgspec.Struct, frozen=True, tag="taken"):
    """2yz to the end of data: the server is responsible for the mail now (RFC 5321 §6.1)."""

    said: Said


class Declined(msgspec.Struct, frozen=True, tag="declined"):
    """4yz or 5yz."""

    verb: Verb
    said: Said


class NotAsked(msgspec.Struct, frozen=True, tag="not-asked"):
    """The session ended before this recipient's mail was handed over; it certainly was not taken."""

    detail: str


class Unsure(msgspec.Struct, frozen=True, tag="unsure"):
    """The end of data was sent, and no answer came: the mail may have been taken, or not (RFC 1047)."""

    detail: str


Answered = Taken | Declined | NotAsked | Unsure

# What a positive answer to each command looks like (RFC 5321 §4.3.2).
_WANTED: Final = {Verb.RSET: 2, Verb.MAIL: 2, Verb.RCPT: 2, Verb.DATA: 3, Verb.END: 2}
_CLOSING: Final = 421


class Transaction:
    """One envelope on its way into one session; see the package for the order of calls.

    `after_another` is whether an earlier transaction of the session may be open
    still, so that RSET goes first (RFC 5321 §4.1.1.5).
    """

    def __init__(self, envelope: Envelope, offers: Offers, *, after_another: bool = False) -> None:
        if not 0 < len(envelope.recipients) <= MAX_RECIPIENTS:
            raise ValueError(f"a transaction has 1 to {MAX_RECIPIENTS} recipients")
        self._envelope = envelope
        self._offers = offers
        self._outgoing: deque[tuple[Verb, bytes]] = deque()
        self._awaited: deque[tuple[Verb, int]] = deque()
        self._answers: dict[int, Answered] = {}
        self._willing: list[int] = []
        self._pieces: Iterator[bytes] | None = None
        self._end_sent = False
        self._must_close = False
        if after_another:
            self._outgoing.append((Verb.RSET, b"RSET\r\n"))
        self._outgoing.append((Verb.MAIL, self._mail_command()))
        self._outgoing.extend(
            (Verb.RCPT, f"RCPT TO:<{recipient}>\r\n".encode()) for recipient in envelope.recipients
        )
        self._next_recipient = 0

    # --- what the driver asks ---

    @property
    def awaits(self) -> Verb | None:
        """What the next reply answers; None: none is due, so there is more to send or all is over."""
        return self._awaited[0][0] if self._awaited else None

    @property
    def is_over(self) -> bool:
        """Whether each recipient has its answer."""
        return len(self._answers) == len(self._envelope.recipients) and not self._awaited

    @property
    def must_close(self) -> bool:
        """Whether the session cannot be used any more: the server said 421, or broke the protocol."""
        return self._must_close

    @property
    def end_sent(self) -> bool:
        """Whether the final dot has been given out: from then on a lost session leaves us `Unsure`."""
        return self._end_sent

    @property
    def answers(self) -> tuple[Answered, ...]:
        """One for each recipient, in order; call it when all is over."""
        return tuple(self._answers[number] for number in range(len(self._envelope.recipients)))

    # --- octets and replies ---

    def data_to_send(self) -> bytes:
        """What goes out now; empty while a reply is awaited, or when all is over.

        With PIPELINING everything up to DATA goes out in one piece (RFC 2920 §3.1), without
        it a command at a time.  Mail data come in pieces; the final dot comes alone.
        """
        if self._awaited or self.is_over:
            return b""
        if self._pieces is not None:
            piece = next(self._pieces, None)
            if piece is not None:
                return piece
            self._pieces = None
            self._end_sent = True
            self._awaited.append((Verb.END, -1))
            return b".\r\n"
        if not self._outgoing:
            # RFC 5321 §3.3: DATA makes sense if at least one recipient was accepted.
            self._outgoing.append((Verb.DATA, b"DATA\r\n"))
        count = len(self._outgoing) if self._offers.pipelining else 1
        return b"".join(self._send_next() for _ in range(count))

    def take(self, reply: ServerReply) -> None:
        """Take the reply to what was sent first and is not answered yet."""
        said = read_reply(reply)
        if not self._awaited:
            self._unasked(said)
            return
        verb, number = self._awaited.popleft()
        if said.code // 100 == _WANTED[verb]:
            self._accepted(verb, number, said)
        elif said.code >= 400:
            self._declined(verb, number, said)
        else:
            self.lost(f"it answers {verb} with {said.code}")

    def lost(self, detail: str) -> None:
        """The session broke off, or cannot be trusted any more; `detail` says how, printable."""
        self._must_close = True
        self._end_all(Unsure(detail) if self._end_sent else NotAsked(detail))

    # --- inside ---

    def _mail_command(self) -> bytes:
        envelope, offers = self._envelope, self._offers
        words = [f"MAIL FROM:<{envelope.sender or ''}>"]
        if offers.declares_size:
            words.append(f"SIZE={len(envelope.message.octets)}")  # RFC 1870 §5
        if offers.eight_bit and envelope.message.eight_bit:
            words.append("BODY=8BITMIME")  # RFC 6152 §3
        if offers.utf8 and envelope.needs_utf8:
            words.append("SMTPUTF8")  # RFC 6531 §3.4
        return " ".join(words).encode() + b"\r\n"

    def _send_next(self) -> bytes:
        verb, command = self._outgoing.popleft()
        number = -1
        if verb is Verb.RCPT:
            number, self._next_recipient = self._next_recipient, self._next_recipient + 1
        self._awaited.append((verb, number))
        return command

    def _accepted(self, verb: Verb, number: int, said: Said) -> None:
        match verb:
            case Verb.RCPT if number not in self._answers:
                self._willing.append(number)
            case Verb.DATA:
                self._pieces = self._envelope.message.pieces()
            case Verb.END:
                self._answer(self._willing, Taken(said))
            case _:
                pass

    def _declined(self, verb: Verb, number: int, said: Said) -> None:
        answer = Declined(verb, said)
        if said.code == _CLOSING:
            # RFC 5321 §3.8: the server closes at once, and answers nothing that is still on its way.
            self._must_close = True
            self._end_all(answer)
        elif verb is Verb.RCPT:
            self._answer([number], answer)
        elif verb in (Verb.DATA, Verb.END):
            self._answer(self._willing, answer)
        else:
            # Without MAIL there is nothing to give recipients to; replies to RCPT that are on
            # their way already are waited for, and change nothing.
            self._outgoing.clear()
            self._answer(range(len(self._envelope.recipients)), answer)

    def _answer(self, numbers: Sequence[int], answer: Answered) -> None:
        for number in numbers:
            self._answers.setdefault(number, answer)

    def _end_all(self, answer: Answered) -> None:
        self._answer(range(len(self._envelope.recipients)), answer)
        self._awaited.clear()
        self._outgoing.clear()
        self._pieces = None

    def _unasked(self, said: Said) -> None:
        if said.code == _CLOSING:
            self._must_close = True
            self._end_all(Declined(Verb.MAIL, said))
        else:
            # An answer before the question would be taken for the answer to it.
            self.lost(f"it says {said.code} before anything was asked")
