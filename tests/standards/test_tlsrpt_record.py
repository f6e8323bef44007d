"""RFC 8460 §3: the TXT record."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mxseal.standards.tlsrpt import (
    MAX_DESTINATIONS,
    MAX_URI_LENGTH,
    HttpsDestination,
    MailDestination,
    NoRecord,
    Record,
    UnknownDestination,
    parse_destination,
    parse_record,
    record_name,
    select_record,
)
from mxseal.vocabulary.names import Address, HostName
from mxseal.vocabulary.observations import TextData
from mxseal.vocabulary.rejection import Rejection


def texts(*records):
    return [TextData(record if isinstance(record, tuple) else (record,)) for record in records]


@pytest.mark.parametrize(
    ("text", "rua"),
    [
        ("v=TLSRPTv1;rua=mailto:reports@example.com", "mailto:reports@example.com"),
        (
            "v=TLSRPTv1; rua=https://reporting.example.com/v1/tlsrpt",
            "https://reporting.example.com/v1/tlsrpt",
        ),
    ],
)
def test_the_rfc_s_examples(text, rua):
    assert record_name(HostName("example.com")) == "_smtp._tls.example.com"
    assert select_record(texts(text.encode())) == Record((rua,), (), text)


M, H = "mailto:a@b.example", "https://h.example/x"

GOOD = [
    # text, rua, extensions
    (f"v=TLSRPTv1;rua={M};", (M,), ()),
    (f"v=TLSRPTv1 \t;\t rua={M} ; ", (M,), ()),
    (f"v=TLSRPTv1; rua={M},{H}", (M, H), ()),
    (f"v=TLSRPTv1; rua={M} \t,  {H};", (M, H), ()),
    (f"v=TLSRPTv1; rua={M}; rua={H}", (M, H), ()),  # 1*(field-delim tlsrpt-field): rua may come again
    (f"v=TLSRPTv1; x=1; rua={M}; y.z_-=2; rua={H}; x=3", (M, H), (("x", "1"), ("y.z_-", "2"), ("x", "3"))),
    (f"v=TLSRPTv1; rua={M},{M}; rua={M}", (M,), ()),  # each destination once
    (f"v=TLSRPTv1; RUA=x; rua={M}", (M,), (("RUA", "x"),)),
    ("v=TLSRPTv1; rua=https://h.example/x?a=b%2Cc&d=%21%3B", ("https://h.example/x?a=b%2Cc&d=%21%3B",), ()),
    ("v=TLSRPTv1; rua=mailto:a%21b%2Bc@b.example", ("mailto:a%21b%2Bc@b.example",), ()),
]


@pytest.mark.parametrize(("text", "rua", "extensions"), GOOD)
def test_good(text, rua, extensions):
    assert parse_record(text) == Record(rua, extensions, text)


BAD = [
    # text, rule, the text that is marked
    ("", "tlsrpt-version", ""),
    ("v=TLSRPTv1", "tlsrpt-field", ""),
    ("v=TLSRPTv1;", "tlsrpt-field", ""),
    (f"v=TLSRPTv10; rua={M}", "tlsrpt-version", "0"),
    (f"v=tlsrptv1; rua={M}", "tlsrpt-version", "v=tlsrptv1;"),
    (f"rua={M}; v=TLSRPTv1", "tlsrpt-version", "rua=mailto:"),
    (f"v=TLSRPTv1 rua={M}", "field-delim", "r"),
    (f"v=TLSRPTv1;; rua={M}", "tlsrpt-ext-name", ";"),
    (f"v=TLSRPTv1; rua={M} ", "field-delim", " "),
    ("v=TLSRPTv1; x=1", "tlsrpt-rua", ""),
    ("v=TLSRPTv1; rua=", "tlsrpt-ext-value", ""),
    ("v=TLSRPTv1; rua=;", "tlsrpt-ext-value", ""),
    (f"v=TLSRPTv1; rua= {M}", "tlsrpt-ext-value", ""),
    (f"v=TLSRPTv1; rua={M},", "tlsrpt-uri", ""),
    (f"v=TLSRPTv1; rua={M},,{H}", "tlsrpt-uri", ""),
    (f"v=TLSRPTv1; rua={M} {H}", "tlsrpt-uri", " "),
    ("v=TLSRPTv1; rua=a@b.example", "tlsrpt-uri", "a@b.example"),
    ("v=TLSRPTv1; rua=mailto:a!b@b.example", "tlsrpt-uri", "!"),
    (f"v=TLSRPTv1; rua={M}!10m", "tlsrpt-uri", "!"),  # DMARC's size limit does not exist here
    (f"v=TLSRPTv1; rua={M}?cc=c@d.example", "mailtoURI", "?cc=c@d.example"),
    (f"v=TLSRPTv1; rua=xmpp:a@b,{M}?cc=c,https://u@h.example/", "mailtoURI", "?cc=c"),  # the first of them
    ("v=TLSRPTv1; rua=https://[::1/x", "https-URI", ""),
    (f"v=TLSRPTv1; rua={H},mailto:a%4@b.example", "tlsrpt-uri", "%"),  # no URI at all spoils the record
    (f"v=TLSRPTv1; rua={M}; x=a b", "field-delim", "b"),
    (f"v=TLSRPTv1; rua={M}; x=a=b", "tlsrpt-ext-value", "="),
    (f"v=TLSRPTv1; rua={M}\x00", "tlsrpt-ext-value", "\x00"),
    (f"v=TLSRPTv1; rua={M}\n", "tlsrpt-ext-value", "\n"),
    (f"v=TLSRPTv1; rua={H}é", "tlsrpt-ext-value", "é"),
    ("v=TLSRPTv1; rua=http://h.example/", "tlsrpt-rua", "http://h.example/"),  # nothing that can be used
]


@pytest.mark.parametrize(("text", "rule", "marked"), BAD)
def test_bad(text, rule, marked):
    rejection = parse_record(text)
    assert isinstance(rejection, Rejection), rejection
    assert (rejection.rule, text[rejection.start : rejection.end]) == (rule, marked)
    assert rejection.text == text


@pytest.mark.parametrize(
    "uri",
    [f"{M}?subject=x", f"{M}?cc=c@d.example", "mailto:a%2Cb@c.example", "https://u@h.example/", "https:///x"],
)
def test_a_uri_that_no_report_can_go_to_does_not_spoil_the_others(uri):
    # RFC 8460 §3: tlsrpt-uri = URI, and parsers MUST accept what is syntactically valid.
    for rua in (f"{uri},{M}", f"{M} , {uri}", f"{uri}; rua={M}"):
        record = parse_record(f"v=TLSRPTv1; rua={rua}")
        assert (record.rua, record.passed_over) == ((M,), (uri,))
        assert parse_record(str(record)) == Record((M,), (), str(record), (uri,))


def test_other_schemes_are_passed_over_where_one_can_be_used():
    record = parse_record(f"v=TLSRPTv1; rua=http://h.example/,{M},xmpp:a@b.example")
    assert (record.rua, record.passed_over) == ((M,), ("http://h.example/", "xmpp:a@b.example"))


def test_a_thousand_destinations_do_not_make_a_thousand_mails():
    uris = [f"mailto:a{n}@b.example" for n in range(1000)]
    record = parse_record(f"v=TLSRPTv1; rua={','.join(uris)}")
    assert record.rua == tuple(uris[:MAX_DESTINATIONS])
    assert record.passed_over == tuple(uris[MAX_DESTINATIONS:])


def test_a_long_run_of_blanks_takes_no_more_than_a_moment():
    """It took minutes, for quadratic time: this test fails by not ending."""
    rejection = parse_record(f"v=TLSRPTv1; rua={M}{' ' * 500_000}x")
    assert isinstance(rejection, Rejection)
    assert rejection.message == f"a URI has at most {MAX_URI_LENGTH} characters"
    record = parse_record(f"v=TLSRPTv1; rua={M}{' ' * 500_000},{chr(9) * 500_000}{H}")
    assert record.rua == (M, H)


def test_selecting():
    good = f"v=TLSRPTv1; rua={M}"
    assert select_record(texts(b"v=spf1", (good[:20].encode(), good[20:].encode()))) == Record((M,), (), good)
    assert select_record(texts(b"v=spf1", b"v=TLSRPTv10; rua=x")) == NoRecord(2)
    none = select_record(texts(f"v=TLSRPT1; rua={M}".encode()))
    assert isinstance(none, NoRecord)
    assert [rejection.rule for rejection in none.near] == ["tlsrpt-version"]
    two = select_record(texts(good.encode(), good.encode()))
    assert isinstance(two, Rejection)
    assert "2 records" in two.message
    assert two.text[two.start : two.end] == good


DESTINATIONS = [
    (M, MailDestination(M, "a@b.example", HostName("b.example"))),
    ("MAILTO:A@B.example", MailDestination("MAILTO:A@B.example", "A@b.example", HostName("b.example"))),
    ("mailto:a%2Cb@c.example", None),  # two addresses, or one that most programs take for two
    (
        "mailto:%22a%2Cb%22@c.example",
        MailDestination("mailto:%22a%2Cb%22@c.example", '"a,b"@c.example', HostName("c.example")),
    ),
    (
        "mailto:b%C3%BCro@c.example",
        MailDestination("mailto:b%C3%BCro@c.example", "büro@c.example", HostName("c.example")),
    ),
    ("mailto:a%0D%0ABcc:x@c.example", None),
    ("mailto:a%0a@c.example", None),
    ("mailto:%22a%0d%0ab%22@c.example", None),
    ("mailto:a%E2%80%AEb@c.example", None),  # U+202E turns the text around
    ("mailto:a%FF@c.example", None),
    ("mailto:a%20b@c.example", None),
    ("mailto:a@c.example%0d%0aTo:b", None),
    ("mailto:a@c.example%3E", None),
    ("mailto:", None),
    ("mailto:a", None),
    ("mailto:@c.example", None),
    ("mailto:a@", None),
    ("mailto:a..b@c.example", None),
    ("mailto:.a@c.example", None),
    ("mailto:a@[192.0.2.1]", None),
    ("mailto:a@192.0.2.1", None),
    ("mailto:" + "a" * 65 + "@c.example", None),
    ("mailto:a@c.example#x", None),
    ("mailto:a%4@c.example", None),
    ("https://h.example", HttpsDestination("https://h.example", HostName("h.example"), 443)),
    ("HTTPS://H.example:8443/p?q#f", HttpsDestination("HTTPS://H.example:8443/p?q#f", HostName("h.example"), 8443)),
    ("https://h.example:/", HttpsDestination("https://h.example:/", HostName("h.example"), 443)),  # RFC 3986 §3.2.3
    ("https://192.0.2.1/", HttpsDestination("https://192.0.2.1/", Address("192.0.2.1"), 443)),
    ("https://[2001:db8::1]:1/", HttpsDestination("https://[2001:db8::1]:1/", Address("2001:db8::1"), 1)),
    ("https://user@h.example/", None),
    ("https://h.example@other.example/", None),
    ("https://h.example:0/", None),
    ("https://h.example:65536/", None),
    ("https://h.example:x/", None),
    ("https:///p", None),
    ("https:h.example", None),
    ("https://", None),
    ("https://[2001:db8::1", None),
    ("https://[fe80::1%25eth0]/", None),
    ("https://h_[1-25].example/", None),
    ("https://%68.example/", None),
    ("http://h.example/", UnknownDestination("http://h.example/")),
    ("nonsense", None),
    ("", None),
    ("https://h.example/\r\nHost:x", None),
    ("https://h.example/" + "x" * MAX_URI_LENGTH, None),
]  # fmt: skip


@pytest.mark.parametrize(("uri", "expected"), DESTINATIONS)
def test_destinations(uri, expected):
    destination = parse_destination(uri)
    if expected is None:
        assert isinstance(destination, Rejection), destination
        assert destination.rule in ("tlsrpt-uri", "mailtoURI", "https-URI")
        assert 0 <= destination.start <= destination.end <= len(uri)
    else:
        assert destination == expected


@pytest.mark.parametrize("uri", ["https://user@h.example/", "https://h.example@other.example/"])
def test_a_user_name_is_what_is_told_to_be_wrong(uri):
    rejection = parse_destination(uri)
    assert rejection.message == "a URI without user name"
    assert rejection.text[rejection.start : rejection.end] == uri[8 : uri.index("@") + 1]


_PARTS = st.from_regex(r"[a-z0-9]{1,8}", fullmatch=True)
_URIS = st.builds("mailto:{}@{}.example".format, _PARTS, _PARTS) | st.builds(
    "https://{}.example/{}?a=b".format, _PARTS, _PARTS
)
_NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}", fullmatch=True).filter(lambda name: name != "rua")
_VALUES = st.from_regex(r"[\x21-\x3a\x3c\x3e-\x7e]{1,20}", fullmatch=True)


@given(
    st.lists(_URIS, min_size=1, max_size=MAX_DESTINATIONS, unique=True),
    st.lists(st.tuples(_NAMES, _VALUES), max_size=3),
)
def test_law_the_canonical_text_parses_to_the_record(rua, extensions):
    record = Record(tuple(rua), tuple(extensions))
    assert parse_record(str(record)) == Record(record.rua, record.extensions, str(record))


@given(st.text(st.sampled_from("mailto:hps/@%0aAdD[]?#&=,;! é\x00.x"), max_size=40))
def test_law_no_address_acts_on_a_header(text):
    for uri in (text, f"mailto:{text}"):
        destination = parse_destination(uri)
        if isinstance(destination, MailDestination):
            assert destination.address.isprintable()
            assert destination.address.rpartition("@")[2] == destination.domain
            local = destination.address.rpartition("@")[0]
            assert local.startswith('"') or not set(local) & set(' ,;:<>()[]@\\"')
