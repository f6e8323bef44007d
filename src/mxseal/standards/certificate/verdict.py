"""What is said about a chain: `Trusted`, or `Untrusted` with the most telling reason."""

from datetime import datetime
from enum import StrEnum

import msgspec


class Distrust(StrEnum):
    """Why a chain is not trusted."""

    EXPIRED = "expired"
    NOT_YET_VALID = "not-yet-valid"
    NAME_MISMATCH = "name-mismatch"
    SELF_SIGNED = "self-signed"
    """The server's certificate is signed with its own key, and is no trust anchor."""
    UNKNOWN_ISSUER = "unknown-issuer"
    """The chain ends at an issuer that is no trust anchor."""
    MISSING_INTERMEDIATE = "missing-intermediate"
    """The server sent its own certificate without the issuer's, and that issuer is no root."""
    BAD_SIGNATURE = "bad-signature"
    """An issuer of the right name is there, but its key did not sign."""
    NOT_A_CA = "not-a-ca"
    """An issuer that is no certification authority, or may not sign certificates."""
    PATH_LENGTH = "path-length"
    """More issuers than a pathLenConstraint, or than we follow."""
    NAME_CONSTRAINTS = "name-constraints"
    WRONG_PURPOSE = "wrong-purpose"
    """A key usage or extended key usage that does not include a TLS server."""
    CRITICAL_EXTENSION = "critical-extension"
    """A critical extension that we do not know: RFC 5280 §4.2 says reject."""
    WEAK = "weak"
    """A key or a signature algorithm below OpenSSL's security level 2."""
    MALFORMED = "malformed"
    NO_CERTIFICATE = "no-certificate"
    TOO_COMPLEX = "too-complex"
    """The search for a path was given up at its bounds."""


class Trusted(msgspec.Struct, frozen=True, kw_only=True):
    """A valid path from the server's certificate to a trust anchor was found."""

    path: tuple[bytes, ...]
    """DER, the server's certificate first, the anchor last (unless it is a bare key)."""
    presented: str
    """The DNS-ID that matched."""
    reference: str
    """The name that it matched."""
    expires: datetime
    """The earliest notAfter of the path."""
    notes: tuple[str, ...] = ()
    """What is odd, and not wrong enough to refuse."""

    @property
    def depth(self) -> int:
        """Of the trust anchor: 0 is the server's own certificate."""
        return len(self.path) - 1


class Untrusted(msgspec.Struct, frozen=True, kw_only=True):
    """No valid path, or it is not for the name; `kind` is the most telling reason."""

    kind: Distrust
    detail: str
    """One sentence without a final full stop; printable."""
    depth: int = 0
    """Of the certificate that is to blame; 0 is the server's own."""
