"""What can go wrong in a session, in RFC 8460's words (§4.3), and under which policy."""

from enum import StrEnum


class ResultType(StrEnum):
    """Why a session failed (RFC 8460 §4.3; IANA registry "STARTTLS Validation Result Types").

    The registry grows by specification, so reports may hold others:
    `FailureDetails.result_type` is therefore a text.
    """

    # RFC 8460 §4.3.1: negotiation
    STARTTLS_NOT_SUPPORTED = "starttls-not-supported"
    """The MX host does not offer STARTTLS, or refuses it."""
    CERTIFICATE_HOST_MISMATCH = "certificate-host-mismatch"
    """The certificate is not for the MX host, as the policy wants it."""
    CERTIFICATE_EXPIRED = "certificate-expired"
    CERTIFICATE_NOT_TRUSTED = "certificate-not-trusted"
    """No path to a trust anchor: unknown issuer, self-signed, revoked, …"""
    VALIDATION_FAILURE = "validation-failure"
    """Anything else between STARTTLS and a validated session."""

    # RFC 8460 §4.3.2.1: DANE
    TLSA_INVALID = "tlsa-invalid"
    """No TLSA record of the RRset matches, or none can be used."""
    DNSSEC_INVALID = "dnssec-invalid"
    """No valid records were returned by the resolver: bogus."""
    DANE_REQUIRED = "dane-required"
    """The sender wants DANE for all of this domain's MX hosts, and one has none."""

    # RFC 8460 §4.3.2.2: MTA-STS
    STS_POLICY_FETCH_ERROR = "sts-policy-fetch-error"
    """No policy could be fetched, for another reason than the certificate."""
    STS_POLICY_INVALID = "sts-policy-invalid"
    """The policy is malformed."""
    STS_WEBPKI_INVALID = "sts-webpki-invalid"
    """The policy host's certificate is not valid."""


class PolicyType(StrEnum):
    """Which kind of policy a session was held to (RFC 8460 §4.4)."""

    TLSA = "tlsa"
    STS = "sts"
    NO_POLICY_FOUND = "no-policy-found"
