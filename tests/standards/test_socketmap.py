"""The socketmap protocol: requests come in pieces, in heaps and in disorder."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mxseal.standards.socketmap import (
    MAX_REPLY_OCTETS,
    MAX_REQUEST_OCTETS,
    Pump,
    Request,
    netstring,
    parse_request,
    reply,
)
from mxseal.vocabulary.rejection import Rejection

LONGEST_KEY = "k" * (MAX_REQUEST_OCTETS - len("QUERY "))

# As captured from Postfix, and what Postfix' own reader would take as well.
GOOD = {
    b"27:QUERYwithTLSRPT Example.COM,": [Request("QUERYwithTLSRPT", "Example.COM")],
    b"12:QUERY a.test,": [Request("QUERY", "a.test")],
    b"012:QUERY a.test,": [Request("QUERY", "a.test")],
    b"0000000012:QUERY a.test,": [Request("QUERY", "a.test")],
    b"12:QUERY a.test,7:sts .eu,": [Request("QUERY", "a.test"), Request("sts", ".eu")],
    b"14:QUERY a:b, c,d,": [Request("QUERY", "a:b, c,d")],
    b"15:postfix [::]:25,": [Request("postfix", "[::]:25")],
    b"18:QUERY b\xc3\xbccher.test,": [Request("QUERY", "bücher.test")],
    b"7:QUERY \xff,": [Request("QUERY", "\udcff")],  # no next-hop, but a question
    b"8:QUERY  a,": [Request("QUERY", " a")],
    netstring(f"QUERY {LONGEST_KEY}".encode()): [Request("QUERY", LONGEST_KEY)],
    b"": [],
    b"1": [],
    b"12:QUERY a.tes": [],
    b"12:QUERY a.test": [],
}

# octets: the rule and where in what is shown; the connection goes on.
NO_REQUEST = {
    b"0:,": ("request", 0),
    b"5:QUERY,": ("request", 5),
    b"6:QUERY ,": ("request", 6),
    b"7: a.test,": ("request", 0),
}

# octets: where; nothing after it can be understood.
BROKEN = {
    b"GET / HTTP/1.1\r\n": 0,
    b":a,": 0,
    b"-1:a,": 0,
    b"+1:a,": 0,
    b" 1:a,": 0,
    b"1 :a,": 0,
    b"1_0:QUERY a.co,": 0,
    b"\xd9\xa1:a,": 0,  # an Arabic digit one
    b"00000000012:QUERY a.test,": 0,
    b"11:QUERY a.test,": 14,
    b"13:QUERY a.test,1": 16,
    b"12:QUERY a.test;": 15,
    b"10257:": 0,
    b"9999999999:": 0,
    b"\x16\x03\x01\x02\x00": 0,  # a TLS client hello
}


@pytest.mark.parametrize("octets", GOOD)
def test_good(octets):
    pump = Pump()
    assert pump.receive(octets) == GOOD[octets]
    assert not pump.broken


@pytest.mark.parametrize("octets", GOOD)
def test_split_at_every_octet(octets):
    pump = Pump()
    found = [event for i in range(len(octets)) for event in pump.receive(octets[i : i + 1])]
    assert found == GOOD[octets]
    assert pump.is_idle == (octets[-1:] in (b",", b""))


@pytest.mark.parametrize("octets", NO_REQUEST)
def test_what_is_no_request_does_not_end_the_connection(octets):
    pump = Pump()
    rejection, request = pump.receive(octets + b"12:QUERY a.test,")
    assert isinstance(rejection, Rejection)
    assert (rejection.rule, rejection.start) == NO_REQUEST[octets]
    assert request == Request("QUERY", "a.test")
    assert not pump.broken


@pytest.mark.parametrize("octets", BROKEN)
def test_what_is_no_netstring_does(octets):
    pump = Pump()
    (rejection,) = pump.receive(octets + b"12:QUERY a.test,")
    assert isinstance(rejection, Rejection)
    assert (rejection.rule, rejection.start) == ("netstring", BROKEN[octets])
    assert rejection.end <= len(rejection.text) <= 80
    assert rejection.with_caret().isprintable() or "\n" in rejection.with_caret()
    assert pump.broken
    assert pump.receive(b"12:QUERY a.test,") == []


def test_requests_before_the_broken_one_count():
    request, rejection = Pump().receive(b"12:QUERY a.test,oops")
    assert request == Request("QUERY", "a.test")
    assert isinstance(rejection, Rejection)


REPLIES = {
    "NOTFOUND ": b"9:NOTFOUND ,",
    "OK dane-only": b"12:OK dane-only,",
    "TEMP über": b"10:TEMP \xc3\xbcber,",
    "OK secure match=mx1.example.com:.example.net servername=hostname": (
        b"64:OK secure match=mx1.example.com:.example.net servername=hostname,"
    ),
}


@pytest.mark.parametrize("text", REPLIES)
def test_replies(text):
    assert reply(text) == REPLIES[text]


@pytest.mark.parametrize("length", [MAX_REPLY_OCTETS, MAX_REPLY_OCTETS + 1])
def test_a_reply_is_whole_or_temporary(length):
    framed = reply("OK " + "x" * (length - 3))
    whole = length <= MAX_REPLY_OCTETS
    assert framed.startswith(b"100000:OK " if whole else b"47:TEMP ")


words = st.text(min_size=1).filter(lambda text: " " not in text and text.isprintable())
keys = st.text(st.characters(codec="utf-8"), min_size=1, max_size=300)


@given(st.lists(st.tuples(words, keys)), st.lists(st.integers(min_value=1, max_value=40)))
def test_however_requests_are_cut_they_come_out_whole(requests, sizes):
    octets = b"".join(netstring(f"{name} {key}".encode()) for name, key in requests)
    pump, found, position = Pump(), [], 0
    for size in [*sizes, len(octets)]:
        found += pump.receive(octets[position : position + size])
        position += size
    assert found == [Request(name, key) for name, key in requests]


@given(st.binary(max_size=60), st.integers(min_value=0, max_value=60))
def test_whatever_comes_the_pieces_do_not_matter(octets, cut):
    at_once, in_two = Pump(), Pump()
    assert at_once.receive(octets) == [*in_two.receive(octets[:cut]), *in_two.receive(octets[cut:])] or (
        # The text shown beside a mistake is what had come by then.
        at_once.broken and in_two.broken
    )
    assert at_once.broken == in_two.broken


@given(st.binary(max_size=60))
def test_a_parsed_request_is_what_was_written(payload):
    request = parse_request(payload)
    if isinstance(request, Request):
        assert request.frame == netstring(payload)
