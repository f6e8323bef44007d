"""The laboratory's certification authority: good certificates, and each of the usual bad ones.

A root and an intermediate with ECDSA P-256 keys; leaves with ECDSA or RSA keys.
All times follow from the `now` that the authority was made with.  Keys are made
when they are first needed; the few RSA keys are kept for the life of the
process, because making them is the only slow thing here.
"""

import functools
from datetime import datetime, timedelta
from enum import StrEnum

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


class KeyType(StrEnum):
    ECDSA = "ecdsa"
    RSA = "rsa"
    WEAK_RSA = "weak-rsa"
    """1024 bits."""


class Flaw(StrEnum):
    """What is wrong with a certificate, or with the chain that is sent."""

    NONE = "none"
    EXPIRED = "expired"
    NOT_YET_VALID = "not-yet-valid"
    WRONG_NAME = "wrong-name"
    SELF_SIGNED = "self-signed"
    CN_ONLY = "cn-only"
    """The name is in the subject's common name only (RFC 8461 §4.1 wants a DNS-ID)."""
    UNKNOWN_CA = "unknown-ca"
    NO_INTERMEDIATE = "no-intermediate"
    """The server sends its own certificate alone."""


class ServerCertificate(msgspec.Struct, frozen=True):
    """A server's key and the chain that it sends."""

    chain: tuple[bytes, ...]
    """DER, leaf first, as it is sent in the handshake."""
    key: PrivateKey
    issuer: bytes
    """DER of the certificate that signed the leaf, whether it is sent or not."""

    @property
    def leaf(self) -> bytes:
        return self.chain[0]

    def pem(self) -> bytes:
        """Key and chain in one text, as `ssl.SSLContext.load_cert_chain` reads them."""
        key = self.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        return key + b"".join(to_pem(der) for der in self.chain)


class CertificateAuthority:
    """Issues certificates as of `now` (aware, UTC)."""

    def __init__(self, now: datetime) -> None:
        self._now = now.replace(microsecond=0)
        self._serial = 1000

    @functools.cached_property
    def _root(self) -> tuple[x509.Certificate, PrivateKey]:
        return self._authority("MXSeal Laboratory Root", None)

    @functools.cached_property
    def _intermediate(self) -> tuple[x509.Certificate, PrivateKey]:
        return self._authority("MXSeal Laboratory Intermediate 1", self._root)

    @functools.cached_property
    def _unknown(self) -> tuple[x509.Certificate, PrivateKey]:
        return self._authority("Somebody Else's Root", None)

    @functools.cached_property
    def root(self) -> bytes:
        """The trust anchor, DER."""
        return _der(self._root[0])

    @functools.cached_property
    def intermediate(self) -> bytes:
        return _der(self._intermediate[0])

    @functools.cached_property
    def unknown_root(self) -> bytes:
        """The root of an authority that nobody trusts."""
        return _der(self._unknown[0])

    def issue(
        self,
        *names: str,
        flaw: Flaw = Flaw.NONE,
        key_type: KeyType = KeyType.ECDSA,
        key: PrivateKey | None = None,
        days_left: int = 60,
        sends_root: bool = False,
    ) -> ServerCertificate:
        """A certificate for `names` with one flaw or none, valid for `days_left` more days."""
        key = key or new_key(key_type)
        not_before = self._now - timedelta(days=30)
        not_after = self._now + timedelta(days=days_left)
        if flaw is Flaw.EXPIRED:
            not_before, not_after = self._now - timedelta(days=97), self._now - timedelta(days=7)
        elif flaw is Flaw.NOT_YET_VALID:
            not_before = self._now + timedelta(days=7)
        dns_names = names
        if flaw is Flaw.WRONG_NAME:
            dns_names = tuple(f"old-{name}" for name in names)
        elif flaw is Flaw.CN_ONLY:
            dns_names = ()
        if flaw is Flaw.SELF_SIGNED:
            issuer, signer = None, key
        else:
            issuer, signer = self._unknown if flaw is Flaw.UNKNOWN_CA else self._intermediate
        leaf = self._certificate(
            f"old-{names[0]}" if flaw is Flaw.WRONG_NAME else names[0],
            key,
            issuer=issuer,
            signer=signer,
            dns_names=dns_names,
            not_before=not_before,
            not_after=not_after,
        )
        chain = [_der(leaf)]
        if flaw is Flaw.UNKNOWN_CA:
            chain.append(self.unknown_root)
        elif flaw not in (Flaw.SELF_SIGNED, Flaw.NO_INTERMEDIATE):
            chain.append(self.intermediate)
            if sends_root:
                chain.append(self.root)
        return ServerCertificate(tuple(chain), key, chain[0] if issuer is None else _der(issuer))

    def _authority(
        self, name: str, parent: tuple[x509.Certificate, PrivateKey] | None
    ) -> tuple[x509.Certificate, PrivateKey]:
        key = new_key(KeyType.ECDSA)
        issuer, signer = parent or (None, key)
        certificate = self._certificate(
            name,
            key,
            issuer=issuer,
            signer=signer,
            authority=True,
            not_before=self._now - timedelta(days=700),
            not_after=self._now + timedelta(days=3000),
        )
        return certificate, key

    def _certificate(
        self,
        common_name: str,
        key: PrivateKey,
        *,
        issuer: x509.Certificate | None,
        signer: PrivateKey,
        not_before: datetime,
        not_after: datetime,
        dns_names: tuple[str, ...] = (),
        authority: bool = False,
    ) -> x509.Certificate:
        self._serial += 1
        subject = _name(common_name)
        builder = (
            x509.CertificateBuilder()
            .serial_number(self._serial)
            .subject_name(subject)
            .issuer_name(issuer.subject if issuer is not None else subject)
            .public_key(key.public_key())
            .not_valid_before(not_before)
            .not_valid_after(not_after)
            .add_extension(
                x509.BasicConstraints(ca=authority, path_length=None), critical=authority or issuer is None
            )
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
            )
            .add_extension(_key_usage(authority=authority), critical=True)
        )
        if dns_names:
            names = x509.SubjectAlternativeName([x509.DNSName(name) for name in dns_names])
            builder = builder.add_extension(names, critical=False)
        if not authority:
            usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
            builder = builder.add_extension(usage, critical=False)
        return builder.sign(signer, hashes.SHA256())


def new_key(key_type: KeyType) -> PrivateKey:
    """A fresh ECDSA key, or one of the RSA keys that the process keeps."""
    if key_type is KeyType.RSA:
        return rsa_key(0)
    if key_type is KeyType.WEAK_RSA:
        return rsa_key(0, 1024)
    return ec.generate_private_key(ec.SECP256R1())


@functools.cache
def rsa_key(number: int, bits: int = 2048) -> rsa.RSAPrivateKey:
    """The process's RSA key of that number, made when it is first needed."""
    del number
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


def to_pem(der: bytes) -> bytes:
    """One certificate as PEM text."""
    return x509.load_der_x509_certificate(der).public_bytes(serialization.Encoding.PEM)


def spki(key: PrivateKey) -> bytes:
    """The SubjectPublicKeyInfo of a key, which selector 1 of a TLSA record is about (RFC 6698 §2.1.2)."""
    return key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def spki_of(der: bytes) -> bytes:
    """The SubjectPublicKeyInfo of a certificate."""
    return (
        x509.load_der_x509_certificate(der)
        .public_key()
        .public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    )


def _der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.DER)


def _name(common_name: str) -> x509.Name:
    # X.520 bounds a common name at 64 characters.
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name[:64])])


def _key_usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )
