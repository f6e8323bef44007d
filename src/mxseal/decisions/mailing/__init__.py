"""Delivering mail ourselves: what to ask of a session, whom to trust, what became of it.

A mail server that takes one answer per domain has to be satisfied with the
strictest answer that fits all MX hosts.  Our own delivery need not: each host is
held to exactly what `decisions.delivery` says of it (RFC 7672 §2.2, RFC 8461 §5):

=============  ====================  =================================================
level          TLS                   before any mail data
=============  ====================  =================================================
DANE           or no mail            a TLSA record matches; SNI is the TLSA base domain
                                     (RFC 7672 §8.1)
PKIX           or no mail            the policy names the host, its certificate is valid;
                                     SNI is the host's name (RFC 8461 §7.1)
ENCRYPT        or no mail            nothing
OPPORTUNISTIC  if it is offered and  nothing
               works (RFC 7435 §3)
SKIP           no attempt
=============  ====================  =================================================

An answer of 4yz, a lost session and a server that is not the one it should be
lead to the next address and the next host; 5yz ends it (RFC 5321 §4.2.1); and
where the answer to the end of data is missing, nobody else is tried, because
that server may have the mail (RFC 1047).  What is left when no host is left is
deferred, never delivered on weaker terms.

    errand = Errand(…, tls=tls_use(owed.level), sni=owed.base_domain or owed.host)
    admission = admit(owed, policy, handshake, roots=roots, at=now)   # in the middle of the session
    settle(visit, owed.level, recipients, seals=seals(owed))          # fates and obstacles
    without_fate(recipient, obstacles)                                # when no host is left
"""

from mxseal.decisions.mailing.admission import admit
from mxseal.decisions.mailing.fates import (
    Obstacle,
    bounce_status,
    may_go_in_clear,
    seals,
    settle,
    tls_use,
    without_fate,
)
from mxseal.decisions.mailing.words import (
    Admission,
    Admitted,
    Bounced,
    Deferred,
    Delivered,
    Denied,
    Errand,
    Fate,
    Mail,
    TlsUse,
    Visit,
)

__all__ = [
    "Admission",
    "Admitted",
    "Bounced",
    "Deferred",
    "Delivered",
    "Denied",
    "Errand",
    "Fate",
    "Mail",
    "Obstacle",
    "TlsUse",
    "Visit",
    "admit",
    "bounce_status",
    "may_go_in_clear",
    "seals",
    "settle",
    "tls_use",
    "without_fate",
]
