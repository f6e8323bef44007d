"""The whole way: DNS proved from the root, policies fetched, a decision made, a letter really delivered or not."""

import asyncio

import pytest

from mxseal.decisions.delivery import Level
from mxseal.decisions.mailing import Bounced, Deferred, Delivered
from mxseal.lab import SCENARIOS, Attack, Fate
from mxseal.lab.sender import Letter, StrictSender, send_as_of_old

AUTHENTICATED = {Level.DANE, Level.PKIX}


def letter_to(domain):
    return Letter("anna@sender.test", f"otto@{domain}", f"Subject: to {domain}\n\n.hello\n")


def deliver(lab, domain):
    _, result = asyncio.run(StrictSender(lab).send(letter_to(domain)))
    return result


def fate(result):
    match result:
        case Delivered(level=level):
            return Fate.SEALED if level in AUTHENTICATED else Fate.OPEN
        case Deferred():
            return Fate.WAITS
        case Bounced():
            return Fate.RETURNED


@pytest.mark.parametrize("name", SCENARIOS)
def test_mail_to_each_domain_meets_its_fate(lab, name):
    before = len(lab.mail)
    result = deliver(lab, name)
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
        result = deliver(lab, domain)
    finally:
        lab.calm(domain)
    assert isinstance(result, Deferred)
    assert lab.mail[before:] == []


def test_a_remembered_policy_outlives_the_policy_host(lab):
    async def story():
        sender = StrictSender(lab)
        await sender.send(letter_to("good-sts.test"))
        lab.attack("good-sts.test", Attack.POLICY_HOST_DOWN)
        try:
            sender.another_day()
            _, forgetful = await StrictSender(lab).send(letter_to("good-sts.test"))
            _, remembering = await sender.send(letter_to("good-sts.test"))
        finally:
            lab.calm("good-sts.test")
        return forgetful, remembering

    forgetful, remembering = asyncio.run(story())
    assert fate(forgetful) is Fate.OPEN
    assert fate(remembering) is Fate.SEALED


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
        result = asyncio.run(send_as_of_old(letter, lab.resolver, port=lab.smtp_port))
    finally:
        lab.calm(domain)
    assert isinstance(result, Delivered)
    (mail,) = lab.mail[before:]
    assert mail.attacker_read
    assert mail.host == host
