"""Postfix' policy grammar: what is rendered is what Postfix reads, and nothing can be smuggled in."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mxseal.standards.postfix_tls import (
    MAX_REPLY_OCTETS,
    NotFound,
    Ok,
    SecurityLevel,
    Temporary,
    TlsPolicy,
    match_of,
    parse_policy,
    secure,
)
from mxseal.vocabulary.rejection import Rejection

GOOD = {
    "dane": TlsPolicy(SecurityLevel.DANE),
    "dane-only": TlsPolicy(SecurityLevel.DANE_ONLY),
    "may": TlsPolicy(SecurityLevel.MAY),
    "none": TlsPolicy(SecurityLevel.NONE),
    "encrypt": TlsPolicy(SecurityLevel.ENCRYPT),
    "secure match=mx1.example.com:.example.net servername=hostname": TlsPolicy(
        SecurityLevel.SECURE, ("mx1.example.com", ".example.net"), "hostname"
    ),
    "secure match=nexthop:dot-nexthop": TlsPolicy(SecurityLevel.SECURE, ("nexthop", "dot-nexthop")),
    "verify": TlsPolicy(SecurityLevel.VERIFY),
    "verify match=hostname servername=mx.example.com": TlsPolicy(
        SecurityLevel.VERIFY, ("hostname",), "mx.example.com"
    ),
}

OTHER_SPELLINGS = {
    "dane-only ": "dane-only",
    " DANE": "dane",
    "secure,match=a.example,match=.b.example": "secure match=a.example:.b.example",
    "secure\tservername=hostname , match=a.example": "secure match=a.example servername=hostname",
}

BAD = {
    "": "level",
    "  ,": "level",
    "sekure": "level",
    "secure": "match",  # Postfix would fill in smtp_tls_secure_cert_match
    "secure match=": "attribute",
    "secure match=a.example::b.example": "match",
    "secure match=:a.example": "match",
    "secure match=..a.example": "match",
    "secure match=*.example.com": "match",
    "secure match=192.0.2.1": "match",
    "secure match=A.example": "match",
    "dane match=a.example": "match",
    "may match": "attribute",
    "secure match=a.example servername=hostname servername=hostname": "attribute",
    "secure match=a.example servername=-": "servername",
    "secure match=a.example color=red": "attribute",
    "secure match=a.example policy_type=sts": "attribute",  # another dialect (Postfix 3.10)
}


@pytest.mark.parametrize("text", GOOD)
def test_good(text):
    assert parse_policy(text) == GOOD[text]
    assert str(GOOD[text]) == text


@pytest.mark.parametrize("text", OTHER_SPELLINGS)
def test_other_spellings(text):
    assert str(parse_policy(text)) == OTHER_SPELLINGS[text]


@pytest.mark.parametrize("text", BAD)
def test_bad(text):
    rejection = parse_policy(text)
    assert isinstance(rejection, Rejection)
    assert rejection.rule == BAD[text]
    assert 0 <= rejection.start <= rejection.end <= len(rejection.text)
    assert rejection.with_caret()


def test_too_long():
    rejection = parse_policy("dane " + "x" * MAX_REPLY_OCTETS)
    assert isinstance(rejection, Rejection)
    assert rejection.rule == "policy"


def test_the_place_is_exact():
    rejection = parse_policy("secure match=a.example:b_.-.example:c.example")
    assert rejection.text[rejection.start : rejection.end] == "b_.-.example"


@pytest.mark.parametrize(
    "values",
    [
        {"level": SecurityLevel.SECURE},
        {"level": SecurityLevel.DANE, "match": ("a.example",)},
        {"level": SecurityLevel.SECURE, "match": ("a.example b.example",)},
        {"level": SecurityLevel.SECURE, "match": ("",)},
        {"level": SecurityLevel.SECURE, "match": ("a.example",), "servername": "x y"},
    ],
)
def test_no_policy_can_be_made_that_postfix_would_misread(values):
    with pytest.raises(ValueError, match=r"secure|match|server"):
        TlsPolicy(**values)


def test_patterns_become_match_names():
    policy = secure(["mx.example.com", "*.example.net", "mx.example.com"])
    assert str(policy) == "secure match=mx.example.com:.example.net servername=hostname"


@pytest.mark.parametrize(
    "pattern",
    ["", ".", "*", "*.", "*.*.example", ".example.com", "nexthop", "hostname", "dot-nexthop", "a.example:b",
     "a.example b", "a.example,b", "{a=b}", "192.0.2.1", "a.example\n", "MX.example.com", "a.example."],
)  # fmt: skip
def test_what_is_no_pattern_reaches_no_answer(pattern):
    assert isinstance(match_of(pattern), Rejection)
    assert isinstance(secure(["good.example", pattern]), Rejection)


def test_a_list_is_never_empty():
    assert isinstance(secure([]), Rejection)


def test_an_answer_is_never_longer_than_postfix_reads():
    many = [f"{'a' * 60}.{'b' * 60}.n{n}.example" for n in range(1000)]
    assert isinstance(secure(many), Rejection)
    fits = secure(many[:700])
    assert isinstance(fits, TlsPolicy)
    assert len(str(Ok(fits))) <= MAX_REPLY_OCTETS


def test_replies():
    assert str(Ok(TlsPolicy(SecurityLevel.DANE_ONLY))) == "OK dane-only"
    assert str(NotFound()) == "NOTFOUND "
    assert str(Temporary("MX lookup failed")) == "TEMP MX lookup failed"
    assert str(Temporary("")) == "TEMP not known now"


@given(st.text(max_size=400))
def test_a_reason_is_one_bounded_printable_line(reason):
    assert re.fullmatch(r"TEMP [ -~]{1,200}", str(Temporary(reason)))


labels = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True).filter(lambda s: "--" not in s)
hosts = (
    st.lists(labels, min_size=2, max_size=4).map(".".join).filter(lambda s: not re.fullmatch(r"[0-9.]+", s))
)
patterns = st.one_of(hosts, hosts.map("*.{}".format))


@given(st.lists(patterns, min_size=1, max_size=20))
def test_what_is_rendered_reads_back_equal(mx):
    policy = secure(mx)
    assert isinstance(policy, TlsPolicy)
    assert parse_policy(str(policy)) == policy


@given(st.text(max_size=200) | st.from_regex(r"(secure|dane|may)([ ,](match|servername)=[^ ]{0,20}){0,3}"))
def test_any_text_is_read_or_rejected(text):
    read = parse_policy(text)
    if isinstance(read, TlsPolicy):
        assert parse_policy(str(read)) == read


@given(st.text(max_size=60))
def test_no_pattern_smuggles_anything_in(pattern):
    policy = secure([pattern])
    if isinstance(policy, TlsPolicy):
        assert re.fullmatch(r"secure match=\.?[a-z0-9_.-]+ servername=hostname", str(policy))
