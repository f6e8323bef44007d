"""MTA-STS: a domain says over HTTPS that its MX hosts speak TLS, and which they are (RFC 8461).

A sender that knows nothing cannot tell an MX host without STARTTLS from an
attacker who strips it, nor the right MX host from one that a forged DNS
answer named.  MTA-STS mends both for domains without DNSSEC:

1. A TXT record at ``_mta-sts.example.com`` says that there is a policy, and
   its ``id`` changes whenever the policy does (§3.1).
2. The policy itself is a small text at
   ``https://mta-sts.example.com/.well-known/mta-sts.txt``, whose certificate
   proves that it is the domain's own (§3.2, §3.3).
3. A sender keeps the policy for ``max_age`` seconds.  While it is kept, DNS
   alone cannot take it away: trust on first use (§5.1, §10.2).
4. Mail goes only to MX hosts whose names fit one of the policy's ``mx``
   patterns and whose certificate is valid for their name (§4.1, §4.2).  In
   mode ``testing`` failures are only reported; mode ``none`` withdraws the
   policy (§8.3).

DANE, where there is any, comes first (§2): that is decided in
`mxseal.decisions.delivery`, not here.  This package does no I/O.  In order::

    answer = await resolver.resolve(record_name(domain), RecordType.TXT)
    match select_record(answer.texts()):
        case Record(id=identity): ...   # fetch policy_url(domain) if the id is new
        case NoRecord(): ...            # nothing of ours there
        case Rejection() as why: ...    # as good as none, and worth telling (why.with_caret())

    match parse_policy(fetched.body):
        case Policy() as policy: policy.matching(mx_host)   # the MxPattern it fits, or None
        case Rejection() as why: ...    # result type sts-policy-invalid (RFC 8460 §4.3.2.2)

The readers follow the ABNF to the letter, since a policy that only some
senders can read protects only some of the mail.  So these are rejected: blank
lines, leading blanks, a byte order mark, octets that are not UTF-8, a bare CR,
keys or modes in upper case, trailing dots and U-labels in patterns.
"""

from mxseal.standards.mta_sts.patterns import MxPattern, parse_mx_pattern
from mxseal.standards.mta_sts.policy import (
    MAX_AGE_CAP,
    MAX_MX_LINES,
    MAX_POLICY_OCTETS,
    Mode,
    Policy,
    parse_policy,
    policy_host,
    policy_url,
)
from mxseal.standards.mta_sts.record import NoRecord, Record, parse_record, record_name, select_record

__all__ = [
    "MAX_AGE_CAP",
    "MAX_MX_LINES",
    "MAX_POLICY_OCTETS",
    "Mode",
    "MxPattern",
    "NoRecord",
    "Policy",
    "Record",
    "parse_mx_pattern",
    "parse_policy",
    "parse_record",
    "policy_host",
    "policy_url",
    "record_name",
    "select_record",
]
