"""Our verdicts against those of unbound and BIND, over a signed hierarchy that is broken in every way we know.

SECURE is their AD, BOGUS their SERVFAIL, INSECURE an answer without AD.  Ours is asked three times: over
unbound with CD, over BIND with CD, and over the authoritative server.  Where the two of them differ, or both
differ from us, the table says why and whom we follow.
"""

import asyncio
from collections.abc import Iterable
from typing import NamedTuple

import dns.rdatatype
import pytest

from mxseal.adapters.dns import (
    AdProof,
    AuthoritativeClient,
    TrustAdResolver,
    ValidatingResolver,
    check_upstream,
)
from mxseal.adapters.dns.convert import to_name
from mxseal.adapters.dns.transport import Flags, NoReply, Server, Transport
from mxseal.vocabulary.names import HostName
from mxseal.vocabulary.observations import Answer, Outcome, RecordType, Security

pytestmark = pytest.mark.real

VERDICT = Flags(dnssec_ok=True, checking_disabled=False, authentic_data=True)
Question = tuple[str, str]
S, I, B = Security.SECURE, Security.INSECURE, Security.BOGUS  # noqa: E741


class Difference(NamedTuple):
    """Questions whose name ends with `zone` (and, if given, have the type) where a server decides otherwise."""

    server: str
    zone: str
    kind: str | None
    theirs: Security
    why: str


DIFFERENCES = (
    Difference(
        "unbound",
        "wrongsha2.test",
        None,
        S,
        "RFC 4509 §3: with a SHA-2 DS there, SHA-1 is ignored; we do as BIND",
    ),
    Difference("unbound", "wrongsha2.test", None, I, "the same, for what is below its insecure delegations"),
    Difference(
        "bind",
        "othertype.test",
        "TXT",
        B,
        "BIND gives up at the first signature that fails (max-validation-failures-per-fetch 1); RFC 4035 §5.3.3 "
        "lets one good signature do, and so do unbound and we",
    ),
)

# SERVFAIL without a verdict about signatures: there is no answer with CD either.
UNANSWERABLE = ("loop1.ecdsa256.test",)


async def verdicts(
    server: Server, corpus: Iterable[Question]
) -> dict[Question, tuple[Security | None, Outcome]]:
    """What a real validating resolver says; None where it says nothing in time."""
    transport = Transport([server], timeout=3)
    gate = asyncio.Semaphore(32)

    async def one(name: str, kind: str) -> tuple[Security | None, Outcome]:
        async with gate:
            reply = await transport.ask(to_name(name), dns.rdatatype.from_text(kind), VERDICT)
        if isinstance(reply, NoReply):
            return None, Outcome.FAILED
        if reply.rcode == 2:
            return B, Outcome.FAILED
        assert reply.rcode in (0, 3), (name, kind, reply.rcode)
        outcome = Outcome.NO_NAME if reply.rcode == 3 else Outcome.NO_DATA
        if any(rrset.rdtype == dns.rdatatype.from_text(kind) for rrset in reply.message.answer):
            outcome = Outcome.FOUND
        return (S if reply.authentic_data else I), outcome

    corpus = list(corpus)
    return dict(zip(corpus, await asyncio.gather(*(one(*question) for question in corpus)), strict=True))


async def answers(resolver, corpus: Iterable[Question]) -> dict[Question, Answer]:
    gate = asyncio.Semaphore(16)

    async def one(name: str, kind: str) -> Answer:
        async with gate:
            return await resolver.resolve(name, RecordType(kind))

    corpus = list(corpus)
    return dict(zip(corpus, await asyncio.gather(*(one(*question) for question in corpus)), strict=True))


@pytest.fixture(scope="module")
def theirs(hierarchy, corpus):
    found = {
        name: asyncio.run(verdicts(server, corpus))
        for name, server in (("unbound", hierarchy.unbound), ("bind", hierarchy.bind))
    }
    # BIND keeps silent about some questions in zones whose keys it cannot believe, instead of SERVFAIL.
    silent = [question for question in corpus if found["bind"][question][0] is None]
    assert len(silent) < len(corpus) // 20
    assert all(found["unbound"][question][0] in (B, None) for question in silent)
    assert all(verdict for verdict, _ in found["unbound"].values())
    return found


@pytest.mark.parametrize("through", ["unbound", "bind", "authoritative"])
def test_our_verdict_is_theirs(hierarchy, corpus, theirs, through):
    resolver = ValidatingResolver([getattr(hierarchy, through)], anchors=hierarchy.anchors, timeout=10)
    ours = asyncio.run(answers(resolver, corpus))
    wrong = []
    for question in corpus:
        answer = ours[question]
        if question[0] in UNANSWERABLE:
            assert (answer.outcome, answer.security) == (Outcome.FAILED, Security.INDETERMINATE), answer
            continue
        for server in theirs:
            verdict, outcome = theirs[server][question]
            if verdict is None or _differs(server, question, verdict):
                continue
            if (verdict, outcome) != (answer.security, answer.outcome):
                wrong.append(
                    (server, question, verdict, outcome, answer.security, answer.outcome, answer.reason)
                )
    assert not wrong, wrong[:10]
    assert all(answer.reason for answer in ours.values())
    secure = [answer for answer in ours.values() if answer.is_secure]
    assert len(secure) > 600
    assert all(answer.signatures_expire and answer.ttl > 0 and answer.zones for answer in secure)
    assert all(answer.failed and not answer.records for answer in ours.values() if answer.security is B)


def _differs(server: str, question: Question, verdict: Security) -> bool:
    return any(
        difference.server == server
        and question[0].endswith(difference.zone)
        and difference.kind in (None, question[1])
        and difference.theirs is verdict
        for difference in DIFFERENCES
    )


def test_each_difference_is_still_there(corpus, theirs):
    for difference in DIFFERENCES:
        assert any(
            theirs[difference.server][question][0] is difference.theirs
            and _differs(difference.server, question, difference.theirs)
            for question in corpus
        ), difference


def test_the_ad_bit_of_unbound_gives_the_same_answers(hierarchy, corpus, theirs):
    resolver = TrustAdResolver(
        [hierarchy.unbound], proof=AdProof(signed="test", broken="expired.test"), timeout=10
    )
    assert asyncio.run(resolver.prove()) == ""
    by_bit = asyncio.run(answers(resolver, corpus))
    own = ValidatingResolver([hierarchy.unbound], anchors=hierarchy.anchors, timeout=10)
    ours = asyncio.run(answers(own, corpus))
    for question in corpus:
        if question[0] in UNANSWERABLE:
            assert by_bit[question].failed
        elif not any(_differs("unbound", question, verdict) for verdict in Security):
            bit, proved = by_bit[question], ours[question]
            assert (bit.outcome, bit.security, bit.records, bit.aliases if not bit.failed else ()) == (
                proved.outcome,
                proved.security,
                proved.records,
                proved.aliases if not proved.failed else (),
            ), (question, bit, proved)


def test_a_resolver_that_does_not_validate_is_found_out(hierarchy):
    proof = AdProof(signed="test", broken="expired.test")
    resolver = TrustAdResolver([hierarchy.authoritative], proof=proof)
    answer = asyncio.run(resolver.resolve("ecdsa256.test", RecordType.MX))
    assert (answer.outcome, answer.security) == (Outcome.FAILED, Security.INDETERMINATE)
    assert "does not validate" in answer.reason


def test_with_another_anchor_everything_is_bogus(hierarchy):
    resolver = ValidatingResolver([hierarchy.unbound])
    answer = asyncio.run(resolver.resolve("ecdsa256.test", RecordType.MX))
    assert answer.security is Security.BOGUS
    assert answer.reason == "no DNSKEY of . fits DS 20326, 38696"


def test_the_self_test_knows_validating_servers_from_others(hierarchy):
    def passed(server: Server) -> dict[str, bool]:
        checks = asyncio.run(check_upstream(server, anchors=hierarchy.anchors))
        return {check.check: check.passed for check in checks}

    everything = dict.fromkeys(("reachable", "records", "chain", "denial", "tcp", "validates"), True)
    assert passed(hierarchy.unbound) == everything
    assert passed(hierarchy.bind) == everything
    assert passed(hierarchy.authoritative) == {**everything, "validates": False}


def test_one_authoritative_server_speaks_for_itself(hierarchy):
    async def ask(name: str, kind: RecordType):
        address, port = hierarchy.authoritative
        client = AuthoritativeClient(port=port)
        return await client.ask("ecdsa256.test", HostName("ns.test"), address, name, kind)

    mx = asyncio.run(ask("ecdsa256.test", RecordType.MX))
    assert mx.outcome is Outcome.FOUND
    assert mx.records == ("10 mail.ecdsa256.test.", "20 backup.ecdsa256.test.")
    assert asyncio.run(ask("ecdsa256.test", RecordType.SOA)).serial == 1
    assert asyncio.run(ask("nothing.ecdsa256.test", RecordType.A)).outcome is Outcome.NO_NAME
    assert asyncio.run(ask("mail.ecdsa256.test", RecordType.TXT)).outcome is Outcome.NO_DATA
    address, port = hierarchy.unbound
    client = AuthoritativeClient(port=port)
    lame = asyncio.run(client.ask("test", HostName("ns.test"), address, "test", RecordType.SOA))
    assert lame.outcome is Outcome.FAILED
