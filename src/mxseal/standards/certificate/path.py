"""Path building and validation (RFC 5280 §6, RFC 4158): from a server's certificate to an anchor.

What a server sends is a heap, not a chain: unordered, with duplicates, with
certificates that belong to nothing, with one CA cross-signed by several.
`Search` walks it depth first, issuers that look right first, and returns the
first path that holds in every respect, or the most telling reason why none
does.  All of it is hostile input: certificates, depth, steps and signature
checks are bounded.

Not evaluated, as in TLS stacks without revocation and policy settings:
revocation, certificate policies, policy mappings.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

import msgspec
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

from mxseal.standards.certificate import der, keys
from mxseal.standards.certificate.constraints import comparisons, constraints_of, violation
from mxseal.standards.certificate.names import matching_dns_id
from mxseal.standards.certificate.roots import Roots
from mxseal.standards.certificate.verdict import Distrust, Trusted, Untrusted
from mxseal.standards.certificate.view import (
    BASIC_CONSTRAINTS,
    DIGITAL_SIGNATURE,
    EXTENDED_KEY_USAGE,
    KEY_AGREEMENT,
    KEY_CERT_SIGN,
    KEY_ENCIPHERMENT,
    KEY_USAGE,
    NAME_CONSTRAINTS,
    SUBJECT_ALT_NAME,
    Certificate,
    parse_certificate,
)
from mxseal.vocabulary.names import HostName
from mxseal.vocabulary.rejection import Rejection, printable

MAX_CERTIFICATES: Final = 32
"""Of those that a server sent, the first so many are looked at; real chains have two to five."""
MAX_DEPTH: Final = 10
"""Certificates above the server's own; Postfix follows 9 (smtp_tls_scert_verifydepth)."""
MAX_SIGNATURES: Final = 100
"""Signature checks for one chain, about 10 ms; those with slow keys count more (`keys.price`)."""
MAX_STEPS: Final = 1000
"""Certificates visited in all searches in one chain, each maybe many times; real chains need about three a search."""

MAX_COMPARISONS: Final = 100_000
"""Names times name constraints, over all paths, about 30 ms; OpenSSL gives up at about a million for one CA."""

SERVER_AUTH: Final = "1.3.6.1.5.5.7.3.1"
SERVER_PURPOSES: Final = frozenset({SERVER_AUTH, "1.3.6.1.4.1.311.10.3.3", "2.16.840.1.113730.4.1"})
"""id-kp-serverAuth (RFC 5280 §4.2.1.12) and the two Server Gated Crypto purposes that OpenSSL takes for it.

anyExtendedKeyUsage alone is not enough for OpenSSL, hence for most senders, hence here.
"""
PROCESSED: Final = frozenset(
    {
        BASIC_CONSTRAINTS,
        EXTENDED_KEY_USAGE,
        KEY_USAGE,
        NAME_CONSTRAINTS,
        SUBJECT_ALT_NAME,
        "2.5.29.31",  # cRLDistributionPoints
        "2.5.29.32",  # certificatePolicies
        "2.5.29.33",  # policyMappings
        "2.5.29.36",  # policyConstraints
        "2.5.29.54",  # inhibitAnyPolicy
    }
)
"""Critical extensions that do not reject a certificate (RFC 5280 §4.2)."""


Fault = tuple[Distrust, str]


class Anchor(msgspec.Struct, frozen=True):
    """Where a path may end: a certificate, or a bare public key."""

    certificate: Certificate | None = None
    spki: bytes = b""
    dates_count: bool = True
    """Whether the anchor's own dates must hold; for DANE-TA(2) they need not."""


class Path(msgspec.Struct, frozen=True):
    """A path that holds: certificates from the server's to the anchor."""

    certificates: tuple[Certificate, ...]
    anchor: Anchor
    notes: tuple[str, ...] = ()

    @property
    def depth(self) -> int:
        """Of the anchor: how many signatures lie between it and the server's certificate."""
        return len(self.certificates) - (self.anchor.certificate is not None)


class Search:
    """All searches in one heap of certificates; they share one budget of steps and signature checks."""

    def __init__(self, leaf: Certificate, others: Iterable[Certificate], at: datetime) -> None:
        self.leaf = leaf
        self.at = at
        unique = dict.fromkeys([leaf, *others])
        self.certificates: tuple[Certificate, ...] = tuple(unique)[:MAX_CERTIFICATES]
        self._signed: dict[tuple[bytes, bytes], bool] = {}
        self._keys: dict[bytes, PublicKeyTypes | None] = {}
        self._steps = 0
        self._spent = 0
        self._exhausted = False
        self._constrained: dict[tuple[bytes, bytes], Fault | None] = {}
        self._comparisons = 0
        self._failures: list[Untrusted] = []
        self._anchors: Sequence[Anchor] = ()
        self._roots = Roots()

    def path(self, anchors: Sequence[Anchor] = (), roots: Roots | None = None) -> Path | Untrusted:
        """The first path that holds from the server's certificate to one of the anchors.

        An anchor is never the server's certificate itself, except among `roots`:
        a self-signed certificate that the administrator trusts.
        """
        self._failures = []
        self._anchors = anchors
        self._roots = roots or Roots()
        if self.leaf in self._roots:
            return self._judged((self.leaf,), Anchor(self.leaf)) or self._failure()
        found = self._extend((self.leaf,))
        if found is None:
            return self._failure()
        return (
            found
            if not self._failures
            else msgspec.structs.replace(found, notes=(*found.notes, self._detour()))
        )

    def _detour(self) -> str:
        """A way that looked better came to nothing; those who try a single way end there."""
        return f"senders that try a single path, as OpenSSL does, may fail: {self._failures[0].detail}"

    def _failure(self) -> Untrusted:
        if self._exhausted:
            return Untrusted(
                kind=Distrust.TOO_COMPLEX,
                detail="the certificates sent are so entangled that the search for a path was given up",
            )
        # A whole path that fails at one thing tells more than a path that leads nowhere.
        order = (Distrust.UNKNOWN_ISSUER, Distrust.MISSING_INTERMEDIATE, Distrust.SELF_SIGNED)
        return min(
            self._failures,
            key=lambda failure: (
                failure.kind in order,
                failure.kind is Distrust.BAD_SIGNATURE,
                -failure.depth,
            ),
        )

    # --- depth first ---

    def _extend(self, path: tuple[Certificate, ...]) -> Path | None:
        self._steps += 1
        if self._steps > MAX_STEPS:
            self._exhausted = True
        if self._exhausted:
            return None
        top = path[-1]
        before = len(self._failures)
        for anchor in self._anchors_above(path):
            whole = path if anchor.certificate is None else (*path, anchor.certificate)
            if found := self._judged(whole, anchor):
                return found
        if len(path) <= MAX_DEPTH:
            for issuer in self._issuers_above(path):
                if found := self._extend((*path, issuer)):
                    return found
        elif any(True for _ in self._issuers_above(path)):
            self._fail(
                Distrust.PATH_LENGTH, f"the chain is longer than {MAX_DEPTH} certificates", len(path) - 1
            )
        if len(self._failures) == before:
            self._dead_end(path, top)
        return None

    def _anchors_above(self, path: tuple[Certificate, ...]) -> Iterable[Anchor]:
        top, seen = path[-1], _entities(path)
        for anchor in (*self._anchors, *map(Anchor, self._roots.named(top.issuer_key))):
            if anchor.certificate is None:
                if self._has_signed(top, anchor.spki):
                    yield anchor
            elif (
                anchor.certificate.subject_key == top.issuer_key
                and (anchor.certificate.subject_key, anchor.certificate.spki) not in seen
                and self._issued(top, anchor.certificate, len(path) - 1)
            ):
                yield anchor

    def _issuers_above(self, path: tuple[Certificate, ...]) -> Iterable[Certificate]:
        top, seen = path[-1], _entities(path)
        candidates = [
            certificate
            for certificate in self.certificates
            if certificate.subject_key == top.issuer_key
            and (certificate.subject_key, certificate.spki) not in seen
        ]
        # RFC 4158 §3.2: likely ones first. The key identifier is a hint and not a rule.
        candidates.sort(
            key=lambda one: (
                None not in (top.authority_key_identifier, one.subject_key_identifier)
                and top.authority_key_identifier != one.subject_key_identifier,
                not one.not_before <= self.at <= one.not_after,
            )
        )
        for issuer in candidates:
            if self._issued(top, issuer, len(path) - 1):
                yield issuer

    def _dead_end(self, path: tuple[Certificate, ...], top: Certificate) -> None:
        depth = len(path) - 1
        issuer = top.issuer
        if top.is_self_issued and depth == 0:
            self._fail(Distrust.SELF_SIGNED, "the server's certificate is self-signed", depth)
        elif top.is_self_issued:
            self._fail(
                Distrust.UNKNOWN_ISSUER, f"the chain ends at {issuer}, which is no trust anchor", depth
            )
        elif depth == 0 and not any(one.is_ca for one in self.certificates[1:]):
            # Public CAs sign with intermediates, so most likely the server should send one.
            detail = f"the server does not send the certificate of {issuer}, which issued its own and is no trust anchor"
            self._fail(Distrust.MISSING_INTERMEDIATE, detail, depth)
        else:
            self._fail(
                Distrust.UNKNOWN_ISSUER,
                f"the certificate of {issuer} was not sent, and is no trust anchor",
                depth,
            )

    def _fail(self, kind: Distrust, detail: str, depth: int) -> None:
        if len(self._failures) < MAX_STEPS:
            self._failures.append(Untrusted(kind=kind, detail=detail, depth=depth))

    # --- signatures ---

    def _issued(self, child: Certificate, issuer: Certificate, depth: int) -> bool:
        weak = keys.WEAK_SIGNATURES.get(child.signature_algorithm)
        if weak:
            self._fail(Distrust.WEAK, f"{child.subject} is signed by {weak}", depth)
            return False
        if self._has_signed(child, issuer.spki):
            return True
        if child.signature_algorithm not in keys.KNOWN_SIGNATURES:
            algorithm = child.signature_algorithm
            self._fail(
                Distrust.BAD_SIGNATURE,
                f"{child.subject} is signed by an algorithm that is not known ({algorithm})",
                depth,
            )
        elif not self._exhausted:
            self._fail(
                Distrust.BAD_SIGNATURE,
                f"the signature on {child.subject} is not of the key of {issuer.subject}",
                depth,
            )
        return False

    def _has_signed(self, child: Certificate, spki: bytes) -> bool:
        known = self._signed.get((child.der, spki))
        if known is not None:
            return known
        if spki not in self._keys:
            self._keys[spki] = keys.load_key(spki)
        self._spent += keys.price(self._keys[spki])
        if self._spent > MAX_SIGNATURES:
            self._exhausted = True
            return False
        result = child.is_signed_by(self._keys[spki])
        self._signed[child.der, spki] = result
        return result

    # --- RFC 5280 §6.1 ---

    def _judged(self, certificates: tuple[Certificate, ...], anchor: Anchor) -> Path | None:
        notes: list[str] = []
        fault = (
            _extensions_fault(certificates)
            or _strength_fault(certificates, anchor)
            or self._constraints_fault(certificates)
            or self._dates_fault(certificates, anchor, notes)
        )
        if fault:
            self._failures.append(fault)
            return None
        return Path(certificates, anchor, tuple(notes))

    def _constraints_fault(self, certificates: tuple[Certificate, ...]) -> Untrusted | None:
        for depth, ca in enumerate(certificates[1:], start=1):
            for lower, certificate in enumerate(certificates[:depth]):
                # RFC 5280 §6.1.3 (b): not for self-issued intermediates, but always for the last certificate.
                if lower and certificate.is_self_issued:
                    continue
                pair = ca.der, certificate.der
                if pair not in self._constrained:
                    self._constrained[pair] = self._compared(ca, certificate)
                if fault := self._constrained[pair]:
                    kind, detail = fault
                    return Untrusted(kind=kind, detail=f"{ca.subject}{detail}", depth=depth)
        return None

    def _compared(self, ca: Certificate, certificate: Certificate) -> Fault | None:
        """What the CA's constraints say of one certificate, whichever paths both are in."""
        try:
            constraints = constraints_of(ca)
        except der.Malformed:
            return Distrust.MALFORMED, ": its nameConstraints are broken"
        if constraints is None:
            return None
        self._comparisons += comparisons(constraints, certificate)
        if self._comparisons > MAX_COMPARISONS:
            reason: str | None = "there are too many names and constraints to compare"
        else:
            reason = violation(constraints, certificate)
        return (Distrust.NAME_CONSTRAINTS, f" may not certify this: {reason}") if reason else None

    def _dates_fault(
        self, certificates: tuple[Certificate, ...], anchor: Anchor, notes: list[str]
    ) -> Untrusted | None:
        for depth, certificate in enumerate(certificates):
            who = "the server's certificate" if depth == 0 else certificate.subject
            if self.at > certificate.not_after:
                kind, text = Distrust.EXPIRED, f"{who} expired on {_date(certificate.not_after)}"
            elif self.at < certificate.not_before:
                kind, text = (
                    Distrust.NOT_YET_VALID,
                    f"{who} is not valid before {_date(certificate.not_before)}",
                )
            else:
                continue
            if certificate is anchor.certificate and not anchor.dates_count:
                notes.append(f"the trust anchor {text.removeprefix(who).strip()}: {who}")
                continue
            return Untrusted(kind=kind, detail=text, depth=depth)
        return None


def _entities(path: Iterable[Certificate]) -> set[tuple[bytes, bytes]]:
    """RFC 4158 §2.4.2: the same name with the same key twice in a path is a loop."""
    return {(certificate.subject_key, certificate.spki) for certificate in path}


def _date(at: datetime) -> str:
    return at.strftime("%Y-%m-%d %H:%M:%S UTC")


def _extensions_fault(certificates: tuple[Certificate, ...]) -> Untrusted | None:
    last = len(certificates) - 1
    below = 0  # intermediates below this one that are not self-issued: RFC 5280 §4.2.1.9
    for depth, certificate in enumerate(certificates):
        fault = _frame_fault(certificate) or (
            _server_fault(certificate)
            if depth == 0
            else _issuer_fault(certificate, below, is_anchor=depth == last)
        )
        if fault:
            kind, detail = fault
            return Untrusted(kind=kind, detail=f"{certificate.subject}: {detail}", depth=depth)
        if depth > 0 and not certificate.is_self_issued:
            below += 1
    return None


def _frame_fault(certificate: Certificate) -> Fault | None:
    if certificate.defects:
        return Distrust.MALFORMED, certificate.defects[0]
    for extension in certificate.extensions or ():
        if extension.critical and extension.oid not in PROCESSED:
            return Distrust.CRITICAL_EXTENSION, f"the critical extension {extension.oid} is not known"
    purposes = certificate.extended_key_usage
    if purposes is not None and not purposes & SERVER_PURPOSES:
        return Distrust.WRONG_PURPOSE, "its extended key usage does not include TLS servers"
    return None


def _server_fault(certificate: Certificate) -> Fault | None:
    usage = certificate.key_usage
    if usage is not None and not usage & {DIGITAL_SIGNATURE, KEY_ENCIPHERMENT, KEY_AGREEMENT}:
        return Distrust.WRONG_PURPOSE, "its key usage does not allow a TLS handshake"
    return None


def _issuer_fault(certificate: Certificate, below: int, *, is_anchor: bool) -> Fault | None:
    constraints = certificate.basic_constraints
    if constraints is None:
        # Old roots are version 1, which has no extensions. RFC 5280 §6.1.4 (k): intermediates must have them.
        if not (is_anchor and certificate.version == 1 and certificate.is_self_issued):
            return Distrust.NOT_A_CA, "it issued a certificate and is no CA (it has no basicConstraints)"
    elif not constraints.ca:
        return Distrust.NOT_A_CA, "it issued a certificate and is no CA"
    elif constraints.path_length is not None and below > constraints.path_length:
        allowed = constraints.path_length
        return Distrust.PATH_LENGTH, f"{below} CAs below it, and its pathLenConstraint allows {allowed}"
    if certificate.key_usage is not None and KEY_CERT_SIGN not in certificate.key_usage:
        return Distrust.NOT_A_CA, "its key usage does not allow it to sign certificates"
    return None


def _strength_fault(certificates: tuple[Certificate, ...], anchor: Anchor) -> Untrusted | None:
    for depth, certificate in enumerate(certificates):
        if weakness := keys.weakness_of_key(certificate.public_key):
            return Untrusted(kind=Distrust.WEAK, detail=f"{certificate.subject}: {weakness}", depth=depth)
    if anchor.certificate is None and (weakness := keys.weakness_of_key(keys.load_key(anchor.spki))):
        return Untrusted(kind=Distrust.WEAK, detail=f"the anchor: {weakness}", depth=len(certificates))
    return None


# --- chains as they come ---------------------------------------------------------------------------


def parse_chain(chain: Sequence[bytes]) -> tuple[Certificate, ...] | Untrusted:
    """The certificates that a server sent, its own first; what cannot be read behind it is left out."""
    if not chain:
        return Untrusted(kind=Distrust.NO_CERTIFICATE, detail="the server sent no certificate")
    leaf = parse_certificate(chain[0])
    if isinstance(leaf, Rejection):
        return Untrusted(kind=Distrust.MALFORMED, detail=f"the server's certificate is {leaf.message}")
    others = map(parse_certificate, chain[1:MAX_CERTIFICATES])
    return leaf, *(other for other in others if isinstance(other, Certificate))


def verify_pkix(chain: Sequence[bytes], roots: Roots, name: HostName, at: datetime) -> Trusted | Untrusted:
    """Whether a chain is valid for `name` at `at`, by PKIX (RFC 5280 §6, RFC 8461 §4.2).

    Args:
        chain: DER, as the server sent it: its own certificate first, the rest in any order.
        roots: the trust anchors; an intermediate among them is an anchor, too.
        name: the DNS-ID wanted; the common name never counts.
        at: the time, aware.
    """
    certificates = parse_chain(chain)
    if isinstance(certificates, Untrusted):
        return certificates
    path = Search(certificates[0], certificates[1:], at).path(roots=roots)
    if isinstance(path, Untrusted):
        return path
    leaf = certificates[0]
    found = matching_dns_id(leaf.dns_names, (name,))
    if found is None:
        return name_mismatch(leaf, (name,))
    return Trusted(
        path=tuple(certificate.der for certificate in path.certificates),
        presented=found[0],
        reference=found[1],
        expires=min(certificate.not_after for certificate in path.certificates),
        notes=path.notes,
    )


def name_mismatch(leaf: Certificate, names: Sequence[HostName]) -> Untrusted:
    """The verdict for a certificate that has none of the names."""
    wanted = " or ".join(names)
    if leaf.dns_names:
        shown = ", ".join(printable(name, 80) for name in leaf.dns_names[:5])
        more = f" and {len(leaf.dns_names) - 5} more" if len(leaf.dns_names) > 5 else ""
        detail = f"the certificate is for {shown}{more}, not for {wanted}"
    elif leaf.common_name:
        cn = printable(leaf.common_name, 80)
        detail = f"the certificate has no DNS name in its subjectAltName (its CN {cn} does not count), wanted {wanted}"
    else:
        detail = f"the certificate has no DNS name in its subjectAltName, wanted {wanted}"
    return Untrusted(kind=Distrust.NAME_MISMATCH, detail=detail)
