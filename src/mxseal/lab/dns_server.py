"""DNS over UDP and TCP on loopback, in front of whatever answers questions.

A response is kept by the octets of its query, so the second ask costs next to
nothing; `DnsServer.forget` is called when zones or attacks change.
"""

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable
from typing import cast

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype

from mxseal.lab.zones import Reply

Answerer = Callable[[dns.name.Name, dns.rdatatype.RdataType], Reply | None]
"""Answers one question; None: never answers, so that the client times out."""

_PAYLOAD = 1232
_UDP_LEAST = 512
_KEPT_RESPONSES = 50_000
_BACKLOG = 128
_DNSSEC_ONLY = frozenset({dns.rdatatype.RRSIG, dns.rdatatype.NSEC, dns.rdatatype.NSEC3})


class DnsServer:
    """One address and port; `recursive` sets RA, as a resolver does."""

    def __init__(self, answerer: Answerer, *, recursive: bool = False) -> None:
        self._answerer = answerer
        self._recursive = recursive
        self._kept: dict[bytes, bytes] = {}
        self._transport: asyncio.DatagramTransport | None = None
        self._server: asyncio.Server | None = None
        self.questions = 0
        """How many were answered, over both transports."""

    async def start(self, udp: socket.socket, tcp: socket.socket) -> None:
        """Serve on two bound sockets, which now belong to this server."""
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(lambda: _Udp(self), sock=udp)
        self._transport = transport
        self._server = await loop.create_server(lambda: _Tcp(self), sock=tcp, backlog=_BACKLOG)

    async def stop(self) -> None:
        if self._transport is not None:
            self._transport.close()
        if self._server is not None:
            self._server.close()

    def forget(self) -> None:
        """Throw kept responses away, because the world has changed."""
        self._kept.clear()

    def respond(self, query: bytes, *, tcp: bool) -> bytes | None:
        """The response to one query in wire format; None: no response at all."""
        self.questions += 1
        if len(query) < 12:
            return None
        # The first two octets are the message's id, which each client chooses anew (RFC 1035 §4.1.1).
        key = bytes((tcp,)) + query[2:]
        kept = self._kept.get(key)
        if kept is None:
            made = self._make(query, tcp=tcp)
            if made is None:
                return None
            if len(self._kept) >= _KEPT_RESPONSES:
                self._kept.clear()
            kept = self._kept[key] = made[2:]
        return query[:2] + kept

    def _make(self, wire: bytes, *, tcp: bool) -> bytes | None:
        try:
            query = dns.message.from_wire(wire, ignore_trailing=True)
        except dns.exception.DNSException:
            return wire[:2] + struct.pack("!HHHHH", dns.flags.QR | dns.rcode.FORMERR, 0, 0, 0, 0)
        if query.flags & dns.flags.QR:
            return None
        dnssec = bool(query.ednsflags & dns.flags.DO)
        response = dns.message.make_response(query, recursion_available=self._recursive, our_payload=_PAYLOAD)
        response.flags |= query.flags & dns.flags.CD
        if len(query.question) != 1 or query.opcode() != dns.opcode.QUERY:
            response.set_rcode(dns.rcode.NOTIMP)
            return response.to_wire()
        question = query.question[0]
        reply = self._answerer(question.name, question.rdtype)
        if reply is None:
            return None
        _fill(response, reply, question.rdtype, dnssec=dnssec)
        encoded = response.to_wire(max_size=65535)
        limit = 65535
        if not tcp:
            # RFC 6891 §6.2.3: a payload below 512 counts as 512.
            limit = max(min(query.payload, _PAYLOAD), _UDP_LEAST) if query.edns >= 0 else _UDP_LEAST
        if len(encoded) > limit:
            response.flags |= dns.flags.TC
            response.answer, response.authority, response.additional = [], [], []
            encoded = response.to_wire()
        return encoded


def _fill(
    response: dns.message.Message, reply: Reply, asked: dns.rdatatype.RdataType, *, dnssec: bool
) -> None:
    response.set_rcode(reply.rcode)
    if reply.authoritative:
        response.flags |= dns.flags.AA
    for section, rrsets in (
        (response.answer, reply.answer),
        (response.authority, reply.authority),
        (response.additional, reply.additional),
    ):
        for rrset in rrsets:
            # RFC 4035 §3.2.1: DNSSEC records only for those who asked for them.
            wanted = dnssec or rrset.rdtype not in _DNSSEC_ONLY or rrset.rdtype == asked
            if wanted and rrset not in section:
                section.append(rrset)


class _Udp(asyncio.DatagramProtocol):
    def __init__(self, server: DnsServer) -> None:
        self._server = server
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        response = self._server.respond(data, tcp=False)
        if response is not None and self._transport is not None:
            self._transport.sendto(response, addr)


class _Tcp(asyncio.Protocol):
    """RFC 1035 §4.2.2, RFC 7766: a two-octet length before each message, several per connection."""

    def __init__(self, server: DnsServer) -> None:
        self._server = server
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while len(self._buffer) >= 2:
            (length,) = struct.unpack_from("!H", self._buffer)
            if len(self._buffer) < 2 + length:
                return
            query = bytes(self._buffer[2 : 2 + length])
            del self._buffer[: 2 + length]
            response = self._server.respond(query, tcp=True)
            if self._transport is None:
                return
            if response is None:
                self._transport.close()
                return
            with contextlib.suppress(OSError):
                self._transport.write(struct.pack("!H", len(response)) + response)
