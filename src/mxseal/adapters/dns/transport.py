"""Questions to DNS servers and the replies that match them: UDP, then TCP where a reply is truncated.

What is sent: EDNS with a buffer of 1232 octets (so that no reply needs IP fragments), a random id and a
fresh source port for each question.  What is taken: a reply from the address asked, to the port used, with
the id, the question and the class that were sent; everything else is dropped and waited past (RFC 5452 §9).
With several servers the next one is asked while the first may still answer.
"""

import asyncio
import secrets
import struct
from collections.abc import Sequence
from typing import Final

import dns.edns
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import msgspec

from mxseal.adapters.dns.wire import read
from mxseal.vocabulary.names import Address
from mxseal.vocabulary.rejection import printable

Server = tuple[Address, int]

UDP_PAYLOAD: Final = 1232
"""What the servers may send over UDP (RFC 9715 §3.1)."""
_MAX_DATAGRAM: Final = 4096
MAX_RECORDS: Final = 512
"""In one reply.  Compressed names are short in a reply and long to work with, so octets are no measure."""
_HEADER: Final = 12
_MAX_STRAY_DATAGRAMS: Final = 64
"""So many datagrams that do not match are waited past; then the question counts as failed."""
_SHORTEST_STEP: Final = 0.05

# Everything that dnspython raises on malformed wire data, seen by fuzzing: its own errors, and a few of
# the standard library's from inside of record types.
MALFORMED: Final = (dns.exception.DNSException, ValueError, struct.error, IndexError, KeyError, TypeError)


class NoReply(msgspec.Struct, frozen=True):
    """No usable reply came; `reason` says what was tried, one server after another."""

    reason: str
    extended_errors: tuple[str, ...] = ()


class Reply(msgspec.Struct, frozen=True):
    """A well-formed reply that matches its question; its content is not judged here."""

    message: dns.message.Message
    server: Server
    over_tcp: bool

    @property
    def rcode(self) -> int:
        return int(self.message.rcode())

    @property
    def authentic_data(self) -> bool:
        return bool(self.message.flags & dns.flags.AD)

    @property
    def authoritative(self) -> bool:
        return bool(self.message.flags & dns.flags.AA)

    @property
    def extended_errors(self) -> tuple[str, ...]:
        """RFC 8914, as text that is safe to show."""
        found = (option for option in self.message.options if isinstance(option, dns.edns.EDEOption))
        return tuple(printable(option.to_text().removeprefix("EDE "), 200) for option in found)[:8]


class Flags(msgspec.Struct, frozen=True):
    """Which bits a question carries."""

    recursion: bool = True
    dnssec_ok: bool = True
    checking_disabled: bool = True
    authentic_data: bool = False


VALIDATING: Final = Flags()
"""DO and CD: records with their signatures, and no verdict of somebody else (RFC 4035 §3.2.2)."""


class Transport:
    """Asks a list of servers, in order of preference; `timeout` (seconds) bounds one question in all."""

    def __init__(
        self,
        servers: Sequence[Server],
        *,
        timeout: float = 5.0,
        max_in_flight: int = 200,
        randomize_case: bool = False,
    ) -> None:
        self.servers: tuple[Server, ...] = tuple(servers)
        self._timeout = timeout
        self._max_in_flight = max_in_flight
        self._randomize_case = randomize_case
        self._preferred = 0
        self._gate: tuple[asyncio.AbstractEventLoop, asyncio.Semaphore] | None = None
        self.questions = 0
        """How many questions were put to servers, for statistics."""

    async def ask(
        self,
        name: dns.name.Name,
        rdtype: dns.rdatatype.RdataType,
        flags: Flags = VALIDATING,
        *,
        avoid: frozenset[Server] = frozenset(),
    ) -> Reply | NoReply:
        """The first usable reply; SERVFAIL and REFUSED count only if no server does better.

        Servers of `avoid` are not asked: their replies turned out to be of no use.
        """
        if all(server in avoid for server in self.servers):
            return NoReply("no other DNS server is known" if avoid else "no DNS server is known")
        async with self._semaphore():
            self.questions += 1
            return await self._race(name, rdtype, flags, avoid)

    def demote(self, servers: frozenset[Server]) -> None:
        """Ask others than these first from now on, if there are others."""
        if self.servers[self._preferred] in servers:
            others = (place for place, server in enumerate(self.servers) if server not in servers)
            self._preferred = next(others, self._preferred)

    def _semaphore(self) -> asyncio.Semaphore:
        # A semaphore belongs to one event loop; command line and tests run several, one after another.
        loop = asyncio.get_running_loop()
        if self._gate is None or self._gate[0] is not loop:
            self._gate = (loop, asyncio.Semaphore(self._max_in_flight))
        return self._gate[1]

    async def _race(  # noqa: C901 - one loop over four kinds of events reads better whole
        self,
        name: dns.name.Name,
        rdtype: dns.rdatatype.RdataType,
        flags: Flags,
        avoid: frozenset[Server],
    ) -> Reply | NoReply:
        loop = asyncio.get_running_loop()
        end = loop.time() + self._timeout
        count = len(self.servers)
        places = ((self._preferred + step) % count for step in range(count))
        order = [place for place in places if self.servers[place] not in avoid] * 2
        step_time = max(self._timeout / (len(order) + 1), _SHORTEST_STEP)
        running: dict[asyncio.Task[Reply | str], int] = {}
        troubles: dict[int, str] = {}
        poor: Reply | None = None
        try:
            while True:
                if order:
                    index = order.pop(0)
                    query = Query.make(name, rdtype, flags, randomize_case=self._randomize_case)
                    running[asyncio.create_task(_exchange(query, self.servers[index], end))] = index
                left = end - loop.time()
                if not running or left <= 0:
                    break
                wait = min(left, step_time) if order else left
                done, _ = await asyncio.wait(running, timeout=wait, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    index = running.pop(task)
                    result = task.result()
                    if isinstance(result, str):
                        troubles[index] = result
                    elif result.rcode in _USABLE:
                        self._preferred = self._preferred if avoid else index
                        return result
                    else:
                        poor = result
                        # Asking the same server the same again would only repeat its refusal.
                        order = [other for other in order if other != index]
                if not running and not order:
                    break
        finally:
            for task in running:
                task.cancel()
        if poor is not None:
            return poor
        for index in running.values():
            troubles[index] = "no answer in time"
        return NoReply(
            "; ".join(f"{server_text(self.servers[i])}: {why}" for i, why in sorted(troubles.items()))
        )


class Query(msgspec.Struct, frozen=True):
    """A question in wire format."""

    wire: bytes
    question: bytes
    """Its question section."""

    @classmethod
    def make(
        cls,
        name: dns.name.Name,
        rdtype: dns.rdatatype.RdataType,
        flags: Flags = VALIDATING,
        *,
        randomize_case: bool = False,
    ) -> "Query":
        """With a random id; `name` in lower case, or mixed at random."""
        asked = _random_case(name) if randomize_case else name.canonicalize()
        question = (asked.to_wire() or b"") + struct.pack("!HH", rdtype, dns.rdataclass.IN)
        bits = (
            (dns.flags.RD if flags.recursion else 0)
            | (dns.flags.CD if flags.checking_disabled else 0)
            | (dns.flags.AD if flags.authentic_data else 0)
        )
        head = struct.pack("!6H", secrets.randbelow(65536), bits, 1, 0, 0, 1)
        # RFC 6891 §6.1.2: the root as owner, OPT, the payload size as class, the flags in the TTL, no options.
        edns = dns.flags.DO if flags.dnssec_ok else 0
        opt = struct.pack("!BHHIH", 0, dns.rdatatype.OPT, UDP_PAYLOAD, edns, 0)
        return cls(head + question + opt, question)

    def is_asked_in(self, reply: bytes) -> bool:
        """Whether the reply repeats the question; in any letters, unless they were mixed on purpose."""
        end = len(self.question) - 4
        asked, got = self.question[:end], reply[12 : 12 + end]
        # No length octet of a label is a letter (RFC 1035 §2.3.4), so that whole names can be put into lower case.
        same = got == asked or (got.lower() == asked and asked.islower())
        return same and reply[12 + end : 16 + end] == self.question[end:]


_USABLE: Final = frozenset({dns.rcode.NOERROR, dns.rcode.NXDOMAIN, dns.rcode.YXDOMAIN})


def server_text(server: Server) -> str:
    """For people: ``192.0.2.1:53``, ``[2001:db8::1]:53``."""
    address, port = server
    return f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"


def _random_case(name: dns.name.Name) -> dns.name.Name:
    """0x20: the reply has to repeat the letters' case, which a forger does not know."""

    def mixed(label: bytes) -> bytes:
        return bytes(c ^ 0x20 if chr(c).isalpha() and c < 128 and secrets.randbits(1) else c for c in label)

    return dns.name.Name([mixed(label) for label in name.labels])


class _Datagrams(asyncio.DatagramProtocol):
    """Hands on the first datagram that matches the question."""

    def __init__(self, query: Query) -> None:
        self._query = query
        self._stray = 0
        self.received: asyncio.Future[dns.message.Message | str] = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, addr: object) -> None:
        del addr  # the socket is connected: the kernel lets only the server's datagrams through
        if self.received.done():
            return
        reply = _matching(data[:_MAX_DATAGRAM], self._query)
        if reply is None:
            self._stray += 1
            if self._stray > _MAX_STRAY_DATAGRAMS:
                self.received.set_result("too many datagrams that do not match the question")
            return
        self.received.set_result(reply)

    def error_received(self, exc: Exception) -> None:
        if not self.received.done():
            self.received.set_result((exc.strerror if isinstance(exc, OSError) else "") or "network error")

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.received.done():
            self.received.set_result(str(exc) if exc else "closed")


def _matching(data: bytes, query: Query) -> dns.message.Message | str | None:
    """The parsed reply, a text if it is ours but malformed, or None if it is not the answer to `query`."""
    # The id; QR set; the opcode QUERY.
    if len(data) < _HEADER or data[:2] != query.wire[:2] or data[2] & 0xF8 != 0x80:
        return None
    questions, *records = struct.unpack_from("!4H", data, 4)
    if questions == 0:
        # Some servers leave the question away in an error reply; that is no ground to take data from it.
        return f"{dns.rcode.to_text(dns.rcode.Rcode(data[3] & 15))} without the question"
    if questions > 1 or not query.is_asked_in(data):
        return None
    if data[2] & 0x02:
        # Truncated: nothing in it counts, and it may end in the middle of a record.  TCP brings the whole.
        return read(data[:4] + bytes(8))
    if sum(records) > MAX_RECORDS:
        return f"a reply with more than {MAX_RECORDS} records"
    try:
        return read(data)
    except MALFORMED as error:
        return f"malformed reply ({printable(str(error) or type(error).__name__, 100)})"


async def _exchange(query: Query, server: Server, end: float) -> Reply | str:
    """One question to one server; trouble comes back as text."""
    try:
        async with asyncio.timeout_at(end):
            message = await _over_udp(query, server)
            if isinstance(message, str):
                return message
            if not message.flags & dns.flags.TC:
                return Reply(message, server, over_tcp=False)
            message = await over_tcp(query, server)
            return message if isinstance(message, str) else Reply(message, server, over_tcp=True)
    except TimeoutError:
        return "no answer in time"
    except OSError as error:
        return error.strerror or str(error)


async def _over_udp(query: Query, server: Server) -> dns.message.Message | str:
    loop = asyncio.get_running_loop()
    address, port = server
    transport, protocol = await loop.create_datagram_endpoint(
        lambda: _Datagrams(query), remote_addr=(str(address), port)
    )
    try:
        transport.sendto(query.wire)
        return await protocol.received
    finally:
        transport.close()


async def over_tcp(query: Query, server: Server) -> dns.message.Message | str:
    """The same over TCP (RFC 7766); raises OSError, the caller bounds the time."""
    address, port = server
    reader, writer = await asyncio.open_connection(str(address), port, limit=1 << 16)
    try:
        wire = query.wire
        writer.write(len(wire).to_bytes(2) + wire)
        data = await reader.readexactly(int.from_bytes(await reader.readexactly(2)))
    except asyncio.IncompleteReadError:
        return "TCP connection closed before the whole reply"
    finally:
        writer.close()
    reply = _matching(data, query)
    if reply is None:
        return "a reply over TCP that does not match the question"
    if not isinstance(reply, str) and reply.flags & dns.flags.TC:
        return "truncated over TCP too"
    return reply
