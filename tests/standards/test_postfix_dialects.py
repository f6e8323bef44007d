"""The same policy for Postfix 3.10 and for Sendmail, and the keys with which they ask."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mxseal.standards.postfix_tls import (
    MAX_REPLY_OCTETS,
    Dialect,
    SecurityLevel,
    StsPolicy,
    TlsPolicy,
    dialect_of,
    parse_key,
    secure,
    with_sts,
)
from mxseal.vocabulary.names import Address, HostName, NextHop
from mxseal.vocabulary.rejection import Rejection

DOMAIN = HostName("example.com")
PATTERNS = ("mail.example.com", "*.example.net")
LINES = (
    "version: STSv1",
    "mode: enforce",
    "mx: mail.example.com",
    "mx: *.example.net",
    "max_age: 604800",
)

# What postconf(5) and TLSRPT_README show.
WRITTEN = (
    "secure match=mail.example.com:.example.net servername=hostname policy_type=sts"
    " policy_domain=example.com mx_host_pattern=mail.example.com mx_host_pattern=*.example.net"
    " { policy_string = version: STSv1 } { policy_string = mode: enforce }"
    " { policy_string = mx: mail.example.com } { policy_string = mx: *.example.net }"
    " { policy_string = max_age: 604800 }"
)

MAPS = {
    "QUERYwithTLSRPT": Dialect.TLSRPT,
    "querywithtlsrpt": Dialect.TLSRPT,
    "sts": Dialect.SENDMAIL,
    "STS": Dialect.SENDMAIL,
    "QUERY": Dialect.PLAIN,
    "postfix": Dialect.PLAIN,
    "": Dialect.PLAIN,
    "sts2": Dialect.PLAIN,
}

KEYS = {
    "example.com": NextHop(host=DOMAIN),
    "Example.COM": NextHop(host=DOMAIN),
    "example.com.": NextHop(host=DOMAIN),
    "example.com:587": NextHop(host=DOMAIN, port=587),
    "example.com:submission": NextHop(host=DOMAIN, port=587),
    "example.com:SMTP": NextHop(host=DOMAIN, port=25),
    "[mx.example.com]": NextHop(host=HostName("mx.example.com"), uses_mx=False),
    "[mx.example.com]:587": NextHop(host=HostName("mx.example.com"), port=587, uses_mx=False),
    "[mx.example.com]:submissions": NextHop(host=HostName("mx.example.com"), port=465, uses_mx=False),
    "[192.0.2.1]:25": NextHop(address=Address("192.0.2.1"), port=25, uses_mx=False),
    "[IPv6:2001:db8::1]": NextHop(address=Address("2001:db8::1"), uses_mx=False),
    "[ipv6:2001:DB8::1]:smtp": NextHop(address=Address("2001:db8::1"), port=25, uses_mx=False),
    "bücher.example": NextHop(host=HostName("xn--bcher-kva.example")),
    ".example.com": None,
    ".com": None,
    ".": None,
    "./private/x": None,
}

NO_KEYS = [
    "/var/run/lmtp.sock",
    "private/dovecot-lmtp",
    "unix:private/dovecot-lmtp",
    "inet:mx.example.com:24",
    "192.0.2.1",
    "2001:db8::1",
    "exa mple.com",
    "a..b",
    "[mx.example.com",
    "example.com:nosuchservice",
    "example.com:0",
    "example.com::smtp",
    "\x00",
    "a\udcff.example",
    "a." * 5000,
    "[" * 10_000,
]


@pytest.mark.parametrize("name", MAPS)
def test_the_map_name_selects_the_dialect(name):
    assert dialect_of(name) is MAPS[name]


@pytest.mark.parametrize("key", KEYS)
def test_keys(key):
    assert parse_key(key) == KEYS[key]


@pytest.mark.parametrize("key", NO_KEYS)
def test_what_is_no_next_hop(key):
    assert isinstance(parse_key(key), Rejection)


def read_by_postfix(text):
    """The level and attributes as smtp_tls_policy.c takes them: words, or names and values in braces."""
    words = re.findall(r"\{[^{}]*\}|[^\s,{}]+", text)
    assert " ".join(words) == text, "nothing is left over, and blanks are normal"
    level, *rest = words
    attributes = []
    for word in rest:
        name, equals, value = word.strip("{}").partition("=")
        assert equals
        attributes.append((name.strip(), value.strip()))
    return level, attributes


def test_for_reports():
    assert str(with_sts(secure(PATTERNS), DOMAIN, PATTERNS, LINES)) == WRITTEN


def test_postfix_reads_it():
    level, attributes = read_by_postfix(WRITTEN)
    assert level == "secure"
    assert [value for name, value in attributes if name == "policy_string"] == list(LINES)
    assert [value for name, value in attributes if name == "mx_host_pattern"] == list(PATTERNS)
    assert not any(name in ("policy_failure", "policy_ttl") for name, _ in attributes)


LEFT_OUT = ["comment: {", "comment: }", "a: {b}", "ä: b", "a: \x7f", " a: b", "a: b ", "", "a\tb", "a: b\r"]


@pytest.mark.parametrize("line", LEFT_OUT)
def test_a_line_that_postfix_could_not_read_is_left_out(line):
    assert str(with_sts(secure(PATTERNS), DOMAIN, PATTERNS, (*LINES, line))) == WRITTEN
    with pytest.raises(ValueError, match="not a line"):
        StsPolicy(secure(PATTERNS), DOMAIN, PATTERNS, (line,))


@pytest.mark.parametrize("level", [SecurityLevel.DANE, SecurityLevel.DANE_ONLY, SecurityLevel.MAY])
def test_other_levels_never_have_the_attributes(level):
    assert isinstance(with_sts(TlsPolicy(level), DOMAIN, PATTERNS, LINES), Rejection)


@pytest.mark.parametrize("patterns", [(), ("",), ("*.",), (".example.com",), ("a b",), ("192.0.2.1",)])
def test_patterns_are_checked(patterns):
    assert isinstance(with_sts(secure(PATTERNS), DOMAIN, patterns, ()), Rejection)


def test_lines_go_first_where_there_is_no_room():
    patterns = [f"mx{number:04}.example.com" for number in range(1500)]
    lines = [f"mx: {pattern}" for pattern in patterns]
    written = with_sts(secure(patterns), DOMAIN, patterns, lines)
    assert isinstance(written, StsPolicy)
    assert written.policy_strings == ()
    assert len(written.mx_patterns) == 1500
    assert len(f"OK {written}") <= MAX_REPLY_OCTETS


def test_patterns_are_all_said_or_mail_waits():
    patterns = [f"mx{number:04}.example.com" for number in range(3000)]
    assert isinstance(with_sts(secure(patterns), DOMAIN, patterns, ()), Rejection)


@given(st.lists(st.text(max_size=40), max_size=8))
def test_no_line_can_smuggle_anything_in(lines):
    level, attributes = read_by_postfix(
        " ".join(str(with_sts(secure(PATTERNS), DOMAIN, PATTERNS, lines)).split())
    )
    assert level == "secure"
    strings = [value for name, value in attributes if name == "policy_string"]
    assert len(attributes) == 6 + len(strings)
    assert all(" ".join(line.split()) in [" ".join(given.split()) for given in lines] for line in strings)
