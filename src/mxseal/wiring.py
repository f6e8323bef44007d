"""Settings → adapters → journeys: the only file that knows all of them.

Adapters are imported where they are made, because start-up time is part of the
command line's interface.
"""

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

import msgspec

from mxseal.vocabulary.faults import ConfigurationFault, DataFault, Fault
from mxseal.vocabulary.names import Address, HostName

if TYPE_CHECKING:
    from mxseal.adapters.smtp import Patience
    from mxseal.config import Settings
    from mxseal.decisions.checkup import Judgement
    from mxseal.decisions.overrides import Overrides
    from mxseal.journeys.answer_mta import PolicyService
    from mxseal.journeys.deliver import Deliverer
    from mxseal.journeys.examine_domain import Examiner
    from mxseal.journeys.ports import (
        AuthoritativeServers,
        Clock,
        MxHosts,
        PolicyHosts,
        PolicyStore,
        ReportEndpoints,
        Resolver,
    )
    from mxseal.standards.certificate import Roots

_MAX_CA_FILE: Final = 16 << 20
_MAX_OVERRIDES: Final = 16 << 20


class WorldSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Where the world is; the defaults are the real internet's."""

    resolvers: tuple[tuple[Address, int], ...] = ()
    """DNS resolvers to ask, in order; empty: those of resolv.conf."""
    trust_anchor: Path | None = None
    """A file with DS or DNSKEY records of the root; None: the built-in ones."""
    trust_ad: bool | Literal["unproved"] = False
    """Take the AD bit of the resolvers instead of validating (docs/architecture.md, rule 4)."""
    ca_file: Path | None = None
    """A PEM file with the trusted CAs; None: the system's."""
    smtp_port: int = 25
    https_port: int = 443
    dns_port: int = 53
    """Of authoritative servers."""
    allow_private: bool = False
    timeout: float = 10.0
    """Seconds for each lookup, connection and session."""


class World:
    """The adapters that touch the world as it is; each satisfies a port and is made when first used."""

    def __init__(self, settings: WorldSettings) -> None:
        self.settings: Final = settings

    @cached_property
    def clock(self) -> "Clock":
        from mxseal.adapters.clock import SystemClock

        return SystemClock()

    @cached_property
    def roots(self) -> tuple[bytes, ...] | None:
        """The trusted CAs, DER; None: the system's."""
        path = self.settings.ca_file
        return None if path is None else read_ca_file(path)

    @cached_property
    def judging_roots(self) -> "Roots":
        """The same as trust anchors for our own path building, the system's read from where OpenSSL has them."""
        from mxseal.adapters.ca_store import system_roots
        from mxseal.standards.certificate import Roots

        return Roots(system_roots() if self.roots is None else self.roots)

    @cached_property
    def resolver(self) -> "Resolver":
        from mxseal.adapters.dns import open_resolver

        settings = self.settings
        return open_resolver(
            [
                f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"
                for address, port in settings.resolvers
            ],
            trust_anchor_file=settings.trust_anchor,
            trust_ad=settings.trust_ad,
            timeout=settings.timeout,
        )

    @cached_property
    def authoritative(self) -> "AuthoritativeServers":
        from mxseal.adapters.dns import AuthoritativeClient

        return AuthoritativeClient(port=self.settings.dns_port, timeout=self.settings.timeout)

    @cached_property
    def policy_hosts(self) -> "PolicyHosts":
        from mxseal.adapters.https import PolicyFetcher

        return PolicyFetcher(
            self.resolver,
            roots=self.roots,
            allow_private=self.settings.allow_private,
            port=self.settings.https_port,
            # Time for a second address where the first one is silent.
            timeout=2 * self.settings.timeout,
            address_timeout=self.settings.timeout,
        )

    @cached_property
    def mx_hosts(self) -> "MxHosts":
        from mxseal.adapters.smtp import SmtpProber

        return SmtpProber(
            port=self.settings.smtp_port,
            timeout=2 * self.settings.timeout,
            stage_timeout=self.settings.timeout,
        )

    @cached_property
    def report_endpoints(self) -> "ReportEndpoints":
        from mxseal.adapters.https import ReportEndpointProber

        return ReportEndpointProber(
            self.resolver,
            roots=self.roots,
            allow_private=self.settings.allow_private,
            timeout=self.settings.timeout,
        )

    def examiner(self, *, all_servers: bool = False) -> "Examiner":
        """The journey of `mxseal check`, for any number of domains."""
        from mxseal.journeys.examine_domain import Examiner, Ports, Settings

        ports = Ports(
            clock=self.clock,
            resolver=self.resolver,
            mx_hosts=self.mx_hosts,
            policy_hosts=self.policy_hosts,
            report_endpoints=self.report_endpoints,
            authoritative=self.authoritative,
        )
        settings = Settings(
            # Some steps wait for one another: addresses, two sessions, a second address family.
            seconds=12 * self.settings.timeout,
            all_servers=all_servers,
            smtp_port=self.settings.smtp_port,
            roots=self.roots,
            private_allowed=self.settings.allow_private,
        )
        return Examiner(ports, settings)

    @asynccontextmanager
    async def deliverer(
        self,
        policies: "PolicyStore",
        *,
        ehlo_name: HostName | None = None,
        seconds: float = 900.0,
        patience: "Patience | None" = None,
    ) -> "AsyncIterator[Deliverer]":
        """Our own delivery, for any number of mails on one event loop.

        Args:
            policies: the memory of MTA-STS policies, which is worth keeping.
            ehlo_name: what we call ourselves; see `adapters.smtp.SmtpProber`.
            seconds: for one mail.
            patience: with other servers; the default is RFC 5321's.
        """
        from mxseal.adapters.smtp import SmtpCourier
        from mxseal.journeys.deliver import Deliverer, DeliverySettings, discovering
        from mxseal.journeys.follow_policies import Limits, PolicyKeeper

        # Nobody waits for an answer within seconds here, as an MTA does: mail can wait for a fetch.
        limits = Limits(lookup=6 * self.settings.timeout, fetch=60.0)
        keeper = PolicyKeeper(
            resolver=self.resolver,
            policy_hosts=self.policy_hosts,
            store=policies,
            clock=self.clock,
            limits=limits,
        )
        try:
            yield Deliverer(
                discover=discovering(resolver=self.resolver, keeper=keeper, clock=self.clock),
                courier=SmtpCourier(port=self.settings.smtp_port, ehlo_name=ehlo_name, patience=patience),
                clock=self.clock,
                settings=DeliverySettings(
                    roots=lambda: self.judging_roots,
                    seconds=seconds,
                    allow_local=self.settings.allow_private,
                ),
            )
        finally:
            await keeper.close()


def world_settings(settings: "Settings") -> WorldSettings:
    """Where the world is, as the configuration says; raises `ConfigurationFault` for what cannot be used."""
    from mxseal.adapters.dns import parse_server

    try:
        resolvers = tuple(parse_server(text) for text in settings.dns.resolvers)
    except Fault as fault:
        raise ConfigurationFault(f"dns.resolvers: {fault}", cure=fault.cure) from None
    if settings.dns.trust_ad != "no" and not resolvers:
        raise ConfigurationFault(
            "dns.trust_ad needs to know whose word to take",
            cure="name the validating resolver in dns.resolvers",
        )
    return WorldSettings(
        resolvers=resolvers,
        trust_anchor=Path(settings.dns.trust_anchor) if settings.dns.trust_anchor else None,
        trust_ad="unproved" if settings.dns.trust_ad == "unproved" else settings.dns.trust_ad == "yes",
        ca_file=Path(settings.policies.ca_file) if settings.policies.ca_file else None,
        https_port=settings.policies.https_port,
        allow_private=settings.policies.allow_private,
        timeout=settings.dns.timeout,
    )


def read_overrides(settings: "Settings") -> "Overrides":
    """The policies that the administrator has set; raises `ConfigurationFault` with the line and place."""
    from mxseal.decisions.overrides import Overrides, parse_overrides
    from mxseal.vocabulary.rejection import Rejection

    name = settings.serve.overrides
    if not name:
        return Overrides()
    try:
        with Path(name).open(encoding="utf-8") as file:
            text = file.read(_MAX_OVERRIDES + 1)
    except OSError as error:
        raise ConfigurationFault(f"{name}: {error.strerror or error}", cure="see serve.overrides") from None
    except UnicodeDecodeError:
        raise ConfigurationFault(f"{name}: not UTF-8", cure="write it in UTF-8") from None
    if len(text) > _MAX_OVERRIDES:
        raise ConfigurationFault(
            f"{name}: larger than {_MAX_OVERRIDES} characters", cure="see serve.overrides"
        )
    read = parse_overrides(text)
    if isinstance(read, Rejection):
        raise ConfigurationFault(
            f"{name}: {read.with_caret()}", cure="a line is: next-hop, blanks, and a policy, notfound or temp"
        )
    return read


class PolicyAnswers(NamedTuple):
    """What answers MTAs, and its parts that somebody else has to run or look at."""

    service: "PolicyService"
    refresh: Callable[[], Awaitable[None]]
    """Keeps policies fresh; runs until it is cancelled."""
    store: "PolicyStore"


@asynccontextmanager
async def open_policy_answers(
    settings: "Settings", world: World, *, changed: Callable[[HostName], None]
) -> AsyncIterator[PolicyAnswers]:
    """The journey that answers MTAs, with the store that the configuration names; raises a `Fault`.

    `changed` is called when all answers for a policy domain have to be forgotten.
    """
    from mxseal.adapters.clock import EventLoopSleeper, SteadyClock
    from mxseal.adapters.memory import MemoryPolicyStore
    from mxseal.adapters.sqlite import SqlitePolicyStore
    from mxseal.journeys.answer_mta import PolicyService
    from mxseal.journeys.refresh_policies import refresh_policies

    path = policy_file(settings)
    store = MemoryPolicyStore() if path is None else await SqlitePolicyStore.open(path)
    try:
        service = PolicyService(
            resolver=world.resolver,
            policy_hosts=world.policy_hosts,
            store=store,
            clock=world.clock,
            steady=SteadyClock(world.clock),
            mixed=settings.serve.mixed,
            changed=changed,
        )
        try:
            yield PolicyAnswers(
                service, partial(refresh_policies, service.keeper, sleeper=EventLoopSleeper()), store
            )
        finally:
            await service.close()
    finally:
        if isinstance(store, SqlitePolicyStore):
            await store.close()


def policy_file(settings: "Settings", environment: Mapping[str, str] = os.environ) -> Path | None:
    """Where policies are kept; None: nowhere but in memory.  Makes the directory for a default."""
    named = settings.policies.store
    if named == "memory":
        return None
    if named:
        if not Path(named).parent.is_dir():
            raise ConfigurationFault(
                f"policies.store: there is no directory {Path(named).parent}",
                cure="make it, for the service's user",
            )
        return Path(named)
    # systemd.exec(5): the first of StateDirectory=
    state = environment.get("STATE_DIRECTORY", "").partition(":")[0]
    data = environment.get("XDG_DATA_HOME") or Path.home() / ".local/share"
    own = Path("/var/lib/mxseal") if os.geteuid() == 0 else Path(data) / "mxseal"
    return made(Path(state) if state else own, "policies.store") / "policies.sqlite"


def control_socket(settings: "Settings", environment: Mapping[str, str] = os.environ) -> Path:
    """Where the administrator asks the running service."""
    if settings.serve.control:
        return Path(settings.serve.control)
    # systemd.exec(5): the first of RuntimeDirectory=
    runtime = environment.get("RUNTIME_DIRECTORY", "").partition(":")[0]
    if not runtime:
        base = environment.get("XDG_RUNTIME_DIR", "")
        runtime = "/run/mxseal" if os.geteuid() == 0 or not base else f"{base}/mxseal"
    return Path(runtime) / "control.sock"


def made(directory: Path, key: str, mode: int = 0o750) -> Path:
    """A directory that is used by default, made if it is missing; `key` is what names another one."""
    try:
        directory.mkdir(mode=mode, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationFault(
            f"{directory}: {error.strerror or error}",
            cure=f"name another place in {key}, or make the directory",
        ) from None
    return directory


def check_settings(settings: "Settings") -> None:
    """Whether all that the settings name is there and can be read; raises a `Fault` with the cure."""
    from mxseal.adapters.dns import load_trust_anchors

    world = world_settings(settings)
    if world.trust_anchor is not None:
        load_trust_anchors(world.trust_anchor)
    if world.ca_file is not None:
        read_ca_file(world.ca_file)
    if settings.policies.store:
        policy_file(settings)
    read_overrides(settings)


@asynccontextmanager
async def open_world(settings: WorldSettings) -> AsyncIterator[World]:
    """The world for as long as one command runs; raises a `Fault` if a setting cannot be followed."""
    yield World(settings)


async def check(
    domain: str, settings: WorldSettings | None = None, *, all_servers: bool = False
) -> "Judgement":
    """What `mxseal check` says about one domain; no mail is sent.

    Args:
        domain: with A-labels or U-labels.
        settings: which resolver, ports and trust anchors; the real internet's by default.
        all_servers: whether to ask every authoritative server, and to compare.

    Raises:
        InvalidName: `domain` is no host name.
        Fault: something on this machine is missing or a setting cannot be followed; trouble
            of the other side is a finding.
    """
    from mxseal.decisions.checkup import judge

    name = HostName(domain)
    async with open_world(settings or WorldSettings()) as world:
        evidence = await world.examiner(all_servers=all_servers).examine(name)
        return judge(evidence, evidence.at, roots=world.judging_roots)


def read_ca_file(path: Path) -> tuple[bytes, ...]:
    """The certificates of a PEM file as DER; raises `DataFault` if it holds none."""
    import warnings

    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding
    from cryptography.utils import CryptographyDeprecationWarning

    cure = "give a file with certificates in PEM form (-----BEGIN CERTIFICATE-----)"
    try:
        with path.open("rb") as file:
            pem = file.read(_MAX_CA_FILE + 1)
        if len(pem) > _MAX_CA_FILE:
            raise DataFault(f"{path}: larger than {_MAX_CA_FILE} octets", cure=cure)
        with warnings.catch_warnings():
            # Old roots of the system's store have oddities that nobody at the terminal can mend.
            warnings.simplefilter("ignore", CryptographyDeprecationWarning)
            certificates = x509.load_pem_x509_certificates(pem)
    except OSError as error:
        raise DataFault(f"{path}: {error.strerror or error}", cure=cure) from None
    except ValueError:
        raise DataFault(f"{path}: no certificates that can be read", cure=cure) from None
    return tuple(certificate.public_bytes(Encoding.DER) for certificate in certificates)
