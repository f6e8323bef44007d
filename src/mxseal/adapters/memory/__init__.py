"""The world in memory: every port of `journeys.ports`, answered from values.

For tests, for the demonstration, and to run a journey again over saved
evidence.  Nothing here opens a socket or waits.

Say what the DNS holds in the notation of zone files, and which names DNSSEC
protects (a name protects all names below it)::

    resolver = MemoryResolver.from_texts(
        {
            "example.com MX": ["10 mx.example.com."],
            "mx.example.com A": ["192.0.2.1"],
            "_25._tcp.mx.example.com TLSA": ["3 1 1 8cb0…"],
            "_mta-sts.example.com TXT": ["v=STSv1; id=1"],
            "old.example.com CNAME": ["mx.example.com."],
        },
        secure=["example.com"],
        failing=["_25._tcp.down.example.com TLSA"],
    )

A name that is not mentioned does not exist; a name that has other types, or
names below it, has no data of this type.  Or take everything from saved
evidence::

    world = MemoryWorld.from_evidence(evidence)
    ports = Ports(clock=world.clock, resolver=world.resolver, mx_hosts=world.mx_hosts, …)
    again = await Examiner(ports, Settings()).examine(evidence.domain)
"""

from mxseal.adapters.memory.dns import MemoryAuthoritativeServers, MemoryResolver
from mxseal.adapters.memory.hosts import MemoryMxHosts, MemoryPolicyHosts, MemoryReportEndpoints
from mxseal.adapters.memory.policies import MemoryPolicyStore
from mxseal.adapters.memory.world import FixedClock, MemoryWorld

__all__ = [
    "FixedClock",
    "MemoryAuthoritativeServers",
    "MemoryMxHosts",
    "MemoryPolicyHosts",
    "MemoryPolicyStore",
    "MemoryReportEndpoints",
    "MemoryResolver",
    "MemoryWorld",
]
