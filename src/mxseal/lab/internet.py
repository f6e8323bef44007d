"""`Lab`: the small internet itself, built from the table of scenarios.

Everything runs on one event loop, on loopback addresses and free high ports.
Each host has an address of its own within 127.0.0.0/8 (one of them ``::1`` as
well), and each service one port that is the same at all hosts; so ``mxseal
check`` only has to be told the ports.
"""

import asyncio
import errno
import hashlib
import os
import secrets
import shutil
import socket
import ssl
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset
from cryptography.hazmat.primitives.asymmetric import rsa

from mxseal.adapters.clock import SystemClock
from mxseal.lab.attacks import SMTP_ATTACKS, Attack
from mxseal.lab.ca import (
    CertificateAuthority,
    Flaw,
    KeyType,
    ServerCertificate,
    new_key,
    spki,
    spki_of,
    to_pem,
)
from mxseal.lab.dns_server import Answerer, DnsServer
from mxseal.lab.mx_hosts import Behaviour, MxHost, ReceivedMail
from mxseal.lab.policy_hosts import Manner, PolicyServer, PolicySite
from mxseal.lab.scenarios import SCENARIOS, Domain, Mx, Of, Scenario, Sts, Tlsa, fleet_domain
from mxseal.lab.zones import TTL, Reply, Signing, Tree, Zone, answer_authoritatively
from mxseal.vocabulary.faults import UnavailableFault
from mxseal.vocabulary.names import Address, HostName
from mxseal.wiring import WorldSettings

_ATTACKER = "mx.attacker.test"
_NAME_SERVERS = ("ns1.hoster.test", "ns2.hoster.test")
_PORT_ATTEMPTS = 20
_BACKLOG = 128
_SHARED_MX = ("mx1.mailhost.test", "mx2.mailhost.test")


class Lab:
    """A small internet on loopback; an asynchronous context manager.

    >>> async with Lab() as lab:            # doctest: +SKIP
    ...     lab.resolver                    # (Address('127.…'), port): DNS for everything below
    ...     lab.attack("good-sts.test", Attack.STRIP_STARTTLS)

    `now` is the time at which certificates and signatures are as the scenarios
    tell (default: the present).  `extra_domains` adds so many well-kept domains
    (`fleet_domain`), which share MX hosts.  `scenarios` picks some of the table.
    Ports are free ones, unless named: programs that know only the ports 25, 53 and
    443 can be pointed at a laboratory within a network namespace.
    """

    def __init__(
        self,
        *,
        now: datetime | None = None,
        extra_domains: int = 0,
        scenarios: Iterable[str] | None = None,
        dns_port: int = 0,
        smtp_port: int = 0,
        https_port: int = 0,
    ) -> None:
        self.now = now or SystemClock().now()
        chosen = SCENARIOS if scenarios is None else {name: SCENARIOS[name] for name in scenarios}
        self.scenarios: dict[str, Scenario] = dict(chosen)
        self.fleet = tuple(HostName(fleet_domain(number)) for number in range(extra_domains))
        self.mail: list[ReceivedMail] = []
        """Every mail that any host, or the attacker, has taken."""
        self.complaints: list[str] = []
        """What went wrong in the laboratory itself, where it runs on a thread of its own (`LabThread`)."""
        self.ca = CertificateAuthority(self.now)
        self.tree = Tree()
        self.dns_port, self.smtp_port, self.https_port = dns_port, smtp_port, https_port
        self._network = f"127.{1 + secrets.randbelow(254)}"
        self._next_address = 1
        self._attacks: dict[dns.name.Name, Attack] = {}
        self._mx: dict[Address, MxHost] = {}
        self._names: dict[str, list[Address]] = {}
        self._domain_hosts: dict[str, list[MxHost]] = {}
        self._certificates: dict[tuple[str, KeyType], ServerCertificate] = {}
        self._servfail: set[tuple[dns.name.Name, dns.rdatatype.RdataType]] = set()
        self._servers: dict[str, dict[dns.name.Name, Zone]] = {}
        self._silent: set[str] = set()
        self._dns: list[DnsServer] = []
        self._listeners: list[asyncio.Server] = []
        self._policies = PolicyServer(self._policy_context)
        self._directory: Path | None = None

    # --- what tests and commands ask for ---

    @property
    def roots(self) -> tuple[bytes, ...]:
        """The CA's root, DER."""
        return (self.ca.root,)

    @property
    def ca_pem(self) -> bytes:
        return to_pem(self.ca.root)

    @property
    def trust_anchor(self) -> str:
        """The root zone's key as zone-file text: a DS record and the DNSKEY."""
        root = self.tree.zone(".")
        return f". {TTL} IN DS {root.ds()}\n. {TTL} IN DNSKEY {root.dnskey}\n"

    @property
    def resolver(self) -> tuple[Address, int]:
        """Where DNS questions go."""
        return self._resolver_address, self.dns_port

    @property
    def world(self) -> WorldSettings:
        """What points any command, and `wiring.World`, at this laboratory while it runs."""
        return WorldSettings(
            resolvers=(self.resolver,),
            trust_anchor=self._home / "root.key",
            ca_file=self._home / "ca.pem",
            smtp_port=self.smtp_port,
            https_port=self.https_port,
            dns_port=self.dns_port,
            allow_private=True,
        )

    @property
    def forging_resolver(self) -> tuple[Address, int]:
        """The same internet, seen through an attacker who forges every domain's answers."""
        return self._forging_address, self.dns_port

    @property
    def policy_host(self) -> Address:
        """The address that all policy hosts share which are up; they are told apart by SNI."""
        return self._policy_address

    def addresses(self, host: str) -> tuple[Address, ...]:
        """The addresses of a host, as its zone has them."""
        return tuple(self._names.get(host, ()))

    def attack(self, domain: str, attack: Attack) -> None:
        """Let the attacker act on a domain, from now on; any earlier attack on it ends."""
        self.calm(domain)
        name = dns.name.from_text(domain)
        self._attacks[name] = attack
        if attack in SMTP_ATTACKS:
            for host in self._hosts_of(domain):
                host.attack = attack
        if attack is Attack.POLICY_HOST_DOWN:
            self._policies.sites[f"mta-sts.{domain}"].attacked = True
        self._forget()

    def calm(self, domain: str) -> None:
        """End the attack on a domain, also one that its scenario began with."""
        self._attacks.pop(dns.name.from_text(domain), None)
        for host in self._hosts_of(domain):
            host.attack = None
        site = self._policies.sites.get(f"mta-sts.{domain}")
        if site is not None:
            site.attacked = False
        self._forget()

    def _hosts_of(self, domain: str) -> list[MxHost]:
        if domain not in self._domain_hosts:
            raise KeyError(f"no domain of the laboratory: {domain}")
        return self._domain_hosts[domain]

    def _forget(self) -> None:
        for server in self._dns:
            server.forget()

    # --- life ---

    async def __aenter__(self) -> Self:
        _require_loopback()
        self._directory = Path(tempfile.mkdtemp(prefix="mxseal-lab-"))
        try:
            self._build()
            await self._listen()
            (self._home / "ca.pem").write_bytes(self.ca_pem)
            (self._home / "root.key").write_text(self.trust_anchor)
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._stop()

    async def _stop(self) -> None:
        for server in self._dns:
            await server.stop()
        for listener in self._listeners:
            listener.close()
        for host in self._mx.values():
            for session in tuple(host.sessions):
                session.abort()
        for https in tuple(self._policies.sessions):
            https.abort()
        # One round of the loop each for the transports' connection_lost and for closing their sockets.
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        if self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)

    # --- building the internet ---

    def _build(self) -> None:
        self._resolver_address = self._new_address()
        self._forging_address = self._new_address()
        self._policy_address = self._new_address()
        self._attacker_context = self._context(self.ca.issue(_ATTACKER, flaw=Flaw.UNKNOWN_CA))
        root = self._zone(".", Signing.ECDSA, ("ns.root-servers.test",))
        top = self._zone("test", Signing.ECDSA, ("ns.nic.test",))
        self._server_address(top, "ns.root-servers")
        self._server_address(top, "ns.nic")
        for name, scenario in self.scenarios.items():
            if not scenario.domain.exists:
                continue
            self._add_domain(name, scenario.domain)
            if scenario.domain.attack is not None:
                self.attack(name, scenario.domain.attack)
        self._add_infrastructure()
        for name in self.fleet:
            self._add_fleet_domain(name)
        for zone in list(self.tree):
            if zone.apex not in (root.apex, top.apex):
                servers = self._name_servers(zone)
                glue = {server: str(self._names[server][0]) for server in servers}
                top.delegate(zone, servers, glue)
        root.delegate(top, ("ns.nic.test",), {"ns.nic.test": str(self._names["ns.nic.test"][0])})

    def _zone(self, apex: str, signing: Signing, servers: Sequence[str]) -> Zone:
        zone = Zone(apex, now=self.now, signing=signing)
        zone.add("@", "SOA", f"{servers[0]}. hostmaster.hoster.test. 2026112301 3600 900 1209600 {TTL}")
        zone.add("@", "NS", *(f"{server}." for server in servers))
        self.tree.add(zone)
        for server in servers:
            self._servers.setdefault(server, {})[zone.apex] = zone
        return zone

    def _name_servers(self, zone: Zone) -> list[str]:
        return sorted(server for server, zones in self._servers.items() if zone.apex in zones)

    def _add_infrastructure(self) -> None:
        hoster = self._zone("hoster.test", Signing.ECDSA, _NAME_SERVERS)
        for server in ("ns1", "ns2"):
            self._server_address(hoster, server)
        self._add_domain("reports.test", Domain(sts=Sts()))
        self._add_domain("attacker.test", Domain(signing=Signing.NONE, hosts=(Mx(name="mx"),), tlsrpt=()))
        provider = Domain(signing=Signing.NONE, hosts=(Mx(name="mx"),))
        zone = self._add_domain("provider.test", provider)
        zone.add("policy", "A", str(self._policy_address))
        if self.fleet:
            tlsa = (Tlsa(), Tlsa(of=Of.NEXT_KEY))
            hosts = (Mx(tlsa=tlsa), Mx(name="mx2", preference=20, tlsa=tlsa))
            self._add_domain("mailhost.test", Domain(hosts=hosts, sts=Sts()))

    def _server_address(self, zone: Zone, label: str) -> None:
        """Give a name server its address."""
        name = f"{label}.{zone.apex.to_text(omit_final_dot=True)}"
        address = self._new_address()
        self._names[name] = [address]
        zone.add(label, "A", str(address))

    def _add_fleet_domain(self, name: HostName) -> None:
        zone = self._zone(name, Signing.ECDSA, _NAME_SERVERS)
        zone.add("@", "MX", *(f"{10 * n} {host}." for n, host in enumerate(_SHARED_MX, 1)))
        self._add_reporting(zone, Domain())
        self._add_sts(name, zone, Sts(mx=_SHARED_MX), _SHARED_MX)
        self._domain_hosts[name] = []

    def _add_domain(self, name: str, domain: Domain) -> Zone:
        servers: Sequence[str] = _NAME_SERVERS
        own_servers = bool(domain.lagging or domain.silent_server)
        if own_servers:
            servers = (f"ns1.{name}", f"ns2.{name}")
        zone = self._zone(name, domain.signing, servers)
        if own_servers:
            self._server_address(zone, "ns1")
            self._server_address(zone, "ns2")
        self._domain_hosts[name] = []
        for host in domain.hosts:
            self._add_host(name, zone, host, domain)
        mx = domain.mx
        if mx is None:
            mx = tuple(f"{host.preference} {host.name}" for host in domain.hosts)
        if mx:
            zone.add("@", "MX", *mx)
        self._add_reporting(zone, domain)
        if domain.sts is not None:
            self._add_sts(name, zone, domain.sts, [_full(host.name, name) for host in domain.hosts])
        self._add_exceptions(zone, domain, servers)
        return zone

    def _add_exceptions(self, zone: Zone, domain: Domain, servers: Sequence[str]) -> None:
        """What makes this zone different from a well-kept one."""
        for owner, rdtype, text in domain.records:
            zone.add(owner, rdtype, text)
        for owner, rdtype, text in domain.tampered:
            zone.tamper(owner, rdtype, text)
        for owner, rdtype in domain.servfail:
            question = dns.name.from_text(owner, zone.apex), dns.rdatatype.from_text(rdtype)
            self._servfail.add(question)
        if domain.silent_server:
            self._silent.add(servers[1])
        if domain.lagging:
            late = zone.copy(self.now)
            for owner, rdtype, text in domain.lagging:
                late.replace(owner, rdtype, text)
            late.replace(
                "@", "SOA", f"{servers[0]}. hostmaster.hoster.test. 2026110101 3600 900 1209600 {TTL}"
            )
            self._servers[servers[1]][zone.apex] = late

    def _add_reporting(self, zone: Zone, domain: Domain) -> None:
        if domain.tlsrpt:
            zone.add("_smtp._tls", "TXT", *(_quoted(text) for text in domain.tlsrpt))

    # --- MTA-STS ---

    def _add_sts(self, name: str, zone: Zone, sts: Sts, hosts: Sequence[str]) -> None:
        published = self.now - timedelta(days=sts.age_days)
        id_ = published.strftime("%Y%m%dT%H%M%S")
        records = sts.records if sts.records is not None else ("v=STSv1; id={id};",)
        zone.add("_mta-sts", "TXT", *(_quoted(text.replace("{id}", id_)) for text in records))
        if sts.has_address:
            down = sts.manner is Manner.DOWN
            address = self._new_address() if down else self._policy_address
            zone.add("mta-sts", "A", str(address))
        text = sts.text
        if text is None:
            patterns = "".join(f"mx: {pattern}\r\n" for pattern in (sts.mx or hosts))
            text = f"version: STSv1\r\nmode: {sts.mode}\r\n{patterns}max_age: {sts.max_age}\r\n"
        host = f"mta-sts.{name}"
        site = PolicySite(host, text.encode(), sts.manner, sts.flaw, sts.days_left)
        self._policies.sites[host] = site

    def _policy_context(self, site: PolicySite) -> ssl.SSLContext:
        return self._context(self.ca.issue(site.host, flaw=site.flaw, days_left=site.days_left))

    # --- MX hosts ---

    def _add_host(self, domain: str, zone: Zone, host: Mx, settings: Domain) -> None:
        name = _full(host.name, domain)
        certificates = [
            self.ca.issue(
                name,
                flaw=host.flaw,
                key_type=key_type,
                days_left=host.days_left,
                sends_root=host.sends_root,
            )
            for key_type in host.keys
        ]
        if host.has_address:
            self._listen_later(domain, zone, host, self._context(*certificates, behaviour=host.behaviour))
        if host.second_address_down:
            address = self._new_address()
            zone.add(host.name, "A", str(address))
            self._names.setdefault(name, []).append(address)
        if host.second_address_stale:
            stale = self._context(self.ca.issue(name))
            self._listen_later(domain, zone, host, stale)
        if host.tlsa:
            texts = [self._tlsa(tlsa, dict(zip(host.keys, certificates, strict=True))) for tlsa in host.tlsa]
            owner = f"_25._tcp.{host.name}" if host.name != "@" else "_25._tcp"
            if settings.tlsa_alias:
                zone.add(owner, "CNAME", settings.tlsa_alias)
            zone.add(settings.misplaced_tlsa or settings.tlsa_alias or owner, "TLSA", *texts)

    def _listen_later(self, domain: str, zone: Zone, host: Mx, context: ssl.SSLContext) -> None:
        name = _full(host.name, domain)
        addresses = [self._new_address()]
        if host.ipv6 and has_ipv6():
            addresses.append(Address("::1"))
        for address in addresses:
            zone.add(host.name, "AAAA" if address.version == 6 else "A", str(address))
            self._names.setdefault(name, []).append(address)
            mx_host = MxHost(
                name,
                context,
                self._attacker_context,
                self.mail,
                behaviour=host.behaviour,
                hostile=name == _ATTACKER,
            )
            self._mx[address] = mx_host
            self._domain_hosts[domain].append(mx_host)

    def _tlsa(self, tlsa: Tlsa, certificates: dict[KeyType, ServerCertificate]) -> str:
        """One TLSA record in presentation format (RFC 6698 §2.2)."""
        first = next(iter(certificates.values()))
        match tlsa.of:
            case Of.LEAF:
                certificate = first.leaf
            case Of.RSA_LEAF:
                certificate = certificates[KeyType.RSA].leaf
            case Of.ISSUER:
                certificate = first.issuer
            case Of.ROOT:
                certificate = self.ca.root
            case Of.PEM:
                return _tlsa_text(tlsa, to_pem(first.leaf))
            case Of.NOTHING:
                return _tlsa_text(tlsa, b"")
            case Of.NEXT_KEY | Of.OLD_KEY:
                return _tlsa_text(tlsa, spki(new_key(KeyType.ECDSA)))
        return _tlsa_text(tlsa, certificate if tlsa.selector == 0 else spki_of(certificate))

    def _context(
        self, *certificates: ServerCertificate, behaviour: Behaviour = Behaviour.STARTTLS
    ) -> ssl.SSLContext:
        """A server context; OpenSSL takes one certificate of each key type."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        if any(isinstance(one.key, rsa.RSAPrivateKey) and one.key.key_size < 2048 for one in certificates):
            # OpenSSL takes such a key at security level 0 only.
            context.set_ciphers("DEFAULT:@SECLEVEL=0")
        if behaviour is Behaviour.OLD_TLS:
            _only_old_tls(context)
        for certificate in certificates:
            _load(context, certificate.pem(), self._home)
        return context

    @property
    def _home(self) -> Path:
        if self._directory is None:
            raise RuntimeError("the laboratory is not running")
        return self._directory

    # --- answering DNS ---

    def _resolve(self, name: dns.name.Name, kind: dns.rdatatype.RdataType) -> Reply | None:
        for domain, attack in self._attacks.items():
            if attack is Attack.FORGE_DNS and name.is_subdomain(domain):
                forged = self._forge(domain, name, kind)
                if forged is not None:
                    return forged
        if (name, kind) in self._servfail:
            return Reply(rcode=dns.rcode.SERVFAIL)
        return self.tree.resolve(name, kind)

    def _resolve_forged(self, name: dns.name.Name, kind: dns.rdatatype.RdataType) -> Reply | None:
        domain = dns.name.Name(name.labels[-3:])
        infrastructure = domain in map(dns.name.from_text, ("attacker.test", "hoster.test"))
        if len(name) >= 3 and not infrastructure:
            forged = self._forge(domain, name, kind)
            if forged is not None:
                return forged
        return self._resolve(name, kind)

    def _forge(
        self, domain: dns.name.Name, name: dns.name.Name, kind: dns.rdatatype.RdataType
    ) -> Reply | None:
        """The attacker's answer, unsigned; None where he lets the question pass."""
        if kind == dns.rdatatype.MX and name == domain:
            text = f"10 {_ATTACKER}."
        elif kind == dns.rdatatype.A:
            text = str(self._names[_ATTACKER][0])
        elif kind == dns.rdatatype.TLSA:
            text = "3 1 1 " + "ee" * 32
        elif kind == dns.rdatatype.TXT and name.labels[0] == b"_mta-sts":
            return Reply(rcode=dns.rcode.NXDOMAIN)
        else:
            return None
        return Reply(answer=[dns.rrset.from_text(name, TTL, "IN", kind, text)])

    # --- sockets ---

    def _new_address(self) -> Address:
        number, self._next_address = self._next_address, self._next_address + 1
        return Address(f"{self._network}.{number >> 8}.{number & 255}")

    async def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        resolvers: dict[Address, Answerer] = {
            self._resolver_address: self._resolve,
            self._forging_address: self._resolve_forged,
        }
        authoritative = {
            self._names[name][0]: zones for name, zones in self._servers.items() if name not in self._silent
        }
        self.dns_port, dns_sockets = _bind(
            [*resolvers, *authoritative], (socket.SOCK_DGRAM, socket.SOCK_STREAM), self.dns_port
        )
        for address, (udp, tcp) in dns_sockets.items():
            if address in resolvers:
                server = DnsServer(resolvers[address], recursive=True)
            else:
                server = DnsServer(_authority(authoritative[address]))
            self._dns.append(server)
            await server.start(udp, tcp)
        up = [address for address, host in self._mx.items() if host.behaviour is not Behaviour.DOWN]
        self.smtp_port, smtp_sockets = _bind(up, (socket.SOCK_STREAM,), self.smtp_port)
        for address, (listening,) in smtp_sockets.items():
            self._listeners.append(
                await loop.create_server(self._mx[address].session, sock=listening, backlog=_BACKLOG)
            )
        self.https_port, https_sockets = _bind([self._policy_address], (socket.SOCK_STREAM,), self.https_port)
        for (listening,) in https_sockets.values():
            self._listeners.append(
                await loop.create_server(self._policies.session, sock=listening, backlog=_BACKLOG)
            )


class LabThread:
    """A `Lab` on a thread of its own, for callers that are not asynchronous.

    >>> with LabThread() as lab:            # doctest: +SKIP
    ...     subprocess.run(["mxseal", "check", "good-dane.test", …])
    """

    def __init__(self, lab: Lab | None = None) -> None:
        self.lab = lab or Lab()
        self._thread = threading.Thread(target=self._run, name="mxseal-lab", daemon=True)
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._done: asyncio.Event | None = None
        self._failure: BaseException | None = None

    def __enter__(self) -> Lab:
        self._thread.start()
        self._ready.wait()
        if self._failure is not None:
            self._thread.join()
            raise self._failure
        return self.lab

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._loop is not None and self._done is not None:
            self._loop.call_soon_threadsafe(self._done.set)
        self._thread.join()

    def _run(self) -> None:
        try:
            asyncio.run(self._live())
        except BaseException as error:  # noqa: BLE001 - handed over to the thread that waits for it
            self._failure = error
        finally:
            self._ready.set()

    async def _live(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._loop.set_exception_handler(lambda _, context: self.lab.complaints.append(str(context)))
        self._done = asyncio.Event()
        async with self.lab:
            self._ready.set()
            await self._done.wait()


def has_ipv6() -> bool:
    """Whether ``::1`` can be bound on this machine."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def _require_loopback() -> None:
    """Raise `UnavailableFault` where the interface lo is down, as in a fresh network namespace."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect(("127.0.0.1", 9))
    except OSError as error:
        raise UnavailableFault(
            f"the loopback interface cannot be used: {error.strerror}", cure="as root:  ip link set lo up"
        ) from None


def _authority(zones: dict[dns.name.Name, Zone]) -> Callable[[dns.name.Name, dns.rdatatype.RdataType], Reply]:
    return lambda name, kind: answer_authoritatively(zones, name, kind)


def _full(label: str, domain: str) -> str:
    return domain if label == "@" else f"{label}.{domain}"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _tlsa_text(tlsa: Tlsa, data: bytes) -> str:
    digests: dict[int, Callable[[bytes], str]] = {
        0: lambda octets: octets.hex(),
        1: lambda octets: hashlib.sha256(octets).hexdigest(),
        2: lambda octets: hashlib.sha512(octets).hexdigest(),
    }
    return f"{tlsa.usage} {tlsa.selector} {tlsa.matching_type} {digests[tlsa.matching_type](data)}"


def _load(context: ssl.SSLContext, pem: bytes, directory: Path) -> None:
    """Give key and chain to a context, which takes files only: one in memory, where the system has such."""
    if hasattr(os, "memfd_create"):
        with os.fdopen(os.memfd_create("mxseal-lab"), "wb") as file:
            file.write(pem)
            file.flush()
            context.load_cert_chain(f"/proc/self/fd/{file.fileno()}")
        return
    path = directory / "key-and-chain.pem"
    path.touch(mode=0o600)
    path.write_bytes(pem)
    context.load_cert_chain(path)
    path.unlink()


def _only_old_tls(context: ssl.SSLContext) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    # OpenSSL 3 speaks TLS 1.1 at security level 0 only.
    context.set_ciphers("DEFAULT:@SECLEVEL=0")


def _bind(
    addresses: Sequence[Address], kinds: Sequence[socket.SocketKind], wanted: int
) -> tuple[int, dict[Address, list[socket.socket]]]:
    """Bind every address, for every kind of socket, to one port: `wanted`, or if that is 0 one free at all."""
    for _ in range(1 if wanted else _PORT_ATTEMPTS):
        port = wanted
        bound: dict[Address, list[socket.socket]] = {}
        try:
            for address in addresses:
                for kind in kinds:
                    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
                    opened = socket.socket(family, kind)
                    bound.setdefault(address, []).append(opened)
                    opened.setblocking(False)
                    opened.bind((str(address), port))
                    port = opened.getsockname()[1]
        except OSError as error:
            for opened in (each for sockets in bound.values() for each in sockets):
                opened.close()
            if error.errno != errno.EADDRINUSE:
                raise UnavailableFault(
                    f"cannot bind a loopback address: {error}",
                    cure="the laboratory needs the whole of 127.0.0.0/8, as Linux has it on the interface lo",
                ) from error
        else:
            return port, bound
    what = f"port {wanted} is not" if wanted else "no port is"
    raise UnavailableFault(f"{what} free at all addresses of the laboratory", cure="try again")
