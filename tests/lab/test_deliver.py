"""mxseal.deliver() in the laboratory: who gets it, who does not, and what is counted of it."""

import asyncio
from email.message import EmailMessage

import pytest

import mxseal
from mxseal.adapters.memory import MemoryPolicyStore
from mxseal.decisions.mailing import Bounced, Deferred, Delivered
from mxseal.lab import SCENARIOS, Attack, Fate
from mxseal.vocabulary.faults import DataFault, UsageFault

LETTER = b"From: Anna <anna@sender.test>\nSubject: spare key\n\nIt is under the third flowerpot.\n.\nYours\n"
ARRIVED = b"Subject: spare key\r\n\r\nIt is under the third flowerpot.\r\n.\r\nYours\r\n"


def deliver(lab, *to, message=LETTER, **settings):
    # A memory of its own for each: a failed fetch is not tried again at once.
    settings = {"policies": MemoryPolicyStore()} | settings
    return asyncio.run(mxseal.deliver(message, to=to or None, settings=lab.world, **settings))


@pytest.fixture
def attacked(lab):
    """Attack domains for the time of a test."""
    touched = []

    def attack(domain, kind):
        touched.append(domain)
        lab.attack(domain, kind)

    yield attack
    for domain in touched:
        lab.calm(domain)


@pytest.mark.parametrize("name", [name for name, one in SCENARIOS.items() if one.fate in ("sealed", "open")])
def test_what_is_called_sealed_is_sealed(lab, name):
    delivery = deliver(lab, f"otto@{name}")
    (fate,) = delivery.fates
    assert delivery.ok
    # Behind unsigned MX records a TLSA record proves the host, and not the domain.
    assert fate.sealed is (SCENARIOS[name].fate is Fate.SEALED and name != "dane-half.test")
    (mail,) = [mail for mail in lab.mail if f"otto@{name}" in mail.recipients][-1:]
    assert mail.content.endswith(ARRIVED)
    assert mail.sender == "anna@sender.test"
    assert mail.tls == fate.tls


# What RFC 8460 counts of the last session, where it is no success under the policy that seals.
COUNTED = {
    "good-dane.test": ("tlsa", "mx1.good-dane.test", True, []),
    "good-dane-alias.test": ("tlsa", "mx1.good-dane-alias.test", True, []),
    "good-sts.test": ("sts", "good-sts.test", True, []),
    "plain.test": ("no-policy-found", "plain.test", True, []),
    "no-tls.test": ("no-policy-found", "no-tls.test", False, ["starttls-not-supported"]),
    "starttls-closes-open.test": (
        "no-policy-found",
        "starttls-closes-open.test",
        False,
        ["validation-failure"],
    ),
    "sts-none.test": ("no-policy-found", "sts-none.test", True, []),
    "sts-testing.test": ("sts", "sts-testing.test", True, []),
    "sts-testing-for-ever.test": ("sts", "sts-testing-for-ever.test", False, ["certificate-not-trusted"]),
    "sts-testing-mx-missing.test": (
        "sts",
        "sts-testing-mx-missing.test",
        False,
        ["certificate-host-mismatch"],
    ),
    "sts-mx-missing.test": ("sts", "sts-mx-missing.test", False, ["certificate-host-mismatch"]),
    "expired-cert.test": ("sts", "expired-cert.test", False, ["certificate-expired"]),
    "wrong-name-cert.test": ("sts", "wrong-name-cert.test", False, ["certificate-host-mismatch"]),
    "self-signed-cert.test": ("sts", "self-signed-cert.test", False, ["certificate-not-trusted"]),
    "starttls-stripped.test": ("sts", "starttls-stripped.test", False, ["starttls-not-supported"]),
    "starttls-refused.test": ("sts", "starttls-refused.test", False, ["starttls-not-supported"]),
    "starttls-injected.test": ("sts", "starttls-injected.test", False, ["validation-failure"]),
    "old-tls.test": ("sts", "old-tls.test", False, ["validation-failure"]),
    "tlsa-mismatch.test": ("tlsa", "mx1.tlsa-mismatch.test", False, ["certificate-not-trusted"]),
    "dane-ta-wrong-name.test": (
        "tlsa",
        "mx1.dane-ta-wrong-name.test",
        False,
        ["certificate-host-mismatch"],
    ),
    "dane-ta-expired.test": ("tlsa", "mx1.dane-ta-expired.test", False, ["certificate-expired"]),
    "tlsa-unusable.test": ("tlsa", "mx1.tlsa-unusable.test", True, ["tlsa-invalid"]),
    "tlsa-bogus.test": ("tlsa", "mx1.tlsa-bogus.test", False, ["dnssec-invalid"]),
    "bogus.test": ("tlsa", "bogus.test", False, ["dnssec-invalid"]),
}


@pytest.mark.parametrize(("name", "expected"), COUNTED.items(), ids=COUNTED)
def test_what_is_counted_for_reports(lab, name, expected):
    (*_, result) = deliver(lab, f"otto@{name}").sessions
    counted = (
        str(result.policy.policy_type),
        result.policy.domain,
        result.succeeded,
        [failure.result_type for failure in result.failures],
    )
    assert counted == expected
    assert result.domain == name
    if result.receiving_ip is not None:
        assert result.receiving_ip in lab.addresses(result.mx_host)
        assert result.receiving_helo == result.mx_host
    if result.policy.policy_type == "sts":
        assert result.policy.strings[0] == "version: STSv1"
        assert result.policy.mx_patterns


@pytest.mark.parametrize(
    ("name", "result_type"),
    [
        ("sts-404.test", "sts-policy-fetch-error"),
        ("sts-policy-syntax.test", "sts-policy-invalid"),
        ("sts-policy-cert.test", "sts-webpki-invalid"),
    ],
)
def test_policies_that_do_not_come_are_counted_and_stop_no_mail(lab, name, result_type):
    delivery = deliver(lab, f"otto@{name}")
    fetch, session = delivery.sessions
    assert delivery.ok
    assert [failure.result_type for failure in fetch.failures] == [result_type]
    assert (fetch.mx_host, fetch.receiving_ip) == (None, None)
    assert session.succeeded


@pytest.mark.parametrize("name", ["mx-down.test", "null-mx.test", "no-such-domain.test", "mx-servfail.test"])
def test_what_says_nothing_about_tls_is_not_counted(lab, name):
    assert deliver(lab, f"otto@{name}").sessions == ()


SMTP_ATTACKS = [
    Attack.STRIP_STARTTLS,
    Attack.REFUSE_STARTTLS,
    Attack.INJECT,
    Attack.OTHER_CERTIFICATE,
    Attack.TARPIT,
]


@pytest.mark.parametrize("domain", ["good-dane.test", "good-sts.test", "good-both.test"])
@pytest.mark.parametrize("attack", [*SMTP_ATTACKS, Attack.FORGE_DNS])
def test_nothing_leaves_under_attack(lab, attacked, domain, attack):
    read = sum(mail.attacker_read for mail in lab.mail)
    # Who forges the DNS of an unsigned domain wins at first sight, and not later (RFC 8461 §10.2).
    policies = MemoryPolicyStore()
    assert deliver(lab, f"otto@{domain}", policies=policies).ok
    attacked(domain, attack)
    # With a tarpit, time has to run out.
    seconds = 1.5 if attack is Attack.TARPIT else 900
    (fate,) = deliver(lab, f"otto@{domain}", policies=policies, seconds=seconds).fates
    assert isinstance(fate, Deferred)
    assert not fate.maybe_delivered
    assert sum(mail.attacker_read for mail in lab.mail) == read
    lab.calm(domain)
    assert deliver(lab, f"otto@{domain}").fates[0].sealed


@pytest.mark.parametrize(
    ("attack", "tls"),
    [
        (Attack.STRIP_STARTTLS, ""),
        (Attack.REFUSE_STARTTLS, ""),
        (Attack.OTHER_CERTIFICATE, "TLSv1.3"),
        (Attack.INJECT, None),
    ],
)
def test_a_domain_that_promises_nothing_gets_nothing(lab, attacked, attack, tls):
    attacked("plain.test", attack)
    (fate,) = deliver(lab, "otto@plain.test").fates
    if tls is None:
        # No promise is broken here; but whoever puts octets behind the 220 is no mail server.
        assert isinstance(fate, Deferred)
    else:
        assert isinstance(fate, Delivered)
        assert (fate.tls, fate.sealed) == (tls, False)


def test_a_policy_in_a_file_outlives_process_and_policy_host(lab, attacked, tmp_path):
    file, other = tmp_path / "policies.sqlite", tmp_path / "other.sqlite"
    assert deliver(lab, "otto@good-sts.test", policies=file).fates[0].sealed
    attacked("good-sts.test", Attack.POLICY_HOST_DOWN)
    assert not deliver(lab, "otto@good-sts.test", policies=other).fates[0].sealed
    assert deliver(lab, "otto@good-sts.test", policies=file).fates[0].sealed


def test_this_process_remembers_policies(lab, attacked):
    assert deliver(lab, "otto@good-sts.test", policies=None).fates[0].sealed
    attacked("good-sts.test", Attack.POLICY_HOST_DOWN)
    assert deliver(lab, "otto@good-sts.test", policies=None).fates[0].sealed


def test_recipients_of_many_domains_each_get_their_own_fate(lab):
    addresses = (
        *("otto@good-dane.test", "emil@good-sts.test", "otto@null-mx.test", "otto@tlsa-mismatch.test"),
        *("anna@good-dane.test", "otto@GOOD-DANE.test", "otto@no-such-domain.test", "otto@plain.test"),
    )
    before = len(lab.mail)
    delivery = deliver(lab, *addresses)
    kinds = [type(fate) for fate in delivery.fates]
    assert kinds == [Delivered, Delivered, Bounced, Deferred, Delivered, Bounced, Delivered]
    assert [fate.recipient for fate in delivery.fates] == [
        each.lower() for each in addresses if "GOOD" not in each
    ]
    assert [fate.status for fate in delivery.bounced] == ["5.1.10", "5.1.2"]
    assert not delivery.ok
    together = [mail.recipients for mail in lab.mail[before:] if mail.host == "mx1.good-dane.test"]
    assert together == [("otto@good-dane.test", "anna@good-dane.test")]


def test_a_message_of_pythons_own(lab):
    message = EmailMessage()
    message["From"] = "Änne <aenne@sender.test>"
    message["To"] = "Otto <otto@good-dane.test>"
    message["Bcc"] = "emil@good-sts.test"
    message["Subject"] = "Grüße"
    message.set_content("Lange Zeile mit Umlauten: " + "ü" * 2000 + "\n.\n", cte="8bit")
    before = len(lab.mail)
    delivery = deliver(lab, message=message)
    assert [fate.recipient for fate in delivery.fates] == ["otto@good-dane.test", "emil@good-sts.test"]
    assert delivery.ok
    for mail in lab.mail[before:]:
        assert mail.content.isascii(), "every server takes it"
        assert b"emil" not in mail.content
        assert b"\r\nDate: " in b"\r\n" + mail.content
        assert b"\r\nMessage-ID: <" in b"\r\n" + mail.content
        assert mail.sender == "aenne@sender.test"


def test_an_address_literal(lab):
    (address,) = lab.addresses("mx1.plain.test")
    (fate,) = deliver(lab, f"otto@[{address}]").fates
    assert isinstance(fate, Delivered)
    assert (fate.host, fate.address, fate.sealed, fate.tls) == (None, address, False, "TLSv1.3")


@pytest.mark.parametrize(
    ("settings", "fault", "words"),
    [
        ({"to": ["otto"]}, UsageFault, "no mail address"),
        ({"to": ["otto@good-dane.test\r\nDATA"]}, UsageFault, "no mail address"),
        ({"to": []}, UsageFault, "no recipient"),
        ({"to": None}, UsageFault, "no recipient"),
        ({"to": "otto@good-dane.test", "sender": "anna"}, UsageFault, "no mail address"),
        ({"to": "otto@good-dane.test", "message": b"Subject: x\n\nx"}, UsageFault, "nobody is named"),
        ({"to": "otto@good-dane.test", "message": LETTER + b"\0"}, DataFault, "NUL"),
    ],
)
def test_calls_that_are_wrong(lab, settings, fault, words):
    arguments = {"message": LETTER, "settings": lab.world} | settings
    message = arguments.pop("message")
    with pytest.raises(fault, match=words):
        asyncio.run(mxseal.deliver(message, **arguments))


def test_a_message_that_goes_round_is_returned(lab):
    (fate,) = deliver(lab, "otto@good-dane.test", message=b"Received: x\n" * 101 + LETTER).fates
    assert isinstance(fate, Bounced)
    assert fate.status == "5.4.6"


def test_nobody_as_sender(lab):
    before = len(lab.mail)
    assert deliver(lab, "otto@good-dane.test", sender="").ok
    assert lab.mail[before].sender == ""
