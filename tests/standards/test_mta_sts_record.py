"""RFC 8461 §3.1: the TXT record."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mxseal.standards.mta_sts import NoRecord, Record, parse_record, record_name, select_record
from mxseal.vocabulary.names import HostName
from mxseal.vocabulary.observations import TextData
from mxseal.vocabulary.rejection import Rejection


def texts(*records):
    return [TextData(record if isinstance(record, tuple) else (record,)) for record in records]


def test_the_rfc_s_example():
    assert record_name(HostName("example.com")) == "_mta-sts.example.com"
    assert select_record(texts(b"v=STSv1; id=20160831085700Z;")) == Record(
        "20160831085700Z", (), "v=STSv1; id=20160831085700Z;"
    )


GOOD = [
    # text, id, extensions
    ("v=STSv1;id=1", "1", ()),
    ("v=STSv1; id=1;", "1", ()),
    ("v=STSv1 \t;\t id=1 ; ", "1", ()),  # *WSP on both sides of the delimiter, and after the last one
    ("v=STSv1; id=" + "aZ09" * 8, "aZ09" * 8, ()),  # 32 characters
    ("v=STSv1; foo=bar; id=1; b.a_z-9=<!:>", "1", (("foo", "bar"), ("b.a_z-9", "<!:>"))),  # any order
    ("v=STSv1; id=1; id=2", "1", ()),  # the first one wins
    ("v=STSv1; id=1; id=not/an/id", "1", ()),  # a second one is ignored whatever it holds
    ("v=STSv1; x=1; id=1; x=2", "1", (("x", "1"),)),
    ("v=STSv1; ID=x; id=1", "1", (("ID", "x"),)),  # %s"id=": the case counts
    ("v=STSv1; v=STSv2; id=1", "1", (("v", "STSv2"),)),
    ("v=STSv1; " + "n" * 32 + "=1; id=1", "1", (("n" * 32, "1"),)),
]


@pytest.mark.parametrize(("text", "identity", "extensions"), GOOD)
def test_good(text, identity, extensions):
    assert parse_record(text) == Record(identity, extensions, text)
    assert select_record(texts(text.encode())) == Record(identity, extensions, text)


BAD = [
    # text, rule, the place that is marked
    ("", "sts-version", (0, 0)),
    ("v=STSv1", "sts-field", (7, 7)),
    ("v=STSv1;", "sts-field", (8, 8)),
    ("v=STSv1 ; ", "sts-field", (10, 10)),
    ("v=STSv10; id=1", "sts-version", (7, 8)),  # another version, not ours
    ("v=STSv2; id=1", "sts-version", (0, 8)),
    ("V=STSv1; id=1", "sts-version", (0, 8)),
    ("v=stsv1; id=1", "sts-version", (0, 8)),
    (" v=STSv1; id=1", "sts-version", (0, 8)),
    ("id=1; v=STSv1", "sts-version", (0, 8)),  # the version comes first
    ("v=STSv1 id=1", "sts-field-delim", (8, 9)),
    ("v=STSv1; id=1 x=2", "sts-field-delim", (14, 15)),
    ("v=STSv1; id=1 ", "sts-field-delim", (13, 14)),  # blanks at the end belong to a ';'
    ("v=STSv1;; id=1", "sts-ext-name", (8, 9)),
    ("v=STSv1; id=1;;", "sts-ext-name", (14, 15)),
    ("v=STSv1; x=1", "sts-id", (12, 12)),
    ("v=STSv1; id=", "sts-ext-value", (12, 12)),
    ("v=STSv1; id=;", "sts-ext-value", (12, 12)),
    ("v=STSv1; id=a-b", "sts-id", (13, 14)),
    ("v=STSv1; id=" + "1" * 33, "sts-id", (44, 45)),
    ("v=STSv1; id=a-b; id=1", "sts-id", (13, 14)),  # the first one counts, so it must be right
    ("v=STSv1; id=1\u0661", "sts-ext-value", (13, 14)),  # a digit, but no DIGIT
    ("v=STSv1; id = 1", "sts-ext-name", (11, 12)),
    ("v=STSv1; id= 1", "sts-ext-value", (12, 12)),
    ("v=STSv1; id", "sts-ext-name", (9, 11)),
    ("v=STSv1; id=1; a=b=c", "sts-ext-value", (18, 19)),
    ("v=STSv1; id=1; a=\x7f", "sts-ext-value", (17, 17)),
    ("v=STSv1; id=1; a=b\x00", "sts-ext-value", (18, 19)),
    ("v=STSv1; id=1; -a=b", "sts-ext-name", (15, 17)),
    ("v=STSv1; id=1; " + "n" * 33 + "=b", "sts-ext-name", (15, 48)),
    ("v=STSv1;\nid=1", "sts-ext-name", (8, 11)),  # WSP is blank or tab
    ("v=STSv1; id=1\n", "sts-ext-value", (13, 14)),
]


@pytest.mark.parametrize(("text", "rule", "place"), BAD)
def test_bad(text, rule, place):
    rejection = parse_record(text)
    assert isinstance(rejection, Rejection), rejection
    assert (rejection.rule, (rejection.start, rejection.end)) == (rule, place)
    assert rejection.section == "RFC 8461 §3.1"
    assert rejection.text == text


def test_character_strings_are_joined_without_a_blank():
    assert select_record(texts((b"v=ST", b"Sv1; id=1", b"2;"))) == Record("12", (), "v=STSv1; id=12;")


@pytest.mark.parametrize(
    "others",
    [(), (b"v=spf1 -all",), (b"v=STSv10; id=1",), (b"V=STSv1; id=1",), (b"v=STSv1",), (b"\xff\x00",), (b"",)],
)
def test_what_does_not_begin_with_the_version_is_discarded(others):
    assert select_record(texts(b"v=STSv1; id=1", *others)) == Record("1", (), "v=STSv1; id=1")
    none = select_record(texts(*others))
    assert isinstance(none, NoRecord)
    assert none.discarded == len(others)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        (b"v=STSv1", "sts-field"),
        (b"V=STSv1; id=1", "sts-version"),
        (b'"v=STSv1; id=1"', "sts-version"),
        (b" v=STSv1; id=1", "sts-version"),
        (b"v = STSv1; id=1", "sts-version"),
    ],
)
def test_a_discarded_one_that_was_meant_to_be_ours_is_explained(text, rule):
    none = select_record(texts(text, b"v=spf1 -all"))
    assert isinstance(none, NoRecord)
    assert [rejection.rule for rejection in none.near] == [rule]


def test_what_is_near_is_bounded():
    none = select_record(texts(*[b"v=STSv1"] * 100))
    assert isinstance(none, NoRecord)
    assert len(none.near) <= 5


def test_two_records_are_none():
    rejection = select_record(texts(b"v=STSv1; id=1", b"x", b"v=STSv1;rubbish", b"v=STSv1; id=1"))
    assert isinstance(rejection, Rejection)
    assert "3 records" in rejection.message
    assert rejection.text[rejection.start : rejection.end] == "v=STSv1;rubbish"
    assert isinstance(select_record(texts(b"v=STSv1 ; id=1", b"v=STSv1\t; id=2")), Rejection)


def test_blanks_before_the_semicolon_count_where_nothing_else_does():
    """The grammar has them; the rule that discards among several records does not know them."""
    assert select_record(texts(b"v=spf1 -all", b"v=STSv1 ; id=1")).id == "1"
    assert select_record(texts(b"v=STSv1 ; id=1", b"v=STSv1; id=2")).id == "2"


def test_octets_that_are_not_utf_8_are_rejected_in_place():
    rejection = select_record(texts(b"v=STSv1; id=1\xfe"))
    assert isinstance(rejection, Rejection)
    assert (rejection.start, rejection.end) == (13, 14)


_ALNUM = string.ascii_letters + string.digits
_NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}", fullmatch=True).filter(lambda name: name != "id")
_VALUES = st.from_regex(r"[\x21-\x3a\x3c\x3e-\x7e]{1,40}", fullmatch=True)
RECORDS = st.builds(
    Record,
    st.text(_ALNUM, min_size=1, max_size=32),
    st.dictionaries(_NAMES, _VALUES, max_size=4).map(lambda fields: tuple(fields.items())),
)


@given(RECORDS)
def test_law_the_canonical_text_parses_to_the_record(record):
    parsed = parse_record(str(record))
    assert parsed == Record(record.id, record.extensions, str(record))


@given(st.text(st.sampled_from("v=STSv1;idx \t\x00é-"), max_size=30).map("v=STSv1;".__add__))
def test_law_a_record_or_a_rejection_with_a_place_within_the_text(text):
    parsed = parse_record(text)
    if isinstance(parsed, Rejection):
        assert 0 <= parsed.start <= parsed.end <= len(text)
    else:
        assert parse_record(str(parsed)).id == parsed.id
        assert 1 <= len(parsed.id) <= 32
