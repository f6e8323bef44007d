"""The dialogue as a pump: octets in, events and octets out."""

from collections import deque
from enum import StrEnum
from typing import Final

import msgspec

from mxseal.standards.starttls.extensions import Extensions, parse_extensions
from mxseal.standards.starttls.replies import MAX_REPLY, BrokenReply, Reply, ReplyReader
from mxseal.vocabulary.names import Address, HostName
from mxseal.vocabulary.observations import Stage


class State(StrEnum):
    """What the dialogue waits for."""

    GREETING = "greeting"
    """The server's first word."""
    EHLO = "ehlo"
    """The answer to EHLO."""
    CLEAR = "clear"
    """Us: a session in the clear stands; STARTTLS or QUIT come next."""
    STARTTLS = "starttls"
    """The answer to STARTTLS."""
    UPGRADING = "upgrading"
    """The TLS handshake, which the driver makes."""
    EHLO_AGAIN = "ehlo-again"
    """The answer to the EHLO inside of TLS."""
    SEALED = "sealed"
    """Us: a session inside of TLS stands."""
    REJECTED = "rejected"
    """Us: the server wants no session; only QUIT is left (RFC 5321 §3.1)."""
    QUITTING = "quitting"
    """The answer to QUIT."""
    CLOSED = "closed"
    """Nothing."""


class Step(StrEnum):
    """What moves the dialogue from one state to the next: theirs first, then ours."""

    ACCEPTED = "accepted"
    """The reply that was hoped for."""
    REFUSED = "refused"
    """Any other reply."""
    LOST = "lost"
    """The peer has closed."""
    VIOLATED = "violated"
    """What came is not SMTP, or must not come here."""
    START_TLS = "start-tls"
    TLS_ESTABLISHED = "tls-established"
    QUIT = "quit"


_ENDS: Final = {Step.LOST: State.CLOSED, Step.VIOLATED: State.CLOSED}

TRANSITIONS: Final[dict[State, dict[Step, State]]] = {
    State.GREETING: {Step.ACCEPTED: State.EHLO, Step.REFUSED: State.REJECTED, **_ENDS},
    State.EHLO: {Step.ACCEPTED: State.CLEAR, Step.REFUSED: State.REJECTED, **_ENDS},
    State.CLEAR: {Step.START_TLS: State.STARTTLS, Step.QUIT: State.QUITTING, **_ENDS},
    # RFC 3207 §4: after 454 or 501 the session goes on in the clear, if the client is content with that.
    State.STARTTLS: {Step.ACCEPTED: State.UPGRADING, Step.REFUSED: State.CLEAR, **_ENDS},
    State.UPGRADING: {Step.TLS_ESTABLISHED: State.EHLO_AGAIN, **_ENDS},
    State.EHLO_AGAIN: {Step.ACCEPTED: State.SEALED, Step.REFUSED: State.REJECTED, **_ENDS},
    State.SEALED: {Step.QUIT: State.QUITTING, **_ENDS},
    State.REJECTED: {Step.QUIT: State.QUITTING, **_ENDS},
    State.QUITTING: {Step.ACCEPTED: State.CLOSED, Step.REFUSED: State.CLOSED, **_ENDS},
    State.CLOSED: {},
}
"""The whole protocol: what is not in this table cannot happen."""

_STAGES: Final = {
    State.GREETING: Stage.GREETING,
    State.EHLO: Stage.EHLO,
    State.CLEAR: Stage.STARTTLS,
    State.STARTTLS: Stage.STARTTLS,
    State.UPGRADING: Stage.HANDSHAKE,
    State.EHLO_AGAIN: Stage.EHLO_AGAIN,
    State.SEALED: Stage.EHLO_AGAIN,
}

_AWAITS_REPLY: Final = frozenset(
    {State.GREETING, State.EHLO, State.STARTTLS, State.EHLO_AGAIN, State.QUITTING}
)


class Greeted(msgspec.Struct, frozen=True):
    """The server greeted with 2yz; `host` is the name it gives itself."""

    host: str
    reply: Reply


class Extended(msgspec.Struct, frozen=True):
    """EHLO was answered; only what came `inside_tls` may be relied on."""

    extensions: Extensions
    inside_tls: bool


class UpgradeNow(msgspec.Struct, frozen=True):
    """220 to STARTTLS, and not one octet behind it: the next octet we send is the ClientHello."""


class Refused(msgspec.Struct, frozen=True):
    """A well-formed reply that is not the one hoped for."""

    stage: Stage
    reply: Reply


class Violated(msgspec.Struct, frozen=True):
    """The peer broke SMTP; the session is over."""

    stage: Stage
    detail: str


class Lost(msgspec.Struct, frozen=True):
    """The peer closed the connection; the session is over."""

    stage: Stage
    detail: str


class Parted(msgspec.Struct, frozen=True):
    """QUIT was answered, or the peer closed upon it; the session is over."""


Event = Greeted | Extended | UpgradeNow | Refused | Violated | Lost | Parted


class OutOfTurn(RuntimeError):
    """The driver called for a step that the state does not have: a bug of ours."""


class Dialogue:
    """One SMTP session of a client, from the greeting to QUIT; see the package for the order of calls.

    `client_name` is what EHLO says: a host name, or an address, which becomes an
    address literal (RFC 5321 §4.1.3).
    """

    def __init__(self, client_name: HostName | Address) -> None:
        self._ehlo = b"EHLO " + _ehlo_argument(client_name).encode("ascii") + b"\r\n"
        self._state = State.GREETING
        self._reader = ReplyReader()
        self._events: deque[Event] = deque()
        self._outgoing = bytearray()
        self._extensions = Extensions()

    @property
    def state(self) -> State:
        return self._state

    @property
    def stage(self) -> Stage:
        """The same in the words of the observations; what comes after TLS counts as the EHLO there."""
        return _STAGES.get(self._state, Stage.EHLO_AGAIN)

    @property
    def extensions(self) -> Extensions:
        """What the last EHLO reply offered; empty from the handshake until EHLO is answered again."""
        return self._extensions

    @property
    def reader(self) -> ReplyReader:
        """For who goes on with MAIL in `SEALED` (or `CLEAR`): replies come from here from then on."""
        return self._reader

    # --- octets ------------------------------------------------------------------------------

    def receive(self, data: bytes) -> None:
        """Take octets from the peer; ``b""`` says that it has closed."""
        if self._state is State.CLOSED:
            return
        if not data:
            self._lost()
            return
        if self._state is State.UPGRADING:
            self._behind_the_220(data)
            return
        self._reader.receive(data)
        self._pump()
        self._limit_unasked()

    def _limit_unasked(self) -> None:
        """Nothing waits for these octets, so they must not pile up."""
        unasked = self._state not in _AWAITS_REPLY and self._state is not State.CLOSED
        if unasked and self._reader.waiting > MAX_REPLY:
            self._violated(f"more than {MAX_REPLY} octets that nobody asked for")

    def data_to_send(self) -> bytes:
        """What is queued for the peer; the caller sends it and it is gone from here."""
        data = bytes(self._outgoing)
        self._outgoing.clear()
        return data

    def next_event(self) -> Event | None:
        """The next event, or None: more octets or a call of the driver are needed."""
        return self._events.popleft() if self._events else None

    # --- the driver's steps --------------------------------------------------------------------

    def start_tls(self) -> None:
        """Send STARTTLS (RFC 3207 §4).  The driver has seen that it is offered.  Raises `OutOfTurn`."""
        self._move(Step.START_TLS)
        self._outgoing += b"STARTTLS\r\n"
        self._pump()

    def tls_established(self) -> None:
        """The handshake is done: forget everything, and say EHLO again (RFC 3207 §4.2).  Raises `OutOfTurn`."""
        self._move(Step.TLS_ESTABLISHED)
        self._reader = ReplyReader()
        self._extensions = Extensions()
        self._outgoing += self._ehlo

    def quit(self) -> None:
        """Send QUIT (RFC 5321 §4.1.1.10).  Raises `OutOfTurn`."""
        self._move(Step.QUIT)
        self._outgoing += b"QUIT\r\n"
        self._pump()

    # --- inside ----------------------------------------------------------------------------------

    def _move(self, step: Step) -> None:
        try:
            self._state = TRANSITIONS[self._state][step]
        except KeyError:
            raise OutOfTurn(f"{step} while the dialogue waits in {self._state}") from None

    def _pump(self) -> None:
        """Take replies as long as one is awaited."""
        while self._state in _AWAITS_REPLY:
            reply = self._reader.next_reply()
            if reply is None:
                return
            if isinstance(reply, BrokenReply):
                self._violated(reply.detail)
            else:
                self._replied(reply)

    def _replied(self, reply: Reply) -> None:
        # STARTTLS is answered with 220 and nothing else (RFC 3207 §4); elsewhere the first
        # digit decides (RFC 5321 §4.2.1).
        awaited = self._state
        accepted = reply.code == 220 if awaited is State.STARTTLS else reply.is_positive
        if not accepted and awaited is not State.QUITTING:
            self._events.append(Refused(self.stage, reply))
            self._move(Step.REFUSED)
            return
        if awaited is State.STARTTLS and self._reader.waiting:
            self._behind_the_220(b"")
            return
        self._move(Step.ACCEPTED)
        match awaited:
            case State.GREETING:
                self._events.append(Greeted(parse_extensions(reply).domain, reply))
                self._outgoing += self._ehlo
            case State.EHLO | State.EHLO_AGAIN:
                self._extensions = parse_extensions(reply)
                self._events.append(Extended(self._extensions, awaited is State.EHLO_AGAIN))
            case State.STARTTLS:
                self._events.append(UpgradeNow())
            case _:
                self._events.append(Parted())

    def _behind_the_220(self, data: bytes) -> None:
        # RFC 3207 §4.2 and CVE-2011-0411: plain octets behind the 220 were put there by
        # somebody who wants them to be taken for octets from inside of TLS.  An honest server
        # is silent until it has the ClientHello.
        count = self._reader.waiting + len(data)
        self._violated(f"{count} octets behind the 220 to STARTTLS, before TLS", Stage.STARTTLS)

    def _violated(self, detail: str, stage: Stage | None = None) -> None:
        self._events.append(Violated(stage or self.stage, detail))
        self._move(Step.VIOLATED)
        self._outgoing.clear()

    def _lost(self) -> None:
        if self._state is State.QUITTING:
            # Many servers close upon QUIT without a word.
            self._events.append(Parted())
        else:
            within = "in the middle of a reply" if self._reader.waiting else "without a word"
            self._events.append(Lost(self.stage, f"the server closed the connection {within}"))
        self._move(Step.LOST)
        self._outgoing.clear()


def _ehlo_argument(name: HostName | Address) -> str:
    # RFC 5321 §4.1.1.1: EHLO takes a Domain or an address-literal (§4.1.3).
    if isinstance(name, Address):
        return f"[IPv6:{name}]" if name.version == 6 else f"[{name}]"
    return str(name)
