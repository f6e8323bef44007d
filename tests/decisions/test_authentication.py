"""DANE and MTA-STS verdicts on the laboratory's certificates, and what RFC 8460 calls the failures."""

from datetime import UTC, datetime

import pytest

from mxseal.decisions.authentication import (
    RESULT_TYPES,
    NotListed,
    result_type,
    verify_dane,
    verify_mta_sts,
)
from mxseal.lab.ca import CertificateAuthority, Flaw, KeyType
from mxseal.standards.certificate import Distrust, Roots, Trusted, Untrusted, parse_certificate
from mxseal.standards.dane import Failure, Mismatch, Unusable, Verified, tlsa_for
from mxseal.standards.mta_sts import Policy, parse_policy
from mxseal.standards.tlsrpt import ResultType
from mxseal.vocabulary.names import HostName
from mxseal.vocabulary.observations import TlsaData
from mxseal.vocabulary.rejection import Rejection

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
MX = HostName("mx.example.test")


@pytest.fixture(scope="module")
def authority() -> CertificateAuthority:
    return CertificateAuthority(NOW)


def policy(*patterns: str) -> Policy:
    lines = ["version: STSv1", "mode: enforce", "max_age: 86400", *(f"mx: {pattern}" for pattern in patterns)]
    parsed = parse_policy("\r\n".join([*lines, ""]))
    assert isinstance(parsed, Policy)
    return parsed


@pytest.mark.parametrize(
    ("flaw", "distrust", "called"),
    [
        (Flaw.NONE, None, None),
        (Flaw.EXPIRED, Distrust.EXPIRED, ResultType.CERTIFICATE_EXPIRED),
        (Flaw.NOT_YET_VALID, Distrust.NOT_YET_VALID, ResultType.VALIDATION_FAILURE),
        (Flaw.WRONG_NAME, Distrust.NAME_MISMATCH, ResultType.CERTIFICATE_HOST_MISMATCH),
        (Flaw.SELF_SIGNED, Distrust.SELF_SIGNED, ResultType.CERTIFICATE_NOT_TRUSTED),
        (Flaw.CN_ONLY, Distrust.NAME_MISMATCH, ResultType.CERTIFICATE_HOST_MISMATCH),
        (Flaw.UNKNOWN_CA, Distrust.UNKNOWN_ISSUER, ResultType.CERTIFICATE_NOT_TRUSTED),
        (Flaw.NO_INTERMEDIATE, Distrust.MISSING_INTERMEDIATE, ResultType.CERTIFICATE_NOT_TRUSTED),
    ],
)
@pytest.mark.parametrize("key_type", [KeyType.ECDSA, KeyType.RSA])
def test_each_flaw(
    flaw: Flaw,
    distrust: Distrust | None,
    called: ResultType | None,
    key_type: KeyType,
    authority: CertificateAuthority,
):
    server = authority.issue(MX, flaw=flaw, key_type=key_type)
    sts = verify_mta_sts(policy(MX), MX, server.chain, roots=Roots([authority.root]), at=NOW)
    if distrust is None:
        assert isinstance(sts, Trusted)
    else:
        assert isinstance(sts, Untrusted)
        assert sts.kind is distrust
    assert result_type(sts) is called
    # DANE-EE(3) minds none of it (RFC 7672 §3.1.1).
    leaf = parse_certificate(server.leaf)
    assert not isinstance(leaf, Rejection)
    for selector, content in ((0, leaf.der), (1, leaf.spki)):
        assert isinstance(
            verify_dane([tlsa_for(content, 3, selector)], server.chain, names=(MX,), at=NOW), Verified
        )
    # DANE-TA(2) minds dates and names, and needs the issuer sent.
    anchor = verify_dane([tlsa_for(server.issuer, 2, 0)], server.chain, names=(MX,), at=NOW)
    private = flaw is Flaw.UNKNOWN_CA
    missing = flaw in (Flaw.SELF_SIGNED, Flaw.NO_INTERMEDIATE)
    if distrust is None or private:
        assert isinstance(anchor, Verified)
        assert result_type(anchor) is None
    else:
        assert isinstance(anchor, Mismatch)
        assert result_type(anchor) is (ResultType.CERTIFICATE_NOT_TRUSTED if missing else called)


@pytest.mark.parametrize(
    ("patterns", "listed"),
    [
        ((MX,), True),
        (("*.example.test",), True),
        (("mx2.example.test", MX), True),
        (("*.mx.example.test",), False),
    ],
)
def test_mta_sts_wants_the_host_listed(
    patterns: tuple[str, ...], *, listed: bool, authority: CertificateAuthority
):
    server = authority.issue(MX)
    verdict = verify_mta_sts(policy(*patterns), MX, server.chain, roots=Roots([authority.root]), at=NOW)
    assert isinstance(verdict, Trusted if listed else NotListed)
    assert result_type(verdict) is (None if listed else ResultType.CERTIFICATE_HOST_MISMATCH)


def test_unusable_is_no_mismatch(authority: CertificateAuthority):
    server = authority.issue(MX)
    unusable = verify_dane([TlsaData(1, 1, 1, b"x" * 32)], server.chain, names=(MX,), at=NOW)
    assert isinstance(unusable, Unusable)
    assert result_type(unusable) is ResultType.TLSA_INVALID
    mismatch = verify_dane([TlsaData(3, 1, 1, b"x" * 32)], server.chain, names=(MX,), at=NOW)
    assert isinstance(mismatch, Mismatch)
    assert result_type(mismatch) is ResultType.CERTIFICATE_NOT_TRUSTED


def test_weak_keys_are_for_dane_ee_only(authority: CertificateAuthority):
    """OpenSSL's security level 2 counts in path validation, which DANE-EE(3) has none of."""
    server = authority.issue(MX, key_type=KeyType.WEAK_RSA)
    sts = verify_mta_sts(policy(MX), MX, server.chain, roots=Roots([authority.root]), at=NOW)
    assert isinstance(sts, Untrusted)
    assert sts.kind is Distrust.WEAK
    anchor = verify_dane([tlsa_for(server.issuer, 2, 0)], server.chain, names=(MX,), at=NOW)
    assert isinstance(anchor, Mismatch)
    assert result_type(anchor) is result_type(sts) is ResultType.VALIDATION_FAILURE
    assert isinstance(verify_dane([tlsa_for(server.leaf, 3, 0)], server.chain, names=(), at=NOW), Verified)


def test_the_most_telling_of_several_failures_is_counted(authority: CertificateAuthority):
    """An anchor that was reached but for a date tells more than one that leads nowhere."""
    server = authority.issue(MX, flaw=Flaw.EXPIRED)
    reached = tlsa_for(server.issuer, 2, 0)
    stranger = tlsa_for(CertificateAuthority(NOW).root, 2, 0, 0)
    for records in ([reached, stranger], [stranger, reached]):
        verdict = verify_dane(records, server.chain, names=(MX,), at=NOW)
        assert isinstance(verdict, Mismatch)
        assert {reason.failure for reason in verdict.reasons} == {Failure.NOT_VALID}
        assert result_type(verdict) is ResultType.CERTIFICATE_EXPIRED


def test_a_certificate_that_cannot_be_read_is_not_called_missing():
    record = TlsaData(3, 1, 1, b"x" * 32)
    for chain, detail in (((), "sent no certificate"), ((b"rubbish",), "not a certificate")):
        verdict = verify_dane([record], chain, names=(MX,), at=NOW)
        assert isinstance(verdict, Mismatch)
        assert verdict.reasons[0].failure is Failure.NO_CERTIFICATE
        assert detail in verdict.reasons[0].detail


def test_every_distrust_has_a_result_type():
    assert set(RESULT_TYPES) == set(Distrust)
