"""Two senders for the laboratory: one that keeps to the standards, and one as they were before.

Both really deliver, over sockets.  The *strict* one takes a decision
(`decisions.delivery`) and holds each MX host to what it is owed: no TLS, no
match or a wrong certificate, no mail (RFC 7672 §2.2, RFC 8461 §5).  The *old*
one believes DNS as it comes, uses TLS if it is offered, and looks at nobody's
certificate.
"""

import asyncio
import ssl
from collections.abc import Sequence
from datetime import datetime

import dns.asyncquery
import dns.message
import dns.rdatatype
import msgspec

from mxseal.adapters.tls import Connection, explain, probing_context
from mxseal.decisions.authentication import NotListed, verify_dane, verify_mta_sts
from mxseal.decisions.delivery import Course, HostRequirement, Level
from mxseal.decisions.policy_lifecycle import CachedPolicy, Reason
from mxseal.journeys.discover_delivery import Discovery, discover_delivery
from mxseal.lab.internet import Lab
from mxseal.standards.certificate import Roots, Untrusted
from mxseal.standards.dane import Mismatch, Unusable, Verified
from mxseal.standards.mta_sts import Policy
from mxseal.standards.starttls import (
    BrokenReply,
    Dialogue,
    Event,
    Extended,
    Lost,
    Refused,
    Reply,
    UpgradeNow,
    Violated,
)
from mxseal.vocabulary.names import Address, HostName, NextHop
from mxseal.vocabulary.observations import KeyKind
from mxseal.vocabulary.rejection import printable
from mxseal.wiring import World

CLIENT = HostName("mail.sender.test")
_SESSION = 10.0
"""Seconds for one session: everybody is on this machine."""
_LOOKUP = 5.0


class Letter(msgspec.Struct, frozen=True):
    """A mail on its way."""

    sender: str
    recipient: str
    text: str
    """Header and body, with LF as line end."""

    @property
    def domain(self) -> HostName:
        return HostName(self.recipient.rpartition("@")[2])

    def octets(self) -> bytes:
        """As DATA wants it: CRLF, leading dots doubled (RFC 5321 §4.5.2), and the end."""
        lines = self.text.rstrip("\n").split("\n")
        stuffed = ("." + line if line.startswith(".") else line for line in lines)
        return "".join(f"{line}\r\n" for line in stuffed).encode() + b".\r\n"


class Delivered(msgspec.Struct, frozen=True):
    """An MX host has taken the letter."""

    host: HostName
    address: Address
    level: Level
    tls: str
    """The version, empty for a session in clear."""
    proof: Reason
    """How the host was authenticated, or that it was not."""


class Waits(msgspec.Struct, frozen=True):
    """No MX host could be given the letter; it stays in the queue."""

    reasons: tuple[Reason, ...]
    """One for each attempt or obstacle."""


class Returned(msgspec.Struct, frozen=True):
    """There is no such destination."""

    reasons: tuple[Reason, ...]


Result = Delivered | Waits | Returned


async def send_strictly(
    letter: Letter, discovery: Discovery, *, port: int, roots: Roots, at: datetime
) -> Result:
    """Deliver as the decision of `discovery` demands."""
    decision = discovery.decision
    if decision.course is Course.BOUNCE:
        return Returned(decision.reasons)
    if not decision.hosts:
        return Waits(decision.reasons)
    addresses = {known.name: known.tlsa.addresses for known in discovery.hosts}
    policy = decision.policy.enforced if decision.policy is not None else None
    reasons: list[Reason] = []
    for owed in decision.hosts:
        if owed.level is Level.SKIP:
            reasons.append(owed.reasons[-1])
            continue
        for address in addresses[owed.host]:
            result = await _Session(letter, owed, policy, roots, at).run(address, port)
            if isinstance(result, Delivered):
                return result
            reasons.append(result)
    return Waits(tuple(reasons))


async def send_as_of_old(letter: Letter, resolver: tuple[Address, int], *, port: int, at: datetime) -> Result:
    """Deliver to whoever answers, with TLS if it is offered, as RFC 3207 left it."""
    reasons: list[Reason] = []
    for host in await _ask(resolver, letter.domain, dns.rdatatype.MX) or [letter.domain]:
        owed = HostRequirement(host=HostName(host), preference=0, level=Level.OPPORTUNISTIC)
        for address in await _ask(resolver, host, dns.rdatatype.A):
            result = await _Session(letter, owed, None, Roots(), at).run(Address(address), port)
            if isinstance(result, Delivered):
                return result
            reasons.append(result)
    return Waits(tuple(reasons))


async def _ask(resolver: tuple[Address, int], name: str, kind: dns.rdatatype.RdataType) -> Sequence[str]:
    """The last words of the records, believed as they come."""
    address, port = resolver
    query = dns.message.make_query(name, kind)
    response = await dns.asyncquery.udp(query, str(address), timeout=_LOOKUP, port=port)
    found = response.get_rrset(response.answer, query.question[0].name, query.question[0].rdclass, kind)
    return [record.to_text().rpartition(" ")[2].rstrip(".") for record in found or ()]


class _NotHere(Exception):
    """This address is not given the letter, for a reason."""

    def __init__(self, text: str, section: str = "") -> None:
        super().__init__(text)
        self.reason = Reason(text, section)


class _Session:
    """One attempt at one address."""

    def __init__(
        self, letter: Letter, owed: HostRequirement, policy: Policy | None, roots: Roots, at: datetime
    ) -> None:
        self._letter = letter
        self._owed = owed
        self._policy = policy
        self._roots = roots
        self._at = at
        self._must = owed.level is not Level.OPPORTUNISTIC
        self._in_clear = False
        self._handshake_failed = False
        self._proof = Reason("nobody is authenticated", "RFC 3207 §6")

    async def run(self, address: Address, port: int) -> Delivered | Reason:
        result = await self._attempt(address, port)
        if isinstance(result, Reason) and self._handshake_failed and not self._must:
            # RFC 7435 §3: where nothing demands TLS, a failed handshake is no reason to keep the mail.
            self._in_clear = True
            return await self._attempt(address, port)
        return result

    async def _attempt(self, address: Address, port: int) -> Delivered | Reason:
        try:
            async with asyncio.timeout(_SESSION):
                connection = await Connection.open(address, port)
                try:
                    await self._converse(connection)
                    tls = connection.version
                finally:
                    await connection.close()
        except _NotHere as obstacle:
            return obstacle.reason
        except TimeoutError:
            return Reason(f"{self._owed.host} does not answer", "RFC 5321 §4.5.3.2")
        except OSError as error:
            return Reason(f"{self._owed.host}: {explain(error)}", "RFC 5321 §4.5.4.1")
        return Delivered(self._owed.host, address, self._owed.level, tls, self._proof)

    async def _converse(self, connection: Connection) -> None:
        dialogue = Dialogue(CLIENT)
        while not await self._is_ready(await self._next_event(connection, dialogue), connection, dialogue):
            pass
        for command, wanted in (
            (f"MAIL FROM:<{self._letter.sender}>\r\n".encode(), 2),
            (f"RCPT TO:<{self._letter.recipient}>\r\n".encode(), 2),
            (b"DATA\r\n", 3),
            (self._letter.octets(), 2),
        ):
            await connection.write(command)
            reply = await self._reply(connection, dialogue)
            if reply.code // 100 != wanted:
                raise _NotHere(f"{self._owed.host} says {reply.code} {printable(reply.text, 80)}")
        dialogue.quit()
        await connection.write(dialogue.data_to_send())

    async def _next_event(self, connection: Connection, dialogue: Dialogue) -> Event:
        while (event := dialogue.next_event()) is None:
            await connection.write(dialogue.data_to_send())
            dialogue.receive(await connection.read())
        return event

    async def _reply(self, connection: Connection, dialogue: Dialogue) -> Reply:
        while (reply := dialogue.reader.next_reply()) is None:
            dialogue.reader.receive(await self._some(connection))
        if isinstance(reply, BrokenReply):
            raise _NotHere(f"{self._owed.host} does not speak SMTP", "RFC 5321 §4.2")
        return reply

    async def _some(self, connection: Connection) -> bytes:
        data = await connection.read()
        if not data:
            raise _NotHere(f"{self._owed.host} closed the connection", "RFC 5321 §3.8")
        return data

    async def _is_ready(self, event: Event, connection: Connection, dialogue: Dialogue) -> bool:
        """Take one event; whether the session is ready for the letter now."""
        host = self._owed.host
        match event:
            case Extended(inside_tls=True):
                return True
            case Extended(extensions=extensions) if "STARTTLS" in extensions and not self._in_clear:
                dialogue.start_tls()
            case Extended() if self._must:
                raise _NotHere(f"{host} offers no STARTTLS, and its {self._demand} TLS", self._section)
            case Extended():
                return True
            case UpgradeNow():
                await self._shake_hands(connection)
                dialogue.tls_established()
            case Refused(reply=reply):
                raise _NotHere(f"{host} answers {reply.code} at {event.stage}", self._section)
            case Violated(detail=detail):
                raise _NotHere(f"{host} breaks SMTP: {detail}", "RFC 3207 §4.2")
            case Lost(detail=detail):
                raise _NotHere(f"{host} went away: {detail}", "RFC 5321 §3.8")
            case _:
                pass
        return False

    @property
    def _demand(self) -> str:
        return "MTA-STS policy demands" if self._owed.level is Level.PKIX else "TLSA records demand"

    @property
    def _section(self) -> str:
        return "RFC 8461 §5" if self._owed.level is Level.PKIX else "RFC 7672 §2.2"

    async def _shake_hands(self, connection: Connection) -> None:
        # RFC 7672 §8.1: with DANE the TLSA base domain goes into SNI.
        try:
            await connection.start_tls(
                probing_context(KeyKind.ANY), self._owed.base_domain or self._owed.host
            )
        except ssl.SSLError as error:
            self._handshake_failed = True
            raise _NotHere(f"{self._owed.host}: {explain(error)}", self._section) from error
        if self._owed.level is Level.DANE:
            self._proof = self._judge_dane(connection.chain)
        elif self._owed.level is Level.PKIX and self._policy is not None:
            self._proof = self._judge_pkix(self._policy, connection.chain)

    def _judge_dane(self, chain: Sequence[bytes]) -> Reason:
        verdict = verify_dane(self._owed.records, chain, names=self._owed.names, at=self._at)
        match verdict:
            case Verified(record=record):
                text = str(record)
                return Reason(f"its key is the one of TLSA {text[:6]}{text[6:18]}…", "RFC 7672 §3.1")
            case Mismatch(reasons=reasons) | Unusable(reasons=reasons):
                raise _NotHere(
                    f"{self._owed.host} does not match its TLSA records: {reasons[0].detail}",
                    "RFC 7672 §2.2",
                )

    def _judge_pkix(self, policy: Policy, chain: Sequence[bytes]) -> Reason:
        verdict = verify_mta_sts(policy, self._owed.host, chain, roots=self._roots, at=self._at)
        match verdict:
            case Untrusted(detail=detail):
                raise _NotHere(f"{self._owed.host} shows a wrong certificate: {detail}", "RFC 8461 §4.2")
            case NotListed():
                raise _NotHere(f"{self._owed.host} is not in the MTA-STS policy", "RFC 8461 §4.1")
            case _:
                return Reason(
                    f"its certificate names {verdict.presented} and comes from a trusted CA", "RFC 8461 §4.2"
                )


class StrictSender:
    """A sender that keeps to the standards, with a memory for MTA-STS policies (RFC 8461 §3.3).

    DNS answers are remembered until `another_day`, policies for good.
    """

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._policies: dict[HostName, CachedPolicy] = {}
        self.another_day()

    def another_day(self) -> None:
        """Let all DNS answers expire."""
        self._world = World(self._lab.world)

    async def send(self, letter: Letter) -> tuple[Discovery, Result]:
        """Find out what the letter's domain is owed, and deliver accordingly or not at all."""
        world = self._world
        discovery = await discover_delivery(
            NextHop(host=letter.domain),
            resolver=world.resolver,
            policy_hosts=world.policy_hosts,
            clock=world.clock,
            cached=self._policies.get(letter.domain),
        )
        policy = discovery.decision.policy
        if policy is not None and policy.keep is not None:
            self._policies[letter.domain] = policy.keep
        result = await send_strictly(
            letter, discovery, port=self._lab.smtp_port, roots=world.judging_roots, at=world.clock.now()
        )
        return discovery, result
