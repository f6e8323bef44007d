"""Public keys, signatures on certificates, and what of both is strong enough.

The measure is OpenSSL's security level 2, which Debian's MTAs and Python's
`ssl` use as they come: 112 bits, that is RSA and DSA from 2048 bits, curves
from 224 bits, and SHA-224 or better in signatures.  A trust anchor's own
signature says nothing and is not looked at; its key is.
"""

import warnings
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import load_der_public_key

PSS: Final = "1.2.840.113549.1.1.10"
"""id-RSASSA-PSS, RFC 4055 §1.2; its hash is in the parameters."""

RSA_HASHES: Final[dict[str, hashes.HashAlgorithm]] = {
    "1.2.840.113549.1.1.14": hashes.SHA224(),
    "1.2.840.113549.1.1.11": hashes.SHA256(),
    "1.2.840.113549.1.1.12": hashes.SHA384(),
    "1.2.840.113549.1.1.13": hashes.SHA512(),
}
"""RFC 4055 §5."""

ECDSA_HASHES: Final[dict[str, hashes.HashAlgorithm]] = {
    "1.2.840.10045.4.3.1": hashes.SHA224(),
    "1.2.840.10045.4.3.2": hashes.SHA256(),
    "1.2.840.10045.4.3.3": hashes.SHA384(),
    "1.2.840.10045.4.3.4": hashes.SHA512(),
}
"""RFC 5758 §3.2."""

WEAK_SIGNATURES: Final = {
    "1.2.840.113549.1.1.2": "MD2 with RSA",
    "1.2.840.113549.1.1.3": "MD4 with RSA",
    "1.2.840.113549.1.1.4": "MD5 with RSA",
    "1.2.840.113549.1.1.5": "SHA-1 with RSA",
    "1.3.14.3.2.29": "SHA-1 with RSA",
    "1.2.840.10045.4.1": "SHA-1 with ECDSA",
    "1.2.840.10040.4.3": "SHA-1 with DSA",
}
ED25519: Final = "1.3.101.112"
ED448: Final = "1.3.101.113"
"""RFC 8410 §3."""


KNOWN_SIGNATURES: Final = frozenset({*RSA_HASHES, *ECDSA_HASHES, *WEAK_SIGNATURES, PSS, ED25519, ED448})


def load_key(spki: bytes) -> PublicKeyTypes | None:
    """The public key in a SubjectPublicKeyInfo; None if it is broken or of an unknown kind."""
    try:
        return load_der_public_key(spki)
    except (ValueError, UnsupportedAlgorithm):
        return None


def key_kind(key: PublicKeyTypes | None) -> str:
    """``RSA``, ``ECDSA``, ``Ed25519``, ``Ed448``, ``DSA`` or ``unknown``."""
    match key:
        case rsa.RSAPublicKey():
            return "RSA"
        case ec.EllipticCurvePublicKey():
            return "ECDSA"
        case ed25519.Ed25519PublicKey():
            return "Ed25519"
        case ed448.Ed448PublicKey():
            return "Ed448"
        case dsa.DSAPublicKey():
            return "DSA"
        case _:
            return "unknown"


def key_size(key: PublicKeyTypes | None) -> int:
    """In bits; 0 for an unknown kind."""
    match key:
        case rsa.RSAPublicKey() | ec.EllipticCurvePublicKey() | dsa.DSAPublicKey():
            return key.key_size
        case ed25519.Ed25519PublicKey():
            return 256
        case ed448.Ed448PublicKey():
            return 456
        case _:
            return 0


def weakness_of_key(key: PublicKeyTypes | None) -> str | None:
    """Why this key is not strong enough; None if it is."""
    if key is None:
        return "its public key is broken or of an unknown kind"
    size, kind = key_size(key), key_kind(key)
    if not size:
        return "its public key is of a kind that signs nothing"
    least = 2048 if kind in ("RSA", "DSA") else 224
    return f"its {kind} key has {size} bits, fewer than {least}" if size < least else None


def signed_by(
    key: PublicKeyTypes | None, algorithm: str, signature: bytes, signed: bytes, der: bytes
) -> bool:
    """Whether `signature` over `signed` is of `key`; False for anything that cannot be checked.

    `der` is the whole certificate, which the parameters of RSASSA-PSS are read from.
    """
    try:
        match key:
            case rsa.RSAPublicKey() if algorithm in RSA_HASHES:
                key.verify(signature, signed, padding.PKCS1v15(), RSA_HASHES[algorithm])
            case rsa.RSAPublicKey() if algorithm == PSS:
                return _signed_with_pss(key, signature, signed, der)
            case ec.EllipticCurvePublicKey() if algorithm in ECDSA_HASHES:
                key.verify(signature, signed, ec.ECDSA(ECDSA_HASHES[algorithm]))
            case ed25519.Ed25519PublicKey() if algorithm == ED25519:
                key.verify(signature, signed)
            case ed448.Ed448PublicKey() if algorithm == ED448:
                key.verify(signature, signed)
            case _:
                return False
    except (InvalidSignature, ValueError, UnsupportedAlgorithm, x509.InvalidVersion):
        return False
    return True


def price(key: PublicKeyTypes | None) -> int:
    """What a check with this key costs: 1 for keys as they are in use, more for RSA keys that are made to be slow.

    OpenSSL computes with up to 16384 bits, and with any exponent up to 3072 bits, which takes milliseconds.
    """
    if not isinstance(key, rsa.RSAPublicKey):
        return 1
    return 1 if key.key_size <= 8192 and key.public_numbers().e.bit_length() <= 32 else 25


def _signed_with_pss(key: rsa.RSAPublicKey, signature: bytes, signed: bytes, der: bytes) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # oddities that `cryptography` announces to deprecate
        certificate = x509.load_der_x509_certificate(der)
        parameters = certificate.signature_algorithm_parameters
        algorithm = certificate.signature_hash_algorithm
    if not isinstance(parameters, padding.PSS) or algorithm is None or algorithm.digest_size < 28:
        return False
    key.verify(signature, signed, parameters, algorithm)
    return True
