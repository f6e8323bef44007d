"""What `mxseal check` does: look at one domain from all sides, and judge nothing.

    examiner = Examiner(ports, Settings(…))
    evidence = await examiner.examine(HostName("example.com"))

Politely and all at once: DNS, the policy and the MX hosts are asked side by
side, but an MX host sees one session after the other, an address that many
hosts share a few at the same time (Postfix refuses a client's fifty-first),
the number of hosts and addresses is bounded, and hosts that many domains share
are asked once for all of them.  What a limit left out is part of the evidence.
"""

import asyncio
from collections.abc import Awaitable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar
from weakref import WeakValueDictionary

from mxseal.journeys.ask_all_servers import ask_all_servers
from mxseal.journeys.find_tlsa import find_tlsa
from mxseal.journeys.ports import (
    AuthoritativeServers,
    Clock,
    MxHosts,
    PolicyHosts,
    ReportEndpoints,
    Resolver,
)
from mxseal.standards import mta_sts, tlsrpt
from mxseal.standards.certificate import parse_certificate
from mxseal.standards.dane import tlsa_name
from mxseal.vocabulary.names import Address, HostName, InvalidName
from mxseal.vocabulary.observations import (
    Answer,
    AuthoritativeAnswer,
    EndpointReached,
    Evidence,
    FetchStage,
    Handshake,
    KeyKind,
    MxHostEvidence,
    Outcome,
    PolicyFetch,
    PolicyFetchFailed,
    RecordType,
    Security,
    SmtpSession,
    Stage,
    TlsaLookup,
    TlsaState,
    Unreachable,
)
from mxseal.vocabulary.rejection import Rejection

Value = TypeVar("Value")

_KINDS_LEFT: Final = {"RSA": (KeyKind.ECDSA,), "ECDSA": (KeyKind.RSA,)}
"""Which kinds are still to be asked for, once a certificate of this kind was seen."""

_KEPT_HOSTS: Final = 4096

_AT_ONE_ADDRESS: Final = 4


@dataclass(frozen=True, kw_only=True)
class Ports:
    """The world, as far as `check` touches it; see `journeys.ports`."""

    clock: Clock
    resolver: Resolver
    mx_hosts: MxHosts
    policy_hosts: PolicyHosts
    report_endpoints: ReportEndpoints
    authoritative: AuthoritativeServers


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Limits and wishes; the defaults are meant for the open internet."""

    max_hosts: int = 12
    max_addresses: int = 8
    """For each MX host."""
    max_endpoints: int = 5
    max_sessions: int = 64
    """SMTP sessions at the same time, over all domains."""
    seconds: float = 120.0
    """For one domain as a whole; what is not known by then counts as not answered."""
    all_servers: bool = False
    """Ask every authoritative server for MX and TLSA records."""
    smtp_port: int = 25
    roots: tuple[bytes, ...] | None = None
    """Trust anchors in DER for the evidence; None: the system's."""
    private_allowed: bool = False


@dataclass
class _Examination:
    """One domain: when it has to be over, and what was left out."""

    domain: HostName
    deadline: float
    left_out: list[str] = field(default_factory=list)

    async def within(self, work: Awaitable[Value], otherwise: Value, what: str) -> Value:
        """The result of `work`, or `otherwise` if the time is over first."""
        try:
            async with asyncio.timeout_at(self.deadline):
                return await work
        except TimeoutError:
            self.left_out.append(f"{what}: the time for this domain was over")
            return otherwise


class Examiner:
    """Examines domains, any number of them at the same time; remembers MX hosts that domains share."""

    def __init__(self, ports: Ports, settings: Settings) -> None:
        self._ports = ports
        self._settings = settings
        self._sessions = asyncio.Semaphore(settings.max_sessions)
        self._at_address: WeakValueDictionary[Address, asyncio.Semaphore] = WeakValueDictionary()
        # Providers' MX hosts serve thousands of domains; one look at each is enough.
        self._seen: dict[
            tuple[HostName, Address, HostName | None], asyncio.Task[tuple[SmtpSession, ...]]
        ] = {}

    async def examine(self, domain: HostName) -> Evidence:
        """All that can be seen of `domain` from outside; nothing is mailed."""
        examination = _Examination(domain, asyncio.get_running_loop().time() + self._settings.seconds)
        at = self._ports.clock.now()
        (record, policy_host, fetch), (reports, endpoints), (mx, hosts) = await asyncio.gather(
            self._mta_sts(examination), self._tlsrpt(examination), self._mail(examination)
        )
        stray, servers = await asyncio.gather(
            self._stray(examination, hosts), self._all_servers(examination, hosts)
        )
        return Evidence(
            domain=domain,
            at=at,
            mx=mx,
            hosts=hosts,
            sts_record=record,
            policy_fetch=fetch,
            policy_host=policy_host,
            tlsrpt_record=reports,
            report_endpoints=endpoints,
            stray_tlsa=stray,
            authoritative=servers,
            left_out=tuple(sorted(examination.left_out)),
            private_allowed=self._settings.private_allowed,
            smtp_port=self._settings.smtp_port,
            roots=self._settings.roots,
        )

    # --- DNS ---------------------------------------------------------------------------------------

    async def _resolve(self, examination: _Examination, name: str, record_type: RecordType) -> Answer:
        if len(name) > 253:
            # RFC 1035 §2.3.4: "_mta-sts." before a very long domain is no name, so nothing is there.
            reason = "longer than a name can be"
            return Answer(name, record_type, Outcome.NO_NAME, Security.SECURE, reason=reason)
        return await examination.within(
            self._ports.resolver.resolve(name, record_type),
            _unanswered(name, record_type),
            f"{name} {record_type}",
        )

    async def _mta_sts(
        self, examination: _Examination
    ) -> tuple[Answer, tuple[Answer, ...], PolicyFetch | None]:
        domain = examination.domain
        record = await self._resolve(examination, mta_sts.record_name(domain), RecordType.TXT)
        if not record.found or not isinstance(mta_sts.select_record(record.texts()), mta_sts.Record):
            return record, (), None
        try:
            host = mta_sts.policy_host(domain)
        except InvalidName:
            # RFC 8461 §3.3 cannot be followed for a name that leaves no room for "mta-sts.".
            return record, (), None
        url = mta_sts.policy_url(domain)
        failed = PolicyFetchFailed(domain, url, FetchStage.TIMEOUT, "the time for this domain was over")
        ipv6, ipv4, fetch = await asyncio.gather(
            self._resolve(examination, host, RecordType.AAAA),
            self._resolve(examination, host, RecordType.A),
            examination.within(self._ports.policy_hosts.fetch(domain), failed, url),
        )
        return record, (ipv6, ipv4), fetch

    async def _tlsrpt(self, examination: _Examination) -> tuple[Answer, tuple[EndpointReached, ...]]:
        answer = await self._resolve(examination, tlsrpt.record_name(examination.domain), RecordType.TXT)
        record = tlsrpt.select_record(answer.texts()) if answer.found else None
        if not isinstance(record, tlsrpt.Record):
            return answer, ()
        # Those that senders pass over too, since their owner waits for reports there.
        uris = list(dict.fromkeys(record.rua + record.passed_over))[: self._settings.max_endpoints]
        reached = await asyncio.gather(
            *(
                examination.within(
                    self._ports.report_endpoints.reach(uri),
                    EndpointReached(uri, None, "not tried: the time for this domain was over"),
                    f"report destination {uri}",
                )
                for uri in uris
            )
        )
        return answer, tuple(reached)

    async def _stray(self, examination: _Examination, hosts: Sequence[MxHostEvidence]) -> tuple[Answer, ...]:
        """TLSA records at wrong places, asked for only if some are missing at the right ones."""
        names = list(dict.fromkeys(_stray_names(examination.domain, hosts)))
        return tuple(
            await asyncio.gather(*(self._resolve(examination, name, RecordType.TLSA) for name in names))
        )

    async def _all_servers(
        self, examination: _Examination, hosts: Sequence[MxHostEvidence]
    ) -> tuple[AuthoritativeAnswer, ...]:
        if not self._settings.all_servers:
            return ()
        questions = [(str(examination.domain), RecordType.MX)]
        for host in hosts:
            asked = [q.name for q in host.tlsa.questions if q.record_type is RecordType.TLSA]
            questions += [(name, RecordType.TLSA) for name in asked]
        return await examination.within(
            ask_all_servers(
                self._ports.resolver,
                self._ports.authoritative,
                dict.fromkeys(questions),
                private_allowed=self._settings.private_allowed,
            ),
            (),
            "authoritative servers",
        )

    # --- mail --------------------------------------------------------------------------------------

    async def _mail(self, examination: _Examination) -> tuple[Answer, tuple[MxHostEvidence, ...]]:
        mx = await self._resolve(examination, examination.domain, RecordType.MX)
        destinations = list(_destinations(examination.domain, mx))
        chosen = destinations[: self._settings.max_hosts]
        examination.left_out += [
            f"MX host {name}: more than {self._settings.max_hosts} MX hosts"
            for _, name in destinations[len(chosen) :]
        ]
        hosts = await asyncio.gather(
            *(self._host(examination, name, preference) for preference, name in chosen)
        )
        return mx, tuple(hosts)

    async def _host(self, examination: _Examination, name: HostName, preference: int) -> MxHostEvidence:
        lookup = await examination.within(
            find_tlsa(self._ports.resolver, name),
            TlsaLookup(
                name,
                TlsaState.FAILED,
                _unanswered(name, RecordType.A),
                _unanswered(name, RecordType.AAAA),
                reason="no answer in time",
            ),
            f"TLSA records of {name}",
        )
        addresses = lookup.addresses
        chosen = _mixed(addresses)[: self._settings.max_addresses]
        examination.left_out += [
            f"{name} [{address}]: more than {self._settings.max_addresses} addresses"
            for address in addresses
            if address not in chosen
        ]
        usable = [a for a in chosen if a.is_global or self._settings.private_allowed]
        sni = lookup.base_domain or name
        probed = await asyncio.gather(
            *(
                examination.within(
                    asyncio.shield(self._look_once(name, address, sni)),
                    (self._no_time(name, address, sni),),
                    f"{name} [{address}]",
                )
                for address in usable
            )
        )
        return MxHostEvidence(name, preference, lookup, tuple(s for sessions in probed for s in sessions))

    def _look_once(
        self, host: HostName, address: Address, sni: HostName
    ) -> asyncio.Task[tuple[SmtpSession, ...]]:
        key = (host, address, sni)
        task = self._seen.get(key)
        if task is None:
            if len(self._seen) >= _KEPT_HOSTS:
                oldest = next((kept for kept, done in self._seen.items() if done.done()), None)
                if oldest is not None:
                    del self._seen[oldest]
            task = asyncio.ensure_future(self._look(host, address, sni))
            self._seen[key] = task
        return task

    async def _look(self, host: HostName, address: Address, sni: HostName) -> tuple[SmtpSession, ...]:
        """One session, and one more for each kind of certificate that it did not show."""
        turns = self._at_address.setdefault(address, asyncio.Semaphore(_AT_ONE_ADDRESS))
        async with turns, self._sessions:
            probe = self._ports.mx_hosts.probe
            sessions = [await probe(host, address, sni=sni)]
            outcome = sessions[0].outcome
            if isinstance(outcome, Handshake):
                sessions += [
                    await probe(host, address, sni=sni, key_kind=kind) for kind in _kinds_left(outcome)
                ]
            return tuple(sessions)

    def _no_time(self, host: HostName, address: Address, sni: HostName) -> SmtpSession:
        outcome = Unreachable(Stage.CONNECT, "no session within the time for this domain")
        return SmtpSession(host, address, self._settings.smtp_port, outcome, sni)


def _destinations(domain: HostName, mx: Answer) -> Iterable[tuple[int, HostName]]:
    """The MX hosts by preference (RFC 5321 §5.1); the domain itself if there is no MX record."""
    if mx.outcome is Outcome.NO_DATA:
        # An alias leads to the name whose MX records were asked for, and with none, to its addresses.
        return [(0, domain)]
    named = {record.exchange: record.preference for record in reversed(mx.mx()) if record.exchange}
    return sorted((preference, name) for name, preference in named.items())


def _mixed(addresses: Sequence[Address]) -> list[Address]:
    """IPv6 and IPv4 by turns, so that a limit on their number leaves out neither family."""
    ipv6 = [address for address in addresses if address.version == 6]
    ipv4 = [address for address in addresses if address.version == 4]
    longest = max(len(ipv6), len(ipv4))
    return [a for turn in range(longest) for a in (*ipv6[turn : turn + 1], *ipv4[turn : turn + 1])]


def _kinds_left(outcome: Handshake) -> tuple[KeyKind, ...]:
    leaf = parse_certificate(outcome.chain[0]) if outcome.chain else None
    seen = "" if leaf is None or isinstance(leaf, Rejection) else leaf.key_kind
    return _KINDS_LEFT.get(seen, (KeyKind.RSA, KeyKind.ECDSA))


def _stray_names(domain: HostName, hosts: Sequence[MxHostEvidence]) -> Iterable[str]:
    lacking = [host for host in hosts if host.tlsa.state in (TlsaState.ABSENT, TlsaState.NOT_ASKED)]
    if not lacking:
        return
    mx_names = {host.name for host in hosts}
    if domain not in mx_names:
        yield f"_25._tcp.{domain}"
        yield f"_25._tcp.mta-sts.{domain}"
    for host in lacking[:4]:
        if host.tlsa.state is TlsaState.NOT_ASKED:
            # The right name; whether records wait there for DNSSEC is worth knowing.
            yield tlsa_name(host.name, 25)
        yield host.name


def _unanswered(name: str, record_type: RecordType) -> Answer:
    return Answer(
        name,
        record_type,
        Outcome.FAILED,
        Security.INDETERMINATE,
        reason="no answer in the time for this domain",
    )
