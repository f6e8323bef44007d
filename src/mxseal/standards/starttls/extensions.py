"""The EHLO reply: which extensions a server offers (RFC 5321 §4.1.1.1)."""

import re
from typing import Final

import msgspec

from mxseal.standards.starttls.replies import Reply

# RFC 5321 §4.1.1.1:
#   ehlo-line      =  ehlo-keyword *( SP ehlo-param )
#   ehlo-keyword   =  (ALPHA / DIGIT) *(ALPHA / DIGIT / "-")
#   ehlo-param     =  1*(%d33-126)
# Runs of blanks and trailing blanks are taken as Postfix and Exim take them.
_EHLO_KEYWORD: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*\Z")


class Extension(msgspec.Struct, frozen=True):
    """One ehlo-line: the keyword in upper case, and its parameters as they came."""

    keyword: str
    parameters: tuple[str, ...] = ()


class Extensions(msgspec.Struct, frozen=True):
    """What an EHLO reply says: the server's own name, and its extensions in order."""

    domain: str = ""
    """The first word of the first line; not checked, and printable."""
    offered: tuple[Extension, ...] = ()

    def get(self, keyword: str) -> Extension | None:
        """The extension of this name, in whatever case (RFC 5321 §2.4), the first if it comes twice."""
        wanted = keyword.upper()
        return next((extension for extension in self.offered if extension.keyword == wanted), None)

    def __contains__(self, keyword: str) -> bool:
        """Whether it is offered."""
        return self.get(keyword) is not None


def parse_extensions(reply: Reply) -> Extensions:
    """Read a positive EHLO reply.

    Its first line is the server's name and greeting, never an extension, even if
    it says STARTTLS.  Lines that are no ehlo-line (the historic ``AUTH=LOGIN``,
    keywords that a middlebox has crossed out) offer nothing and are left out.
    """
    first, *rest = reply.lines or ("",)
    offered = []
    for line in rest:
        words = line.split()
        if words and _EHLO_KEYWORD.match(words[0]):
            offered.append(Extension(words[0].upper(), tuple(words[1:])))
    return Extensions(_first_word(first), tuple(offered))


def _first_word(line: str) -> str:
    return line.split(maxsplit=1)[0][:255] if line.strip() else ""
