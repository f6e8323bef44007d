"""Policy hosts, MX hosts and report endpoints in memory."""

from collections.abc import Iterable, Mapping

from mxseal.vocabulary.names import Address, HostName
from mxseal.vocabulary.observations import (
    EndpointReached,
    FetchStage,
    KeyKind,
    PolicyFetch,
    PolicyFetched,
    PolicyFetchFailed,
    SessionOutcome,
    SmtpSession,
    Stage,
    Unreachable,
)


class MemoryPolicyHosts:
    """Satisfies `ports.PolicyHosts`; a plain text stands for a policy that is served well."""

    def __init__(self, policies: Mapping[HostName, PolicyFetch | str] = {}) -> None:
        self.policies = dict(policies)
        self.fetched: list[HostName] = []

    async def fetch(self, policy_domain: HostName) -> PolicyFetch:
        self.fetched.append(policy_domain)
        url = f"https://mta-sts.{policy_domain}/.well-known/mta-sts.txt"
        match self.policies.get(policy_domain):
            case None:
                return PolicyFetchFailed(policy_domain, url, FetchStage.DNS, "not in memory")
            case str() as text:
                return PolicyFetched(policy_domain, url, text.encode(), Address("192.0.2.80"), "text/plain")
            case PolicyFetched() | PolicyFetchFailed() as fetch:
                return fetch


class MemoryMxHosts:
    """Satisfies `ports.MxHosts` from sessions by host, address and key kind."""

    def __init__(self, sessions: Iterable[SmtpSession] = (), *, port: int = 25) -> None:
        self.port = port
        self.sessions = {(s.host, s.address, s.key_kind): s for s in sessions}
        self.probed: list[tuple[HostName, Address, KeyKind]] = []

    def add(
        self, host: HostName, address: Address, outcome: SessionOutcome, key_kind: KeyKind = KeyKind.ANY
    ) -> None:
        """Let `host` behave so at this address."""
        self.sessions[host, address, key_kind] = SmtpSession(
            host, address, self.port, outcome, key_kind=key_kind
        )

    async def probe(
        self,
        host: HostName,
        address: Address,
        *,
        sni: HostName | None = None,
        key_kind: KeyKind = KeyKind.ANY,
    ) -> SmtpSession:
        self.probed.append((host, address, key_kind))
        found = self.sessions.get((host, address, key_kind))
        return found or SmtpSession(
            host, address, self.port, Unreachable(Stage.CONNECT, "not in memory"), sni, key_kind
        )


class MemoryReportEndpoints:
    """Satisfies `ports.ReportEndpoints`; what it was not told of was not tried."""

    def __init__(self, endpoints: Iterable[EndpointReached] = ()) -> None:
        self.endpoints = {endpoint.uri: endpoint for endpoint in endpoints}

    async def reach(self, uri: str) -> EndpointReached:
        return self.endpoints.get(uri) or EndpointReached(uri, None, "not in memory")
