"""DNS with a security status (docs/architecture.md, rule 4): two back ends of one port.

DNSSEC in a few lines.  A zone signs each RRset; the signature is an RRSIG
record beside it (RFC 4034 §3).  The keys are the zone's DNSKEY RRset, and the
zone above publishes a digest of one of them as a DS record.  So there is a
chain of trust from the root's key, which everybody knows (*trust anchor*),
through DS → DNSKEY → DS → DNSKEY … to the zone that holds the answer.  A zone
without a DS is *insecure*, and that has to be proved: the parent signs NSEC or
NSEC3 records which say what does not exist (RFC 4035 §5.4, RFC 5155 §8).  The
same records prove that a name or a type does not exist, and that a wildcard was
rightly expanded.  The result is one of four states (RFC 4035 §4.3):

=============  ============================================================
secure         a chain of signatures leads to a trust anchor
insecure       a secure zone proves that the chain ends above this name
bogus          there should be a chain, and it is broken
indeterminate  the records that would tell could not be had
=============  ============================================================

A failed lookup is indeterminate, never insecure: who could not ask must not
act as if there were nothing to protect.

`ValidatingResolver` (the default) proves this itself, over any recursive
resolver that passes DNSSEC records on; it asks with DO and CD, so that what
comes is data and not another's verdict.  `TrustAdResolver` takes the AD bit of
a validating resolver that the administrator named, after that resolver has
shown that it validates.

The order of calls:

>>> resolver = open_resolver("system")                           # doctest: +SKIP
>>> answer = await resolver.resolve("example.com", RecordType.MX) # doctest: +SKIP
>>> answer.security, answer.reason, answer.mx()                  # doctest: +SKIP

The files, from the wire upwards: `wire` (octets → records), `transport`
(questions and matching replies), `convert` (records → vocabulary), `signatures`
(one RRset against keys), `denial` (NSEC and NSEC3, pure), `failover` (another
server, where one's reply is bogus), `chain` (from the anchor to a zone's keys),
`resolver` (one question, aliases followed); beside them `anchors`, `kept` (what
is remembered), `system` (which servers), `trust_ad`, `authoritative` and
`self_test`.
"""

from mxseal.adapters.dns.anchors import TrustAnchors, load_trust_anchors
from mxseal.adapters.dns.authoritative import AuthoritativeClient
from mxseal.adapters.dns.factory import open_resolver
from mxseal.adapters.dns.resolver import ValidatingResolver
from mxseal.adapters.dns.self_test import UpstreamCheck, check_upstream
from mxseal.adapters.dns.system import parse_server, system_servers
from mxseal.adapters.dns.trust_ad import AdProof, TrustAdResolver

__all__ = [
    "AdProof",
    "AuthoritativeClient",
    "TrustAdResolver",
    "TrustAnchors",
    "UpstreamCheck",
    "ValidatingResolver",
    "check_upstream",
    "load_trust_anchors",
    "open_resolver",
    "parse_server",
    "system_servers",
]
