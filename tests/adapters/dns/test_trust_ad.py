"""The AD bit, and what a resolver has to show before it is believed."""

import asyncio
from datetime import UTC, datetime, timedelta

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest

from mxseal.adapters.dns import AdProof, TrustAdResolver
from mxseal.vocabulary.observations import Outcome, RecordType, Security

PROOF = AdProof(signed="good.test", broken="broken.test")


class Upstream:
    """A resolver that validates, or pretends to."""

    def __init__(self) -> None:
        self.sets_ad = True
        self.checks = True
        self.answers_cd = True
        self.asked: list[str] = []

    def __call__(self, data: bytes) -> list[bytes]:
        query = dns.message.from_wire(data)
        name = query.question[0].name.to_text()
        rdtype = query.question[0].rdtype
        unchecked = bool(query.flags & dns.flags.CD)
        self.asked.append(name)
        message = dns.message.make_response(query, recursion_available=True)
        message.flags &= ~dns.flags.AD
        if name.startswith("broken.") and (
            (self.checks and not unchecked) or (unchecked and not self.answers_cd)
        ):
            message.set_rcode(dns.rcode.SERVFAIL)
            return [message.to_wire()]
        if name == "dead.test.":
            message.set_rcode(dns.rcode.SERVFAIL)
            return [message.to_wire()]
        if self.sets_ad and "unsigned" not in name and name != "away.test." and not unchecked:
            message.flags |= dns.flags.AD
        texts = {
            dns.rdatatype.SOA: "ns.test. h.test. 1 1 1 1 30",
            dns.rdatatype.A: "192.0.2.1",
            dns.rdatatype.MX: "10 mail.test.",
        }
        if name == "away.test." and rdtype != dns.rdatatype.CNAME:
            message.answer.append(dns.rrset.from_text(name, 60, "IN", "CNAME", "host.unsigned.test."))
            name = "host.unsigned.test."
        if name == "away.test.":
            message.flags |= dns.flags.AD if self.sets_ad else 0
            message.answer.append(dns.rrset.from_text(name, 60, "IN", "CNAME", "host.unsigned.test."))
        elif name.startswith("nothing."):
            message.set_rcode(dns.rcode.NXDOMAIN)
            message.authority.append(dns.rrset.from_text("test.", 900, "IN", "SOA", texts[dns.rdatatype.SOA]))
        elif rdtype in texts:
            message.answer.append(dns.rrset.from_text(name, 300, "IN", rdtype, texts[rdtype]))
        return [message.to_wire()]


@pytest.fixture
def ask(loopback):
    def ask(upstream, *names, proof=PROOF, kind=RecordType.A, step=timedelta(0)):
        moment = [datetime(2026, 11, 23, tzinfo=UTC)]

        async def run():
            async with loopback(upstream) as server:
                resolver = TrustAdResolver([server], proof=proof, timeout=2, now=lambda: moment[0])
                answers = []
                for name in names:
                    answers.append(await resolver.resolve(name, kind))
                    moment[0] += step
                return answers

        return asyncio.run(run())

    return ask


@pytest.mark.parametrize(
    ("name", "outcome", "security"),
    [
        ("host.test", Outcome.FOUND, Security.SECURE),
        ("host.unsigned.test", Outcome.FOUND, Security.INSECURE),
        ("nothing.test", Outcome.NO_NAME, Security.SECURE),
        ("nothing.unsigned.test", Outcome.NO_NAME, Security.INSECURE),
        ("broken.other.test", Outcome.FAILED, Security.BOGUS),
        ("dead.test", Outcome.FAILED, Security.INDETERMINATE),
        ("a..b", Outcome.FAILED, Security.INDETERMINATE),
    ],
)
def test_a_proved_resolver_is_believed(ask, name, outcome, security):
    (answer,) = ask(Upstream(), name)
    assert (answer.outcome, answer.security) == (outcome, security)
    assert answer.reason


def test_each_alias_has_its_own_status(ask):
    (answer,) = ask(Upstream(), "away.test")
    assert answer.security is Security.INSECURE
    assert [(alias.owner, alias.security) for alias in answer.aliases] == [("away.test", Security.SECURE)]
    assert answer.ttl == 60


@pytest.mark.parametrize(
    ("flaw", "reason"),
    [
        ({"sets_ad": False}, "no AD bit"),
        ({"checks": False}, "whose signatures are broken"),
        ({"answers_cd": False}, "cannot be had even with CD"),
    ],
)
def test_who_cannot_show_it_is_not_believed(ask, flaw, reason):
    upstream = Upstream()
    vars(upstream).update(flaw)
    (answer,) = ask(upstream, "host.test")
    assert (answer.outcome, answer.security) == (Outcome.FAILED, Security.INDETERMINATE)
    assert reason in answer.reason
    (answer,) = ask(upstream, "host.test", proof="unproved")
    assert answer.outcome is Outcome.FOUND


def test_the_proof_is_given_again_every_hour(ask):
    upstream = Upstream()
    ask(upstream, "a.test", "b.test", step=timedelta(minutes=50))
    assert upstream.asked.count("good.test.") == 1
    upstream.asked.clear()
    ask(upstream, "a.test", "b.test", "c.test", step=timedelta(minutes=50))
    assert upstream.asked.count("good.test.") == 2
    upstream.asked.clear()
    ask(upstream, "a.test", proof="unproved")
    assert upstream.asked == ["a.test."]


def test_a_resolver_that_stops_validating_is_noticed(ask):
    upstream = Upstream()

    def degrading(data):
        if upstream.asked.count("good.test.") >= 1 and upstream.asked[-1] == "first.test.":
            upstream.checks = False
        return upstream(data)

    first, second = ask(degrading, "first.test", "second.test", step=timedelta(hours=2))
    assert first.is_secure
    assert (second.outcome, second.security) == (Outcome.FAILED, Security.INDETERMINATE)


def test_a_referral_is_no_denial(ask):
    def refer(data):
        message = dns.message.make_response(dns.message.from_wire(data))
        message.authority.append(dns.rrset.from_text("test.", 60, "IN", "NS", "ns.test."))
        return [message.to_wire()]

    (answer,) = ask(refer, "host.test", proof="unproved")
    assert (answer.outcome, answer.security) == (Outcome.FAILED, Security.INDETERMINATE)
    assert "referral" in answer.reason
