"""One decision, in the words of each MTA."""

from datetime import UTC, datetime, timedelta

import pytest

from mxseal.decisions.delivery import Course, Decision, Kind, OneAnswer
from mxseal.decisions.policy_lifecycle import EffectivePolicy, PolicySource
from mxseal.decisions.postfix_answer import reply_in
from mxseal.standards.mta_sts import Mode, MxPattern, Policy
from mxseal.standards.postfix_tls import Dialect
from mxseal.vocabulary.names import HostName

NOW = datetime(2026, 11, 23, tzinfo=UTC)
MX = (MxPattern("mx.example.com"), MxPattern("*.example.net"))
SECURE = "OK secure match=mx.example.com:.example.net servername=hostname"
REPORTS = (
    " policy_type=sts policy_domain=example.com mx_host_pattern=mx.example.com mx_host_pattern=*.example.net"
    " { policy_string = version: STSv1 } { policy_string = mode: enforce } { policy_string = mx: mx.example.com }"
    " { policy_string = mx: *.example.net } { policy_string = max_age: 86400 }"
)


def decision(kind, mode, mx=MX):
    policy = None if mode is None else Policy(mode=mode, mx=mx, max_age=86400)
    patterns = mx if kind is Kind.SECURE else ()
    return Decision(
        domain=HostName("example.com"),
        course=Course.DELIVER,
        answer=OneAnswer(kind, patterns=patterns, detail="DNS failed" if kind is Kind.TEMP else ""),
        hosts=(),
        policy=EffectivePolicy(policy=policy, source=PolicySource.CACHED if policy else PolicySource.NONE),
        reasons=(),
        valid_until=NOW + timedelta(hours=1),
    )


TABLE = [
    # kind, mode of the policy: plain, TLSRPT, Sendmail
    (Kind.SECURE, Mode.ENFORCE, SECURE, SECURE + REPORTS, SECURE),
    (Kind.DANE_ONLY, None, "OK dane-only", "OK dane-only", "NOTFOUND "),
    (Kind.DANE_ONLY, Mode.ENFORCE, "OK dane-only", "OK dane-only", SECURE),
    (Kind.DANE, None, "OK dane", "OK dane", "NOTFOUND "),
    (Kind.DANE, Mode.TESTING, "OK dane", "OK dane", "NOTFOUND "),
    (Kind.NOT_FOUND, Mode.TESTING, "NOTFOUND ", "NOTFOUND ", "NOTFOUND "),
    (Kind.NOT_FOUND, Mode.NONE, "NOTFOUND ", "NOTFOUND ", "NOTFOUND "),
    (Kind.NOT_FOUND, None, "NOTFOUND ", "NOTFOUND ", "NOTFOUND "),
    (Kind.TEMP, Mode.ENFORCE, "TEMP DNS failed", "TEMP DNS failed", "TEMP DNS failed"),
    (Kind.TEMP, None, "TEMP DNS failed", "TEMP DNS failed", "TEMP DNS failed"),
]


@pytest.mark.parametrize(("kind", "mode", "plain", "tlsrpt", "sendmail"), TABLE)
def test_in_each_dialect(kind, mode, plain, tlsrpt, sendmail):
    told = decision(kind, mode)
    assert str(reply_in(Dialect.PLAIN, told)) == plain
    assert str(reply_in(Dialect.TLSRPT, told)) == tlsrpt
    assert str(reply_in(Dialect.SENDMAIL, told)) == sendmail


def test_what_has_no_room_makes_mail_wait():
    few = tuple(MxPattern(f"mx{number:04}.example.com") for number in range(3000))
    told = decision(Kind.SECURE, Mode.ENFORCE, few)
    assert str(reply_in(Dialect.PLAIN, told)).startswith("OK secure match=")
    assert str(reply_in(Dialect.TLSRPT, told)).startswith("TEMP MTA-STS policy cannot be expressed")
    many = tuple(MxPattern(f"mx{number:05}.example.com") for number in range(7000))
    for dialect in Dialect:
        assert str(reply_in(dialect, decision(Kind.SECURE, Mode.ENFORCE, many))).startswith("TEMP ")
