"""RFC 8461 §3.2 and §4.1: the policy and its patterns."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mxseal.standards.mta_sts import (
    MAX_AGE_CAP,
    MAX_MX_LINES,
    MAX_POLICY_OCTETS,
    Mode,
    MxPattern,
    Policy,
    parse_mx_pattern,
    parse_policy,
    policy_host,
    policy_url,
)
from mxseal.vocabulary.names import HostName, InvalidName
from mxseal.vocabulary.rejection import Rejection

RFC_EXAMPLE = (
    "version: STSv1\n"
    "mode: enforce\n"
    "mx: mail.example.com\n"
    "mx: *.example.net\n"
    "mx: backupmx.example.com\n"
    "max_age: 604800\n"
)


def policy_of(*lines):
    return "".join(f"{line}\n" for line in lines)


def test_the_rfc_s_example():
    policy = parse_policy(RFC_EXAMPLE.encode())
    assert policy == Policy(
        mode=Mode.ENFORCE,
        mx=(MxPattern("mail.example.com"), MxPattern("*.example.net"), MxPattern("backupmx.example.com")),
        max_age=604_800,
        lines=tuple(RFC_EXAMPLE.splitlines()),
    )
    assert str(policy) == RFC_EXAMPLE.replace("\n", "\r\n")
    assert policy_host(HostName("example.com")) == "mta-sts.example.com"
    assert policy_url(HostName("example.com")) == "https://mta-sts.example.com/.well-known/mta-sts.txt"


V, E, MX, AGE = "version: STSv1", "mode: enforce", "mx: a.example", "max_age: 86400"

GOOD = [
    # body, what it has
    (RFC_EXAMPLE.replace("\n", "\r\n"), {"max_age": 604_800}),
    (policy_of(V, E, MX, AGE).removesuffix("\n"), {"mode": Mode.ENFORCE}),  # the last line end is optional
    (f"{V}\r\n{E}\n{MX}\r\n{AGE}", {"lines": (V, E, MX, AGE)}),  # sts-policy-term = LF / CRLF, each time anew
    (policy_of(AGE, MX, E, V), {"mx": ("a.example",)}),  # any order
    (policy_of("version:STSv1", "mode:\t enforce \t", "mx:a.example", "max_age:86400"), {"mode": Mode.ENFORCE}),
    (policy_of(V, "mode: testing", MX, AGE), {"mode": Mode.TESTING}),
    (policy_of(V, "mode: none", AGE), {"mode": Mode.NONE, "mx": ()}),  # mx may be absent in mode none only
    (policy_of(V, "mode: none", MX, AGE), {"mode": Mode.NONE, "mx": ("a.example",)}),
    (policy_of(V, E, "mode: none", MX, AGE, "max_age: 1"), {"mode": Mode.ENFORCE, "max_age": 86_400}),
    (policy_of(V, E, MX, AGE, "version: STSv2", "max_age: soon"), {"max_age": 86_400}),  # ignored altogether
    (policy_of(V, E, "mx: B.Example", MX, "mx: b.example", AGE), {"mx": ("b.example", "a.example")}),
    (policy_of(V, E, MX, "max_age: 0"), {"max_age": 0}),
    (policy_of(V, E, MX, "max_age: 31557600"), {"max_age": MAX_AGE_CAP, "published_max_age": None}),
    (policy_of(V, E, MX, "max_age: 31557601"), {"max_age": MAX_AGE_CAP, "published_max_age": 31_557_601}),
    (policy_of(V, E, MX, "max_age: 9999999999"), {"max_age": MAX_AGE_CAP, "published_max_age": 9_999_999_999}),
    (policy_of(V, E, MX, "max_age: 0000000007"), {"max_age": 7}),
    (
        policy_of(V, E, MX, AGE, "x.Y_z-1: a b: c=d;", "x.Y_z-1: again", "u: no", "e: ünïcödé 📧"),
        {"extensions": (("x.Y_z-1", "a b: c=d;"), ("u", "no"), ("e", "ünïcödé 📧"))},
    ),
    (policy_of(V, E, MX, AGE, "MX: b.example"), {"mx": ("a.example",), "extensions": (("MX", "b.example"),)}),
    (policy_of(V, E, MX, AGE, "e: a\u2028b\x85c"), {"extensions": (("e", "a\u2028b\x85c"),)}),  # no line ends
    (policy_of(V, E, "mx: xn--bcher-kva.example", AGE), {"mx": ("xn--bcher-kva.example",)}),
    (policy_of(V, E, "mx: localhost", AGE), {"mx": ("localhost",)}),  # Domain of RFC 5321 may be one label
    (policy_of(V, E, *(f"mx: h{n}.e" for n in range(MAX_MX_LINES)), AGE), {"max_age": 86_400}),
]  # fmt: skip


@pytest.mark.parametrize(("body", "has"), GOOD)
def test_good(body, has):
    policy = parse_policy(body.encode())
    assert isinstance(policy, Policy), policy
    assert {name: getattr(policy, name) for name in has} == has
    assert parse_policy(body) == policy


BAD = [
    # body, rule, the text that is marked
    ("", "sts-policy-record", ""),
    ("\n", "sts-policy-field", ""),
    (policy_of(E, MX, AGE), "sts-policy-version", ""),
    (policy_of(V, MX, AGE), "sts-policy-mode", ""),
    (policy_of(V, E, MX), "sts-policy-max-age", ""),
    (policy_of(V, E, AGE), "sts-policy-mx", ""),  # never an empty list
    (policy_of(V, "mode: testing", AGE), "sts-policy-mx", ""),
    (policy_of(V, E, "mx:", AGE), "sts-policy-ext-value", ""),
    (policy_of(V, E, "mx: ", AGE), "sts-policy-ext-value", ""),
    (policy_of("version: STSv2", E, MX, AGE), "sts-policy-version", "STSv2"),
    (policy_of("version: stsv1", E, MX, AGE), "sts-policy-version", "stsv1"),
    (policy_of("version: STSv10", E, MX, AGE), "sts-policy-version", "STSv10"),
    (policy_of("Version: STSv1", E, MX, AGE), "sts-policy-version-field", "Version"),
    (policy_of(V, "mode: Enforce", MX, AGE), "sts-policy-mode", "Enforce"),
    (policy_of(V, "mode: report", MX, AGE), "sts-policy-mode", "report"),
    (policy_of(V, "mode: bad", E, MX, AGE), "sts-policy-mode", "bad"),  # the first one counts
    (policy_of(V, E, "MX: a.example", AGE), "sts-policy-mx-field", "MX"),
    (policy_of(V, E, MX, "max-age: 86400"), "sts-policy-max-age-field", "max-age"),
    (policy_of(V, E, MX, "max_age: 12345678901"), "sts-policy-max-age-value", "12345678901"),
    (policy_of(V, E, MX, "max_age: -1"), "sts-policy-max-age-value", "-1"),
    (policy_of(V, E, MX, "max_age: 1w"), "sts-policy-max-age-value", "1w"),
    (policy_of(V, E, MX, "max_age: 86_400"), "sts-policy-max-age-value", "86_400"),
    (policy_of(V, E, MX, "max_age: \u0661"), "sts-policy-max-age-value", "\u0661"),
    (policy_of(V, E, MX, "max_age: 86400 s"), "sts-policy-max-age-value", "86400 s"),
    (policy_of(V, "", E, MX, AGE), "sts-policy-field", ""),  # the record has no blank lines,
    (policy_of(V, E, MX, AGE, ""), "sts-policy-field", ""),  # not at the end either
    (policy_of(V, E, MX, " " + AGE), "sts-policy-field", " "),
    ("\ufeff" + policy_of(V, E, MX, AGE), "sts-policy-field", "\ufeff"),
    (policy_of(V, "mode : enforce", MX, AGE), "sts-policy-field-delim", " "),
    (policy_of(V, E, MX, AGE, "enforce"), "sts-policy-field-delim", ""),
    (policy_of(V, E, MX, AGE, "a b: c"), "sts-policy-ext-name", " "),
    (policy_of(V, E, MX, AGE, "n" * 33 + ": c"), "sts-policy-ext-name", "n"),
    (policy_of(V, E, MX, AGE, "# a comment: no"), "sts-policy-ext-name", "#"),
    (policy_of(V, E, MX, AGE, "ü: c"), "sts-policy-ext-name", "ü"),
    (policy_of(V, E, MX, AGE, "x: a\x00b"), "sts-policy-vchar", "\x00"),
    (policy_of(V, E, MX, AGE, "x: a\tb"), "sts-policy-vchar", "\t"),
    (policy_of(V, E, MX, AGE, "x: a\x7fb"), "sts-policy-vchar", "\x7f"),
    (policy_of(V, E, MX, AGE).replace("\n", "\r"), "sts-policy-vchar", "\r"),  # a bare CR ends no line
    (policy_of(V, E, MX, AGE).removesuffix("\n") + "\r", "sts-policy-vchar", "\r"),  # nor the last one
    (policy_of(V, E, MX, AGE).replace("\n", "\r\r\n"), "sts-policy-vchar", "\r"),
    (policy_of(V, E, MX, "mx: b..example", AGE), "sts-policy-mx-value", "."),  # one bad pattern spoils all
    (policy_of(V, "mode: none", "mx: *", AGE), "sts-policy-mx-value", "*"),  # also where none is needed
    (policy_of(V, E, *(f"mx: h{n}.e" for n in range(MAX_MX_LINES + 1)), AGE), "sts-policy-mx", "mx: h1000.e"),
    ("<!DOCTYPE html>\n<html><head>", "sts-policy-field-delim", "<!DOCTYPE html>"),
]


@pytest.mark.parametrize(("body", "rule", "marked"), BAD)
def test_bad(body, rule, marked):
    rejection = parse_policy(body.encode())
    assert isinstance(rejection, Rejection), rejection
    assert (rejection.rule, rejection.text[rejection.start : rejection.end]) == (rule, marked)
    assert rejection.section.startswith("RFC 8461 §3.")
    assert rejection.text == body


@pytest.mark.parametrize(
    ("body", "at", "rule"),
    [
        (b"version: STSv1\nmode: enf\xffrce\n", 24, "sts-policy-vchar"),  # not UTF-8
        (b"version: STSv1\ne: \xc0\x80", 18, "sts-policy-vchar"),  # overlong
        (b"version: STSv1\ne: \xed\xa0\x80", 18, "sts-policy-vchar"),  # a surrogate
        (b"a: " + b"x" * MAX_POLICY_OCTETS, MAX_POLICY_OCTETS, "sts-policy-record"),
        (b"a: " + b"\xc3\xbc" * MAX_POLICY_OCTETS, None, "sts-policy-record"),
        (b"\xff\xfe" + RFC_EXAMPLE.encode("utf-16-le"), 0, "sts-policy-vchar"),
    ],
)
def test_octets(body, at, rule):
    rejection = parse_policy(body)
    assert isinstance(rejection, Rejection)
    assert rejection.rule == rule
    assert at in (None, rejection.start)


def test_a_surrogate_in_a_text_is_no_character():
    assert isinstance(parse_policy(policy_of(V, E, MX, AGE, "x: \ud800")), Rejection)


# --- patterns -----------------------------------------------------------------------------------

GOOD_PATTERNS = [
    ("mail.example.com", "mail.example.com"),
    ("Mail.EXAMPLE.com", "mail.example.com"),
    ("*.example.com", "*.example.com"),
    ("*.com", "*.com"),
    ("xn--BCHER-kva.example", "xn--bcher-kva.example"),
    ("*.xn--ls8h.la", "*.xn--ls8h.la"),  # delegated, though not by IDNA 2008
    ("a-b--c.1.example", "a-b--c.1.example"),
    ("x" * 63 + ".example", "x" * 63 + ".example"),
]


@pytest.mark.parametrize(("text", "canonical"), GOOD_PATTERNS)
def test_good_pattern(text, canonical):
    assert parse_mx_pattern(text) == canonical
    assert MxPattern(canonical) == canonical


BAD_PATTERNS = [
    # text, place
    ("", (0, 0)),
    ("*", (0, 1)),
    ("*.", (2, 2)),
    ("**.example.com", (0, 1)),
    ("*.*.example.com", (2, 3)),
    ("mx*.example.com", (2, 3)),
    ("mail.*.example.com", (5, 6)),
    ("*example.com", (0, 1)),
    (".example.com", (0, 1)),  # the draft's form, which Postfix would read as "any host below"
    ("*..example.com", (2, 3)),
    ("example.com.", (11, 12)),  # Domain has no dot at its end
    ("192.0.2.1", (0, 9)),
    ("*.192.0.2.1", (2, 11)),
    ("[192.0.2.1]", (0, 1)),
    ("2001:db8::1", (4, 5)),
    ("a.example b.example", (9, 10)),
    ("a.example,b.example", (9, 10)),
    ("a.example:b.example", (9, 10)),  # would be two members of a Postfix match list
    ("a.example\x00", (9, 10)),
    ("a_b.example", (1, 2)),  # Let-dig and '-' only
    ("-a.example", (0, 1)),
    ("a-.example", (1, 2)),
    ("bücher.example", (0, 14)),
    ("*.bücher.example", (2, 16)),
    ("x" * 64 + ".example", (0, 64)),
    (".".join(["x" * 60] * 5), (253, 304)),
]


@pytest.mark.parametrize(("text", "place"), BAD_PATTERNS)
def test_bad_pattern(text, place):
    rejection = parse_mx_pattern(text)
    assert isinstance(rejection, Rejection), rejection
    assert (rejection.start, rejection.end) == place
    assert (rejection.rule, rejection.section) == ("sts-policy-mx-value", "RFC 8461 §3.2")
    with pytest.raises(InvalidName):
        MxPattern(text)


def test_a_u_label_s_cure_names_the_a_label():
    assert "'*.xn--bcher-kva.example'" in parse_mx_pattern("*.bücher.example").message


MATCHES = [
    # pattern, host, RFC 8461 §4.1
    ("mail.example.com", "mail.example.com", True),
    ("mail.example.com", "MAIL.Example.COM.", True),
    ("MAIL.example.com", "mail.example.com", True),
    ("mail.example.com", "mail.example.com.attacker.net", False),  # as an unanchored expression would say
    ("mail.example.com", "xmail.example.com", False),
    ("mail.example.com", "mailxexample.com", False),
    ("*.example.com", "mx.example.com", True),
    ("*.example.com", "example.com", False),  # a label is needed,
    ("*.example.com", "a.b.example.com", False),  # and only one
    ("*.example.com", "mx.badexample.com", False),
    ("*.example.com", "mx.example.com.attacker.net", False),
    ("*.example.com", "a_b.example.com", True),
    ("*.com", "example.com", True),
    ("*.xn--bcher-kva.example", "mx.bücher.example", True),
]


@pytest.mark.parametrize(("pattern", "host", "fits"), MATCHES)
def test_matching(pattern, host, fits):
    policy = parse_policy(policy_of(V, E, f"mx: {pattern}", "mx: other.test", AGE))
    assert (policy.matching(HostName(host)) == pattern.lower()) is fits
    assert MxPattern(pattern).matches(HostName(host)) is fits


def test_the_first_pattern_that_fits():
    policy = parse_policy(policy_of(V, E, "mx: *.example.com", "mx: a.example.com", AGE))
    assert policy.matching(HostName("a.example.com")) == "*.example.com"
    assert policy.matching(HostName("a.example.net")) is None


# --- what nobody can construct --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "mx", "max_age"),
    [(Mode.ENFORCE, (), 1), (Mode.TESTING, (), 1), (Mode.NONE, (), -1), (Mode.NONE, (), MAX_AGE_CAP + 1)],
)
def test_no_policy_without_patterns_can_be_made(mode, mx, max_age):
    with pytest.raises(ValueError, match=r"mx pattern|max_age"):
        Policy(mode=mode, mx=mx, max_age=max_age)


def test_warnings():
    def warnings(*lines):
        return " ".join(parse_policy(policy_of(*lines)).warnings())

    assert warnings(V, E, MX, AGE) == ""
    assert "more than RFC 8461 §3.2 allows" in warnings(V, E, MX, "max_age: 99999999")
    assert "less than a day" in warnings(V, E, MX, "max_age: 3600")
    assert warnings(V, "mode: testing", MX, "max_age: 3600") == ""
    assert "no effect" in warnings(V, "mode: none", MX, AGE)
    assert "'Max_Age'" in warnings(V, E, MX, AGE, "Max_Age: 1")


# --- laws -----------------------------------------------------------------------------------------

_LABELS = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True).filter(
    lambda label: not label.startswith("xn--")
)
_HOSTS = st.builds(lambda labels: ".".join([*labels, "example"]), st.lists(_LABELS, max_size=3))
PATTERNS = st.builds(str.__add__, st.sampled_from(["", "*."]), _HOSTS).map(MxPattern)
_KEYS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}", fullmatch=True).filter(
    lambda name: name not in {"version", "mode", "mx", "max_age"}
)
_VCHAR = st.characters(min_codepoint=0x21, exclude_categories=["Cs"], exclude_characters="\x7f")
_VALUES = st.builds(lambda head, inner, tail: head + inner + tail,
                    _VCHAR, st.text(_VCHAR | st.just(" "), max_size=8), _VCHAR)  # fmt: skip
POLICIES = st.builds(
    lambda mode, mx, published, extensions: Policy(
        mode=mode,
        mx=tuple(mx),
        max_age=min(published, MAX_AGE_CAP),
        extensions=tuple(extensions.items()),
        published_max_age=published if published > MAX_AGE_CAP else None,
    ),
    st.sampled_from(Mode),
    st.lists(PATTERNS, min_size=1, max_size=5, unique=True),
    st.integers(0, 9_999_999_999),
    st.dictionaries(_KEYS, _VALUES, max_size=3),
)


@given(POLICIES)
def test_law_the_canonical_text_parses_to_the_policy(policy):
    assert parse_policy(str(policy)) == policy
    assert parse_policy(str(policy).encode()) == policy


SAFE = re.compile(r"(?:\*\.)?(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")


@given(
    POLICIES,
    st.lists(
        st.tuples(st.integers(0, 400), st.integers(0, 3), st.binary(max_size=4)), min_size=1, max_size=6
    ),
)
@example(parse_policy(RFC_EXAMPLE), [(35, 9, b"")])
def test_law_no_mutation_makes_an_empty_or_unsafe_match_list(policy, edits):
    body = bytearray(str(policy).encode())
    for place, removed, inserted in edits:
        at = place % (len(body) + 1)
        body[at : at + removed] = inserted
    parsed = parse_policy(bytes(body))
    if isinstance(parsed, Rejection):
        assert parsed.rule
        assert 0 <= parsed.start <= parsed.end <= len(parsed.text)
        return
    assert parsed.mx or parsed.mode is Mode.NONE
    assert all(SAFE.fullmatch(pattern) for pattern in parsed.mx)
    again = parse_policy(str(parsed))
    assert (again.mode, again.mx, again.max_age, again.extensions) == (
        parsed.mode, parsed.mx, parsed.max_age, parsed.extensions
    )  # fmt: skip


@given(PATTERNS, _HOSTS)
def test_law_matching_is_what_the_rfc_says_in_words(pattern, host):
    host = HostName(host)
    labels, wanted = host.labels, pattern.split(".")
    expected = len(labels) == len(wanted) and all(
        want in ("*", label) for label, want in zip(labels, wanted, strict=True)
    )
    assert pattern.matches(host) is expected
    if pattern.is_wildcard:
        assert pattern.matches(HostName(f"any.{pattern[2:]}"))
    else:
        assert pattern.matches(HostName(pattern))
