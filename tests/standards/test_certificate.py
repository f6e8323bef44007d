"""Certificates: the view, names, name constraints, path building and its bounds.

Verdicts on whole chains are compared with OpenSSL's in test_dane_oracle.py.
"""

import ipaddress
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa, x25519
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from mxseal.standards.certificate import (
    Anchor,
    Certificate,
    Distrust,
    Roots,
    Search,
    Trusted,
    Untrusted,
    der,
    dns_id_matches,
    keys,
    parse_certificate,
    pem_certificates,
    verify_pkix,
)
from mxseal.standards.certificate.constraints import Constraints, constraints_of, violation
from mxseal.standards.certificate.path import MAX_CERTIFICATES, MAX_SIGNATURES, MAX_STEPS
from mxseal.standards.certificate.view import GeneralName, canonical_name, name_text
from mxseal.vocabulary.names import HostName
from mxseal.vocabulary.rejection import Rejection

MX = HostName("mx.example.com")

# --- the view ----------------------------------------------------------------------------------------


def test_view_agrees_with_cryptography(workshop: Any):
    every = {octets for chain in workshop.shapes().values() for octets in chain}
    assert len(every) > 60
    for octets in every:
        view = parse_certificate(octets)
        assert isinstance(view, Certificate)
        other = x509.load_der_x509_certificate(octets)
        assert view.serial == other.serial_number
        assert (view.not_before, view.not_after) == (other.not_valid_before_utc, other.not_valid_after_utc)
        assert view.signed == other.tbs_certificate_bytes
        assert view.signature == other.signature
        assert view.signature_algorithm == other.signature_algorithm_oid.dotted_string
        assert view.version == other.version.value + 1
        assert view.spki == other.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        assert view.sha256 == other.fingerprint(hashes.SHA256()).hex()
        assert view.subject_der == other.subject.public_bytes()
        assert [one.oid for one in view.extensions or ()] == [
            one.oid.dotted_string for one in other.extensions
        ]
        names = next(
            (one.value for one in other.extensions if isinstance(one.value, x509.SubjectAlternativeName)), []
        )
        assert list(view.dns_names) == [name.value for name in names]
        basic = next(
            (one.value for one in other.extensions if isinstance(one.value, x509.BasicConstraints)), None
        )
        assert view.is_ca == bool(basic and basic.ca)
        if basic and basic.ca:
            assert view.basic_constraints is not None
            assert view.basic_constraints.path_length == basic.path_length
        assert view.defects == ()


def test_every_ca_of_this_machine_can_be_read():
    store = Path("/etc/ssl/certs/ca-certificates.crt")
    if not store.exists():
        pytest.skip("this machine has no CA store")
    roots = Roots.from_pem(store.read_bytes())
    assert len(roots) == store.read_text().count("BEGIN CERTIFICATE")
    assert roots.rejected == []
    for root in roots:
        assert root.defects == ()
        assert root.public_key is not None
        assert root in roots.named(root.subject_key)
        assert root.is_self_issued
        assert root.extensions is not None


def test_view_is_tolerant_where_it_does_not_matter(workshop: Any):
    """`cryptography` refuses or warns at these; the handshake with OpenSSL works."""
    element = workshop.element

    def odd(change: Any) -> bytes:
        changed: bytes = workshop.rebuilt(workshop.leaf(), "intermediate", change)
        return changed

    negative = odd(lambda fields: [fields[0], element(2, b"\x80\x01"), *fields[2:]])
    version_4 = odd(lambda fields: [element(0xA0, element(2, b"\x03")), *fields[1:]])
    broken_extensions = odd(lambda fields: [*fields[:7], element(0xA3, b"\x30\x05\x01")])
    for octets in (negative, version_4, broken_extensions):
        view = parse_certificate(octets)
        assert isinstance(view, Certificate)
        assert view.spki == workshop.spki_of_key("leaf")
    broken = workshop.view(broken_extensions)
    assert broken.extensions is None
    assert broken.dns_names == ()
    assert broken.defects == ("its extensions are broken",)
    chain = (broken_extensions, workshop.intermediate)
    verdict = verify_pkix(chain, Roots([workshop.root]), MX, workshop.NOW)
    assert isinstance(verdict, Untrusted)
    assert verdict.kind is Distrust.MALFORMED
    negative_chain = (negative, workshop.intermediate)
    assert isinstance(verify_pkix(negative_chain, Roots([workshop.root]), MX, workshop.NOW), Trusted)


def test_algorithms_must_agree(workshop: Any):
    """RFC 5280 §4.1.1.2: the inner and the outer signature algorithm are the same."""
    other = workshop.element(0x30, bytes.fromhex("06082a8648ce3d040303"))
    octets = workshop.rebuilt(
        workshop.leaf(), "intermediate", lambda fields: [*fields[:2], other, *fields[3:]]
    )
    verdict = verify_pkix((octets, workshop.intermediate), Roots([workshop.root]), MX, workshop.NOW)
    assert isinstance(verdict, Untrusted)
    assert verdict.kind is Distrust.BAD_SIGNATURE


@pytest.mark.parametrize(
    ("tag", "text", "expected"),
    [
        (0x17, b"261123120000Z", datetime(2026, 11, 23, 12, tzinfo=UTC)),
        (0x17, b"500101000000Z", datetime(1950, 1, 1, tzinfo=UTC)),  # RFC 5280 §4.1.2.5.1
        (0x17, b"491231235959Z", datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC)),
        (0x18, b"20500101000000Z", datetime(2050, 1, 1, tzinfo=UTC)),
        (0x18, b"99991231235959Z", datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)),
        (0x17, b"261123120000+0100", None),
        (0x17, b"2611231200Z", None),
        (0x17, b"261323120000Z", None),
        (0x18, b"00000101000000Z", None),
        (0x18, b"20261123120000.5Z", None),
        (0x17, b"2611 3120000Z", None),
        (0x04, b"261123120000Z", None),
    ],
)
def test_times(tag: int, text: bytes, expected: datetime | None, workshop: Any):
    element = workshop.element
    validity = element(0x30, element(0x17, b"200101000000Z") + element(tag, text))
    octets = workshop.rebuilt(
        workshop.leaf(), "intermediate", lambda fields: [*fields[:4], validity, *fields[5:]]
    )
    view = parse_certificate(octets)
    if expected is None:
        assert isinstance(view, Rejection)
    else:
        assert isinstance(view, Certificate)
        assert view.not_after == expected


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"0",
        b"0\x80",
        b"0\x84\xff\xff\xff\xff",
        b"\x30\x00",
        b"x" * 100_000,
        b"-----BEGIN CERTIFICATE-----",
    ],
)
def test_rubbish_is_rejected(octets: bytes):
    rejection = parse_certificate(octets)
    assert isinstance(rejection, Rejection)
    assert rejection.section == "RFC 5280 §4.1"


def _look_at_all(view: Certificate) -> None:
    for name, value in vars(Certificate).items():
        if isinstance(value, property | cached_property):
            getattr(view, name)


@given(st.data())
def test_no_octets_raise(workshop: Any, data: Any):
    """Single octets changed, cut or doubled: a view or a rejection, and everything in the view can be read."""
    octets = bytearray(
        data.draw(
            st.sampled_from([workshop.leaf(), workshop.intermediate, workshop.shapes()["name excluded"][1]])
        )
    )
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(octets) - 1))
        octets[place] = data.draw(st.integers(0, 255))
    view = parse_certificate(bytes(octets))
    if isinstance(view, Certificate):
        _look_at_all(view)
        verify_pkix((bytes(octets), workshop.intermediate), Roots([workshop.root]), MX, workshop.NOW)
        verify_pkix((workshop.leaf(), bytes(octets)), Roots([workshop.root]), MX, workshop.NOW)


@given(st.binary(max_size=60))
def test_distinguished_names_are_printable_whatever_they_are(octets: bytes):
    assert name_text(octets).isprintable()
    canonical_name(octets)


def test_names_compare_without_case_blanks_and_string_type():
    def name(text: str, kind: Any = x509.name._ASN1Type.UTF8String) -> bytes:
        return x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, text, kind)]).public_bytes()

    printable_string = x509.name._ASN1Type.PrintableString
    assert canonical_name(name("Example  Org")) == canonical_name(name("example org ", printable_string))
    assert canonical_name(name("Example Org")) != canonical_name(name("ExampleOrg"))


# --- DNS-IDs: RFC 9525 §6.3 ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("presented", "reference", "matches"),
    [
        ("mx.example.com", "mx.example.com", True),
        ("MX.Example.Com", "mx.example.com", True),
        ("mx.example.com", "MX.EXAMPLE.COM.", True),
        ("*.example.com", "mx.example.com", True),
        ("*.EXAMPLE.com", "mx.example.com", True),
        ("*.example.com", "xn--bcher-kva.example.com", True),
        ("xn--bcher-kva.example", "bücher.example", True),
        ("bücher.example", "bücher.example", False),  # a DNS-ID is in A-labels
        ("*.example.com", "example.com", False),
        ("*.example.com", "a.mx.example.com", False),  # one label
        ("*.example.com", "mx.example.com.attacker.net", False),
        ("*.com", "example.com", False),
        ("*", "example", False),
        ("*.", "example.com", False),
        ("*.*.com", "mx.example.com", False),
        ("m*.example.com", "mx.example.com", False),
        ("*x.example.com", "mx.example.com", False),
        ("mx.*.com", "mx.example.com", False),
        ("**.example.com", "mx.example.com", False),
        (".example.com", "mx.example.com", False),
        ("mx.example.com.", "mx.example.com", False),  # RFC 5280 §4.2.1.6: without the last dot
        ("", "mx.example.com", False),
        ("mx.example.com\0.attacker.net", "mx.example.com", False),
        ("mx.example.com ", "mx.example.com", False),
        ("mx.example.co", "mx.example.com", False),
        ("ample.com", "mx.example.com", False),
        ("mx.e\N{KELVIN SIGN}ample.com", "mx.ekample.com", False),  # whose lower case is ASCII
    ],
)
def test_dns_ids(presented: str, reference: str, matches: bool):
    assert dns_id_matches(presented, HostName(reference)) is matches


label = st.from_regex(r"\A[a-z]{1,8}\Z")


@given(st.lists(label, min_size=2, max_size=5))
def test_wildcard_is_one_label(labels: list[str]):
    name = HostName(".".join(labels))
    assert dns_id_matches(name, name)
    assert dns_id_matches(f"*.{'.'.join(labels[1:])}", name) == (len(labels) > 2)
    assert not dns_id_matches(f"*.{name}", name)
    assert not dns_id_matches(f"*.{'.'.join(labels[2:])}", name) or len(labels) < 3


def test_other_kinds_of_names_are_no_dns_ids(workshop: Any):
    """An address book's or a URI's name says nothing about a server, whatever it looks like (RFC 9525 §6.2)."""
    names = [(tag, b"mx.example.com") for tag in (0, 1, 6, 7, 8)] + [(2, b"other.example.com")]
    value = b"".join(workshop.element(0x80 | tag, text) for tag, text in names)
    san = workshop.element(der.SEQUENCE, value)
    leaf = workshop.view(_with_extensions(workshop, workshop.leaf(names=()), [("2.5.29.17", san)]))
    assert leaf.dns_names == ("other.example.com",)
    assert leaf.defects == ()


@pytest.mark.parametrize(
    ("extensions", "defect"),
    [
        ([("2.5.29.19", "3003020101"), ("2.5.29.19", "3000")], "extension 2.5.29.19 occurs twice"),
        ([("2.5.29.19", "30060101ff0201ff")], "basicConstraints is broken"),  # pathLenConstraint -1
        ([("2.5.29.19", "30060101ff020100")], ""),
        ([("2.5.29.15", "0500")], "keyUsage is broken"),
        ([("2.5.29.37", "3003020100")], "extKeyUsage is broken"),
        ([("2.5.29.17", "3082ffff")], "subjectAltName is broken"),
    ],
)
def test_defects(extensions: list[tuple[str, str]], defect: str, workshop: Any):
    values = [(oid, bytes.fromhex(value)) for oid, value in extensions]
    octets = _with_extensions(workshop, workshop.leaf(), values)
    assert (defect in str(workshop.view(octets).defects)) if defect else not workshop.view(octets).defects
    verdict = verify_pkix((octets, workshop.intermediate), Roots([workshop.root]), MX, workshop.NOW)
    assert isinstance(verdict, Untrusted)
    assert (verdict.kind is Distrust.MALFORMED) == bool(defect)


def _with_extensions(workshop: Any, octets: bytes, extensions: list[tuple[str, bytes]]) -> bytes:
    """The certificate with these extensions instead of its own, all not critical."""
    element = workshop.element

    def encoded(oid: str, value: bytes) -> bytes:
        first, second, *rest = map(int, oid.split("."))
        return element(
            der.SEQUENCE,
            element(der.OBJECT_IDENTIFIER, bytes((40 * first + second, *rest)))
            + element(der.OCTET_STRING, value),
        )

    every = element(der.SEQUENCE, b"".join(encoded(oid, value) for oid, value in extensions))
    rebuilt: bytes = workshop.rebuilt(
        octets, "intermediate", lambda fields: [*fields[:7], element(0xA3, every)]
    )
    return rebuilt


# --- name constraints: RFC 5280 §4.2.1.10 ----------------------------------------------------------------


def _common_name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _subject(*organization: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, text) for text in organization])


DNS, MAIL, URI, ADDRESS, DIRECTORY = (
    x509.DNSName, x509.RFC822Name, x509.UniformResourceIdentifier, x509.IPAddress, x509.DirectoryName,
)  # fmt: skip
NETWORK, NETWORK_6 = ipaddress.ip_network("192.0.2.0/24"), ipaddress.ip_network("2001:db8::/32")


@pytest.mark.parametrize(
    ("base", "name", "within"),
    [
        (DNS("example.com"), DNS("example.com"), True),
        (DNS("example.com"), DNS("MX.example.COM"), True),
        (DNS("example.com"), DNS("a.b.example.com"), True),
        (DNS("example.com"), DNS("badexample.com"), False),
        (DNS("example.com"), DNS("example.com.net"), False),
        (DNS(".example.com"), DNS("example.com"), False),
        (DNS(".example.com"), DNS("mx.example.com"), True),
        (DNS(""), DNS("anything.test"), True),
        (DNS("example.com"), DNS("*.example.com"), True),
        (MAIL("example.com"), MAIL("a@example.com"), True),
        (MAIL("example.com"), MAIL("a@mx.example.com"), False),
        (MAIL(".example.com"), MAIL("a@mx.example.com"), True),
        (MAIL("a@example.com"), MAIL("a@Example.com"), True),
        (MAIL("a@example.com"), MAIL("b@example.com"), False),
        (ADDRESS(NETWORK), ADDRESS(ipaddress.ip_address("192.0.2.7")), True),
        (ADDRESS(NETWORK), ADDRESS(ipaddress.ip_address("192.0.3.7")), False),
        (ADDRESS(NETWORK_6), ADDRESS(ipaddress.ip_address("2001:db8::1")), True),
        (ADDRESS(NETWORK), ADDRESS(ipaddress.ip_address("2001:db8::1")), False),
        (DIRECTORY(_subject("Example")), DIRECTORY(_subject("example", "Mail")), True),
        (DIRECTORY(_subject("Example", "Mail")), DIRECTORY(_subject("Example")), False),
    ],
)
def test_name_constraints(base: Any, name: Any, within: bool, workshop: Any):
    key = workshop.key("leaf")

    def certificate(extension: Any) -> Certificate:
        builder = (
            x509.CertificateBuilder()
            .serial_number(1)
            .subject_name(x509.Name([]))
            .issuer_name(_subject("Example"))
            .public_key(key.public_key())
            .not_valid_before(workshop.NOW)
            .not_valid_after(workshop.NOW + workshop.YEAR)
            .add_extension(extension, critical=True)
            .sign(key, hashes.SHA256())
        )
        view: Certificate = workshop.view(builder.public_bytes(serialization.Encoding.DER))
        return view

    leaf = certificate(x509.SubjectAlternativeName([name]))
    permitted = constraints_of(certificate(x509.NameConstraints([base], None)))
    excluded = constraints_of(certificate(x509.NameConstraints(None, [base])))
    assert permitted is not None
    assert excluded is not None
    assert (violation(permitted, leaf) is None) == within
    assert (violation(excluded, leaf) is None) == (not within)
    # A name of another kind is not concerned.
    stranger = certificate(x509.SubjectAlternativeName([x509.RegisteredID(x509.ObjectIdentifier("1.2.3"))]))
    assert violation(permitted, stranger) is None
    assert constraints_of(leaf) is None


def test_constraint_of_a_kind_that_is_not_processed_rejects(workshop: Any):
    """RFC 5280 §4.2.1.10: process the constraint or reject the certificate."""
    uri = GeneralName(6, b"example.com")
    leaf = workshop.view(workshop.leaf())
    assert violation(Constraints((), (uri,)), leaf) is None
    leaf.alternative_names = (GeneralName(6, b"http://mx.example.com/"),)
    assert "uniformResourceIdentifier" in str(violation(Constraints((uri,), ()), leaf))


DNS_BASE, NAME_OF_NOTHING = bytes.fromhex("820b") + b"example.com", bytes.fromhex("a4063004310230ff")


@pytest.mark.parametrize(
    ("tags", "base"),
    [
        ((0xA2,), DNS_BASE),  # neither permitted nor excluded
        ((0x80,), DNS_BASE),  # primitive
        ((0xA1, 0xA1), DNS_BASE),  # twice
        ((0xA0,), NAME_OF_NOTHING),  # would else permit every name
        ((0xA1,), bytes.fromhex("82ff")),
    ],
)
def test_constraints_that_cannot_be_read_are_not_taken_for_none(
    tags: tuple[int, ...], base: bytes, workshop: Any
):
    element = workshop.element
    trees = b"".join(element(tag, element(der.SEQUENCE, base)) for tag in tags)
    value = element(der.SEQUENCE, trees)
    key = workshop.key("constrained")
    constrained = (
        x509.CertificateBuilder()
        .serial_number(1)
        .subject_name(_common_name("Constrained"))
        .issuer_name(_common_name("Root"))
        .public_key(key.public_key())
        .not_valid_before(workshop.NOW)
        .not_valid_after(workshop.NOW + workshop.YEAR)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.UnrecognizedExtension(x509.ObjectIdentifier("2.5.29.30"), value), critical=True)
        .sign(workshop.key("root"), hashes.SHA256())
        .public_bytes(serialization.Encoding.DER)
    )
    verdict = verify_pkix(
        (workshop.leaf("Constrained"), constrained), Roots([workshop.root]), MX, workshop.NOW
    )
    assert isinstance(verdict, Untrusted)
    assert (verdict.kind, verdict.depth) == (Distrust.MALFORMED, 1)
    assert "nameConstraints are broken" in verdict.detail


def test_a_name_that_cannot_be_read_does_not_slip_through_constraints(workshop: Any):
    leaf = workshop.view(workshop.leaf())
    base = GeneralName(4, canonical := _subject("Example").public_bytes())
    for broken in (NAME_OF_NOTHING[2:], canonical + b"\0", canonical[:-1]):
        leaf.subject_der, leaf.alternative_names = broken, ()
        for constraints in (Constraints((base,), ()), Constraints((), (base,))):
            assert "cannot be read" in str(violation(constraints, leaf))


@pytest.mark.parametrize(
    ("name", "base", "excluded"),
    [
        (b"*.example.com", b"mx.example.com", True),
        (b"*.EXAMPLE.com", b"MX.example.com", True),
        (b"*.example.com", b"a.mx.example.com", False),
        (b"*.example.com", b"mx.example.net", False),
        (b"*.example.com", b"badexample.com", False),
        (b"mx.example.com", b"other.example.com", False),
    ],
)
def test_no_wildcard_speaks_for_an_excluded_host(name: bytes, base: bytes, excluded: bool, workshop: Any):
    leaf = workshop.view(workshop.leaf())
    leaf.alternative_names = (GeneralName(2, name),)
    assert (violation(Constraints((), (GeneralName(2, base),)), leaf) is not None) == excluded
    # What a CA is permitted is not stretched by it.
    assert violation(Constraints((GeneralName(2, base),), ()), leaf) is not None


# --- path building -----------------------------------------------------------------------------------------


def test_trusted_tells_path_name_and_end(workshop: Any):
    chain = workshop.shapes()["unordered"]
    verdict = verify_pkix(chain, Roots([workshop.root]), MX, workshop.NOW)
    assert isinstance(verdict, Trusted)
    assert verdict.path == (chain[0], workshop.second, workshop.intermediate, workshop.root)
    assert (verdict.presented, verdict.reference, verdict.depth) == ("mx.example.com", MX, 3)
    assert verdict.expires == workshop.NOW + workshop.YEAR


@pytest.mark.parametrize(
    ("shape", "kind", "depth", "text"),
    [
        ("leaf expired", Distrust.EXPIRED, 0, "the server's certificate expired on 2026-11-22 12:00:00 UTC"),
        ("intermediate expired", Distrust.EXPIRED, 1, "CN=Old expired on 2026-11-22"),
        ("leaf not yet valid", Distrust.NOT_YET_VALID, 0, "not valid before 2026-11-24"),
        ("self-signed", Distrust.SELF_SIGNED, 0, "self-signed"),
        ("gap", Distrust.UNKNOWN_ISSUER, 0, "the certificate of CN=Second was not sent"),
        ("leaf alone", Distrust.MISSING_INTERMEDIATE, 0, "does not send"),
        ("cross-signed only", Distrust.UNKNOWN_ISSUER, 2, "CN=Other Root, which is no trust anchor"),
        ("CN only", Distrust.NAME_MISMATCH, 0, "its CN mx.example.com does not count"),
        (
            "longer name",
            Distrust.NAME_MISMATCH,
            0,
            "is for mx.example.com.attacker.net, not for mx.example.com",
        ),
        (
            "path length exceeded",
            Distrust.PATH_LENGTH,
            2,
            "1 CAs below it, and its pathLenConstraint allows 0",
        ),
        ("name excluded", Distrust.NAME_CONSTRAINTS, 1, "'mx.example.com' is in an excluded subtree"),
        ("SHA-1", Distrust.WEAK, 0, "SHA-1 with ECDSA"),
        ("RSA of 1024 bits", Distrust.WEAK, 1, "1024 bits, fewer than 2048"),
        ("intermediate may not sign", Distrust.NOT_A_CA, 1, "does not allow it to sign"),
    ],
)
def test_untrusted_tells_what_and_where(shape: str, kind: Distrust, depth: int, text: str, workshop: Any):
    verdict = verify_pkix(workshop.shapes()[shape], Roots([workshop.root]), MX, workshop.NOW)
    assert isinstance(verdict, Untrusted)
    assert (verdict.kind, verdict.depth) == (kind, depth)
    assert text in verdict.detail


def test_intermediate_among_the_roots_is_an_anchor(workshop: Any):
    verdict = verify_pkix((workshop.leaf(),), Roots([workshop.intermediate]), MX, workshop.NOW)
    assert isinstance(verdict, Trusted)
    assert verdict.depth == 1


def test_trusted_self_signed_server(workshop: Any):
    chain = workshop.shapes()["self-signed"]
    assert isinstance(verify_pkix(chain, Roots(chain), MX, workshop.NOW), Trusted)


@pytest.mark.parametrize(
    ("after", "kind"),
    [
        (timedelta(days=-365, seconds=-1), Distrust.NOT_YET_VALID),
        (timedelta(days=-365), None),  # RFC 5280 §4.1.2.5: both ends are included
        (timedelta(days=365), None),
        (timedelta(days=365, seconds=1), Distrust.EXPIRED),
    ],
)
def test_dates_include_both_ends(after: timedelta, kind: Distrust | None, workshop: Any):
    verdict = verify_pkix(workshop.shapes()["good"], Roots([workshop.root]), MX, workshop.NOW + after)
    assert (verdict.kind if isinstance(verdict, Untrusted) else None) is kind


def test_nothing_sent(workshop: Any):
    verdict = verify_pkix((), Roots([workshop.root]), MX, workshop.NOW)
    assert isinstance(verdict, Untrusted)
    assert verdict.kind is Distrust.NO_CERTIFICATE


def test_order_duplicates_and_strangers_do_not_matter(workshop: Any):
    others = [workshop.second, workshop.intermediate, workshop.root, workshop.cross, workshop.stranger]
    leaf, roots = workshop.leaf("Second"), Roots([workshop.root])

    @given(st.permutations(others * 2))
    def check(order: list[bytes]) -> None:
        assert isinstance(verify_pkix((leaf, *order), roots, MX, workshop.NOW), Trusted)

    check()


def test_valid_issuers_are_tried_before_expired_ones(workshop: Any):
    """Nothing is noted of it: those who try a single path try the valid one, too."""
    ca = {"ca": True, "usage": ("key_cert_sign",)}
    old = workshop.certify("Intermediate", "intermediate", "Root", "root", ends=-workshop.YEAR / 2, **ca)
    chain = (workshop.leaf(), old, workshop.intermediate)
    verdict = verify_pkix(chain, Roots([workshop.root]), MX, workshop.NOW)
    assert isinstance(verdict, Trusted)
    assert verdict.notes == ()


@pytest.mark.parametrize(
    ("purpose", "trusted"),
    [
        ("1.3.6.1.5.5.7.3.1", True),
        ("1.3.6.1.4.1.311.10.3.3", True),  # Server Gated Crypto, as OpenSSL
        ("2.16.840.1.113730.4.1", True),
        ("1.3.6.1.5.5.7.3.2", False),  # clientAuth
        ("2.5.29.37.0", False),  # anyExtendedKeyUsage
    ],
)
def test_purposes(purpose: str, trusted: bool, workshop: Any):
    leaf = workshop.leaf(purposes=(x509.ObjectIdentifier(purpose),))
    verdict = verify_pkix((leaf, workshop.intermediate), Roots([workshop.root]), MX, workshop.NOW)
    assert isinstance(verdict, Trusted) == trusted
    if isinstance(verdict, Untrusted):
        assert verdict.kind is Distrust.WRONG_PURPOSE


@pytest.mark.parametrize(
    ("usage", "trusted"),
    [
        (("digital_signature",), True),
        (("key_encipherment",), True),
        (("key_agreement",), True),
        (("content_commitment", "key_cert_sign"), False),
    ],
)
def test_key_usage_of_a_server(usage: tuple[str, ...], trusted: bool, workshop: Any):
    chain = (workshop.leaf(usage=usage), workshop.intermediate)
    verdict = verify_pkix(chain, Roots([workshop.root]), MX, workshop.NOW)
    assert isinstance(verdict, Trusted) == trusted


@pytest.mark.parametrize(
    ("subject", "issuer", "roots", "trusted"),
    [
        ("Ancient", "Ancient", "own", True),
        ("Ancient", "Root", "own", False),  # an anchor, but not self-issued
        ("Root", "Root", "Root", False),  # self-issued, but not the anchor
        ("Ancient", "Root", "Root", False),
    ],
)
def test_version_1_is_for_old_roots_only(
    subject: str, issuer: str, roots: str, *, trusted: bool, workshop: Any
):
    """RFC 5280 §6.1.4 (k): whoever has no basicConstraints is no CA."""
    new = workshop.certify(subject, "ancient", issuer, issuer.lower())
    for old in (new, workshop.as_version_1(new, issuer.lower())):
        chain = (workshop.leaf(subject, issuer_key="ancient", key_ids=False), old)
        anchors = Roots([old if roots == "own" else workshop.root])
        verdict = verify_pkix(chain, anchors, MX, workshop.NOW)
        assert isinstance(verdict, Trusted) == (trusted and old is not new)
        if isinstance(verdict, Untrusted):
            assert (verdict.kind, verdict.depth) == (Distrust.NOT_A_CA, 1)


def test_a_self_issued_server_does_not_escape_constraints(workshop: Any):
    """RFC 5280 §6.1.3 (b): self-issued certificates are exempt, but for the last one."""
    ca = workshop.certify("Bound", "bound", "Root", "root", ca=True, excluded=("example.com",))
    leaf = workshop.leaf("Bound", subject="Bound")
    verdict = verify_pkix((leaf, ca), Roots([workshop.root]), MX, workshop.NOW)
    assert isinstance(verdict, Untrusted)
    assert verdict.kind is Distrust.NAME_CONSTRAINTS

    permitted = workshop.certify("Bound", "bound", "Root", "root", ca=True, permitted=("example.com",))
    rolled = workshop.certify("Bound", "rolled", "Bound", "bound", ca=True, names=("bound.example.net",))
    chain = (workshop.leaf("Bound", issuer_key="rolled"), rolled, permitted)
    assert isinstance(verify_pkix(chain, Roots([workshop.root]), MX, workshop.NOW), Trusted)


@pytest.mark.parametrize(("key", "weak"), [("rsa-2048", False), ("rsa-1024", True)])
def test_a_bare_key_must_be_strong(key: str, weak: bool, workshop: Any):
    leaf = workshop.view(workshop.leaf("Bare", issuer_key=key))
    found = Search(leaf, (), workshop.NOW).path([Anchor(spki=workshop.spki_of_key(key))])
    assert (isinstance(found, Untrusted) and found.kind is Distrust.WEAK) == weak


def _maze(workshop: Any, levels: int, width: int) -> tuple[bytes, ...]:
    """CAs in `levels`, `width` certificates each that all look right; none leads to a root."""
    ca = {"ca": True, "key_ids": False}
    chain = [workshop.leaf("Level 0", issuer_key="level 0", key_ids=False)]
    for level in range(levels):
        above = f"Level {level + 1}"
        chain += [
            workshop.certify(
                f"Level {level}", f"level {level}", above, above.lower(), serial=1 + number, **ca
            )
            for number in range(width)
        ]
    return tuple(chain)


@pytest.mark.parametrize(("levels", "width"), [(10, 3), (3, 10), (1, 40), (31, 1)])
def test_mazes_end_soon(levels: int, width: int, workshop: Any):
    chain = _maze(workshop, levels, width)
    view = [workshop.view(octets) for octets in chain]
    search = Search(view[0], view[1:], workshop.NOW)
    verdict = search.path(roots=Roots([workshop.root]))
    assert isinstance(verdict, Untrusted)
    assert len(search._signed) <= MAX_SIGNATURES
    assert len(search.certificates) <= MAX_CERTIFICATES


def test_impostors_cannot_use_up_the_time(workshop: Any):
    """All of one name and different keys, each "signed" by all others: bounded signature checks."""
    ca = {"ca": True, "key_ids": False}
    chain = (
        workshop.leaf("Twin", issuer_key="nobody", key_ids=False),
        *(workshop.certify("Twin", f"twin {number}", "Twin", "nobody", **ca) for number in range(31)),
    )
    view = [workshop.view(octets) for octets in chain]
    search = Search(view[0], view[1:], workshop.NOW)
    assert isinstance(search.path(roots=Roots([workshop.root])), Untrusted)
    assert len(search._signed) <= MAX_SIGNATURES


def test_all_searches_in_one_chain_share_their_bounds(workshop: Any):
    """So many TLSA records as one likes, each of which designates an anchor, must not multiply the work."""
    view = [workshop.view(octets) for octets in _maze(workshop, 10, 3)]
    strangers = [workshop.view(workshop.certify(f"Stranger {n}", "stranger", ca=True)) for n in range(20)]
    search = Search(view[0], view[1:], workshop.NOW)
    steps: list[int] = []
    for stranger in strangers:
        verdict = search.path([Anchor(stranger)])
        assert isinstance(verdict, Untrusted)
        assert verdict.kind is Distrust.TOO_COMPLEX
        steps.append(search._steps)
    assert steps[0] < 2 * MAX_STEPS
    assert steps == list(range(steps[0], steps[0] + len(strangers)))


def test_constraints_are_compared_once_however_many_paths_there_are(workshop: Any):
    """Each path through a maze fails only after all names were held against all constraints."""
    ends = -workshop.YEAR / 365
    names = tuple(f"n{number}.example.com" for number in range(100))
    permitted = (*(f"x{number}.example" for number in range(50)), "example.com")
    ca = {"ca": True, "key_ids": False}
    chain = [workshop.leaf("L0", issuer_key="l0", names=names, ends=ends, key_ids=False)]
    for level in range(4):
        upper = f"L{level + 1}"
        chain += [
            workshop.certify(
                f"L{level}", f"l{level}", upper, upper.lower(), permitted=permitted, serial=1 + serial, **ca
            )
            for serial in range(3)
        ]
    top = workshop.view(workshop.certify("L4", "l4", **ca))

    def verdict(octets: list[bytes]) -> tuple[Untrusted, Search]:
        view = [workshop.view(one) for one in octets]
        search = Search(view[0], view[1:], workshop.NOW)
        found = search.path([Anchor(top)])
        assert isinstance(found, Untrusted)
        return found, search

    failure, search = verdict(chain)
    assert failure.kind is Distrust.EXPIRED
    assert len(search._failures) == 3**4  # as many paths
    # 12 CAs, the server's 100 names and its subject, and the subjects of CAs below.
    assert search._comparisons <= 12 * 51 * (101 + 9)

    many = tuple(f"n{number}.example.com" for number in range(900))
    chain[0] = workshop.leaf("L0", issuer_key="l0", names=many, ends=ends, key_ids=False)
    failure, _ = verdict(chain)
    assert failure.kind is Distrust.NAME_CONSTRAINTS
    assert "too many names and constraints" in failure.detail


def test_slow_keys_cost_more(workshop: Any):
    def key(bits: int, exponent: int) -> Any:
        return rsa.RSAPublicNumbers(exponent, (1 << bits) - 1).public_key()

    assert [keys.price(key(bits, 65537)) for bits in (2048, 4096, 8192)] == [1, 1, 1]
    assert keys.price(workshop.key("leaf").public_key()) == keys.price(None) == 1
    slow = key(16384, 65537), key(3072, (1 << 3000) + 1), key(2048, (1 << 40) + 1)
    assert all(keys.price(one) > 10 for one in slow)

    chain = (
        workshop.leaf("Twin", issuer_key="nobody", key_ids=False),
        *(workshop.certify("Twin", f"twin {n}", "Twin", "nobody", ca=True, key_ids=False) for n in range(20)),
    )
    search = Search(workshop.view(chain[0]), map(workshop.view, chain[1:]), workshop.NOW)
    search._keys = {certificate.spki: slow[0] for certificate in search.certificates}
    verdict = search.path(roots=Roots([workshop.root]))
    assert isinstance(verdict, Untrusted)
    assert verdict.kind is Distrust.TOO_COMPLEX
    assert len(search._signed) <= MAX_SIGNATURES // keys.price(slow[0])


def test_what_cannot_be_checked_is_not_called_forged(workshop: Any):
    known, unknown = bytes.fromhex("2a8648ce3d040302"), bytes.fromhex("2a8648ce3d04037f")
    for leaf, text in (
        (workshop.leaf("Root").replace(known, unknown), "not known (1.2.840.10045.4.3.127)"),
        (workshop.corrupted(workshop.leaf("Root")), "not of the key of CN=Root"),
    ):
        verdict = verify_pkix((leaf,), Roots([workshop.root]), MX, workshop.NOW)
        assert isinstance(verdict, Untrusted)
        assert verdict.kind is Distrust.BAD_SIGNATURE
        assert text in verdict.detail


def test_weakness_is_told_in_words():
    assert keys.weakness_of_key(x25519.X25519PrivateKey.generate().public_key()) == (
        "its public key is of a kind that signs nothing"
    )
    assert keys.weakness_of_key(ed25519.Ed25519PrivateKey.generate().public_key()) is None
    assert "unknown kind" in str(keys.weakness_of_key(None))


def test_a_version_that_does_not_exist_is_no_error(workshop: Any):
    """The parameters of RSASSA-PSS are read by `cryptography`, which raises for such a version."""
    version = bytes.fromhex("a003020102")
    for number in (3, 9, 255):
        leaf = workshop.leaf("Root", issuer_key="rsa-2048", key_name="rsa-2048", pss=True)
        octets = leaf.replace(version, version[:-1] + bytes((number,)), 1)
        root = workshop.certify("Root", "rsa-2048", ca=True)
        verdict = verify_pkix((octets, root), Roots([root]), MX, workshop.NOW)
        assert isinstance(verdict, Untrusted)
        assert verdict.kind is Distrust.BAD_SIGNATURE


def test_depth_is_bounded(workshop: Any):
    ca = {"ca": True}

    def chain(levels: int) -> tuple[bytes, ...]:
        names = [f"Deep {number}" for number in range(levels)]
        above = [*names[1:], "Root"]
        return (
            workshop.leaf("Deep 0", issuer_key="deep 0"),
            *(
                workshop.certify(name, name.lower(), upper, upper.lower(), **ca)
                for name, upper in zip(names, above, strict=True)
            ),
        )

    roots = Roots([workshop.root])
    assert isinstance(verify_pkix(chain(10), roots, MX, workshop.NOW), Trusted)
    verdict = verify_pkix(chain(12), roots, MX, workshop.NOW)
    assert isinstance(verdict, Untrusted)
    assert verdict.kind is Distrust.PATH_LENGTH


# --- PEM and roots -------------------------------------------------------------------------------------------


def test_pem_of_any_kind(workshop: Any):
    certificates = [workshop.root, workshop.intermediate]
    text = b"".join(
        x509.load_der_x509_certificate(octets).public_bytes(serialization.Encoding.PEM)
        for octets in certificates
    )
    assert pem_certificates(text) == certificates
    assert pem_certificates(text.decode()) == certificates
    assert pem_certificates(text.replace(b"\n", b"\r\n")) == certificates
    assert pem_certificates(b"# a comment \xe4\n" + text + b"rubbish") == certificates
    assert pem_certificates(text.replace(b"-----BEGIN", b"-----BEGINN", 1)) == certificates[1:]
    assert pem_certificates(text[:-40]) == certificates[:1]
    assert pem_certificates(b"") == []


def test_roots_leave_out_what_cannot_be_read(workshop: Any):
    roots = Roots([workshop.root, b"rubbish", workshop.root, workshop.other_root])
    assert len(roots) == 2
    assert [rejection.rule for rejection in roots.rejected] == ["Certificate"]
    assert workshop.view(workshop.root) in roots
    assert workshop.view(workshop.intermediate) not in roots
