"""`Roots`: the trust anchors that PKIX ends at."""

import binascii
import re
from collections.abc import Iterable, Iterator
from typing import Final, Self

from mxseal.standards.certificate.view import Certificate, parse_certificate
from mxseal.vocabulary.rejection import Rejection

_PEM: Final = re.compile(
    rb"-----BEGIN (?:X509 )?CERTIFICATE-----([A-Za-z0-9+/=\s]{1,200000})-----END (?:X509 )?CERTIFICATE-----"
)


class Roots:
    """Trust anchors, found by subject; certificates that cannot be read are left out.

    `rejected` says which were left out, and why.
    """

    def __init__(self, certificates: Iterable[bytes] = ()) -> None:
        """From certificates in DER."""
        self._by_subject: dict[bytes, list[Certificate]] = {}
        self._certificates: dict[bytes, Certificate] = {}
        self.rejected: list[Rejection] = []
        for octets in certificates:
            certificate = parse_certificate(octets)
            if isinstance(certificate, Rejection):
                self.rejected.append(certificate)
            elif certificate.der not in self._certificates:
                self._certificates[certificate.der] = certificate
                self._by_subject.setdefault(certificate.subject_key, []).append(certificate)

    @classmethod
    def from_pem(cls, text: bytes | str) -> Self:
        """From all certificates in a PEM text, as in /etc/ssl/certs/ca-certificates.crt."""
        return cls(pem_certificates(text))

    def __len__(self) -> int:
        return len(self._certificates)

    def __iter__(self) -> Iterator[Certificate]:
        return iter(self._certificates.values())

    def __contains__(self, certificate: Certificate) -> bool:
        return certificate.der in self._certificates

    def named(self, subject_key: bytes) -> list[Certificate]:
        """The anchors with this subject (`Certificate.subject_key`)."""
        return self._by_subject.get(subject_key, [])


def pem_certificates(text: bytes | str) -> list[bytes]:
    """The certificates of a PEM text in DER, in their order; what is not base64 is left out."""
    octets = text.encode("utf-8", "replace") if isinstance(text, str) else text
    found: list[bytes] = []
    for match in _PEM.finditer(octets):
        try:
            found.append(binascii.a2b_base64(match[1]))
        except binascii.Error:
            continue
    return found
