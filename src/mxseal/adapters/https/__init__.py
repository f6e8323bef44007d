"""HTTPS as MTA-STS and TLSRPT need it: strict, bounded, and never anywhere it was not sent.

`PolicyFetcher` satisfies `journeys.ports.PolicyHosts`: one GET of a policy, as
RFC 8461 §3.3 wants it.  `ReportEndpointProber` satisfies
`journeys.ports.ReportEndpoints`: can a report destination be reached, without
sending it anything.  Both look up addresses with the resolver that they are
given, so that DNS has one voice, and both refuse addresses that are not public,
so that somebody's TXT record cannot make us knock on doors inside of our own
network (docs/architecture.md, rule 6).
"""

from mxseal.adapters.https.addresses import Found, NotFound, Resolver, find_addresses
from mxseal.adapters.https.policies import PolicyFetcher
from mxseal.adapters.https.reports import ReportEndpointProber

__all__ = ["Found", "NotFound", "PolicyFetcher", "ReportEndpointProber", "Resolver", "find_addresses"]
