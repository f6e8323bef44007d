"""The whole way: DNS proved from the root, policies fetched, a decision made, a letter really delivered or not."""

import asyncio

import pytest

from mxseal.adapters.clock import SystemClock
from mxseal.adapters.dns import ValidatingResolver
from mxseal.adapters.dns.anchors import parse_trust_anchors
from mxseal.adapters.https.policies import PolicyFetcher
from mxseal.decisions.delivery import Level
from mxseal.journeys.discover_delivery import discover_delivery
from mxseal.lab import SCENARIOS, Attack, Fate
from mxseal.lab.sender import Delivered, Letter, Returned, Waits, send_as_of_old, send_strictly
from mxseal.standards.certificate import Roots
from mxseal.vocabulary.names import NextHop

AUTHENTICATED = {Level.DANE, Level.PKIX}


async def deliver(lab, domain, cached=None):
    anchors = parse_trust_anchors(lab.trust_anchor, source="the laboratory")
    resolver = ValidatingResolver([lab.resolver], anchors=anchors)
    fetcher = PolicyFetcher(resolver, roots=lab.roots, allow_private=True, port=lab.https_port)
    letter = Letter("anna@sender.test", f"otto@{domain}", f"Subject: to {domain}\n\n.hello\n")
    discovery = await discover_delivery(
        NextHop(host=letter.domain),
        resolver=resolver,
        policy_hosts=fetcher,
        clock=SystemClock(),
        cached=cached,
    )
    result = await send_strictly(
        letter, discovery, port=lab.smtp_port, roots=Roots(lab.roots), at=SystemClock().now()
    )
    return discovery, result


def fate(result):
    match result:
        case Delivered(level=level):
            return Fate.SEALED if level in AUTHENTICATED else Fate.OPEN
        case Waits():
            return Fate.WAITS
        case Returned():
            return Fate.RETURNED


@pytest.mark.parametrize("name", SCENARIOS)
def test_mail_to_each_domain_meets_its_fate(lab, name):
    before = len(lab.mail)
    _, result = asyncio.run(deliver(lab, name))
    assert fate(result) is SCENARIOS[name].fate, result
    if isinstance(result, Delivered):
        (mail,) = lab.mail[before:]
        assert result.address in lab.addresses(mail.host)
        assert mail.tls == result.tls
        assert mail.content == f"Subject: to {name}\r\n\r\n.hello\r\n".encode()
        assert not mail.attacker_read
        if result.level in AUTHENTICATED:
            assert mail.tls == "TLSv1.3"
    else:
        assert result.reasons
        assert lab.mail[before:] == []


SMTP_ATTACKS = [Attack.STRIP_STARTTLS, Attack.REFUSE_STARTTLS, Attack.INJECT, Attack.OTHER_CERTIFICATE]


@pytest.mark.parametrize("domain", ["good-dane.test", "good-sts.test", "good-both.test"])
@pytest.mark.parametrize("attack", SMTP_ATTACKS)
def test_mail_to_a_well_kept_domain_waits_under_attack(lab, domain, attack):
    before = len(lab.mail)
    lab.attack(domain, attack)
    try:
        _, result = asyncio.run(deliver(lab, domain))
    finally:
        lab.calm(domain)
    assert isinstance(result, Waits)
    assert lab.mail[before:] == []


def test_a_remembered_policy_outlives_the_policy_host(lab):
    discovery, _ = asyncio.run(deliver(lab, "good-sts.test"))
    lab.attack("good-sts.test", Attack.POLICY_HOST_DOWN)
    try:
        _, forgetful = asyncio.run(deliver(lab, "good-sts.test"))
        _, result = asyncio.run(deliver(lab, "good-sts.test", discovery.decision.policy.keep))
    finally:
        lab.calm("good-sts.test")
    assert fate(forgetful) is Fate.OPEN
    assert fate(result) is Fate.SEALED


@pytest.mark.parametrize(
    ("domain", "attack", "host"),
    [
        ("good-dane.test", Attack.STRIP_STARTTLS, "mx1.good-dane.test"),
        ("good-dane.test", Attack.OTHER_CERTIFICATE, "mx1.good-dane.test"),
        ("good-dane.test", Attack.FORGE_DNS, "mx.attacker.test"),
        ("good-sts.test", Attack.FORGE_DNS, "mx.attacker.test"),
    ],
)
def test_a_sender_of_old_hands_his_mail_to_the_attacker(lab, domain, attack, host):
    before = len(lab.mail)
    letter = Letter("anna@sender.test", f"otto@{domain}", "Subject: secret\n\n")
    lab.attack(domain, attack)
    try:
        result = asyncio.run(send_as_of_old(letter, lab.resolver, port=lab.smtp_port, at=SystemClock().now()))
    finally:
        lab.calm(domain)
    assert isinstance(result, Delivered)
    (mail,) = lab.mail[before:]
    assert mail.attacker_read
    assert mail.host == host
