"""All ports together, as saved evidence tells."""

from collections.abc import Iterator
from datetime import datetime
from typing import Self

from mxseal.adapters.memory.dns import MemoryAuthoritativeServers, MemoryResolver
from mxseal.adapters.memory.hosts import MemoryMxHosts, MemoryPolicyHosts, MemoryReportEndpoints
from mxseal.vocabulary.observations import Answer, Evidence


class FixedClock:
    """Satisfies `ports.Clock`: it is always the same time."""

    def __init__(self, at: datetime) -> None:
        self.at = at

    def now(self) -> datetime:
        return self.at


class MemoryWorld:
    """A world of one's own making; each attribute satisfies a port."""

    def __init__(
        self,
        *,
        at: datetime,
        resolver: MemoryResolver | None = None,
        mx_hosts: MemoryMxHosts | None = None,
        policy_hosts: MemoryPolicyHosts | None = None,
        report_endpoints: MemoryReportEndpoints | None = None,
        authoritative: MemoryAuthoritativeServers | None = None,
    ) -> None:
        self.clock = FixedClock(at)
        self.resolver = resolver or MemoryResolver()
        self.mx_hosts = mx_hosts or MemoryMxHosts()
        self.policy_hosts = policy_hosts or MemoryPolicyHosts()
        self.report_endpoints = report_endpoints or MemoryReportEndpoints()
        self.authoritative = authoritative or MemoryAuthoritativeServers()

    @classmethod
    def from_evidence(cls, evidence: Evidence) -> Self:
        """A world that says again what it said when `evidence` was collected."""
        fetch = evidence.policy_fetch
        return cls(
            at=evidence.at,
            resolver=MemoryResolver.from_answers(answers_of(evidence)),
            mx_hosts=MemoryMxHosts(
                (session for host in evidence.hosts for session in host.sessions), port=evidence.smtp_port
            ),
            policy_hosts=MemoryPolicyHosts({} if fetch is None else {evidence.domain: fetch}),
            report_endpoints=MemoryReportEndpoints(evidence.report_endpoints),
            authoritative=MemoryAuthoritativeServers(evidence.authoritative),
        )


def answers_of(evidence: Evidence) -> Iterator[Answer]:
    """Every DNS answer that the evidence holds."""
    yield evidence.mx
    yield evidence.sts_record
    yield evidence.tlsrpt_record
    yield from evidence.policy_host
    yield from evidence.stray_tlsa
    for host in evidence.hosts:
        yield host.tlsa.ipv4
        yield host.tlsa.ipv6
        yield from host.tlsa.questions
