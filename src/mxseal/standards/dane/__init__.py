"""DANE for SMTP: RFC 6698, RFC 7671, RFC 7672.

An MX host's zone, if it is signed, can tell in TLSA records which certificate
or which certification authority the host uses.  Whoever finds such records, by
DNSSEC and without doubt, must use TLS and must see a match, and else lets mail
wait (RFC 7672 §2.2).  So there are two fatal ways to be wrong: to take an error
for "no records" (an attacker makes errors), and to take "no records" for an
error (mail stops).  Hence:

* The addresses of the host come first.  Insecure ones: DANE does not apply, and
  TLSA is not even asked (RFC 7672 §2.2.2).  A host that is an alias has its
  records at the end of the aliases or, failing that, at itself (§2.2.3).
* Of an RRset, records that SMTP cannot use are left out.  If none is left, TLS
  is mandatory without authentication: `Unusable`, which is no `Mismatch`.
* Of several digests for the same thing, only the strongest counts (RFC 7671 §9).
* DANE-EE(3) is about the server's own certificate or key; names and dates mean
  nothing (RFC 7671 §5.1).
* DANE-TA(2) is about an issuer, which the server sends, or whose whole
  certificate or key is in the record.  Path, dates and name must hold; the
  anchor's own dates need not (RFC 7671 §5.2).

The order of calls::

    lookup = await discover(resolver.resolve, HostName("mx.example.com"))
    if lookup.state is TlsaState.FOUND:
        names = reference_identifiers(lookup.base_domain, next_hop, mx_secure=True)
        verdict = verify(lookup.records, chain, names=names, at=now, judge=judge)

`decisions.authentication.verify_dane` does the last step from DER.  `tlsa_for`
makes a record, `parse_tlsa` reads one, `recognise_wrong_digest` knows the
classic mistakes.
"""

from mxseal.standards.dane.discovery import discover, reference_identifiers, tlsa_name
from mxseal.standards.dane.mistakes import recognise_wrong_digest
from mxseal.standards.dane.text import parse_tlsa
from mxseal.standards.dane.usability import (
    MatchingType,
    Selector,
    Usability,
    Usage,
    association_data,
    classify,
    passed_over,
    tlsa_for,
    why_unusable,
)
from mxseal.standards.dane.verification import (
    AnchorJudge,
    AnchorMissed,
    AnchorReached,
    DesignatedAnchor,
    Failure,
    Mismatch,
    PresentedCertificate,
    Reason,
    Unusable,
    Verdict,
    Verified,
    matches,
    short,
    verify,
)

__all__ = [
    "AnchorJudge",
    "AnchorMissed",
    "AnchorReached",
    "DesignatedAnchor",
    "Failure",
    "MatchingType",
    "Mismatch",
    "PresentedCertificate",
    "Reason",
    "Selector",
    "Unusable",
    "Usability",
    "Usage",
    "Verdict",
    "Verified",
    "association_data",
    "classify",
    "discover",
    "matches",
    "parse_tlsa",
    "passed_over",
    "recognise_wrong_digest",
    "reference_identifiers",
    "short",
    "tlsa_for",
    "tlsa_name",
    "verify",
    "why_unusable",
]
