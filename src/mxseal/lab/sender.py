"""Two senders for the laboratory: one that keeps to the standards, and one as they were before.

Both really deliver, over sockets.  The *strict* one is `journeys.deliver`, as it
is for the real internet.  The *old* one believes DNS as it comes, uses TLS if it
is offered, and looks at nobody's certificate.
"""

from collections.abc import Sequence

import dns.asyncquery
import dns.message
import dns.rdatatype
import msgspec

from mxseal.adapters.memory import MemoryPolicyStore
from mxseal.adapters.smtp import SmtpCourier
from mxseal.decisions.delivery import Level
from mxseal.decisions.mailing import (
    Admitted,
    Errand,
    Fate,
    Mail,
    Obstacle,
    TlsUse,
    may_go_in_clear,
    settle,
    tls_use,
    without_fate,
)
from mxseal.decisions.policy_lifecycle import Reason
from mxseal.journeys.discover_delivery import Discovery
from mxseal.lab.internet import Lab
from mxseal.standards.smtp import Mailbox, Message, parse_mailbox, read_message
from mxseal.vocabulary.names import Address, HostName
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

    def mail(self) -> Mail:
        """The same as delivering knows it."""
        sender, recipient = parse_mailbox(self.sender), parse_mailbox(self.recipient)
        message = read_message(self.text.encode())
        if not (
            isinstance(sender, Mailbox) and isinstance(recipient, Mailbox) and isinstance(message, Message)
        ):
            raise ValueError(f"no letter: {self}")  # noqa: TRY004 - a value, not a type, is wrong
        return Mail(sender=sender, recipients=(recipient,), message=message)


async def send_as_of_old(letter: Letter, resolver: tuple[Address, int], *, port: int) -> Fate:
    """Deliver to whoever answers, with TLS if it is offered, as RFC 3207 left it."""
    mail = letter.mail()
    recipient = mail.recipients[0]
    courier = SmtpCourier(port=port, ehlo_name=CLIENT)
    obstacles: list[Obstacle] = []
    for host in await _ask(resolver, str(recipient.domain), dns.rdatatype.MX) or [str(recipient.domain)]:
        for address in await _ask(resolver, host, dns.rdatatype.A):
            fate = await _try_as_of_old(courier, HostName(host), Address(address), mail)
            if not isinstance(fate, Obstacle):
                return fate
            obstacles.append(fate)
    return without_fate(recipient, obstacles)


async def _try_as_of_old(
    courier: SmtpCourier, host: HostName, address: Address, mail: Mail
) -> Fate | Obstacle:
    level = Level.OPPORTUNISTIC
    errand = Errand(host=host, address=address, tls=tls_use(level), sni=host, mail=mail, seconds=_SESSION)
    nobody = Admitted(proof=Reason("nobody is authenticated", "RFC 3207 §6"))
    visit = await courier.visit(errand, lambda _: nobody)
    if may_go_in_clear(level, visit):
        visit = await courier.visit(msgspec.structs.replace(errand, tls=TlsUse.NONE), lambda _: nobody)
    (fate,) = settle(visit, level, mail.recipients, seals=False)
    return fate


async def _ask(resolver: tuple[Address, int], name: str, kind: dns.rdatatype.RdataType) -> Sequence[str]:
    """The last words of the records, believed as they come."""
    address, port = resolver
    query = dns.message.make_query(name, kind)
    response = await dns.asyncquery.udp(query, str(address), timeout=_LOOKUP, port=port)
    found = response.get_rrset(response.answer, query.question[0].name, query.question[0].rdclass, kind)
    return [record.to_text().rpartition(" ")[2].rstrip(".") for record in found or ()]


class StrictSender:
    """A sender that keeps to the standards, with a memory for MTA-STS policies (RFC 8461 §3.3).

    DNS answers are remembered until `another_day`, policies for good.
    """

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._policies = MemoryPolicyStore()
        self.another_day()

    def another_day(self) -> None:
        """Let all DNS answers expire."""
        self._world = World(self._lab.world)

    async def send(self, letter: Letter) -> tuple[Discovery, Fate]:
        """Find out what the letter's domain is owed, and deliver accordingly or not at all."""
        async with self._world.deliverer(self._policies, ehlo_name=CLIENT, seconds=_SESSION) as deliverer:
            delivery = await deliverer.deliver(letter.mail())
        return delivery.discoveries[0], delivery.fates[0]
