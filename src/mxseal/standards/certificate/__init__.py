"""Certificates as mail needs them: RFC 5280 and RFC 6125 / RFC 9525.

Three kinds of trust in an MX host's certificate meet here.  MTA-STS wants PKIX:
a path to a root that the administrator trusts, dates that hold, and a DNS-ID
that matches the MX host (RFC 8461 §4.2).  DANE-TA(2) wants the same with an
anchor that a TLSA record designates (RFC 7672 §3.1.2).  DANE-EE(3) wants
nothing of all this: the octets of the certificate or of its key suffice
(RFC 7672 §3.1.1).  So a handshake is made without verification, and the chain
is judged afterwards, by these rules:

* What the server sends is unordered, may hold duplicates and strangers, and may
  offer several ways to an anchor.  One good path is enough (RFC 4158).
* Names are DNS-IDs of the subjectAltName, never the CN.  ``*`` is the whole
  leftmost label and stands for one label (RFC 9525 §6.3).
* An issuer is a CA that may sign certificates, whose path length and name
  constraints are kept (RFC 5280 §6.1.4).  Unknown critical extensions reject.
* Keys and signatures are of OpenSSL's security level 2.
* Odd certificates that MTAs accept are accepted: parsing is our own, and reads
  an extension only where it counts.

The order of calls::

    roots = Roots.from_pem(text_of_the_ca_file)
    match verify_pkix(handshake.chain, roots, HostName("mx.example.com"), now):
        case Trusted(expires=when): ...
        case Untrusted(kind=kind, detail=why): ...

`parse_certificate` gives the view of a single certificate, `Search` the path
building alone, for anchors that come from elsewhere.
"""

from mxseal.standards.certificate.names import dns_id_matches, matching_dns_id
from mxseal.standards.certificate.path import (
    MAX_CERTIFICATES,
    Anchor,
    Path,
    Search,
    name_mismatch,
    parse_chain,
    verify_pkix,
)
from mxseal.standards.certificate.roots import Roots, pem_certificates
from mxseal.standards.certificate.verdict import Distrust, Trusted, Untrusted
from mxseal.standards.certificate.view import Certificate, parse_certificate

__all__ = [
    "MAX_CERTIFICATES",
    "Anchor",
    "Certificate",
    "Distrust",
    "Path",
    "Roots",
    "Search",
    "Trusted",
    "Untrusted",
    "dns_id_matches",
    "matching_dns_id",
    "name_mismatch",
    "parse_certificate",
    "parse_chain",
    "pem_certificates",
    "verify_pkix",
]
