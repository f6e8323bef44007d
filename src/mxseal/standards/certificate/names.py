"""DNS-IDs: which names a certificate speaks for (RFC 6125 §6, RFC 9525 §6).

Only the DNS-IDs of the subjectAltName count, never the subject's common name
(RFC 8461 §4.2 wants a subjectAltName; RFC 9525 §2 does away with CN-IDs).
"""

from collections.abc import Iterable

from mxseal.vocabulary.names import HostName


def dns_id_matches(presented: str, reference: HostName) -> bool:
    """Whether a DNS-ID of a certificate matches the name that we looked for.

    Equality without regard to case, or a wildcard that is the whole leftmost
    label and stands for exactly one label (RFC 9525 §6.3, RFC 8461 §4.2).  As
    OpenSSL does, a wildcard needs two labels behind it: ``*.com`` is nobody's.
    A DNS-ID is in A-labels and without a trailing dot (RFC 5280 §4.2.1.6); what
    is not, matches nothing, as with OpenSSL and Go.
    """
    if not presented.isascii():
        return False
    name = presented.lower()
    if not name.startswith("*."):
        return name == reference
    behind = name[1:]
    label, _, rest = reference.partition(".")
    return bool(label) and behind.count(".") >= 2 and f".{rest}" == behind


def matching_dns_id(presented: Iterable[str], references: Iterable[HostName]) -> tuple[str, HostName] | None:
    """The first DNS-ID that matches one of the names, and that name; None if there is none."""
    offered = tuple(presented)
    for reference in references:
        for name in offered:
            if dns_id_matches(name, reference):
                return name, reference
    return None
