"""Name constraints: which names a CA may speak for (RFC 5280 §4.2.1.10).

dNSName, iPAddress, rfc822Name and directoryName are enforced.  A constraint on
another kind of name rejects certificates that have a name of that kind, as the
RFC demands of those who do not process it.
"""

from typing import Final, NamedTuple

from mxseal.standards.certificate import der
from mxseal.standards.certificate.view import (
    NAME_CONSTRAINTS,
    Certificate,
    GeneralName,
    is_whole_name,
    relative_names,
)

EMAIL, DNS, DIRECTORY, IP = 1, 2, 4, 7
_KINDS: Final = {
    0: "otherName",
    EMAIL: "rfc822Name",
    DNS: "dNSName",
    3: "x400Address",
    DIRECTORY: "directoryName",
    5: "ediPartyName",
    6: "uniformResourceIdentifier",
    IP: "iPAddress",
    8: "registeredID",
}
_PERMITTED, _EXCLUDED = 0xA0, 0xA1


class Constraints(NamedTuple):
    permitted: tuple[GeneralName, ...]
    excluded: tuple[GeneralName, ...]


def constraints_of(ca: Certificate) -> Constraints | None:
    """The name constraints of a CA; None if it has none.  Raises `der.Malformed`."""
    value = ca.extension(NAME_CONSTRAINTS)
    if value is None:
        return None
    trees: dict[int, tuple[GeneralName, ...]] = {}
    for part in der.children(der.whole(value, der.SEQUENCE, "nameConstraints"), at_most=2):
        # A constraint that is not understood must not be taken for none.
        if part.tag not in (_PERMITTED, _EXCLUDED) or part.tag in trees:
            raise der.Malformed("neither permittedSubtrees nor excludedSubtrees", part.start)
        trees[part.tag] = tuple(map(_base, der.children(part, at_most=2000)))
    return Constraints(trees.get(_PERMITTED, ()), trees.get(_EXCLUDED, ()))


def _base(subtree: der.Element) -> GeneralName:
    parts = der.children(subtree, at_most=3)
    # RFC 5280 §4.2.1.10: minimum and maximum are not used.
    if subtree.tag != der.SEQUENCE or len(parts) != 1:
        raise der.Malformed("a subtree that is not only a base", subtree.start)
    base = GeneralName(parts[0].tag & 0x1F, parts[0].contents)
    if base.tag == DIRECTORY and not is_whole_name(base.value):
        raise der.Malformed("a subtree whose directoryName cannot be read", subtree.start)
    return base


def violation(constraints: Constraints, certificate: Certificate) -> str | None:
    """Which name of `certificate` the constraints forbid, as a text; None if all are allowed."""
    for name in _names(certificate):
        permitted = [base for base in constraints.permitted if base.tag == name.tag]
        excluded = [base for base in constraints.excluded if base.tag == name.tag]
        if not permitted and not excluded:
            continue
        if name.tag not in (EMAIL, DNS, DIRECTORY, IP):
            return f"a name of the kind {_KINDS.get(name.tag, name.tag)}, which is constrained"
        if name.tag == DIRECTORY and not is_whole_name(name.value):
            return "a directoryName that cannot be read, and such names are constrained"
        if any(_within(name, base) or _speaks_for(name, base) for base in excluded):
            return f"{_text(name)} is in an excluded subtree"
        if permitted and not any(_within(name, base) for base in permitted):
            return f"{_text(name)} is in no permitted subtree"
    return None


def comparisons(constraints: Constraints, certificate: Certificate) -> int:
    """How much work `violation` is: names times subtrees."""
    return len(_names(certificate)) * (len(constraints.permitted) + len(constraints.excluded))


def _names(certificate: Certificate) -> list[GeneralName]:
    """All of them, the subject's among them unless it is empty."""
    names = list(certificate.alternative_names or ())
    if relative_names(certificate.subject_der) or not is_whole_name(certificate.subject_der):
        # A directoryName is explicitly tagged, so its contents are the whole Name.
        names.append(GeneralName(DIRECTORY, certificate.subject_der))
    return names


def _text(name: GeneralName) -> str:
    shown = name.value[:80].decode("latin-1") if name.tag in (EMAIL, DNS) else name.value[:40].hex()
    return f"{_KINDS[name.tag]} {shown!r}"


def _within(name: GeneralName, base: GeneralName) -> bool:
    match name.tag:
        case 2:
            return _dns_within(name.value.lower(), base.value.lower())
        case 1:
            return _email_within(name.value, base.value)
        case 7:
            half = len(base.value) // 2
            network, mask = base.value[:half], base.value[half:]
            return len(name.value) == half == len(mask) and all(
                octet & bits == wanted & bits
                for octet, wanted, bits in zip(name.value, network, mask, strict=True)
            )
        case _:
            return _directory_within(name.value, base.value)


def _dns_within(name: bytes, base: bytes) -> bool:
    """Any name made by adding labels to the left of the base, or the base itself.

    A leading dot in the base, which the RFC does not know, means at least one label.
    """
    if not base:
        return True
    return name.endswith(base) if base.startswith(b".") else name == base or name.endswith(b"." + base)


def _speaks_for(name: GeneralName, base: GeneralName) -> bool:
    """Whether a wildcard that is not within the base stands for it: ``*.example.com`` for ``mx.example.com``.

    The RFC has no word on this; but who must not speak for a host cannot do so by a wildcard.
    """
    star, _, domain = name.value.lower().partition(b".")
    return name.tag == DNS and star == b"*" and base.value.lower().partition(b".")[2] == domain


def _email_within(name: bytes, base: bytes) -> bool:
    """A mailbox, a host, or with a leading dot a domain (RFC 5280 §4.2.1.10)."""
    local, _, host = name.rpartition(b"@")
    if b"@" in base:
        wanted, _, at = base.rpartition(b"@")
        return local == wanted and host.lower() == at.lower()
    base, host = base.lower(), host.lower()
    return host.endswith(base) if base.startswith(b".") else not base or host == base


def _directory_within(name: bytes, base: bytes) -> bool:
    """The base's RDNs begin the name's."""
    wanted, found = (
        [
            sorted((kind, " ".join(text.split()).lower()) for kind, text in rdn)
            for rdn in relative_names(which)
        ]
        for which in (base, name)
    )
    return found[: len(wanted)] == wanted
