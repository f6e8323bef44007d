"""A well-kept domain in memory, for tests to spoil.

The evidence is collected by the real journey over `adapters.memory`, so that
the rules are held to what `check` really sees.
"""

import asyncio
from datetime import UTC, datetime, timedelta

import msgspec

from mxseal.adapters.memory import (
    MemoryAuthoritativeServers,
    MemoryMxHosts,
    MemoryPolicyHosts,
    MemoryReportEndpoints,
    MemoryResolver,
    MemoryWorld,
)
from mxseal.decisions.checkup import judge
from mxseal.journeys.examine_domain import Examiner, Ports, Settings
from mxseal.lab.ca import CertificateAuthority, KeyType
from mxseal.standards.certificate import Roots, parse_certificate
from mxseal.standards.dane import tlsa_for
from mxseal.vocabulary.names import Address, HostName
from mxseal.vocabulary.observations import (
    EndpointReached,
    Handshake,
    HandshakeFailed,
    KeyKind,
    PolicyFetched,
)

NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
CA = CertificateAuthority(NOW)
DOMAIN = HostName("example.com")
MX1, MX2 = HostName("mx1.example.com"), HostName("mx2.example.com")
IPV4, IPV6, OTHER, SECOND = (Address(text) for text in ("11.0.0.1", "2a00:1::1", "11.0.0.2", "11.0.0.3"))
CERT1, CERT2, POLICY_CERT = CA.issue(MX1), CA.issue(MX2), CA.issue("mta-sts.example.com")
RSA1 = CA.issue(MX1, key_type=KeyType.RSA)
NEXT = CA.issue("next.example.com")
NO_SUCH_KIND = HandshakeFailed("no certificate of this kind")
POLICY = "version: STSv1\nmode: enforce\nmx: mx1.example.com\nmx: mx2.example.com\nmax_age: 1209600\n"


def tlsa(certificate, usage=3, selector=1, matching_type=1):
    """A TLSA record of a certificate (`ServerCertificate` or DER), in presentation format."""
    octets = certificate if isinstance(certificate, bytes) else certificate.leaf
    content = octets if selector == 0 else parse_certificate(octets).spki
    return str(tlsa_for(content, usage, selector, matching_type))


def handshake(certificate, version="TLSv1.3", **others):
    return Handshake(version, "TLS_AES_256_GCM_SHA384", certificate.chain, **others)


class Scene:
    """What the world says; change any of it, then `judge`."""

    def __init__(self):
        self.records = {
            "example.com MX": ["10 mx1.example.com.", "20 mx2.example.com."],
            "mx1.example.com A": [IPV4],
            "mx1.example.com AAAA": [IPV6],
            "mx2.example.com A": [OTHER],
            "_25._tcp.mx1.example.com TLSA": [tlsa(CERT1), tlsa(NEXT)],
            "_25._tcp.mx2.example.com TLSA": [tlsa(CERT2), tlsa(NEXT)],
            "_mta-sts.example.com TXT": ["v=STSv1; id=20261101;"],
            "mta-sts.example.com A": ["11.0.0.80"],
            "_smtp._tls.example.com TXT": ["v=TLSRPTv1; rua=mailto:tls@example.net"],
        }
        self.secure, self.bogus, self.failing = ["example.com"], [], []
        self.hosts = MemoryMxHosts()
        self.show(MX1, IPV4, CERT1)
        self.show(MX1, IPV6, CERT1)
        self.show(MX2, OTHER, CERT2)
        self.policy = POLICY
        self.policy_certificate = POLICY_CERT
        self.endpoints = [EndpointReached("mailto:tls@example.net", True)]
        self.servers = []
        self.settings = Settings()
        self.previous = None
        self.change = lambda evidence: evidence

    def show(self, host, address, certificate, *, rsa=None, **others):
        """Let an MX host present a certificate, and perhaps another one to who asks for RSA."""
        self.hosts.add(host, address, handshake(certificate, **others))
        kind = parse_certificate(certificate.leaf).key_kind
        for other in (KeyKind.RSA, KeyKind.ECDSA):
            if other.name == kind:
                continue
            outcome = handshake(rsa, "TLSv1.2") if rsa is not None else NO_SUCH_KIND
            self.hosts.add(host, address, outcome, other)

    def everywhere(self, outcome):
        """Let all MX hosts behave alike."""
        for host, address in ((MX1, IPV4), (MX1, IPV6), (MX2, OTHER)):
            self.hosts.add(host, address, outcome)

    def drop(self, *names):
        """Forget all records at these names."""
        for key in list(self.records):
            if key.partition(" ")[0] in names:
                del self.records[key]

    def without_tlsa(self):
        self.drop("_25._tcp.mx1.example.com", "_25._tcp.mx2.example.com")

    def without_policies(self):
        self.without_tlsa()
        self.drop("_mta-sts.example.com")

    def patch(self, **fields):
        """Set fields of the evidence after it was collected."""
        self.change = lambda evidence: msgspec.structs.replace(evidence, **fields)

    def patch_mx(self, **fields):
        """Set fields of the MX answer."""
        self.change = lambda evidence: msgspec.structs.replace(
            evidence, mx=msgspec.structs.replace(evidence.mx, **fields)
        )

    def world(self):
        policy = self.policy
        if isinstance(policy, str):
            url = "https://mta-sts.example.com/.well-known/mta-sts.txt"
            policy = PolicyFetched(
                DOMAIN,
                url,
                policy.encode(),
                Address("11.0.0.80"),
                "text/plain",
                self.policy_certificate.chain,
            )
        resolver = MemoryResolver.from_texts(
            self.records, secure=self.secure, bogus=self.bogus, failing=self.failing
        )
        return MemoryWorld(
            at=NOW,
            resolver=resolver,
            mx_hosts=self.hosts,
            policy_hosts=MemoryPolicyHosts({DOMAIN: policy}),
            report_endpoints=MemoryReportEndpoints(self.endpoints),
            authoritative=MemoryAuthoritativeServers(self.servers),
        )

    def evidence(self):
        return self.change(examine(self.world(), self.settings))

    def judge(self):
        return judge(self.evidence(), NOW, roots=Roots([CA.root]), previous=self.previous)


def examine(world, settings=None, domain=DOMAIN):
    """The real journey over a world in memory."""
    ports = Ports(
        clock=world.clock,
        resolver=world.resolver,
        mx_hosts=world.mx_hosts,
        policy_hosts=world.policy_hosts,
        report_endpoints=world.report_endpoints,
        authoritative=world.authoritative,
    )

    async def collect():
        return await Examiner(ports, settings or Settings()).examine(domain)

    return asyncio.run(collect())


def old_authority():
    """A CA whose certificates have expired, and which still issues good ones."""
    authority = CertificateAuthority(NOW - timedelta(days=3100))
    assert authority.intermediate
    authority._now = NOW
    return authority
