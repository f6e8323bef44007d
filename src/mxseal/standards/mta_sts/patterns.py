"""MX patterns: which hosts may stand in for a policy domain (RFC 8461 §3.2, §4.1)."""

from typing import Final, NoReturn, Self

from mxseal.vocabulary.names import HostName, InvalidName, parse_host_name
from mxseal.vocabulary.rejection import Rejection

_RULE: Final = "sts-policy-mx-value"
_SECTION: Final = "RFC 8461 §3.2"


class MxPattern(str):
    """A host name, or ``*.`` and a host name; A-labels, lower case.  Raises `InvalidName`.

        sts-policy-mx-value = ["*."] Domain

    `Domain` is that of RFC 5321 §4.1.2: letters, digits and hyphens, so no
    underscore, no trailing dot and no U-label.  That grammar would let an IPv4
    address through; this class does not, because no MX record names one
    (RFC 5321 §5.1).  What the constructor admits can stand in a Postfix match
    list as it is: no blank, no colon, no bracket, no leading dot, never empty.
    """

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        if type(text) is cls:
            return text
        return super().__new__(cls, _canonical(text))

    @property
    def is_wildcard(self) -> bool:
        return self.startswith("*.")

    @property
    def meaning(self) -> str:
        """In a few words, for people."""
        return f"any one label before {self[1:]}" if self.is_wildcard else "this host"

    def matches(self, host: HostName) -> bool:
        """Whether an MX host's name fits: equal, or one label in place of the ``*``.

        RFC 8461 §4.1: the wildcard stands for exactly one whole label, the
        leftmost; ``*.example.com`` fits neither ``example.com`` nor
        ``a.b.example.com``.  `HostName` has no trailing dot and no upper case.
        """
        if self.startswith("*."):
            return host.partition(".")[2] == self[2:]
        return str(self) == host


def parse_mx_pattern(text: str) -> MxPattern | Rejection:
    """Read the value of one ``mx`` line."""
    try:
        return MxPattern(text)
    except InvalidName as error:
        return error.rejection


def _canonical(text: str) -> str:
    def refuse(message: str, start: int, end: int) -> NoReturn:
        raise InvalidName(Rejection(text, start, end, message, _RULE, _SECTION))

    if not text:
        refuse("an MX pattern is missing", 0, 0)
    lead = 2 if text.startswith("*.") else 0
    domain = text[lead:]
    star = domain.find("*")
    if star >= 0:
        what = "only one whole label, the leftmost, may be '*', and a host name must follow it"
        refuse(what, lead + star, lead + star + 1)
    if not domain:
        refuse("a host name must follow '*.'", lead, lead)
    if domain.endswith("."):
        refuse("a pattern has no trailing dot: leave it away", len(text) - 1, len(text))
    host = parse_host_name(domain)
    if isinstance(host, Rejection):
        refuse(host.message, lead + host.start, lead + host.end)
    if not domain.isascii():
        cure = f"{text[:lead]}{host}"
        refuse(f"a pattern is written in A-labels (RFC 5891): '{cure}'", lead, len(text))
    if not host.is_strict:
        at = lead + domain.index("_")
        refuse("a pattern has letters, digits and hyphens only (RFC 5321 §4.1.2), no underscore", at, at + 1)
    return text[:lead] + host
