"""``mxseal send mail``: like sendmail, for people and for scripts."""

import io
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from mxseal.cli import run
from mxseal.cli.fates import exit_code
from mxseal.decisions.delivery import Level
from mxseal.decisions.mailing import Bounced, Deferred, Delivered
from mxseal.decisions.policy_lifecycle import Reason
from mxseal.journeys.deliver import Delivery
from mxseal.lab import Attack, Lab, LabThread
from mxseal.standards.smtp import Said
from mxseal.vocabulary.names import Address, HostName

DOMAINS = (
    *("good-dane.test", "good-sts.test", "plain.test", "no-tls.test", "tlsa-mismatch.test"),
    *("null-mx.test", "no-such-domain.test"),
)
LETTER = b"From: Anna <anna@sender.test>\nSubject: x\n\nhello\n"


@pytest.fixture(scope="module")
def lab():
    with LabThread(Lab(scenarios=DOMAINS)) as running:
        yield running


@pytest.fixture
def mail(lab, tmp_path: Path, monkeypatch, capsys):
    """Call ``mxseal send mail`` with a message; the exit code, and what it printed."""
    (tmp_path / "ca.pem").write_bytes(lab.ca_pem)
    (tmp_path / "root.ds").write_text(lab.trust_anchor)
    address, port = lab.resolver

    def call(*arguments, message=LETTER):
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(message)))
        code = run(
            [
                *("send", "mail", f"--resolver={address}:{port}", f"--smtp-port={lab.smtp_port}"),
                *(f"--https-port={lab.https_port}", f"--ca-file={tmp_path}/ca.pem", "--allow-private"),
                *(f"--trust-anchor={tmp_path}/root.ds", *arguments),
            ]
        )
        return code, capsys.readouterr()

    return call


@pytest.mark.parametrize(
    ("domain", "code", "words"),
    [
        (
            "good-dane.test",
            0,
            ["delivered to mx1.good-dane.test, sealed: TLSv1.3", "RFC 7672 §3.1", "says: 250"],
        ),
        ("good-sts.test", 0, ["delivered to mx1.good-sts.test, sealed: TLSv1.3", "RFC 8461 §4.2"]),
        ("plain.test", 0, ["delivered to mx1.plain.test, encrypted: TLSv1.3"]),
        ("no-tls.test", 0, ["delivered to mx1.no-tls.test, in clear"]),
        ("tlsa-mismatch.test", 75, ["deferred; try again later", "does not match its TLSA records"]),
        ("null-mx.test", 68, ["returned (5.1.10)", "RFC 7505 §3"]),
        ("no-such-domain.test", 68, ["returned (5.1.2)", "does not exist"]),
    ],
)
def test_one_recipient(mail, domain, code, words):
    got, printed = mail(f"otto@{domain}")
    assert got == code
    assert printed.out.startswith(f"otto@{domain}: ")
    assert [word for word in words if word not in printed.out] == []
    assert printed.err == ""


def test_recipients_from_the_header(mail, lab):
    message = (
        b"From: anna@sender.test\nTo: Otto <otto@good-dane.test>, =?utf-8?q?=C3=84?= <a@plain.test>\n"
        b"Bcc: hidden@good-sts.test\n\nx\n"
    )
    before = len(lab.mail)
    code, printed = mail("-t", "--json", message=message)
    document = json.loads(printed.out)
    assert code == 0
    assert (document["kind"], document["schema_version"]) == ("delivery", 1)
    assert [(fate["type"], fate["recipient"], fate["sealed"]) for fate in document["fates"]] == [
        ("delivered", "otto@good-dane.test", True),
        ("delivered", "a@plain.test", False),
        ("delivered", "hidden@good-sts.test", True),
    ]
    assert [one["policy"]["policy_type"] for one in document["sessions"]] == [
        "tlsa",
        "no-policy-found",
        "sts",
    ]
    assert not any(b"hidden" in one.content for one in lab.mail[before:])


@pytest.mark.parametrize(
    ("arguments", "arrived"),
    [
        ((), b"a\r\n"),
        (("-i",), b"a\r\n.\r\nb\r\n"),
        (("-oi",), b"a\r\n.\r\nb\r\n"),
        (("-oem", "-oi"), b"a\r\n.\r\nb\r\n"),
    ],
)
def test_a_line_with_a_dot(mail, lab, arguments, arrived):
    code, _ = mail("otto@good-dane.test", *arguments, message=b"Subject: x\nFrom: a@b.test\n\na\n.\nb\n")
    assert code == 0
    assert lab.mail[-1].content.endswith(b"\r\n\r\n" + arrived)


@pytest.mark.parametrize(
    ("arguments", "sender"),
    [
        ((), "anna@sender.test"),
        (("-f", "bounce@sender.test"), "bounce@sender.test"),
        (("-f", "<>"), ""),
        (("-f", ""), ""),
    ],
)
def test_the_sender(mail, lab, arguments, sender):
    code, _ = mail("otto@good-dane.test", *arguments)
    assert code == 0
    assert lab.mail[-1].sender == sender


def test_policies_are_remembered_in_a_file(mail, lab, tmp_path):
    file = f"--policies={tmp_path}/policies.sqlite"
    assert mail("otto@good-sts.test", file)[0] == 0
    lab.attack("good-sts.test", Attack.POLICY_HOST_DOWN)
    try:
        code, printed = mail("otto@good-sts.test", file)
    finally:
        lab.calm("good-sts.test")
    assert code == 0
    assert "sealed: " in printed.out


@pytest.mark.parametrize(
    ("arguments", "message", "code", "words"),
    [
        ((), LETTER, 64, "there is no recipient"),
        (("-t",), LETTER, 64, "there is no recipient"),
        (("otto",), LETTER, 64, "no mail address"),
        (("otto@good-dane.test", "-f", "x y"), LETTER, 64, "no mail address"),
        (("otto@good-dane.test",), b"Subject: x\n\nx\n", 64, "nobody is named as sender"),
        (("otto@good-dane.test",), LETTER + b"\0", 65, "is NUL"),
        (("otto@good-dane.test", "--ehlo", "a..b"), LETTER, 64, "--ehlo"),
        (("o\x1b[2Jtto@good-dane.test",), LETTER, 64, "no mail address"),
    ],
)
def test_wrong_calls_get_one_clear_word(mail, lab, arguments, message, code, words):  # noqa: PLR0917 - columns
    before = len(lab.mail)
    got, printed = mail(*arguments, message=message)
    assert got == code
    assert words in printed.err
    assert "\x1b" not in printed.err
    assert "Traceback" not in printed.err
    assert len(lab.mail) == before


DELIVERED = Delivered(
    recipient="a@x.test",
    host=HostName("mx.x.test"),
    address=Address("192.0.2.1"),
    level=Level.DANE,
    tls="TLSv1.3",
    cipher="X",
    proof=Reason("fine"),
    said=Said(250),
    sealed=True,
)
DEFERRED = Deferred(recipient="b@x.test", reasons=())


def bounced(status):
    return Bounced(recipient="c@x.test", reasons=(), status=status)


@pytest.mark.parametrize(
    ("fates", "code"),
    [
        ([DELIVERED], 0),
        ([DELIVERED, DEFERRED], 75),
        ([DEFERRED, bounced("5.1.1")], 75),
        ([DELIVERED, bounced("5.1.1")], 67),
        ([bounced("5.1.2"), bounced("5.1.10")], 68),
        ([bounced("5.1.2"), bounced("5.1.1")], 69),
        ([bounced("5.7.1")], 69),
        ([bounced("5.4.6")], 69),
    ],
)
def test_exit_codes(fates, code):
    assert exit_code(Delivery(fates=tuple(fates), sessions=())) == code
