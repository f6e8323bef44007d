"""What Postfix' smtp_tls_policy_maps accept as the TLS policy of a next-hop.

Postfix asks a table with the next-hop as key and reads the answer with this
grammar (postconf(5) smtp_tls_policy_maps; src/smtp/smtp_tls_policy.c)::

    policy    = level *( sep attribute )
    sep       = 1*( blank / "," )
    level     = "none" / "may" / "encrypt" / "dane" / "dane-only"
              / "fingerprint" / "verify" / "secure"
    attribute = name "=" value              ; value without blanks and commas

Two attributes matter to MTA-STS: ``match``, the names that the certificate may
have, separated by ``:``, a leading dot meaning "any host below"; and
``servername=hostname`` (Postfix 3.4), which sends the MX host's name as SNI as
RFC 8461 §4 wants.  Note that ``.example.net`` is wider than the pattern
``*.example.net`` of RFC 8461 §4.1: it admits any depth.  Postfix cannot say it
narrower in this dialect.

Anything unknown, doubled or malformed makes Postfix defer all mail to that
next-hop ("client TLS configuration problem"), and an answer of more than
100,000 octets does as well.  So nothing is rendered here that has not been
checked: no blank, comma, colon or brace can get in through a name.

    policy = secure(["mx.example.com", "*.example.net"])   # TlsPolicy | Rejection
    str(policy)      # "secure match=mx.example.com:.example.net servername=hostname"
    parse_policy("dane-only")                              # TlsPolicy | Rejection

A table's whole reply is a `Reply`: ``OK`` with such a policy, ``NOTFOUND``
(ask the next table, then the default) or ``TEMP`` with a reason (mail waits).

Newer Postfix and Sendmail are told the same in other words (`Dialect`, chosen
by the name of the map that is asked), and what is asked is read by `parse_key`:

    parse_key("[mx.example.com]:submission")    # NextHop | Rejection | None
    with_sts(policy, domain, patterns, lines)   # StsPolicy | Rejection, for Postfix 3.10
"""

from mxseal.standards.postfix_tls.dialects import Dialect, StsPolicy, dialect_of, with_sts
from mxseal.standards.postfix_tls.keys import SERVICES, parse_key
from mxseal.standards.postfix_tls.policy import (
    MAX_REPLY_OCTETS,
    SecurityLevel,
    TlsPolicy,
    match_of,
    parse_policy,
    secure,
)
from mxseal.standards.postfix_tls.reply import NotFound, Ok, Reply, Temporary

__all__ = [
    "MAX_REPLY_OCTETS",
    "SERVICES",
    "Dialect",
    "NotFound",
    "Ok",
    "Reply",
    "SecurityLevel",
    "StsPolicy",
    "Temporary",
    "TlsPolicy",
    "dialect_of",
    "match_of",
    "parse_key",
    "parse_policy",
    "secure",
    "with_sts",
]
