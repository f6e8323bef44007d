"""Policies that the administrator sets: the most exact line counts, and mistakes are told with their place."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mxseal.decisions.overrides import Overrides, override_in, parse_overrides
from mxseal.standards.postfix_tls import Dialect
from mxseal.vocabulary.names import parse_next_hop
from mxseal.vocabulary.rejection import Rejection

FILE = """\
# ours
example.com         dane-only
Example.com:587     encrypt

  # indented
.example.com        may
.sub.example.com    notfound
.net:587            verify
[relay.example.org] secure match=relay.example.org servername=hostname
[192.0.2.1]\tencrypt
b\u00fccher.example  temp until   Monday
"""

TOLD = {
    "example.com": "OK dane-only",
    "EXAMPLE.com.": "OK dane-only",
    "example.com:587": "OK encrypt",
    "example.com:25": "OK dane-only",
    "mail.example.com": "OK may",
    "a.b.example.com": "OK may",
    "x.sub.example.com": "NOTFOUND ",
    "sub.example.com": "OK may",
    "example.net:587": "OK verify",
    "example.net": None,
    "[relay.example.org]": "OK secure match=relay.example.org servername=hostname",
    "[relay.example.org]:587": "OK secure match=relay.example.org servername=hostname",
    "relay.example.org": None,
    "[mail.example.com]": None,  # a host and no domain: what is said of domains is not about it
    "[192.0.2.1]": "OK encrypt",
    "[192.0.2.2]": None,
    "xn--bcher-kva.example": "TEMP until Monday",
    "example.org": None,
}

WRONG = {
    "example.com": (1, 12),
    "a.example may\nexample.com sekure": (2, 13),
    "a.example may\n a.example dane": (2, 2),
    "exa[mple may": (1, 4),
    "example.com secure": (1, 13),
    "example.com may match=x.example": (1, 13),
    "example.com notfound please": (1, 13),
    "example.com secure match=a.example,color=red": (1, 36),
}


@pytest.mark.parametrize("key", TOLD)
def test_the_most_exact_line_counts(key):
    overrides = parse_overrides(FILE)
    assert isinstance(overrides, Overrides)
    told = overrides.reply(parse_next_hop(key))
    assert (None if told is None else str(told)) == TOLD[key]


@pytest.mark.parametrize("text", WRONG)
def test_mistakes_have_a_place(text):
    rejection = parse_overrides(text)
    assert isinstance(rejection, Rejection)
    assert (rejection.line, rejection.column) == WRONG[text]


def test_sendmail_knows_secure_only():
    overrides = parse_overrides(FILE)
    told = {
        key: str(override_in(Dialect.SENDMAIL, overrides.reply(parse_next_hop(key))))
        for key in ("example.com", "[relay.example.org]", "b\u00fccher.example")
    }
    assert list(told.values()) == [
        "NOTFOUND ",
        "OK secure match=relay.example.org servername=hostname",
        "TEMP until Monday",
    ]


@given(st.text(max_size=80))
def test_any_text_is_read_or_rejected_within_itself(text):
    result = parse_overrides(text)
    if isinstance(result, Rejection):
        assert 0 <= result.start <= result.end <= len(text)
