"""Certificates and keys from files, in whatever form tools write them."""

import binascii
import re
import warnings
from typing import Any, Final, NamedTuple

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization

from mxseal.cli.texts import read_file
from mxseal.standards.certificate import Certificate, parse_certificate, pem_certificates
from mxseal.vocabulary.faults import DataFault
from mxseal.vocabulary.rejection import Rejection, printable

MAX_FILE: Final = 1024 * 1024
_LABEL: Final = re.compile(rb"-----BEGIN ([A-Z0-9 ]{1,40})-----")
_REQUESTS: Final = ("CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST")
_CERTIFICATES: Final = (b"CERTIFICATE", b"X509 CERTIFICATE")
_CHAIN: Final = "give the chain in PEM as the server sends it, its own certificate first"
_ACCEPTED: Final = "give a certificate, a private or public key, or a certificate request, in PEM or DER"


class Pinned(NamedTuple):
    """What a TLSA record can be made of."""

    what: str
    """``certificate``, ``private key``, ``public key`` or ``certificate request``."""
    certificate: Certificate | None
    spki: bytes


def read_pinned(path: str) -> Pinned:
    """The first certificate of a file, or else its key; raises a `Fault` that says what to give."""
    octets, shown = _read(path), printable(path)
    if b"-----BEGIN " in octets:
        return _from_pem(octets, shown)
    certificate = parse_certificate(octets)
    if isinstance(certificate, Certificate):
        return Pinned("certificate", certificate, certificate.spki)
    for what, load in _DER_READERS:
        key = _try(load, octets)
        if key is not None:
            return Pinned(what, None, _spki(key, shown))
    raise DataFault(f"{shown} is neither a certificate nor a key", cure=_ACCEPTED)


def read_chain(path: str) -> tuple[bytes, ...]:
    """All certificates of a file, in their order, at least one; DER."""
    octets, shown = _read(path), printable(path)
    chain = _all_certificates(octets, shown, _CHAIN) if b"-----BEGIN " in octets else [octets]
    if not chain:
        raise DataFault(f"{shown} has no certificate that can be read", cure=_CHAIN)
    for number, certificate in enumerate(chain, start=1):
        verdict = parse_certificate(certificate)
        if isinstance(verdict, Rejection):
            raise DataFault(f"{shown}, certificate {number}: {verdict.message}", cure=_CHAIN)
    return tuple(chain)


def _all_certificates(octets: bytes, shown: str, cure: str) -> list[bytes]:
    """Those of a PEM file; where one is broken, the next must not be taken for it."""
    begun = sum(label in _CERTIFICATES for label in _LABEL.findall(octets))
    found = pem_certificates(octets)
    if len(found) < begun:
        raise DataFault(
            f"{begun} certificates begin in {shown}, and {len(found)} can be read: base64 is broken, or an END missing",
            cure=cure,
        )
    return found


def _read(path: str) -> bytes:
    octets = read_file(path, MAX_FILE + 1)
    if len(octets) > MAX_FILE:
        raise DataFault(f"{printable(path)} is larger than {MAX_FILE} octets", cure=_ACCEPTED)
    if not octets.strip():
        raise DataFault(f"{printable(path)} is empty", cure=_ACCEPTED)
    return octets


def _from_pem(octets: bytes, shown: str) -> Pinned:
    labels = [label.decode("ascii") for label in _LABEL.findall(octets)]
    if any(label.encode() in _CERTIFICATES for label in labels):
        certificate = parse_certificate(_all_certificates(octets, shown, _ACCEPTED)[0])
        if isinstance(certificate, Rejection):
            raise DataFault(
                f"the certificate in {shown} cannot be read: {certificate.message}", cure=_ACCEPTED
            )
        return Pinned("certificate", certificate, certificate.spki)
    if "ENCRYPTED PRIVATE KEY" in labels or b"Proc-Type: 4,ENCRYPTED" in octets:
        raise DataFault(
            f"the private key in {shown} is encrypted",
            cure="give its public key: openssl pkey -in KEY -pubout | mxseal dane tlsa -",
        )
    kinds: tuple[tuple[str, bool, Any], ...] = (
        (
            "private key",
            any(label.endswith("PRIVATE KEY") for label in labels),
            lambda data: serialization.load_pem_private_key(data, None).public_key(),
        ),
        (
            "public key",
            any(label.endswith("PUBLIC KEY") for label in labels),
            serialization.load_pem_public_key,
        ),
        (
            "certificate request",
            any(label in _REQUESTS for label in labels),
            lambda data: x509.load_pem_x509_csr(data).public_key(),
        ),
    )
    for what, present, load in kinds:
        if present:
            # "EC PARAMETERS", which openssl writes in front of a key, is not for the reader.
            key = _try(load, _without_parameters(octets))
            if key is None:
                raise DataFault(f"the {what} in {shown} is broken, or of an unknown kind", cure=_ACCEPTED)
            return Pinned(what, None, _spki(key, shown))
    listed = ", ".join(labels[:3]) or "no complete block"
    raise DataFault(f"{shown} holds neither a certificate nor a key, but {listed}", cure=_ACCEPTED)


def _without_parameters(octets: bytes) -> bytes:
    return re.sub(rb"-----BEGIN EC PARAMETERS-----[^-]*-----END EC PARAMETERS-----\s*", b"", octets)


def _spki(key: Any, shown: str) -> bytes:
    try:
        spki: bytes = key.public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    except (AttributeError, ValueError, UnsupportedAlgorithm):
        raise DataFault(f"the key in {shown} is of a kind that TLS does not have", cure=_ACCEPTED) from None
    return spki


def _try(load: Any, octets: bytes) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return load(octets)
    except (ValueError, TypeError, UnsupportedAlgorithm, binascii.Error):
        return None


_DER_READERS: Final[tuple[tuple[str, Any], ...]] = (
    ("public key", serialization.load_der_public_key),
    ("private key", lambda data: serialization.load_der_private_key(data, None).public_key()),
    ("certificate request", lambda data: x509.load_der_x509_csr(data).public_key()),
)
