"""A small signed tree in a dictionary, and DNS servers on loopback that behave as a test wants."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import dns.dnssec
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset
import dns.zone
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

from mxseal.adapters.clock import SystemClock
from mxseal.adapters.dns.anchors import TrustAnchors
from mxseal.adapters.dns.transport import VALIDATING, NoReply, Reply, Server
from mxseal.vocabulary.names import Address

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
SECONDS = int(NOW.timestamp())
LOOPBACK = Address("127.0.0.1")

CONTENT = {
    ".": "",
    "test.": "unsigned NS ns.test.\n",
    "leaf.test.": """\
@ MX 10 mail
@ MX 20 .
@ MX 30 bad\\032name
mail 120 A 192.0.2.1
mail AAAA 2001:db8::1
txt TXT "one" "two"
alias CNAME mail
away CNAME host.unsigned.test.
loop CNAME pool
pool CNAME loop
d0 CNAME d1
"""
    + "".join(f"d{i} CNAME d{i + 1}\n" for i in range(1, 20)),
    "unsigned.test.": "host A 192.0.2.7\n@ MX 10 host\n",
}
SIGNED = (".", "test.", "leaf.test.")


class World:
    """Stands in for the transport: answers from signed zones as a recursive resolver with CD would."""

    def __init__(self, content: dict[str, str] = CONTENT, signed: tuple[str, ...] = SIGNED) -> None:
        self.content, self.signed = content, signed
        self.servers: tuple[Server, ...] = ((LOOPBACK, 53),)
        self.asked: list[tuple[str, str]] = []
        self.change: Callable[[dns.message.Message], object] = lambda message: None
        self.silent: set[tuple[str, str]] = set()
        self.rcodes: dict[tuple[str, str], int] = {}
        self.authentic = False
        self.zones: dict[dns.name.Name, dns.zone.Zone] = {}
        self._keys = {name: ed25519.Ed25519PrivateKey.generate() for name in signed}
        self.sign(SECONDS)
        key = self.dnskey(".")
        self.anchors = TrustAnchors({dns.name.root: (dns.dnssec.make_ds(".", key, "SHA256"),)})

    def dnskey(self, name: str):
        return dns.dnssec.make_dnskey(self._keys[name].public_key(), "ED25519", flags=257)

    def sign(self, now: int) -> None:
        """Sign everything for a day before and ten days after `now`."""
        for name in reversed(self.content):
            self.zones[dns.name.from_text(name)] = self.make(name, now)

    def make(self, name: str, now: int) -> dns.zone.Zone:
        text = f"$TTL 300\n@ SOA ns.test. h.test. 7 1 1 1 60\n@ NS ns.test.\n{self.content[name]}"
        for child in self.content:
            parent = child.partition(".")[2] or "."
            if child != "." and parent == name:
                text += f"{child} NS ns.test.\n"
                if child in self.signed:
                    text += f"{child} DS {dns.dnssec.make_ds(child, self.dnskey(child), 'SHA256')}\n"
        zone = dns.zone.from_text(text, name, relativize=False, check_origin=False)
        if name in self.signed:
            dns.dnssec.sign_zone(
                zone,
                keys=[(self._keys[name], self.dnskey(name))],
                inception=now - 86400,
                expiration=now + 864000,
            )
        return zone

    async def ask(self, name, rdtype, flags=VALIDATING, *, avoid=frozenset()):
        question = (name.to_text(), dns.rdatatype.to_text(rdtype))
        self.asked.append(question)
        await asyncio.sleep(0)
        if question in self.silent:
            return NoReply("no answer in time")
        message = self.reply(dns.message.make_query(name, rdtype, want_dnssec=flags.dnssec_ok))
        if question in self.rcodes:
            message = dns.message.make_response(dns.message.make_query(name, rdtype))
            message.set_rcode(self.rcodes[question])
        return Reply(message, (LOOPBACK, 53), over_tcp=False)

    def reply(self, query: dns.message.Message) -> dns.message.Message:
        message = dns.message.make_response(query, recursion_available=True)
        if self.authentic:
            message.flags |= dns.flags.AD
        name, rdtype = query.question[0].name, query.question[0].rdtype
        self._answer(message, name, rdtype)
        self.change(message)
        return message

    def _answer(self, message, name, rdtype) -> None:
        origin = max((zone for zone in self.zones if name.is_subdomain(zone)), key=len)
        if rdtype == dns.rdatatype.DS and name == origin != dns.name.root:
            origin = max((zone for zone in self.zones if name.parent().is_subdomain(zone)), key=len)
        zone = self.zones[origin]
        found = zone.get_rrset(name, rdtype)
        alias = zone.get_rrset(name, dns.rdatatype.CNAME)
        if found is not None:
            self._add(message.answer, zone, found)
        elif alias is not None:
            self._add(message.answer, zone, alias)
        else:
            self._add(message.authority, zone, zone.get_rrset(origin, dns.rdatatype.SOA))
            exists = any(node.is_subdomain(name) for node in zone)
            if not exists:
                message.set_rcode(dns.rcode.NXDOMAIN)
            nodes = sorted(node for node in zone if zone.get_rrset(node, dns.rdatatype.NSEC) is not None)
            if nodes:
                before = max(node for node in nodes if node <= name)
                self._add(message.authority, zone, zone.get_rrset(before, dns.rdatatype.NSEC))
                if before != origin:
                    self._add(message.authority, zone, zone.get_rrset(origin, dns.rdatatype.NSEC))

    @staticmethod
    def _add(section, zone, rrset) -> None:
        section.append(rrset.copy() if hasattr(rrset, "copy") else rrset)
        signatures = zone.get_rrset(rrset.name, dns.rdatatype.RRSIG, rrset.rdtype)
        if signatures is not None:
            section.append(signatures)


@pytest.fixture(scope="session")
def _world() -> World:
    return World()


@pytest.fixture
def world(_world: World) -> World:
    _world.asked.clear()
    _world.silent, _world.rcodes, _world.authentic = set(), {}, False
    _world.change = lambda message: None
    return _world


# --- servers on loopback ------------------------------------------------------------------------------------


class _Udp(asyncio.DatagramProtocol):
    def __init__(self, behave: Callable[[bytes], list[bytes]]) -> None:
        self.behave = behave

    def connection_made(self, transport) -> None:
        self.transport = transport

    def datagram_received(self, data, addr) -> None:
        for reply in self.behave(data):
            self.transport.sendto(reply, addr)


@contextlib.asynccontextmanager
async def loopback_server(udp: Callable[[bytes], list[bytes]], tcp: Callable[[bytes], bytes] | None = None):
    """A server whose datagrams are answered by `udp`, and TCP messages (on the same port) by `tcp`."""

    async def serve(reader, writer) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            query = await reader.readexactly(int.from_bytes(await reader.readexactly(2)))
            writer.write(tcp(query) if tcp else b"")
            await writer.drain()
        writer.close()

    loop = asyncio.get_running_loop()
    listener = await asyncio.start_server(serve, str(LOOPBACK), 0) if tcp else None
    port = listener.sockets[0].getsockname()[1] if listener else 0
    transport, _ = await loop.create_datagram_endpoint(lambda: _Udp(udp), local_addr=(str(LOOPBACK), port))
    try:
        yield (LOOPBACK, transport.get_extra_info("sockname")[1])
    finally:
        transport.close()
        if listener:
            listener.close()


@pytest.fixture
def loopback():
    return loopback_server


@pytest.fixture
def served() -> Iterator[tuple[World, Server]]:
    """A world whose signatures are good today, behind a UDP port in a thread of its own: for the command line."""
    world = World()
    world.sign(int(SystemClock().now().timestamp()))
    started: list[Server] = []
    ready = threading.Event()
    ends: list[Callable[[], None]] = []

    def answer(data: bytes) -> list[bytes]:
        return [world.reply(dns.message.from_wire(data)).to_wire()]

    async def serve() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        ends.append(lambda: loop.call_soon_threadsafe(stop.set))
        async with loopback_server(answer) as server:
            started.append(server)
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert ready.wait(10)
    yield world, started[0]
    ends[0]()
    thread.join(10)
