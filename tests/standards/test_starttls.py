"""The STARTTLS dialogue: tables of peers, and the laws that hold for any of them."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mxseal.standards.starttls import (
    MAX_LINE,
    MAX_LINES,
    MAX_REPLY,
    TRANSITIONS,
    BrokenReply,
    Dialogue,
    Extended,
    Greeted,
    Lost,
    OutOfTurn,
    Parted,
    Refused,
    Reply,
    ReplyReader,
    State,
    Step,
    UpgradeNow,
    Violated,
    parse_extensions,
)
from mxseal.vocabulary.names import Address, HostName
from mxseal.vocabulary.observations import Stage

US = HostName("client.example.org")

# RFC 3207 §5, the example, as far as replies go.
RFC_3207_CLEAR = (
    b"220 mail.imc.org SMTP service ready\r\n",
    b"250-mail.imc.org offers a warm hug of welcome\r\n",
)
GREETING = b"220 mx.example.com ESMTP\r\n"
EHLO = b"250-mx.example.com\r\n250-PIPELINING\r\n250-SIZE 1000\r\n250 STARTTLS\r\n"
GO = b"220 2.0.0 Ready to start TLS\r\n"
INSIDE = b"250-mx.example.com\r\n250 AUTH PLAIN\r\n"
BYE = b"221 2.0.0 Bye\r\n"


class Driver:
    """Does what each driver does: STARTTLS where it is offered, EHLO again, QUIT."""

    def __init__(self):
        self.dialogue = Dialogue(US)
        self.events = []
        self.sent = b""

    def feed(self, data):
        self.dialogue.receive(data)
        while True:
            event = self.dialogue.next_event()
            self.sent += self.dialogue.data_to_send()
            if event is None:
                return
            self.events.append(event)
            match event:
                case Extended(inside_tls=False, extensions=extensions) if "STARTTLS" in extensions:
                    self.dialogue.start_tls()
                case Extended() | Refused():
                    self.dialogue.quit()
                case _:
                    pass
            self.sent += self.dialogue.data_to_send()


def drive(clear, inside=(), *, close=False):
    driver = Driver()
    for chunk in clear:
        driver.feed(chunk)
    if driver.dialogue.state is State.UPGRADING and inside:
        driver.dialogue.tls_established()
        for chunk in inside:
            driver.feed(chunk)
    if close:
        driver.feed(b"")
    return driver


def kinds(driver):
    return [type(event).__name__ for event in driver.events]


# --- replies ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("octets", "code", "lines"),
    [
        (b"250 OK\r\n", 250, ("OK",)),
        (b"250\r\n", 250, ("",)),  # RFC 5321 §4.2: a client takes it without the space, too
        (b"250 \r\n", 250, ("",)),
        (b"250-\r\n250 \r\n", 250, ("", "")),
        (b"250-one\r\n250 two\r\n", 250, ("one", "two")),
        (b"250 bare LF\n", 250, ("bare LF",)),
        (b"550 5.7.1 No\tTAB\r\n", 550, ("5.7.1 No\\tTAB",)),
        (b"250 nul \x00 esc \x1b[31m\r\n", 250, ("nul \\x00 esc \\x1b[31m",)),
        (b"250 caf\xc3\xa9 \xff\r\n", 250, ("café \\xff",)),
        (b"250 a\rb\r\n", 250, ("a\\rb",)),
        (b"599 odd but a code\r\n", 599, ("odd but a code",)),
        (b"250 " + b"x" * (MAX_LINE - 6) + b"\r\n", 250, ("x" * (MAX_LINE - 6),)),
        (b"250-x\r\n" * (MAX_LINES - 1) + b"250 x\r\n", 250, ("x",) * MAX_LINES),
    ],
)
def test_good_replies(octets, code, lines):
    reader = ReplyReader()
    reader.receive(octets)
    assert reader.next_reply() == Reply(code, lines)
    assert reader.next_reply() is None
    assert reader.waiting == 0


@pytest.mark.parametrize(
    ("octets", "detail"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n", "not an SMTP reply: 'HTTP/1.1 400 Bad Request'"),
        (b"SSH-2.0-OpenSSH\r\n", "not an SMTP reply"),
        (b"\r\n", "not an SMTP reply: ''"),
        (b"25\r\n", "not an SMTP reply"),
        (b"2500 x\r\n", "not an SMTP reply"),
        (b"250_x\r\n", "not an SMTP reply"),
        (b"150 x\r\n", "not an SMTP reply"),
        (b"650 x\r\n", "not an SMTP reply"),
        (b" 250 x\r\n", "not an SMTP reply"),
        (b"\x16\x03\x01\x00\n", "not an SMTP reply"),  # a server that begins with TLS (port 465)
        ("٢٥٠ x\r\n".encode(), "not an SMTP reply"),  # digits, but not those
        (b"250-one\r\n251 two\r\n", "the code changes within a reply, from 250 to 251"),
        (b"220-one\r\n220-two\r\n550 three\r\n", "the code changes"),
        (b"250 " + b"x" * (MAX_LINE - 5) + b"\r\n", f"a reply line of more than {MAX_LINE} octets"),
        (b"2" * MAX_LINE, f"a reply line of more than {MAX_LINE} octets"),
        (b"250-x\r\n" * MAX_LINES, f"a reply of more than {MAX_LINES} lines"),
        ((b"250-" + b"x" * 2000 + b"\r\n") * 33, f"a reply of more than {MAX_REPLY} octets"),
    ],
)
def test_bad_replies(octets, detail):
    reader = ReplyReader()
    reader.receive(octets)
    broken = reader.next_reply()
    assert isinstance(broken, BrokenReply)
    assert detail in broken.detail
    assert broken.detail.isprintable()
    reader.receive(b"250 OK\r\n")
    assert reader.next_reply() == broken, "nothing behind it is trusted"


def test_replies_come_one_by_one_as_pipelining_needs_them():
    reader = ReplyReader()
    reader.receive(b"250 sender\r\n550-no\r\n550 such\r\n354 go\r\n25")
    replies = [reader.next_reply() for _ in range(4)]
    assert replies == [Reply(250, ("sender",)), Reply(550, ("no", "such")), Reply(354, ("go",)), None]
    assert reader.waiting == 2


def test_the_text_of_a_reply_is_one_bounded_line():
    reply = Reply(554, ("x" * 400, "", "y" * 400))
    assert str(reply).startswith("554 xxx")
    assert len(str(reply)) <= 501
    assert str(Reply(250, ("",))) == "250"


# --- extensions ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "offered"),
    [
        (("mx.example.com", "STARTTLS"), True),
        (("mx.example.com", "starttls"), True),  # RFC 5321 §2.4
        (("mx.example.com", "STARTTLS  "), True),
        (("mx.example.com", "STARTTLS extra"), True),  # RFC 3207 §2 has no parameters; harmless
        (("STARTTLS",), False),  # the first line is a name
        (("mx.example.com STARTTLS",), False),
        (("mx.example.com", "XXXXXXXX"), False),  # as middleboxes cross it out
        (("mx.example.com", "STARTTLSX"), False),
        (("mx.example.com", "X-STARTTLS"), False),
        (("mx.example.com", "AUTH STARTTLS"), False),
        (("mx.example.com", "-STARTTLS"), False),
        (("mx.example.com", "STARTTLS\\x00"), False),
        (("mx.example.com",), False),
        (("",), False),
    ],
)
def test_starttls_is_offered_by_its_keyword_only(lines, offered):
    assert ("STARTTLS" in parse_extensions(Reply(250, lines))) is offered


def test_extensions_keep_order_and_parameters_and_leave_out_what_is_none():
    found = parse_extensions(
        Reply(250, ("mx.example.com hello", "size  1000 ", "AUTH=LOGIN", "AUTH PLAIN LOGIN", "", "auth X"))
    )
    assert found.domain == "mx.example.com"
    assert [extension.keyword for extension in found.offered] == ["SIZE", "AUTH", "AUTH"]
    assert found.get("Size").parameters == ("1000",)
    assert found.get("AUTH").parameters == ("PLAIN", "LOGIN")
    assert found.get("CHUNKING") is None


# --- the dialogue ------------------------------------------------------------------------------------


def test_a_whole_session():
    driver = drive([GREETING, EHLO, GO], [INSIDE, BYE])
    assert kinds(driver) == ["Greeted", "Extended", "UpgradeNow", "Extended", "Parted"]
    assert driver.sent == b"EHLO client.example.org\r\nSTARTTLS\r\nEHLO client.example.org\r\nQUIT\r\n"
    greeted, clear, _, sealed, _ = driver.events
    assert greeted.host == "mx.example.com"
    assert not clear.inside_tls
    assert sealed.inside_tls
    assert "STARTTLS" not in sealed.extensions
    assert driver.dialogue.state is State.CLOSED


@pytest.mark.parametrize(
    ("name", "argument"),
    [
        (HostName("Bücher.example"), b"xn--bcher-kva.example"),
        (Address("192.0.2.1"), b"[192.0.2.1]"),
        (Address("2001:db8:0::1"), b"[IPv6:2001:db8::1]"),  # RFC 5321 §4.1.3
    ],
)
def test_ehlo_takes_a_name_or_an_address_literal(name, argument):
    dialogue = Dialogue(name)
    dialogue.receive(GREETING)
    assert dialogue.data_to_send() == b"EHLO " + argument + b"\r\n"
    assert dialogue.data_to_send() == b""


@pytest.mark.parametrize(
    ("clear", "inside", "close", "expected"),
    [
        # Refusals at every stage.
        (b"554 No SMTP service here\r\n", b"", False, ("Refused", Stage.GREETING, 554)),
        (b"421 4.3.2 Too busy\r\n", b"", False, ("Refused", Stage.GREETING, 421)),
        (b"354 what\r\n", b"", False, ("Refused", Stage.GREETING, 354)),
        (GREETING + b"502 Huh\r\n", b"", False, ("Refused", Stage.EHLO, 502)),
        (GREETING + b"421 Bye\r\n", b"", False, ("Refused", Stage.EHLO, 421)),
        (GREETING + EHLO + b"454 4.7.0 TLS not available\r\n", b"", False, ("Refused", Stage.STARTTLS, 454)),
        (GREETING + EHLO + b"501 no parameters\r\n", b"", False, ("Refused", Stage.STARTTLS, 501)),
        (GREETING + EHLO + b"250 OK\r\n", b"", False, ("Refused", Stage.STARTTLS, 250)),  # only 220 will do
        (GREETING + EHLO + GO, b"550 Not you\r\n", False, ("Refused", Stage.EHLO_AGAIN, 550)),
        # Closing at every stage, also within a reply.
        (b"", b"", True, ("Lost", Stage.GREETING, "without a word")),
        (b"220-mx", b"", True, ("Lost", Stage.GREETING, "in the middle")),
        (b"220-mx\r\n", b"", True, ("Lost", Stage.GREETING, "in the middle")),
        (GREETING, b"", True, ("Lost", Stage.EHLO, "without a word")),
        (GREETING + b"250-mx\r\n250-STARTTLS\r\n", b"", True, ("Lost", Stage.EHLO, "in the middle")),
        (GREETING + EHLO, b"", True, ("Lost", Stage.STARTTLS, "without a word")),
        (GREETING + EHLO + GO, b"", True, ("Lost", Stage.HANDSHAKE, "without a word")),
        (GREETING + EHLO + GO, b"250-mx", True, ("Lost", Stage.EHLO_AGAIN, "in the middle")),
        (GREETING + EHLO + GO, INSIDE, True, ("Parted",)),  # upon QUIT a server may just go
        # What is not SMTP.
        (b"SSH-2.0-x\r\n", b"", False, ("Violated", Stage.GREETING, "not an SMTP reply")),
        (b"220-" + b"x" * 100 + b"\r\n220 y\r\nfoo\r\n", b"", False, ("Violated", Stage.EHLO, "not an SMTP")),
        (b"220-x\r\n" * 200, b"", False, ("Violated", Stage.GREETING, "lines")),
        (b"\x00" * 5000, b"", False, ("Violated", Stage.GREETING, "octets")),
        (GREETING + b"250-a\r\n220 b\r\n", b"", False, ("Violated", Stage.EHLO, "the code changes")),
        (GREETING + EHLO + b"220-a\r\n250 b\r\n", b"", False, ("Violated", Stage.STARTTLS, "code changes")),
        (GREETING + EHLO + GO, b"\x16\x03\n", False, ("Violated", Stage.EHLO_AGAIN, "not an SMTP")),
        # CVE-2011-0411 and its kin: octets behind the 220.
        (
            GREETING + EHLO + GO + b"250 forged\r\n",
            b"",
            False,
            ("Violated", Stage.STARTTLS, "behind the 220"),
        ),
        (GREETING + EHLO + GO + b"\n", b"", False, ("Violated", Stage.STARTTLS, "1 octets behind the 220")),
        (GREETING + EHLO + GO + b"\x16\x03\x03", b"", False, ("Violated", Stage.STARTTLS, "3 octets behind")),
    ],
)
def test_how_a_session_ends(clear, inside, close, expected):
    driver = drive([clear], [inside] if inside else [], close=close)
    kind, *rest = expected
    last = driver.events[-1]
    assert type(last).__name__ == kind
    if rest:
        stage, what = rest
        assert last.stage is stage
        found = last.reply.code if isinstance(last, Refused) else last.detail
        assert found == what if isinstance(what, int) else what in found
    if kind in ("Violated", "Lost", "Parted"):
        assert driver.dialogue.state is State.CLOSED
        assert driver.dialogue.data_to_send() == b""
        driver.dialogue.receive(b"250 more\r\n")
        assert driver.dialogue.next_event() is None


def test_what_a_middlebox_strips_is_just_not_offered():
    driver = drive([GREETING, EHLO.replace(b"STARTTLS", b"XXXXXXXX"), BYE])
    assert kinds(driver) == ["Greeted", "Extended", "Parted"]
    assert b"STARTTLS" not in driver.sent
    assert b"HELO" not in driver.sent.replace(b"EHLO", b"")


def test_octets_behind_the_220_end_it_also_when_they_come_later():
    dialogue = Dialogue(US)
    dialogue.receive(GREETING + EHLO)
    dialogue.start_tls()
    dialogue.receive(GO)
    dialogue.receive(b"2")
    events = list(iter(dialogue.next_event, None))
    assert isinstance(events[-1], Violated)
    assert dialogue.state is State.CLOSED


def test_nothing_learnt_in_the_clear_survives_the_handshake():
    # RFC 3207 §4.2: "The client MUST discard any knowledge obtained from the server, such as the
    # list of SMTP service extensions, which was not obtained from the TLS negotiation itself."
    dialogue = Dialogue(US)
    dialogue.receive(GREETING + EHLO)
    assert "SIZE" in dialogue.extensions
    dialogue.start_tls()
    dialogue.receive(GO)
    reader = dialogue.reader
    dialogue.tls_established()
    assert dialogue.extensions.offered == ()
    assert dialogue.reader is not reader
    assert dialogue.state is State.EHLO_AGAIN


def test_after_a_refused_starttls_a_session_in_the_clear_goes_on():
    dialogue = Dialogue(US)
    dialogue.receive(GREETING + EHLO)
    dialogue.start_tls()
    dialogue.receive(b"454 4.7.0 not now\r\n")
    assert dialogue.state is State.CLEAR
    assert "PIPELINING" in dialogue.extensions


def test_a_peer_that_talks_unasked_is_bounded():
    dialogue = Dialogue(US)
    dialogue.receive(GREETING + EHLO)
    for _ in range(MAX_REPLY // 1000 + 2):
        dialogue.receive(b"x" * 1000)
    events = list(iter(dialogue.next_event, None))
    assert isinstance(events[-1], Violated)
    assert dialogue.reader.waiting <= MAX_REPLY + 1000


@pytest.mark.parametrize("chunk", [1_000, 100_000])
@pytest.mark.parametrize("code", [220, 554])
def test_a_reply_of_too_many_octets_ends_it_once(code, chunk):
    # Few lines, all of them long, so that it is the bound on octets that is met.
    octets = b"%d-%b\r\n" % (code, b"x" * 1_000) * 80
    dialogue = Dialogue(US)
    for start in range(0, len(octets), chunk):
        dialogue.receive(octets[start : start + chunk])
    events = list(iter(dialogue.next_event, None))
    assert events == [Violated(Stage.GREETING, f"a reply of more than {MAX_REPLY} octets")]
    assert dialogue.state is State.CLOSED


@pytest.mark.parametrize("call", ["start_tls", "tls_established", "quit"])
def test_a_step_out_of_turn_is_a_bug_of_ours(call):
    with pytest.raises(OutOfTurn, match="while the dialogue waits in greeting"):
        getattr(Dialogue(US), call)()


def test_the_table_of_transitions_is_whole():
    assert set(TRANSITIONS) == set(State)
    reached = {State.GREETING} | {new for steps in TRANSITIONS.values() for new in steps.values()}
    assert reached == set(State), "each state can be reached"
    for state, steps in TRANSITIONS.items():
        # Whatever the peer does in whatever state has a place.
        assert state is State.CLOSED or {Step.LOST, Step.VIOLATED} <= set(steps)
        assert (
            {Step.ACCEPTED, Step.REFUSED}.isdisjoint(steps)
            or {Step.ACCEPTED, Step.REFUSED} <= set(steps)
            or state is State.UPGRADING
        )
    # TLS is reached through an accepted STARTTLS only.
    into = [
        (old, step)
        for old, steps in TRANSITIONS.items()
        for step, new in steps.items()
        if new is State.SEALED
    ]
    assert into == [(State.EHLO_AGAIN, Step.ACCEPTED)]


# --- laws -------------------------------------------------------------------------------------------


def cut(data, places):
    """`data` in pieces, cut at `places`."""
    edges = [0, *sorted({place % (len(data) + 1) for place in places}), len(data)]
    return [piece for start, end in itertools.pairwise(edges) if (piece := data[start:end])]


PLACES = st.lists(st.integers(0, 5000), max_size=30)
CLEAR_SCRIPTS = st.sampled_from(
    [
        GREETING + EHLO + GO,
        b"".join(RFC_3207_CLEAR) + b"250-8BITMIME\r\n250-STARTTLS\r\n250 DSN\r\n" + GO,
        b"220-a\n220 b\n250-a\n250 STARTTLS\n220 go\n",
        GREETING + EHLO + b"454 no\r\n" + BYE,
        b"554 no\r\n" + BYE,
        GREETING + b"502 no\r\n" + BYE,
        GREETING + b"250 mx\r\n" + BYE,
        b"220-x\r\n" * 150,
        b"220 " + b"y" * 4000,
        GREETING + b"250-x\r\n251 y\r\nmore",
        b"caf\xc3\xa9\r\n",
    ]
)


@given(CLEAR_SCRIPTS, PLACES, PLACES, st.booleans())
def test_how_the_network_cuts_the_octets_makes_no_difference(clear, places, inside_places, close):
    inside = INSIDE + BYE
    whole = drive([clear], [inside], close=close)
    pieces = drive(cut(clear, places), cut(inside, inside_places), close=close)
    assert pieces.events == whole.events
    if any(isinstance(event, Violated) for event in whole.events):
        # What was still queued when the peer went wrong is not sent any more.
        assert pieces.sent.startswith(whole.sent)
    else:
        assert pieces.sent == whole.sent


@given(st.binary(min_size=1, max_size=300), PLACES)
def test_no_octets_behind_the_220_ever_reach_a_sealed_session(injected, places):
    driver = Driver()
    for piece in cut(GREETING + EHLO + GO + injected, places):
        driver.feed(piece)
    assert isinstance(driver.events[-1], Violated)
    assert driver.events[-1].stage in (Stage.STARTTLS, Stage.HANDSHAKE)
    assert driver.dialogue.state is State.CLOSED


HOSTILE = st.one_of(
    st.binary(max_size=400),
    st.lists(
        st.sampled_from(
            [
                b"220",
                b"250",
                b"454",
                b"221",
                b"-",
                b" ",
                b"\r\n",
                b"\n",
                b"\r",
                b"STARTTLS",
                b"mx",
                b"\x00",
                b"\xff",
            ]
        ),
        max_size=60,
    ).map(b"".join),
)


@given(st.lists(HOSTILE, max_size=6), st.booleans())
def test_no_octets_make_it_raise_and_all_it_shows_is_printable(chunks, close):
    driver = Driver()
    for chunk in chunks:
        if chunk:
            driver.feed(chunk)
    if close:
        driver.feed(b"")
        assert driver.dialogue.state is State.CLOSED
    for event in driver.events:
        if isinstance(event, Violated | Lost):
            assert event.detail.isprintable()
        elif isinstance(event, Refused):
            assert event.reply.text.isprintable()
        elif isinstance(event, Greeted):
            assert event.host.isprintable()
    terminal = [event for event in driver.events if isinstance(event, Violated | Lost | Parted)]
    assert len(terminal) <= 1
    assert not terminal or driver.events[-1] is terminal[0]


@given(
    st.integers(200, 599),
    st.lists(st.text(st.characters(min_codepoint=32, max_codepoint=126)), min_size=1, max_size=20),
)
def test_what_a_server_writes_is_what_is_read(code, lines):
    octets = b"".join(
        f"{code}{' ' if last else '-'}{line}\r\n".encode()
        for line, last in zip(lines, [False] * (len(lines) - 1) + [True], strict=True)
    )
    reader = ReplyReader()
    reader.receive(octets)
    assert reader.next_reply() == Reply(code, tuple(lines))


# --- against a server ---------------------------------------------------------------------------------


class Server:
    """The server's side, no more than the tests need: answers commands as RFC 3207 §4 says."""

    def __init__(self):
        self.buffer = b""
        self.heard = []
        self.in_tls = False
        self.out = b"220-mx.example.com\r\n220 at your service\r\n"

    def receive(self, data):
        self.buffer += data
        while b"\r\n" in self.buffer:
            line, _, self.buffer = self.buffer.partition(b"\r\n")
            self.heard.append((line.split()[0].decode(), self.in_tls))
            self.out += self.answer(line)

    def answer(self, line):
        match line.split():
            case [b"EHLO", name]:
                keywords = [b"SIZE"] if self.in_tls else [b"SIZE", b"STARTTLS"]
                return (
                    b"".join(b"250-%s\r\n" % word for word in [name, *keywords[:-1]])
                    + b"250 %s\r\n" % keywords[-1]
                )
            case [b"STARTTLS"]:
                return b"220 go\r\n"
            case [b"QUIT"]:
                return b"221 bye\r\n"
        return b"500 what\r\n"


@given(st.integers(1, 7))
def test_both_ends_of_a_connection_understand_each_other(step):
    driver, server = Driver(), Server()
    for _ in range(1000):
        if driver.dialogue.state is State.UPGRADING and not server.in_tls:
            assert server.out == b"", "nothing is under way when TLS begins"
            server.in_tls = True
            driver.dialogue.tls_established()
            driver.sent += driver.dialogue.data_to_send()
        if driver.sent:
            octets, driver.sent = driver.sent[:step], driver.sent[step:]
            server.receive(octets)
        if server.out:
            octets, server.out = server.out[:step], server.out[step:]
            driver.feed(octets)
        if driver.dialogue.state is State.CLOSED:
            break
    assert server.heard == [("EHLO", False), ("STARTTLS", False), ("EHLO", True), ("QUIT", True)]
    assert kinds(driver) == ["Greeted", "Extended", "UpgradeNow", "Extended", "Parted"]


def test_upgrade_now_comes_alone():
    driver = drive([GREETING + EHLO + GO])
    assert driver.events[-1] == UpgradeNow()
    assert driver.dialogue.state is State.UPGRADING
    assert driver.dialogue.stage is Stage.HANDSHAKE
