"""The courier against servers of every kind, with real TLS on loopback."""

import asyncio

import pytest

from mxseal.adapters.smtp import Patience, SmtpCourier
from mxseal.decisions.mailing import Admitted, Denied, Errand, Mail, TlsUse
from mxseal.decisions.policy_lifecycle import Reason
from mxseal.standards.smtp import (
    Declined,
    NotAsked,
    Said,
    Taken,
    Unfit,
    Unsure,
    Verb,
    parse_mailbox,
    read_message,
)
from mxseal.standards.tlsrpt import ResultType
from mxseal.vocabulary.names import Address, HostName
from mxseal.vocabulary.observations import (
    Handshake,
    HandshakeFailed,
    ProtocolViolation,
    Stage,
    StarttlsNotOffered,
    StarttlsRefused,
    Unreachable,
)

MX = HostName("mx.example.com")
HERE = Address("127.0.0.1")
ANNA = parse_mailbox("anna@sender.example")
OTTO = parse_mailbox("otto@example.com")
EMIL = parse_mailbox("emil@example.com")
OFFER = b"250-mx.example.com\r\n250-SIZE 100000\r\n250-8BITMIME\r\n250 STARTTLS\r\n"
PLAIN = b"250 mx.example.com\r\n"
GO = b"220 Ready\r\n"
ADMITTED = Admitted(proof=Reason("it is fine"))
DENIED = Denied(reason=Reason("it is not"), result_type=ResultType.CERTIFICATE_EXPIRED, detail="expired")

SILENT = object()
RESET = object()


class MxHost:
    """Says what the table wants; a list gives one reply after the other.

    None closes the connection instead, RESET resets it, SILENT waits for ever.
    """

    def __init__(self, context=None, **replies):
        self.context = context
        self.replies = {
            "greeting": b"220 mx.example.com ESMTP\r\n",
            "ehlo": OFFER,
            "starttls": GO,
            "inside": b"250-mx.example.com\r\n250-8BITMIME\r\n250 SIZE 100000\r\n",
            "mail": b"250 2.1.0 Ok\r\n",
            "rcpt": b"250 2.1.5 Ok\r\n",
            "data": b"354 go on\r\n",
            "rset": b"250 Ok\r\n",
            "end": b"250 2.0.0 taken\r\n",
            "quit": b"221 Bye\r\n",
        } | replies
        self.heard = []
        self.messages = []
        self.names = []
        self.sessions = 0

    async def say(self, client, what):
        reply = self.replies[what]
        if isinstance(reply, list):
            reply = reply.pop(0)
        if reply is SILENT:
            await asyncio.Event().wait()
        if reply is RESET:
            client.reset()
        if reply is None or reply is RESET:
            raise ConnectionAbortedError
        await client.write(reply)
        return reply

    async def __call__(self, client):
        self.sessions += 1
        await self.say(client, "greeting")
        inside = False
        while line := await client.readline():
            command = line.strip().partition(b" ")[0].decode(errors="replace").lower()
            if command not in self.replies:
                continue  # the ClientHello, where the table has no TLS
            self.heard.append(line.strip().decode())
            reply = await self.say(client, "inside" if inside and command == "ehlo" else command)
            if command == "starttls" and reply == GO and self.context is not None:
                await client.accept_tls(self.context)
                inside = True
            if command == "data" and reply.startswith(b"354"):
                lines = []
                while (line := await client.readline()) not in (b".\r\n", b""):
                    lines.append(line)
                self.messages.append(b"".join(lines))
                await self.say(client, "end")

    @property
    def verbs(self):
        return [line.partition(" ")[0].upper() for line in self.heard]


@pytest.fixture
def good(authority, server_context):
    context = server_context(authority.issue(MX))
    context.sni_callback = lambda _, name, ctx: ctx.asked.append(name)
    return context


def visit(serving, host, *, tls=TlsUse.REQUIRED, admit=lambda _: ADMITTED, patience=None, **errand):
    message = read_message(errand.pop("text", b"Subject: x\n\n.dot\n"))
    recipients = errand.pop("recipients", (OTTO,))
    mail = Mail(sender=ANNA, recipients=recipients, message=message)
    arguments = {"host": MX, "address": HERE, "tls": tls, "sni": MX, "mail": mail, "seconds": 20.0} | errand

    async def run():
        async with serving(host) as port:
            courier = SmtpCourier(port=port, ehlo_name=HostName("client.example.org"), patience=patience)
            return await courier.visit(Errand(**arguments), admit)

    return asyncio.run(run())


def test_a_mail_inside_of_tls(authority, server_context, serving):
    certificate = authority.issue(MX)
    host = MxHost(server_context(certificate))
    judged = []

    def admit(handshake):
        judged.append((handshake, list(host.verbs)))
        return ADMITTED

    done = visit(serving, host, admit=admit, recipients=(OTTO, EMIL))
    assert isinstance(done.session, Handshake)
    assert done.session.ehlo_again
    assert done.session.version == "TLSv1.3"
    assert done.session.chain == certificate.chain
    assert done.admission == ADMITTED
    assert done.answers == (Taken(Said(250, "2.0.0", "taken")),) * 2
    assert (done.helo, done.sending_ip, done.name) == ("mx.example.com", HERE, MX)
    assert host.messages == [b"Subject: x\r\n\r\n..dot\r\n"]
    assert host.heard == [
        "EHLO client.example.org",
        "STARTTLS",
        "EHLO client.example.org",
        "MAIL FROM:<anna@sender.example> SIZE=20",
        "RCPT TO:<otto@example.com>",
        "RCPT TO:<emil@example.com>",
        "DATA",
        "QUIT",
    ]
    ((handshake, before),) = judged
    assert handshake.chain == certificate.chain
    assert before == ["EHLO", "STARTTLS"], "the verdict comes before any other word"


def test_who_is_denied_hears_nothing_more(good, serving):
    good.asked = []
    host = MxHost(good)
    done = visit(serving, host, admit=lambda _: DENIED, sni=HostName("base.example.com"))
    assert done.admission == DENIED
    assert done.answers == ()
    assert host.verbs == ["EHLO", "STARTTLS"]
    assert good.asked == ["base.example.com"]


BEFORE_MAIL = {
    "not offered": ({"ehlo": PLAIN}, StarttlsNotOffered(), ["EHLO", "QUIT"]),
    "refused": (
        {"starttls": b"454 4.7.0 not now\r\n"},
        StarttlsRefused(454, "4.7.0 not now"),
        ["EHLO", "STARTTLS", "QUIT"],
    ),
    "injected": (
        {"starttls": GO + b"250 forged\r\n"},
        ProtocolViolation(Stage.STARTTLS, "12 octets behind the 220 to STARTTLS, before TLS"),
        ["EHLO", "STARTTLS"],
    ),
    "closed at STARTTLS": (
        {"starttls": None},
        Unreachable(Stage.STARTTLS, "the server closed the connection without a word"),
        ["EHLO", "STARTTLS"],
    ),
    "not wanted": (
        {"greeting": b"554 no mail here\r\n"},
        Unreachable(Stage.GREETING, "it says 554 no mail here"),
        ["QUIT"],
    ),
    "busy": ({"ehlo": b"421 later\r\n"}, Unreachable(Stage.EHLO, "it says 421 later"), ["EHLO", "QUIT"]),
    "not SMTP": (
        {"greeting": b"SSH-2.0-x\r\n"},
        ProtocolViolation(Stage.GREETING, "not an SMTP reply: 'SSH-2.0-x'"),
        [],
    ),
    "mute": ({"greeting": SILENT}, Unreachable(Stage.GREETING, "no answer in time"), []),
}


@pytest.mark.parametrize(("replies", "session", "verbs"), BEFORE_MAIL.values(), ids=BEFORE_MAIL)
def test_where_tls_is_required_nothing_is_mailed_without_it(serving, replies, session, verbs):
    host = MxHost(**replies)
    done = visit(serving, host, patience=Patience(reply=0.3))
    assert done.session == session
    assert done.admission is None
    assert done.answers == ()
    assert host.verbs == verbs
    assert host.messages == []


@pytest.mark.parametrize(
    ("tls", "replies", "session", "verbs"),
    [
        (TlsUse.IF_OFFERED, {"ehlo": PLAIN}, StarttlsNotOffered(), ["EHLO"]),
        (
            TlsUse.IF_OFFERED,
            {"starttls": b"454 no\r\n"},
            StarttlsRefused(454, "no"),
            ["EHLO", "STARTTLS"],
        ),
        (TlsUse.NONE, {}, None, ["EHLO"]),
        (TlsUse.NONE, {"ehlo": PLAIN}, None, ["EHLO"]),
    ],
)
def test_in_the_clear_where_that_may_be(serving, tls, replies, session, verbs):
    host = MxHost(**replies)
    done = visit(serving, host, tls=tls)
    assert done.session == session
    assert done.admission is None
    assert done.answers == (Taken(Said(250, "2.0.0", "taken")),)
    assert host.verbs == [*verbs, "MAIL", "RCPT", "DATA", "QUIT"]


def test_a_handshake_that_fails_ends_the_session_even_where_tls_is_no_must(serving):
    host = MxHost(context=None, starttls=GO)
    done = visit(serving, host, tls=TlsUse.IF_OFFERED, patience=Patience(handshake=0.3))
    assert done.session == HandshakeFailed("no answer in time")
    assert host.verbs[:2] == ["EHLO", "STARTTLS"]
    assert host.messages == []


INSIDE = {
    "EHLO is refused": ({"inside": b"550 go away\r\n"}, "inside of TLS, it says 550 go away", True),
    "EHLO is not answered": (
        {"inside": None},
        "inside of TLS, the server closed the connection without a word",
        False,
    ),
    "EHLO is answered with noise": (
        {"inside": b"noise\r\n"},
        "inside of TLS, it breaks SMTP: not an SMTP reply: 'noise'",
        False,
    ),
}


@pytest.mark.parametrize(("replies", "trouble", "answered"), INSIDE.values(), ids=INSIDE)
def test_trouble_between_the_verdict_and_the_mail(good, serving, replies, trouble, answered):
    good.asked = []
    host = MxHost(good, **replies)
    done = visit(serving, host)
    assert done.trouble == trouble
    assert done.session.ehlo_again is answered
    assert done.answers == ()
    assert "MAIL" not in host.verbs


def declined(verb, code, text):
    return Declined(verb, Said(code, "", text))


HOSTILE = {
    "hangs up at MAIL": ({"mail": None}, [NotAsked("it closed the connection")] * 2, 0),
    "hangs up at the second RCPT": (
        {"rcpt": [b"250 ok\r\n", None]},
        [NotAsked("it closed the connection")] * 2,
        0,
    ),
    "421 midway": ({"rcpt": [b"250 ok\r\n", b"421 no\r\n"]}, [declined(Verb.RCPT, 421, "no")] * 2, 0),
    "one is unknown": (
        {"rcpt": [b"550 who?\r\n", b"250 ok\r\n"]},
        [declined(Verb.RCPT, 550, "who?"), Taken(Said(250, "2.0.0", "taken"))],
        1,
    ),
    "noise to DATA": (
        {"data": b"banana\r\n"},
        [NotAsked("it breaks SMTP: not an SMTP reply: 'banana'")] * 2,
        0,
    ),
    "250 to DATA": ({"data": b"250 done already\r\n"}, [NotAsked("it answers DATA with 250")] * 2, 0),
    "a refusal of the content": ({"end": b"550 spam\r\n"}, [declined(Verb.END, 550, "spam")] * 2, 1),
    "hangs up after the dot": ({"end": None}, [Unsure("it closed the connection")] * 2, 1),
    "resets after the dot": (
        {"end": RESET},
        [Unsure("the connection broke: Connection reset by peer")] * 2,
        1,
    ),
    "silent after the dot": ({"end": SILENT}, [Unsure("no answer to end of data in time")] * 2, 1),
    "noise after the dot": (
        {"end": b"\x00\xff\r\n"},
        [Unsure(r"it breaks SMTP: not an SMTP reply: '\\x00\\xff'")] * 2,
        1,
    ),
    "an endless reply": (
        {"mail": b"250-x\r\n" * 200},
        [NotAsked("it breaks SMTP: a reply of more than 100 lines")] * 2,
        0,
    ),
    "silent at RCPT": ({"rcpt": SILENT}, [NotAsked("no answer to RCPT in time")] * 2, 0),
    "answers ahead": (
        {"inside": PLAIN + b"250 ok\r\n" * 5},
        [NotAsked("it says 250 before anything was asked")] * 2,
        0,
    ),
    "silent at QUIT": ({"quit": None}, [Taken(Said(250, "2.0.0", "taken"))] * 2, 1),
}


@pytest.mark.parametrize(("replies", "answers", "messages"), HOSTILE.values(), ids=HOSTILE)
def test_hostile_servers_get_no_more_than_is_due(good, serving, replies, answers, messages):
    good.asked = []
    host = MxHost(good, **replies)
    done = visit(serving, host, recipients=(OTTO, EMIL), patience=Patience(reply=0.5, end=0.5))
    assert list(done.answers) == answers
    assert len(host.messages) == messages


def test_the_answer_to_the_dot_is_waited_for_when_time_is_up(good, serving):
    """Who gives up there makes duplicates (RFC 5321 §4.5.3.2.6), so `seconds` ends before it."""
    good.asked = []
    host = MxHost(good)

    async def much_later(client, what, say=host.say):
        if what == "end":
            loop = asyncio.get_running_loop()
            loop.time = lambda time=loop.time: time() + 30
        return await say(client, what)

    host.say = much_later
    done = visit(serving, host, seconds=20)
    assert done.answers == (Taken(Said(250, "2.0.0", "taken")),)


def test_time_for_the_whole_session(good, serving):
    good.asked = []
    done = visit(serving, MxHost(good, mail=SILENT), seconds=0.5)
    assert done.answers == (NotAsked("no answer to MAIL in time"),)


def test_a_message_that_the_server_cannot_take_is_not_offered(good, serving):
    good.asked = []
    host = MxHost(good, inside=b"250-mx\r\n250 SIZE 5\r\n")
    done = visit(serving, host)
    assert done.unfit is Unfit.TOO_LARGE
    assert done.answers == ()
    assert host.verbs == ["EHLO", "STARTTLS", "EHLO", "QUIT"]


def test_what_was_offered_in_the_clear_counts_for_nothing_inside(good, serving):
    good.asked = []
    host = MxHost(good, ehlo=OFFER, inside=PLAIN)
    done = visit(serving, host, text=b"Subject: x\n\n\xc3\xbc\n")
    assert done.unfit is Unfit.NEEDS_8BITMIME


def test_too_many_recipients_go_in_several_transactions(good, serving):
    good.asked = []
    many = tuple(parse_mailbox(f"r{number}@example.com") for number in range(150))
    takes = [b"250 ok\r\n"] * 70 + [b"452 4.5.3 too many\r\n"] * 30 + [b"250 ok\r\n"] * 80
    host = MxHost(good, rcpt=takes, inside=b"250-mx\r\n250 PIPELINING\r\n")
    done = visit(serving, host, recipients=many)
    assert all(isinstance(answer, Taken) for answer in done.answers)
    assert len(done.answers) == 150
    assert [verb for verb in host.verbs if verb != "RCPT"][3:] == ["MAIL", "DATA"] * 2 + ["QUIT"]


def test_a_server_that_always_has_too_many_is_not_asked_for_ever(good, serving):
    good.asked = []
    host = MxHost(good, rcpt=b"452 too many\r\n")
    done = visit(serving, host, recipients=(OTTO, EMIL))
    assert done.answers == (declined(Verb.RCPT, 452, "too many"),) * 2
    assert host.verbs.count("MAIL") == 1


def test_a_second_transaction_begins_with_rset_after_a_refused_one(good, serving):
    good.asked = []
    many = tuple(parse_mailbox(f"r{number}@example.com") for number in range(101))
    host = MxHost(good, data=[b"451 not these\r\n", b"354 go on\r\n"])
    done = visit(serving, host, recipients=many)
    assert done.answers[:100] == (declined(Verb.DATA, 451, "not these"),) * 100
    assert isinstance(done.answers[100], Taken)
    assert host.verbs.count("RSET") == 1


def test_a_large_message_and_a_server_that_stops_reading_it(good, serving):
    good.asked = []
    host = MxHost(good, inside=b"250 mx\r\n")
    text = b"Subject: x\n\n" + b"a line of some length, with a number behind it\n" * 200_000

    async def stops(client, what, say=host.say):
        reply = await say(client, what)
        if what == "data":
            await asyncio.Event().wait()
        return reply

    done = visit(serving, host, text=text)
    assert isinstance(done.answers[0], Taken)
    assert host.messages == [read_message(text).octets]
    host.say = stops
    done = visit(serving, host, text=text, patience=Patience(block=0.5))
    assert done.answers == (NotAsked("no answer to the message in time"),)


def test_nobody_listens(closed_port):
    mail = Mail(sender=None, recipients=(OTTO,), message=read_message(b"x"))
    errand = Errand(host=None, address=HERE, tls=TlsUse.IF_OFFERED, sni=None, mail=mail, seconds=5)
    done = asyncio.run(SmtpCourier(port=closed_port).visit(errand, lambda _: ADMITTED))
    assert done.session == Unreachable(Stage.CONNECT, "Connection refused", refused=True)
    assert done.name == "[127.0.0.1]"
