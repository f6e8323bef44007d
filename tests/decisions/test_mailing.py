"""Verdicts and fates, where no server is needed to see them."""

from datetime import UTC, datetime

import pytest

from mxseal.decisions import session_results
from mxseal.decisions.delivery import HostRequirement, Level
from mxseal.decisions.mailing import (
    Admitted,
    Denied,
    Obstacle,
    TlsUse,
    Visit,
    admit,
    bounce_status,
    may_go_in_clear,
    seals,
    settle,
    tls_use,
    without_fate,
)
from mxseal.decisions.policy_lifecycle import Reason
from mxseal.standards.certificate import Roots
from mxseal.standards.mta_sts import parse_policy
from mxseal.standards.smtp import Unfit, parse_mailbox
from mxseal.vocabulary.names import Address, HostName
from mxseal.vocabulary.observations import (
    Answer,
    Handshake,
    HandshakeFailed,
    MxData,
    Outcome,
    ProtocolViolation,
    RecordType,
    Security,
    Stage,
    StarttlsNotOffered,
    StarttlsRefused,
    TlsaData,
    Unreachable,
)

NOW = datetime(2026, 11, 23, tzinfo=UTC)
MX = HostName("mx.x.example")
OTTO = parse_mailbox("otto@x.example")
NOBODY = Handshake("TLSv1.3", "X", (b"no certificate",))
ENFORCE = parse_policy("version: STSv1\nmode: enforce\nmx: mx.x.example\nmax_age: 86400\n")
TESTING = parse_policy("version: STSv1\nmode: testing\nmx: mx.x.example\nmax_age: 86400\n")
RECORD = TlsaData(3, 1, 1, b"\xab" * 32)


def owed(level, **others):
    return HostRequirement(host=MX, preference=10, level=level, **others)


@pytest.mark.parametrize(
    ("requirement", "policy", "admitted"),
    [
        (owed(Level.DANE, records=(RECORD,)), None, False),
        (owed(Level.DANE), None, False),  # nothing can be proved by no record
        (owed(Level.PKIX), ENFORCE, False),
        (owed(Level.PKIX), TESTING, False),
        (owed(Level.PKIX), None, False),
        (owed(Level.SKIP), ENFORCE, False),
        (owed(Level.ENCRYPT), None, True),
        (owed(Level.OPPORTUNISTIC), None, True),
        (owed(Level.OPPORTUNISTIC), TESTING, True),
    ],
)
@pytest.mark.parametrize("chain", [(), (b"no certificate",)])
def test_who_proves_nothing_is_admitted_where_nothing_is_demanded(requirement, policy, admitted, chain):
    handshake = Handshake("TLSv1.3", "X", chain)
    verdict = admit(requirement, policy, handshake, roots=Roots, at=NOW)
    assert isinstance(verdict, Admitted if admitted else Denied)
    if isinstance(verdict, Admitted):
        assert isinstance(verdict.objection, Denied if policy is TESTING else type(None))


@pytest.mark.parametrize("level", list(Level))
def test_what_each_level_asks_for(level):
    opportunistic = level is Level.OPPORTUNISTIC
    assert tls_use(level) is (TlsUse.IF_OFFERED if opportunistic else TlsUse.REQUIRED)
    assert seals(owed(level)) is (level in (Level.DANE, Level.PKIX))
    failed = Visit(host=MX, address=Address("192.0.2.1"), session=HandshakeFailed("x"))
    assert may_go_in_clear(level, failed) is opportunistic


def test_a_host_that_forged_mx_records_may_name_seals_nothing():
    assert not seals(owed(Level.DANE, mx_is_proved=False))


SESSIONS = {
    "not offered": (StarttlsNotOffered(), "offers no STARTTLS, and its TLSA records demand TLS"),
    "refused": (StarttlsRefused(454, "no"), "answers STARTTLS with 454 no, and its TLSA records demand TLS"),
    "violated": (ProtocolViolation(Stage.EHLO, "noise"), "breaks SMTP: noise"),
    "handshake": (HandshakeFailed("alert"), "alert"),
    "down": (Unreachable(Stage.CONNECT, "refused"), "mx.x.example at 192.0.2.1: refused"),
    "busy": (Unreachable(Stage.GREETING, "it says 421"), "mx.x.example: it says 421"),
    "nothing": (None, "the session ended before the mail was offered"),
}


@pytest.mark.parametrize(("session", "words"), SESSIONS.values(), ids=SESSIONS)
def test_why_the_mail_was_not_offered(session, words):
    visit = Visit(host=MX, address=Address("192.0.2.1"), session=session)
    (obstacle,) = settle(visit, Level.DANE, [OTTO], seals=True)
    assert isinstance(obstacle, Obstacle)
    assert words in obstacle.reason.text
    assert obstacle.status == ""


@pytest.mark.parametrize(
    ("unfit", "status"),
    [(Unfit.TOO_LARGE, "5.3.4"), (Unfit.NEEDS_8BITMIME, "5.6.3"), (Unfit.NEEDS_SMTPUTF8, "5.6.7")],
)
def test_what_a_server_cannot_take(unfit, status):
    visit = Visit(host=MX, address=Address("192.0.2.1"), session=NOBODY, unfit=unfit)
    (obstacle,) = settle(visit, Level.ENCRYPT, [OTTO], seals=False)
    assert obstacle.status == status
    assert without_fate(OTTO, [obstacle]).status == status


def test_no_obstacle_at_all_defers():
    assert without_fate(OTTO, []).reasons == ()


def test_reasons_are_told_once():
    reason = Reason("the same")
    assert without_fate(OTTO, [Obstacle(reason), Obstacle(reason)]).reasons == (reason,)


def mx(outcome, *exchanges):
    records = tuple(MxData(10, exchange) for exchange in exchanges)
    return Answer("x.example", RecordType.MX, outcome, Security.INSECURE, records)


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (None, "5.1.2"),
        (mx(Outcome.NO_NAME), "5.1.2"),
        (mx(Outcome.NO_DATA), "5.4.4"),
        (mx(Outcome.FOUND, None), "5.1.10"),
        (mx(Outcome.FOUND, MX), "5.4.4"),
        (mx(Outcome.FOUND, None, MX), "5.4.4"),
    ],
)
def test_the_status_of_a_domain_without_hosts(answer, status):
    assert bounce_status(answer) == status


@pytest.mark.parametrize(
    ("session", "counted"),
    [
        (Unreachable(Stage.CONNECT, "x"), False),
        (Unreachable(Stage.EHLO, "x"), False),
        (ProtocolViolation(Stage.GREETING, "x"), False),
        (None, False),
        (Unreachable(Stage.STARTTLS, "x"), True),
        (ProtocolViolation(Stage.STARTTLS, "x"), True),
        (HandshakeFailed("x"), True),
    ],
)
def test_only_what_concerns_tls_is_counted(session, counted):
    visit = Visit(host=MX, address=Address("192.0.2.1"), session=session)
    domain = HostName("x.example")
    result = session_results.of_visit(domain, owed(Level.PKIX), None, ENFORCE, visit=visit, at=NOW)
    assert (result is not None) is counted
    if result is not None:
        assert not result.succeeded
        assert result.policy.strings == ENFORCE.lines
