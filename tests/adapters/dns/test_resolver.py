import asyncio
from datetime import timedelta

import dns.edns
import dns.flags
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest

from mxseal.adapters.dns import ValidatingResolver
from mxseal.adapters.dns.resolver import MAX_ALIASES
from mxseal.vocabulary.observations import MxData, OtherData, Outcome, RecordType, Security

A, MX, TXT = RecordType.A, RecordType.MX, RecordType.TXT
FOUND, NO_DATA, NO_NAME, FAILED = Outcome
S, I, B, X = Security  # noqa: E741


def make(world, *, later: timedelta = timedelta(0), keep: int = 1 << 20) -> ValidatingResolver:
    from datetime import UTC, datetime

    now = datetime(2026, 11, 23, 12, 0, tzinfo=UTC) + later
    return ValidatingResolver([], anchors=world.anchors, transport=world, now=lambda: now, keep=keep)


def resolve(world, name, kind=A, **options):
    return asyncio.run(make(world, **options).resolve(name, kind))


@pytest.mark.parametrize(
    ("name", "kind", "outcome", "security"),
    [
        ("mail.leaf.test", A, FOUND, S),
        ("MAIL.Leaf.Test.", A, FOUND, S),
        ("alias.leaf.test", A, FOUND, S),
        ("alias.leaf.test", RecordType.CNAME, FOUND, S),
        ("mail.leaf.test", TXT, NO_DATA, S),
        ("nothing.leaf.test", A, NO_NAME, S),
        ("a.b.c.nothing.leaf.test", A, NO_NAME, S),
        ("away.leaf.test", A, FOUND, I),
        ("host.unsigned.test", A, FOUND, I),
        ("nothing.unsigned.test", A, NO_NAME, I),
        ("unsigned.test", RecordType.DS, NO_DATA, S),
        ("leaf.test", RecordType.DS, FOUND, S),
        (".", RecordType.DNSKEY, FOUND, S),
        ("loop.leaf.test", A, FAILED, X),
        ("d0.leaf.test", A, FAILED, X),
        ("a..b", A, FAILED, X),
        ("x" * 64 + ".test", A, FAILED, X),
        ("bücher.test", A, FAILED, X),
    ],
)
def test_a_tree_of_three_signed_zones(world, name, kind, outcome, security):
    answer = resolve(world, name, kind)
    assert (answer.outcome, answer.security) == (outcome, security), answer
    assert answer.reason


def test_the_answer_tells_its_chain_and_lifetime(world):
    answer = resolve(world, "mail.leaf.test")
    assert [(step.zone, step.security) for step in answer.zones] == [(".", S), ("test", S), ("leaf.test", S)]
    assert all(step.algorithm == "ED25519" and "→ DNSKEY" in step.reason for step in answer.zones)
    assert answer.ttl == 120
    assert answer.signatures_expire.isoformat() == "2026-12-03T12:00:00+00:00"
    assert answer.reason == "signed by leaf.test (ED25519)"
    below = resolve(world, "host.unsigned.test")
    assert [step.security for step in below.zones] == [S, S, I]
    assert below.reason == "unsigned.test: no DS (NSEC of unsigned.test proves it)"


def test_the_time_to_expiry_caps_the_ttl(world):
    almost = timedelta(days=10, seconds=-30)
    assert resolve(world, "mail.leaf.test", later=almost).ttl == 30
    late = resolve(world, "mail.leaf.test", later=timedelta(days=11))
    assert (late.security, late.outcome) == (B, FAILED)
    assert "expired on 2026-12-03" in late.reason
    early = resolve(world, "mail.leaf.test", later=timedelta(days=-5))
    assert "valid only from" in early.reason


def test_a_denial_lives_as_long_as_the_soa_says(world):
    assert resolve(world, "nothing.leaf.test").ttl == 60


def test_an_exchange_that_is_no_host_name_stays_as_text(world):
    answer = resolve(world, "leaf.test", MX)
    odd = OtherData("30 bad\\032name.leaf.test")
    assert answer.records == (MxData(10, "mail.leaf.test"), MxData(20, None), odd)
    assert answer.is_secure


def test_aliases_carry_their_own_status(world):
    answer = resolve(world, "away.leaf.test")
    assert [(alias.owner, alias.target, alias.security) for alias in answer.aliases] == [
        ("away.leaf.test", "host.unsigned.test", S)
    ]
    assert answer.final_name == "host.unsigned.test"
    alias = resolve(world, "alias.leaf.test", RecordType.CNAME)
    assert alias.records == (OtherData("mail.leaf.test"),)
    assert len(resolve(world, "d0.leaf.test").aliases) == MAX_ALIASES


@pytest.mark.parametrize(
    "question",
    [(".", "DNSKEY"), ("test.", "DS"), ("test.", "DNSKEY"), ("leaf.test.", "DS"), ("mail.leaf.test.", "A")],
)
@pytest.mark.parametrize("trouble", ["silent", dns.rcode.SERVFAIL, dns.rcode.REFUSED])
def test_a_failed_lookup_is_indeterminate_wherever_it_happens(world, question, trouble):
    if trouble == "silent":
        world.silent = {question}
    else:
        world.rcodes = {question: trouble}
    answer = resolve(world, "mail.leaf.test")
    assert (answer.outcome, answer.security) == (FAILED, X)
    assert question[0].rstrip(".") in answer.reason
    # Not remembered: the next question may find it mended.
    world.silent, world.rcodes = set(), {}
    resolver = make(world)
    world.silent = {question}
    assert asyncio.run(resolver.resolve("mail.leaf.test", A)).failed
    world.silent = set()
    assert asyncio.run(resolver.resolve("mail.leaf.test", A)).is_secure


def test_the_ds_lookup_of_an_unsigned_zone_must_not_fail_into_insecure(world):
    world.silent = {("unsigned.test.", "DS")}
    assert resolve(world, "host.unsigned.test").security is X


def test_a_referral_is_no_denial(world):
    def refer(message) -> None:
        if message.question[0].rdtype == dns.rdatatype.MX:
            message.flags &= ~dns.flags.RA
            message.answer.clear()
            message.authority[:] = [dns.rrset.from_text("unsigned.test.", 60, "IN", "NS", "ns.test.")]

    world.change = refer
    answer = resolve(world, "unsigned.test", MX)
    assert (answer.outcome, answer.security) == (FAILED, X)
    assert "referral" in answer.reason


def test_extended_errors_are_handed_on(world):
    def fail(message) -> None:
        message.set_rcode(dns.rcode.SERVFAIL)
        message.use_edns(0, options=[dns.edns.EDEOption(23, "no route\x1b[31m")])

    world.change = fail
    (error,) = resolve(world, "leaf.test", MX).extended_errors
    assert "Network Error" in error
    assert "\x1b" not in error


def test_many_who_ask_the_same_cause_one_question(world):
    resolver = make(world)

    async def many():
        return await asyncio.gather(*(resolver.resolve("mail.leaf.test", A) for _ in range(50)))

    assert all(answer.is_secure for answer in asyncio.run(many()))
    assert len(world.asked) == len(set(world.asked)) == 6


def test_answers_and_zones_are_remembered_as_long_as_they_live(world):
    from datetime import UTC, datetime

    moment = [datetime(2026, 11, 23, 12, 0, tzinfo=UTC)]
    resolver = ValidatingResolver([], anchors=world.anchors, transport=world, now=lambda: moment[0])

    def ask(name):
        world.asked.clear()
        answer = asyncio.run(resolver.resolve(name, A))
        return answer, list(world.asked)

    first, questions = ask("mail.leaf.test")
    assert len(questions) == 6
    moment[0] += timedelta(seconds=20)
    again, questions = ask("mail.leaf.test")
    assert questions == []
    assert again.ttl == first.ttl - 20
    _, questions = ask("alias.leaf.test")
    assert questions == [("alias.leaf.test.", "A"), ("mail.leaf.test.", "A")]
    moment[0] += timedelta(seconds=first.ttl)
    _, questions = ask("mail.leaf.test")
    assert questions == [("mail.leaf.test.", "A")]
    moment[0] += timedelta(days=1)
    assert len(ask("mail.leaf.test")[1]) == 6


def test_giving_up_does_not_break_it_for_the_others(world):
    resolver = make(world)

    async def race():
        first = asyncio.create_task(resolver.resolve("mail.leaf.test", A))
        second = asyncio.create_task(resolver.resolve("mail.leaf.test", A))
        await asyncio.sleep(0)
        first.cancel()
        return await second

    assert asyncio.run(race()).is_secure


def test_without_an_anchor_above_it_a_name_is_indeterminate(world):
    from mxseal.adapters.dns.anchors import TrustAnchors

    below = TrustAnchors({dns.name.from_text("other.test."): world.anchors.zones[dns.name.root]})
    resolver = ValidatingResolver([], anchors=below, transport=world)
    answer = asyncio.run(resolver.resolve("mail.leaf.test", A))
    assert (answer.outcome, answer.security) == (FAILED, X)
    assert answer.reason == "no trust anchor at or above mail.leaf.test"
