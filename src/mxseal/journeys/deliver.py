"""Deliver a mail ourselves, each MX host held to exactly what it is owed.

    deliverer = Deliverer(discover=…, courier=…, clock=…, settings=…)
    delivery = await deliverer.deliver(mail)
    delivery.fates        # one for each recipient: Delivered, Deferred or Bounced
    delivery.sessions     # for TLSRPT (RFC 8460)

There is no queue here.  Who calls keeps what is `Deferred` and tries again later
(RFC 5321 §4.5.4.1), for these recipients only.

The domains of the recipients go side by side.  For each one: what is owed is
found out first (`discover_delivery`) and never becomes less, whatever then
fails.  MX hosts are tried by preference, those of one preference in random
order (RFC 5321 §5.1), and of each host all addresses, IPv6 first.  A recipient
who was not taken for a reason that may pass goes on to the next host.

Everything is bounded: hosts, sessions, the time for all of it.  When time is up
no further session begins; one that waits for the answer to the end of data is
given the time that RFC 5321 §4.5.3.2.6 asks for, since giving up early makes
duplicates.
"""

import asyncio
import itertools
import math
import random
from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import datetime
from typing import Final

import msgspec

from mxseal.decisions.delivery import Course, HostRequirement, Level, Mixed, Reason, StsKnowledge
from mxseal.decisions.mailing import (
    Admission,
    Admitted,
    Bounced,
    Deferred,
    Delivered,
    Errand,
    Fate,
    Mail,
    Obstacle,
    TlsUse,
    Visit,
    admit,
    bounce_status,
    may_go_in_clear,
    seals,
    settle,
    tls_use,
    without_fate,
)
from mxseal.decisions.session_results import of_discovery, of_skipped, of_visit
from mxseal.journeys.discover_delivery import Discovery, discover_with
from mxseal.journeys.follow_policies import PolicyKeeper
from mxseal.journeys.ports import Clock, Courier, Resolver
from mxseal.standards.certificate import Roots
from mxseal.standards.mta_sts import Policy
from mxseal.standards.smtp import MAX_HOPS, Mailbox
from mxseal.vocabulary.faults import Fault
from mxseal.vocabulary.names import Address, HostName, NextHop
from mxseal.vocabulary.observations import Handshake, TlsaLookup
from mxseal.vocabulary.session_result import SessionResult

MAX_SESSIONS: Final = 12
"""With one domain for one mail: hosts times addresses has no bound of its own."""
MAX_DOMAINS: Final = 20
"""That are delivered to at the same time."""

Discover = Callable[[NextHop], Awaitable[Discovery]]
"""Find out how mail to a next-hop must travel, with whatever memory there is of MTA-STS policies."""
Shuffle = Callable[[list[HostRequirement]], None]


def discovering(*, resolver: Resolver, keeper: PolicyKeeper, clock: Clock, mixed: Mixed = "sts") -> Discover:
    """Discovery with the memory that `keeper` has of MTA-STS policies.

    Raises `StorageFault` when asked while that memory cannot be read: who does not
    know whether there is a policy must not act as if there were none.
    """

    async def learn(domain: HostName, now: datetime) -> StsKnowledge:
        return await keeper.learn(domain, await keeper.known(domain), now, until=math.inf)

    async def discover(next_hop: NextHop) -> Discovery:
        return await discover_with(next_hop, resolver=resolver, learn_sts=learn, clock=clock, mixed=mixed)

    return discover


class DeliverySettings(msgspec.Struct, frozen=True, kw_only=True):
    """How to deliver."""

    roots: Callable[[], Roots]
    """The CAs that MTA-STS trusts; called when they are needed."""
    seconds: float = 900.0
    """For a mail as a whole; see the top of this file."""
    shuffle: Shuffle = random.shuffle
    """Puts hosts of one preference in an order, in place."""
    allow_local: bool = False
    """Whether to connect to this machine and its link, as in a laboratory.

    A name in the public DNS that leads to 127.0.0.1 is a mistake or a trick: mail would
    go to whatever listens here, in a circle if that is a mail server (RFC 5321 §5.1).
    """


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a mail."""

    fates: tuple[Fate, ...]
    """One for each recipient, in the order given."""
    sessions: tuple[SessionResult, ...]
    """What RFC 8460 counts."""
    discoveries: tuple[Discovery, ...] = ()
    """What was known of each domain, in the order of its first recipient."""

    @property
    def delivered(self) -> tuple[Delivered, ...]:
        return tuple(fate for fate in self.fates if isinstance(fate, Delivered))

    @property
    def deferred(self) -> tuple[Deferred, ...]:
        return tuple(fate for fate in self.fates if isinstance(fate, Deferred))

    @property
    def bounced(self) -> tuple[Bounced, ...]:
        return tuple(fate for fate in self.fates if isinstance(fate, Bounced))

    @property
    def ok(self) -> bool:
        """Whether every recipient's mail was delivered."""
        return len(self.delivered) == len(self.fates)


class Deliverer:
    """Delivers mail; see the top of this file.  One may be used for any number of mails at the same time."""

    def __init__(
        self, *, discover: Discover, courier: Courier, clock: Clock, settings: DeliverySettings
    ) -> None:
        self._discover = discover
        self._courier = courier
        self._clock = clock
        self._settings = settings

    async def deliver(self, mail: Mail) -> Delivery:
        """Deliver to all recipients; trouble of any other side is in what comes back."""
        recipients = tuple(dict.fromkeys(mail.recipients))
        if mail.message.hops > MAX_HOPS:
            return Delivery(fates=tuple(map(_goes_round, recipients)), sessions=())
        until = asyncio.get_running_loop().time() + self._settings.seconds
        turns = asyncio.Semaphore(MAX_DOMAINS)

        async def one(group: tuple[Mailbox, ...]) -> _Route:
            async with turns:
                route = _Route(self._courier, self._clock, self._settings, until)
                part = msgspec.structs.replace(mail, recipients=group)
                await route.go(self._discover, part)
                return route

        async with asyncio.TaskGroup() as together:
            tasks = [together.create_task(one(group)) for group in _groups(recipients)]
        routes = [task.result() for task in tasks]
        fates = {recipient: fate for route in routes for recipient, fate in route.fates.items()}
        return Delivery(
            fates=tuple(fates[recipient] for recipient in recipients),
            sessions=tuple(session for route in routes for session in route.sessions),
            discoveries=tuple(route.discovery for route in routes if route.discovery is not None),
        )


def _groups(recipients: Sequence[Mailbox]) -> Iterator[tuple[Mailbox, ...]]:
    """Recipients of one domain go together; those who need SMTPUTF8 apart, so that others do not depend on it."""
    groups: dict[tuple[str, bool], list[Mailbox]] = {}
    for recipient in recipients:
        groups.setdefault((recipient.domain, recipient.is_ascii), []).append(recipient)
    return map(tuple, groups.values())


def _goes_round(recipient: Mailbox) -> Bounced:
    reason = Reason(f"it has passed more than {MAX_HOPS} mail servers, so it goes round", "RFC 5321 §6.3")
    return Bounced(recipient=str(recipient), reasons=(reason,), status="5.4.6")


class _Stop(msgspec.Struct, frozen=True):
    """One MX host on the way, and what it is held to."""

    domain: HostName
    owed: HostRequirement
    lookup: TlsaLookup
    policy: Policy | None
    """The MTA-STS policy that holds, in whatever mode."""


class _Route:
    """One mail on its way to the recipients of one domain."""

    def __init__(self, courier: Courier, clock: Clock, settings: DeliverySettings, until: float) -> None:
        self.fates: dict[Mailbox, Fate] = {}
        self.sessions: list[SessionResult] = []
        self.discovery: Discovery | None = None
        self._courier = courier
        self._clock = clock
        self._settings = settings
        self._until = until
        self._obstacles: dict[Mailbox, list[Obstacle]] = {}
        self._visits = 0

    async def go(self, discover: Discover, mail: Mail) -> None:
        """Decide the fate of each recipient of `mail`, who are all of one domain."""
        self._obstacles = {recipient: [] for recipient in mail.recipients}
        domain = mail.recipients[0].domain
        if isinstance(domain, Address):
            await self._go_to_literal(domain, mail)
        else:
            await self._find_out(discover, domain)
            if self.discovery is not None:
                await self._go_to_hosts(self.discovery, domain, mail)
        for recipient in self._pending():
            self.fates[recipient] = without_fate(recipient, self._obstacles[recipient])

    # --- bookkeeping ---

    def _pending(self) -> tuple[Mailbox, ...]:
        """Who has no fate yet."""
        return tuple(recipient for recipient in self._obstacles if recipient not in self.fates)

    def _note(self, reason: Reason) -> None:
        """Something is in the way of all who have no fate yet."""
        for recipient in self._pending():
            self._obstacles[recipient].append(Obstacle(reason))

    def _seconds_left(self) -> float:
        return max(0.0, self._until - asyncio.get_running_loop().time())

    # --- where to ---

    async def _find_out(self, discover: Discover, domain: HostName) -> None:
        try:
            async with asyncio.timeout(self._seconds_left()):
                self.discovery = await discover(NextHop(host=domain))
        except TimeoutError:
            self._note(Reason(f"what {domain} demands could not be found out in time"))
        except Fault as fault:
            # Ours: no resolver, no store.  Who cannot know what is demanded delivers nothing.
            self._note(Reason(f"what {domain} demands cannot be found out here: {fault}"))

    async def _go_to_literal(self, address: Address, mail: Mail) -> None:
        """RFC 5321 §4.1.3: nothing is promised about an address, so TLS is used if it is offered."""
        proof = Reason("nothing is promised about an address", "RFC 8461 §3.4")
        for use in (TlsUse.IF_OFFERED, TlsUse.NONE):
            errand = self._errand(None, address, use, None, mail)
            visit = await self._visit(errand, Level.OPPORTUNISTIC, lambda _: Admitted(proof=proof))
            if visit is None or not may_go_in_clear(Level.OPPORTUNISTIC, visit):
                return

    async def _go_to_hosts(self, discovery: Discovery, domain: HostName, mail: Mail) -> None:
        decision = discovery.decision
        policy = decision.policy.policy if decision.policy is not None else None
        self.sessions += of_discovery(domain, discovery.mx, discovery.sts, policy, at=self._clock.now())
        if decision.course is Course.BOUNCE:
            status = bounce_status(discovery.mx)
            for recipient in mail.recipients:
                self.fates[recipient] = Bounced(
                    recipient=str(recipient), reasons=decision.reasons, status=status
                )
            return
        if not decision.hosts:
            for reason in decision.reasons:
                self._note(reason)
        lookups = {known.name: known.tlsa for known in discovery.hosts}
        for owed in _in_order(decision.hosts, self._settings.shuffle):
            if not self._pending():
                return
            stop = _Stop(domain, owed, lookups[owed.host], policy)
            if owed.level is Level.SKIP:
                self._pass_over(stop)
            else:
                await self._try_host(stop, mail)

    def _pass_over(self, stop: _Stop) -> None:
        why = stop.owed.reasons[-1]
        self._note(Reason(f"{stop.owed.host}: {why.text}", why.section))
        counted = of_skipped(stop.domain, stop.owed, stop.lookup, stop.policy, at=self._clock.now())
        if counted is not None:
            self.sessions.append(counted)

    # --- one host ---

    async def _try_host(self, stop: _Stop, mail: Mail) -> None:
        """One address after the other, each on the host's terms."""
        for address in stop.lookup.addresses:
            use = tls_use(stop.owed.level)
            visit = await self._try_address(stop, address, use, mail)
            if visit is not None and may_go_in_clear(stop.owed.level, visit):
                visit = await self._try_address(stop, address, TlsUse.NONE, mail)
            if not self._pending():
                return

    async def _try_address(self, stop: _Stop, address: Address, use: TlsUse, mail: Mail) -> Visit | None:
        owed = stop.owed

        def judge(handshake: Handshake) -> Admission:
            return admit(owed, stop.policy, handshake, roots=self._settings.roots, at=self._clock.now())

        # RFC 7672 §8.1: with DANE the TLSA base domain goes into SNI; RFC 8461 §7.1: with MTA-STS the MX host.
        errand = self._errand(owed.host, address, use, owed.base_domain or owed.host, mail)
        visit = await self._visit(errand, owed.level, judge, sealing=seals(owed))
        if visit is not None:
            counted = of_visit(stop.domain, owed, stop.lookup, stop.policy, visit=visit, at=self._clock.now())
            if counted is not None:
                self.sessions.append(counted)
        return visit

    def _errand(
        self, host: HostName | None, address: Address, use: TlsUse, sni: HostName | None, mail: Mail
    ) -> Errand:
        return Errand(
            host=host,
            address=address,
            tls=use,
            sni=sni,
            mail=msgspec.structs.replace(mail, recipients=self._pending()),
            seconds=self._seconds_left(),
        )

    async def _visit(
        self, errand: Errand, level: Level, judge: Callable[[Handshake], Admission], *, sealing: bool = False
    ) -> Visit | None:
        """Run an errand and note what came of it; None: there was no session, for a reason of ours."""
        if self._visits >= MAX_SESSIONS:
            self._note(Reason(f"{MAX_SESSIONS} sessions are enough for one attempt"))
            return None
        if errand.seconds <= 0:
            self._note(Reason(f"the time for one attempt, {self._settings.seconds:g} seconds, is up"))
            return None
        if not (self._settings.allow_local or errand.address.is_elsewhere):
            self._note(
                Reason(f"{errand.address} is this machine or its link, and no MX host", "RFC 5321 §5.1")
            )
            return None
        self._visits += 1
        try:
            visit = await self._courier.visit(errand, judge)
        except Fault as fault:
            # Ours, for instance no CA to trust.  Nothing was mailed: only a verdict can raise in a session.
            self._note(Reason(f"this machine cannot judge {errand.host or errand.address}: {fault}"))
            return None
        recipients = errand.mail.recipients
        outcomes = settle(visit, level, recipients, seals=sealing)
        for recipient, outcome in zip(recipients, outcomes, strict=True):
            if isinstance(outcome, Obstacle):
                self._obstacles[recipient].append(outcome)
            else:
                self.fates[recipient] = _with_history(outcome, self._obstacles[recipient])
        return visit


def _with_history(fate: Fate, obstacles: Sequence[Obstacle]) -> Fate:
    """A deferred mail tells what was tried before as well."""
    if not isinstance(fate, Deferred):
        return fate
    earlier = dict.fromkeys(obstacle.reason for obstacle in obstacles)
    return msgspec.structs.replace(fate, reasons=(*fate.reasons, *earlier))


def _in_order(hosts: Sequence[HostRequirement], shuffle: Shuffle) -> Iterator[HostRequirement]:
    """By preference, and within one preference in random order (RFC 5321 §5.1)."""
    for _, equals in itertools.groupby(
        sorted(hosts, key=lambda host: host.preference), key=lambda host: host.preference
    ):
        group = list(equals)
        shuffle(group)
        yield from group
