"""A decision's answer in Postfix' words."""

import pytest

from mxseal.decisions.delivery import Kind, OneAnswer
from mxseal.decisions.postfix_answer import postfix_reply
from mxseal.standards.mta_sts import MxPattern, parse_mx_pattern


def patterns(*texts: str) -> tuple[MxPattern, ...]:
    parsed = tuple(map(parse_mx_pattern, texts))
    assert all(isinstance(pattern, MxPattern) for pattern in parsed)
    return parsed


MANY = patterns(*(f"{'x' * 60}.{'y' * 60}.{'z' * 60}.mx{number}.example" for number in range(2000)))


@pytest.mark.parametrize(
    ("answer", "reply"),
    [
        (OneAnswer(Kind.DANE_ONLY), "OK dane-only"),
        (OneAnswer(Kind.DANE), "OK dane"),
        (
            OneAnswer(Kind.SECURE, patterns("mx.example.com", "*.example.net")),
            "OK secure match=mx.example.com:.example.net servername=hostname",
        ),
        (OneAnswer(Kind.NOT_FOUND), "NOTFOUND"),
        (OneAnswer(Kind.TEMP, detail="MX lookup failed"), "TEMP MX lookup failed"),
    ],
)
def test_each_kind(answer: OneAnswer, reply: str):
    assert str(postfix_reply(answer)).strip() == reply


@pytest.mark.parametrize("inexpressible", [(), MANY])
def test_what_cannot_be_said_makes_mail_wait(inexpressible: tuple[MxPattern, ...]):
    """Neither nothing at all nor fewer names: both would be weaker than the policy."""
    reply = str(postfix_reply(OneAnswer(Kind.SECURE, inexpressible)))
    assert reply.startswith("TEMP MTA-STS policy cannot be expressed: ")
