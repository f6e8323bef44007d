"""The mail transaction: addresses, mail data, replies, and the pump against servers of every kind."""

import re
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mxseal.standards.smtp import (
    MAX_PATH,
    MAX_RECIPIENTS,
    Declined,
    Envelope,
    Mailbox,
    Message,
    NotAsked,
    Offers,
    Said,
    Taken,
    Transaction,
    Unfit,
    Unsure,
    Verb,
    parse_mailbox,
    read_message,
    read_offers,
    read_reply,
)
from mxseal.standards.starttls import Reply
from mxseal.vocabulary.names import Address, HostName
from mxseal.vocabulary.rejection import Rejection

# --- addresses ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("otto@example.com", "otto@example.com"),
        ("Otto@EXAMPLE.com.", "Otto@example.com"),  # RFC 5321 §2.4: case counts on the left, not on the right
        ("o.t.t-o+tag=x@example.com", "o.t.t-o+tag=x@example.com"),
        ("!#$%&'*/?^_`{|}~@example.com", "!#$%&'*/?^_`{|}~@example.com"),
        ('"a b"@example.com', '"a b"@example.com'),
        ('"a@b"@example.com', '"a@b"@example.com'),
        (r'"say \"hi\""@example.com', r'"say \"hi\""@example.com'),
        ('""@example.com', '""@example.com'),
        ("otto@bücher.example", "otto@xn--bcher-kva.example"),
        ("ötto@example.com", "ötto@example.com"),
        ("用户@例え.example", "用户@xn--r8jz45g.example"),
        ("otto@[192.0.2.1]", "otto@[192.0.2.1]"),
        ("otto@[IPv6:2001:DB8::1]", "otto@[IPv6:2001:db8::1]"),
        ("a" * 242 + "@example.com", "a" * 242 + "@example.com"),
    ],
)
def test_good_addresses(text, canonical):
    mailbox = parse_mailbox(text)
    assert isinstance(mailbox, Mailbox), mailbox
    assert str(mailbox) == canonical
    assert parse_mailbox(canonical) == mailbox
    assert mailbox.is_ascii == canonical.isascii()


@pytest.mark.parametrize(
    ("text", "rule", "marked"),
    [
        ("otto", "Mailbox", ""),
        ("", "Mailbox", ""),
        ("@example.com", "Local-part", ""),
        (".otto@example.com", "Local-part", ".otto"),
        ("otto.@example.com", "Local-part", "otto."),
        ("o..o@example.com", "Local-part", "o..o"),
        ("o o@example.com", "Local-part", "o o"),
        ("<otto@example.com>", "Local-part", "<otto"),
        ("a@b@example.com", "Local-part", "a@b"),
        ('"otto@example.com', "Local-part", '"otto'),
        ('"ot"to@example.com', "Local-part", '"ot"to'),
        ("otto>\r\nDATA\r\n@example.com", "Local-part", "otto>\r\nDATA\r\n"),
        ("otto\n@example.com", "Local-part", "otto\n"),
        ('"a\\\r\n"@example.com', "Local-part", '"a\\\r\n"'),
        ("ot\x85to@example.com", "Local-part", "ot\x85to"),
        ("ot\ud800to@example.com", "Local-part", "ot\ud800to"),
        ("otto@example.com\r\nRCPT TO:<eve@example.com", "Local-part", "otto@example.com\r\nRCPT TO:<eve"),
        ("otto@", "Domain", ""),
        ("otto@exa mple.com", "Domain", " "),
        ("otto@example..com", "Domain", "."),
        ("otto@192.0.2.1", "Domain", "192.0.2.1"),
        ("otto@[example.com]", "address-literal", "[example.com]"),
        ("otto@[2001:db8::1]", "address-literal", "[2001:db8::1]"),
        ("otto@[IPv6:192.0.2.1]", "address-literal", "[IPv6:192.0.2.1]"),
        ("a" * 243 + "@example.com", "Path", "a" * 243 + "@example.com"),
        ("ü" * 122 + "@example.com", "Path", "ü" * 122 + "@example.com"),  # octets count, not characters
    ],
)
def test_bad_addresses(text, rule, marked):
    rejection = parse_mailbox(text)
    assert isinstance(rejection, Rejection)
    assert rejection.rule == rule
    assert text[rejection.start : rejection.end] == marked
    assert rejection.section.startswith("RFC 5321 §4.")


@given(st.text())
def test_no_address_breaks_out_of_its_command(text):
    mailbox = parse_mailbox(text)
    if isinstance(mailbox, Mailbox):
        command = str(mailbox)
        assert not re.search(r"[\x00-\x1f\x7f-\x9f]", command)
        assert len(command.encode()) + 2 <= MAX_PATH
        assert parse_mailbox(command) == mailbox
        if not command.startswith('"'):
            assert not set("<> ") & set(command)


# --- mail data ---------------------------------------------------------------------------------------


def wire(message):
    """What goes out, without the final dot."""
    return b"".join(message.pieces())


@pytest.mark.parametrize(
    ("octets", "sent"),
    [
        (b"A: b\r\n\r\nhello\r\n", b"A: b\r\n\r\nhello\r\n"),
        (b"A: b\n\nhello\n", b"A: b\r\n\r\nhello\r\n"),
        (b"A: b\n\nhello", b"A: b\r\n\r\nhello\r\n"),
        (b"A: b\r\n\n.\nQUIT\n", b"A: b\r\n\r\n..\r\nQUIT\r\n"),
        (b"\n.\n..\n...\n", b"\r\n..\r\n...\r\n....\r\n"),
        (b".leading\n", b"..leading\r\n"),
        (b"a\n.b.\n", b"a\r\n..b.\r\n"),
        # Bare CR and LF, by which servers were made to see two mails in one, are none on the wire.
        (b"x\r\n\r\na\r.\rMAIL FROM:<eve@x>\r\n", b"x\r\n\r\na . MAIL FROM:<eve@x>\r\n"),
        (b"x\r\n\r\na\n.\r\nb\n", b"x\r\n\r\na\r\n..\r\nb\r\n"),
        (b"x\n\na\r\r\nb\n", b"x\r\n\r\na \r\nb\r\n"),
        (b"x\n\na\r", b"x\r\n\r\na \r\n"),
        (b"", b"\r\n"),
        (b"x\n\n" + b"long " * 1000 + b"\n", b"x\r\n\r\n" + b"long " * 1000 + b"\r\n"),
    ],
)
def test_mail_data(octets, sent):
    assert wire(read_message(octets)) == sent


@pytest.mark.parametrize(
    ("octets", "eight_bit", "utf8_header", "hops"),
    [
        (b"Subject: a\n\nb\n", False, False, 0),
        (b"Subject: a\n\n\xc3\xbc\n", True, False, 0),
        (b"Subject: \xc3\xbc\n\nb\n", True, True, 0),
        (b"Subject: \xfc\n\nb\n", True, False, 0),  # Latin-1, of old: no SMTPUTF8 would help
        (b"Received: x\nreceived : y\n\tReceived: z\nRECEIVED:\n\nReceived: w\n", False, False, 3),
        (b"\nReceived: body\n", False, False, 0),
    ],
)
def test_what_a_message_needs(octets, eight_bit, utf8_header, hops):
    message = read_message(octets)
    assert (message.eight_bit, message.utf8_header, message.hops) == (eight_bit, utf8_header, hops)


def test_nul_has_no_place_in_mail():
    rejection = read_message(b"Subject: a\n\nb\0c\n")
    assert isinstance(rejection, Rejection)
    assert "octet 14 " in str(rejection)


def unstuff(octets):
    """RFC 5321 §4.5.2, the receiver's side."""
    lines = octets.split(b"\r\n")
    assert lines.pop() == b""
    assert b"." not in lines, "nothing in the message looks like its end"
    return b"".join((line[1:] if line.startswith(b".") else line) + b"\r\n" for line in lines)


PARTS = st.sampled_from([b"\r", b"\n", b"\r\n", b".", b"a", b" ", b"\xc3\xbc", b"\xff", b"x" * 40_000])


@given(st.lists(PARTS, max_size=12).map(b"".join))
def test_every_message_arrives_as_it_was_made_fit(octets):
    message = read_message(octets)
    sent = wire(message)
    assert unstuff(sent) == message.octets
    assert not re.search(rb"\r(?!\n)|(?<!\r)\n", sent)
    assert read_message(message.octets).octets == message.octets
    flat = octets.replace(b"\r", b"").replace(b"\n", b"").replace(b" ", b"")
    assert message.octets.replace(b"\r\n", b"").replace(b" ", b"") == flat
    for piece in message.pieces():
        assert len(piece) <= 2 * (64 * 1024 + max(map(len, octets.split(b"\n"))) + 2)


# --- what servers say --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "lines", "status", "text"),
    [
        (250, ("2.1.0 Ok",), "2.1.0", "Ok"),
        (550, ("5.1.1 <x>: no such", "5.1.1 user"), "5.1.1", "<x>: no such user"),
        (550, ("no status", "5.7.1 here it is"), "5.7.1", "no status here it is"),
        (450, ("4.2.0",), "4.2.0", ""),
        (550, ("2.1.0 contradicts the code",), "", "2.1.0 contradicts the code"),
        (550, ("5.1.1234 too long",), "", "5.1.1234 too long"),
        (550, ("5.1.1x",), "", "5.1.1x"),
        (550, ("",), "", ""),
        (550, ("x" * 600,), "", "x" * 500 + "…"),
    ],
)
def test_enhanced_status_codes(code, lines, status, text):
    assert read_reply(Reply(code, lines)) == Said(code, status, text)


@pytest.mark.parametrize(
    ("extensions", "expected"),
    [
        ({}, Offers()),
        ({"SIZE": ()}, Offers(declares_size=True)),
        ({"SIZE": ("0",)}, Offers(declares_size=True)),
        ({"SIZE": ("1000",)}, Offers(declares_size=True, size=1000)),
        ({"SIZE": ("1e3",)}, Offers(declares_size=True)),
        ({"SIZE": ("9" * 21,)}, Offers(declares_size=True)),
        ({"SIZE": ("²",)}, Offers(declares_size=True)),
        (
            {"8BITMIME": (), "SMTPUTF8": (), "PIPELINING": (), "X-OTHER": ("y",)},
            Offers(eight_bit=True, utf8=True, pipelining=True),
        ),
    ],
)
def test_offers(extensions, expected):
    assert read_offers(extensions) == expected


OTTO, ANNA, UMLAUT = (Mailbox(local, HostName("example.com")) for local in ("otto", "anna", "ötto"))
PLAIN = read_message(b"Subject: x\n\n.hi\n")
EIGHT = read_message(b"Subject: x\n\n\xc3\xbc\n")
UTF8 = read_message(b"Subject: \xc3\xbc\n\nx\n")
ALL = Offers(size=1000, declares_size=True, eight_bit=True, utf8=True)


@pytest.mark.parametrize(
    ("sender", "recipient", "message", "offers", "unfit", "mail_command"),
    [
        (ANNA, OTTO, PLAIN, Offers(), None, b"MAIL FROM:<anna@example.com>\r\n"),
        (None, OTTO, PLAIN, Offers(), None, b"MAIL FROM:<>\r\n"),
        (ANNA, OTTO, PLAIN, ALL, None, b"MAIL FROM:<anna@example.com> SIZE=19\r\n"),
        (ANNA, OTTO, PLAIN, Offers(size=18), Unfit.TOO_LARGE, None),
        (ANNA, OTTO, PLAIN, Offers(size=19), None, b"MAIL FROM:<anna@example.com>\r\n"),
        (ANNA, OTTO, EIGHT, ALL, None, b"MAIL FROM:<anna@example.com> SIZE=18 BODY=8BITMIME\r\n"),
        (ANNA, OTTO, EIGHT, Offers(utf8=True), Unfit.NEEDS_8BITMIME, None),
        (ANNA, OTTO, UTF8, ALL, None, b"MAIL FROM:<anna@example.com> SIZE=18 BODY=8BITMIME SMTPUTF8\r\n"),
        (ANNA, OTTO, UTF8, Offers(eight_bit=True), Unfit.NEEDS_SMTPUTF8, None),
        (ANNA, UMLAUT, PLAIN, ALL, None, b"MAIL FROM:<anna@example.com> SIZE=19 SMTPUTF8\r\n"),
        (ANNA, UMLAUT, PLAIN, Offers(eight_bit=True), Unfit.NEEDS_SMTPUTF8, None),
        (UMLAUT, OTTO, PLAIN, Offers(utf8=True), None, "MAIL FROM:<ötto@example.com> SMTPUTF8\r\n".encode()),
        (UMLAUT, OTTO, PLAIN, Offers(), Unfit.NEEDS_SMTPUTF8, None),
    ],
)
def test_what_fits_a_server(sender, recipient, message, offers, unfit, mail_command):  # noqa: PLR0917 - a table's columns
    envelope = Envelope(sender, (recipient,), message)
    assert envelope.unfit(offers) is unfit
    if unfit is None:
        assert Transaction(envelope, offers).data_to_send() == mail_command


# --- the pump ----------------------------------------------------------------------------------------


class Server:
    """Replies by the table: to each verb its replies one after the other, then the usual ones.

    None in place of a reply: the connection is lost there.
    """

    USUAL: ClassVar = {"RSET": 250, "MAIL": 250, "RCPT": 250, "DATA": 354, ".": 250}

    def __init__(self, **replies):
        self.replies = {verb: list(given) for verb, given in replies.items()}
        self.heard = []
        self.lines = b""
        self.message = b""
        self.in_data = False

    def hear(self, data):
        """The replies to these octets; None: the connection is lost."""
        answers = []
        if self.in_data:
            if data != b".\r\n":
                self.message += data
                return answers
            self.in_data = False
            answers.append(self.answer("."))
        else:
            for line in data.splitlines(keepends=True):
                assert line.endswith(b"\r\n")
                self.heard.append(line.strip().decode())
                answers.append(self.answer(line.split(b" ")[0].strip().decode()))
        return answers

    def answer(self, verb):
        queue = self.replies.get({".": "END"}.get(verb, verb), [])
        code = queue.pop(0) if queue else self.USUAL[verb]
        if code is not None and verb == "DATA" and code // 100 == 3:
            self.in_data = True
        return None if code is None else Reply(code, (f"{verb} {code}",))


def drive(transaction, server, limit=10_000):
    """What each driver does; whether it had to end the session."""
    waiting = []
    for _ in range(limit):
        if transaction.is_over:
            return transaction.answers
        data = transaction.data_to_send()
        if data:
            assert transaction.awaits is not None or server.in_data
            waiting += server.hear(data)
            continue
        assert transaction.awaits is not None
        reply = waiting.pop(0)
        if reply is None:
            transaction.lost("gone")
        else:
            transaction.take(reply)
    raise AssertionError("no end")


def taken(code=250):
    return Taken(Said(code, "", f". {code}"))


def no(verb, code):
    word = "." if verb is Verb.END else verb
    return Declined(verb, Said(code, "", f"{word} {code}"))


GONE = NotAsked("gone")

CASES = {
    "all is well": ({}, [taken(), taken(), taken()], False),
    "one recipient is not known": ({"RCPT": [250, 550]}, [taken(), no(Verb.RCPT, 550), taken()], False),
    "251 and 252 are as good as 250": ({"RCPT": [251, 252]}, [taken(), taken(), taken()], False),
    "no recipient is wanted": (
        {"RCPT": [550, 450, 551]},
        [no(Verb.RCPT, 550), no(Verb.RCPT, 450), no(Verb.RCPT, 551)],
        False,
    ),
    "the sender is not wanted": ({"MAIL": [550]}, [no(Verb.MAIL, 550)] * 3, False),
    "not now": ({"MAIL": [451]}, [no(Verb.MAIL, 451)] * 3, False),
    "no leave to send": ({"DATA": [451]}, [no(Verb.DATA, 451)] * 3, False),
    "no leave, and one was not known": (
        {"RCPT": [550], "DATA": [554]},
        [no(Verb.RCPT, 550), no(Verb.DATA, 554), no(Verb.DATA, 554)],
        False,
    ),
    "the content is not wanted": ({"END": [550]}, [no(Verb.END, 550)] * 3, False),
    "the content is not wanted now": ({"END": [452]}, [no(Verb.END, 452)] * 3, False),
    "421 to MAIL": ({"MAIL": [421]}, [no(Verb.MAIL, 421)] * 3, True),
    "421 to a recipient": (
        {"RCPT": [550, 421]},
        [no(Verb.RCPT, 550), no(Verb.RCPT, 421), no(Verb.RCPT, 421)],
        True,
    ),
    "421 to DATA": ({"DATA": [421]}, [no(Verb.DATA, 421)] * 3, True),
    "421 to the dot": ({"END": [421]}, [no(Verb.END, 421)] * 3, True),
    "gone at MAIL": ({"MAIL": [None]}, [GONE] * 3, True),
    "gone at a recipient": ({"RCPT": [550, None]}, [no(Verb.RCPT, 550), GONE, GONE], True),
    "gone at DATA": ({"DATA": [None]}, [GONE] * 3, True),
    "gone after the dot": ({"RCPT": [550], "END": [None]}, [no(Verb.RCPT, 550), *[Unsure("gone")] * 2], True),
    "354 to MAIL": ({"MAIL": [354]}, [NotAsked("it answers MAIL with 354")] * 3, True),
    "354 to RCPT": ({"RCPT": [354]}, [NotAsked("it answers RCPT with 354")] * 3, True),
    "250 to DATA": ({"DATA": [250]}, [NotAsked("it answers DATA with 250")] * 3, True),
    "354 to the dot": ({"END": [354]}, [Unsure("it answers end of data with 354")] * 3, True),
}
THREE = (OTTO, ANNA, UMLAUT)


@pytest.mark.parametrize("pipelining", [False, True])
@pytest.mark.parametrize(("replies", "answers", "must_close"), CASES.values(), ids=CASES)
def test_transactions(replies, answers, must_close, pipelining):
    server = Server(**replies)
    offers = Offers(pipelining=pipelining, utf8=True)
    transaction = Transaction(Envelope(None, THREE, PLAIN), offers)
    assert list(drive(transaction, server)) == answers
    assert transaction.must_close is must_close
    accepted = any(isinstance(each, Taken | Unsure) for each in answers) or "END" in replies
    assert server.message == (b"Subject: x\r\n\r\n..hi\r\n" if accepted else b"")
    assert transaction.end_sent is accepted


def test_the_order_of_commands():
    server = Server()
    drive(Transaction(Envelope(ANNA, (OTTO, ANNA), PLAIN), Offers(), after_another=True), server)
    assert server.heard == [
        "RSET",
        "MAIL FROM:<anna@example.com>",
        "RCPT TO:<otto@example.com>",
        "RCPT TO:<anna@example.com>",
        "DATA",
    ]


def test_pipelining_saves_round_trips_and_never_sends_data_unasked():
    transaction = Transaction(Envelope(ANNA, (OTTO, ANNA), PLAIN), Offers(pipelining=True))
    assert transaction.data_to_send().count(b"\r\n") == 3
    assert transaction.data_to_send() == b""
    for _ in range(3):
        transaction.take(Reply(250, ("ok",)))
    assert transaction.data_to_send() == b"DATA\r\n"


def test_a_refused_sender_ends_it_before_recipients_are_named():
    server = Server(MAIL=[550])
    drive(Transaction(Envelope(ANNA, (OTTO,), PLAIN), Offers()), server)
    assert server.heard == ["MAIL FROM:<anna@example.com>"]


@pytest.mark.parametrize(
    ("reply", "answer"),
    [
        (Reply(250, ("ok",)), NotAsked("it says 250 before anything was asked")),
        (Reply(550, ("no",)), NotAsked("it says 550 before anything was asked")),
        (Reply(421, ("bye",)), Declined(Verb.MAIL, Said(421, "", "bye"))),
    ],
)
def test_answers_before_the_question_count_for_nothing(reply, answer):
    transaction = Transaction(Envelope(ANNA, (OTTO,), PLAIN), Offers())
    transaction.take(reply)
    assert transaction.is_over
    assert transaction.must_close
    assert transaction.answers == (answer,)
    assert transaction.data_to_send() == b""


@pytest.mark.parametrize("count", [0, MAX_RECIPIENTS + 1])
def test_a_transaction_is_bounded(count):
    with pytest.raises(ValueError, match="1 to 100 recipients"):
        Transaction(Envelope(ANNA, (OTTO,) * count, PLAIN), Offers())


CODES = st.one_of(st.sampled_from([250, 354, 421, 450, 550, None]), st.integers(200, 599))


@given(
    codes=st.fixed_dictionaries(
        {verb: st.lists(CODES, max_size=5) for verb in ("RSET", "MAIL", "RCPT", "DATA", "END")}
    ),
    count=st.integers(1, 6),
    pipelining=st.booleans(),
    after_another=st.booleans(),
)
def test_whatever_a_server_says_each_recipient_gets_one_true_answer(codes, count, pipelining, after_another):
    asked = {verb: list(replies) for verb, replies in codes.items()}
    server = Server(**codes)
    recipients = tuple(Mailbox(f"r{number}", HostName("example.com")) for number in range(count))
    transaction = Transaction(
        Envelope(ANNA, recipients, PLAIN), Offers(pipelining=pipelining), after_another=after_another
    )
    answers = drive(transaction, server)
    assert len(answers) == count
    data = asked["DATA"][0] if asked["DATA"] else 354
    end = asked["END"][0] if asked["END"] else 250
    for number, answer in enumerate(answers):
        rcpt = asked["RCPT"][number] if number < len(asked["RCPT"]) else 250
        if isinstance(answer, Taken):
            # Nothing counts as delivered that was not accepted at each step.
            assert answer.said.code == end
            assert (rcpt // 100, data // 100, end // 100) == (2, 3, 2)
            assert server.message == wire(PLAIN)
        elif isinstance(answer, Unsure):
            assert transaction.must_close
            assert transaction.end_sent
            assert end is None or end // 100 not in (2, 4, 5)
        elif isinstance(answer, Declined):
            assert answer.said.code >= 400
        else:
            assert transaction.must_close
            assert not transaction.end_sent


def test_literals_are_addresses():
    assert parse_mailbox("o@[127.0.0.1]") == Mailbox("o", Address("127.0.0.1"))
    assert isinstance(PLAIN, Message)
