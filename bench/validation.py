"""What validation costs: domains a second and CPU ms a domain, cold and warm.

A domain is the seven questions that a strict sender asks: MX, A, AAAA and TLSA of the MX host, TXT for
MTA-STS (a wildcard-free denial here) and for TLSRPT, and a CNAME.  The tree is root → test → domain, each
zone signed with ECDSAP256SHA256; it is served by a process of its own over UDP on loopback, from replies
made beforehand, so that the CPU time shown is the resolver's alone.

    cold         a domain never seen before; only the zones above it are known
    warm zones   other questions in zones whose keys are known
    warm         the same questions again, within their TTL
    AD bit       the same cold questions with another's verdict instead of proofs
"""

import asyncio
import multiprocessing
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from typing import Any, Final

import dns.dnssec
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.zone
from cryptography.hazmat.primitives.asymmetric import ec

from mxseal.adapters.dns import TrustAdResolver, TrustAnchors, ValidatingResolver
from mxseal.adapters.dns.anchors import parse_trust_anchors
from mxseal.adapters.dns.transport import Server
from mxseal.vocabulary.names import Address
from mxseal.vocabulary.observations import RecordType, Security

DOMAINS: Final = 200
AT_ONCE: Final = 32
INCEPTION: Final = 1_600_000_000
EXPIRATION: Final = 2_500_000_000
QUESTIONS: Final = (
    ("", RecordType.MX),
    ("mx.", RecordType.A),
    ("mx.", RecordType.AAAA),
    ("_25._tcp.mx.", RecordType.TLSA),
    ("_mta-sts.", RecordType.TXT),
    ("_smtp._tls.", RecordType.TXT),
    ("mail.", RecordType.CNAME),
)
OTHERS: Final = (
    ("", RecordType.A),
    ("", RecordType.TXT),
    ("mx.", RecordType.TXT),
    ("other.", RecordType.A),
    ("other.", RecordType.AAAA),
    ("_25._tcp.other.", RecordType.TLSA),
    ("_smtp._tls.", RecordType.A),
)
CONTENT: Final = f"""\
@ MX 10 mx
mx A 192.0.2.1
mx AAAA 2001:db8::1
_25._tcp.mx TLSA 3 1 1 {"ab" * 32}
_smtp._tls TXT "v=TLSRPTv1; rua=mailto:tls@example.com"
mail CNAME mx
"""


class Tree:
    """Signed zones, and every reply that the questions need, in wire format."""

    def __init__(self) -> None:
        self.zones: dict[dns.name.Name, dns.zone.Zone] = {}
        domains = [f"d{number}.test." for number in range(DOMAINS)]
        ds = [self._add(domain, CONTENT) for domain in domains]
        test = self._add(
            "test.", "".join(f"{d} NS ns.test.\n{line}\n" for d, line in zip(domains, ds, strict=True))
        )
        self.anchor = self._add(".", f"test. NS ns.test.\n{test}\n")

    def _add(self, name: str, content: str) -> str:
        key = ec.generate_private_key(ec.SECP256R1())
        public = dns.dnssec.make_dnskey(key.public_key(), "ECDSAP256SHA256", flags=257)
        text = f"$TTL 3600\n@ SOA ns.test. h.test. 1 1 1 1 3600\n@ NS ns.test.\n{content}"
        zone = dns.zone.from_text(text, name, relativize=False, check_origin=False)
        dns.dnssec.sign_zone(zone, keys=[(key, public)], inception=INCEPTION, expiration=EXPIRATION)
        self.zones[dns.name.from_text(name)] = zone
        return f"{name} DS {dns.dnssec.make_ds(name, public, 'SHA256')}"

    def reply(self, query: dns.message.Message) -> bytes:
        name, rdtype = query.question[0].name, query.question[0].rdtype
        above = name.parent() if rdtype == dns.rdatatype.DS else name
        while above not in self.zones:
            above = above.parent()
        zone = self.zones[above]
        message = dns.message.make_response(query, recursion_available=True)
        if not query.flags & dns.flags.CD:
            message.flags |= dns.flags.AD
        section, owners = message.answer, [name]
        if zone.get_rrset(name, rdtype) is None:
            nodes = sorted(node for node in zone if zone.get_rrset(node, dns.rdatatype.NSEC))
            section, rdtype = message.authority, dns.rdatatype.NSEC
            owners = sorted({max(node for node in nodes if node <= name), above})
            section.append(zone.get_rrset(above, dns.rdatatype.SOA))
            if not any(node.is_subdomain(name) for node in zone):
                message.set_rcode(dns.rcode.NXDOMAIN)
        for owner in owners:
            section.append(zone.get_rrset(owner, rdtype))
            if query.ednsflags & dns.flags.DO:
                section.append(zone.get_rrset(owner, dns.rdatatype.RRSIG, rdtype))
        return message.to_wire()


class Replies(asyncio.DatagramProtocol):
    """Answers from what it has seen before, or makes the reply once."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.known: dict[bytes, bytes] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        reply = self.known.get(data[2:])
        if reply is None:
            reply = self.known[data[2:]] = self.tree.reply(dns.message.from_wire(data))[2:]
        self.transport.sendto(data[:2] + reply, addr)


def serve(pipe: Connection) -> None:
    async def run() -> None:
        tree = Tree()
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: Replies(tree), local_addr=("127.0.0.1", 0)
        )
        pipe.send((transport.get_extra_info("sockname")[1], tree.anchor))
        await asyncio.Event().wait()

    asyncio.run(run())


Resolve = Callable[[str, RecordType], Awaitable[object]]


async def measure(
    title: str, resolve: Resolve, questions: tuple[tuple[str, RecordType], ...], *, secure: bool = True
) -> float:
    """Ask about all domains, some at once; prints a row, and gives the domains a second."""
    gate = asyncio.Semaphore(AT_ONCE)
    weak = 0

    async def domain(number: int) -> None:
        nonlocal weak
        async with gate:
            answers = await asyncio.gather(
                *(resolve(f"{prefix}d{number}.test", kind) for prefix, kind in questions)
            )
            weak += sum(getattr(answer, "security", None) is not Security.SECURE for answer in answers)

    cpu, wall = time.process_time(), time.perf_counter()
    await asyncio.gather(*(domain(number) for number in range(DOMAINS)))
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    if secure and weak:
        sys.exit(f"{title}: {weak} answers were not secure")
    print(
        f"| {title:<10} | {DOMAINS / wall:>9.0f} | {DOMAINS / cpu:>12.0f} | {cpu / DOMAINS * 1000:>13.2f} |"
    )
    return DOMAINS / cpu


async def main(server: Server, anchors: TrustAnchors) -> None:
    def now() -> datetime:
        return datetime(2026, 11, 23, tzinfo=UTC)

    # First a resolver of its own, so that the server has made its replies and no row pays for that.
    for questions in (QUESTIONS, OTHERS):
        first = ValidatingResolver([server], anchors=anchors, timeout=60, now=now)
        by_bit = TrustAdResolver([server], proof="unproved", timeout=60, now=now)
        for number in range(DOMAINS):
            for prefix, kind in questions:
                await first.resolve(f"{prefix}d{number}.test", kind)
                await by_bit.resolve(f"{prefix}d{number}.test", kind)
    print("| | domains/s | domains/CPU s | CPU ms/domain |")
    print("|---|---:|---:|---:|")
    resolver = ValidatingResolver([server], anchors=anchors, timeout=60, now=now)
    await resolver.resolve("test", RecordType.SOA)
    cold = await measure("cold", resolver.resolve, QUESTIONS)
    await measure("warm zones", resolver.resolve, OTHERS)
    warm = await measure("warm", resolver.resolve, QUESTIONS)
    bit = TrustAdResolver([server], proof="unproved", timeout=60, now=now)
    await measure("AD bit", bit.resolve, QUESTIONS)
    print(
        f"\nwarm is {warm / cold:.0f} times cold; {len(QUESTIONS)} questions a domain, {AT_ONCE} domains at once"
    )


if __name__ == "__main__":
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=serve, args=(theirs,), daemon=True)
    process.start()
    port, anchor = ours.recv()

    asyncio.run(main((Address("127.0.0.1"), port), parse_trust_anchors(anchor, source="anchor")))
    process.kill()
