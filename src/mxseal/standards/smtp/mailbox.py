"""Mail addresses as SMTP's commands have them (RFC 5321 §4.1.2, RFC 6531 §3.3)."""

import re
from typing import Final

import msgspec

from mxseal.vocabulary.names import Address, HostName, InvalidName, parse_host_name
from mxseal.vocabulary.rejection import Rejection

MAX_PATH: Final = 256
"""Octets of a path, angle brackets included (RFC 5321 §4.5.3.1.3)."""

# RFC 5321 §4.1.2:
#   Mailbox        = Local-part "@" ( Domain / address-literal )
#   Local-part     = Dot-string / Quoted-string
#   Dot-string     = Atom *("."  Atom)
#   Quoted-string  = DQUOTE *QcontentSMTP DQUOTE
#   QcontentSMTP   =  qtextSMTP / quoted-pairSMTP  ; %d32-33 / %d35-91 / %d93-126; %d92 %d32-126
# RFC 6531 §3.3 adds UTF8-non-ascii to atext and qtextSMTP.  The controls of U+0080 to U+009F and
# surrogates are left out: the first act on terminals, the second are no characters.
_BEYOND: Final = "\u00a0-\ud7ff\ue000-\U0010ffff"
_ATOM: Final = rf"[A-Za-z0-9!#$%&'*+/=?^_`{{|}}~{_BEYOND}-]+"
_DOT_STRING: Final = rf"{_ATOM}(?:\.{_ATOM})*"
_QUOTED_STRING: Final = rf'"(?:[ !#-\[\]-~{_BEYOND}]|\\[ -~])*"'
_LOCAL_PART: Final = re.compile(rf"(?:{_DOT_STRING}|{_QUOTED_STRING})\Z")
_MAILBOX: Final = re.compile(r"(?P<local>.*)@(?P<domain>[^@]*)\Z", re.DOTALL)


class Mailbox(msgspec.Struct, frozen=True):
    """One address; `str()` is what stands between the angle brackets of MAIL and RCPT."""

    local_part: str
    """As written, with its quotes where it has them; case counts (RFC 5321 §2.4)."""
    domain: HostName | Address
    """A domain, or the address of an address literal."""

    @property
    def is_ascii(self) -> bool:
        """Whether it can be sent without SMTPUTF8 (RFC 6531 §3.2); a domain always can, as A-labels."""
        return self.local_part.isascii()

    def __str__(self) -> str:
        if isinstance(self.domain, Address):
            tag = "IPv6:" if self.domain.version == 6 else ""
            return f"{self.local_part}@[{tag}{self.domain}]"
        return f"{self.local_part}@{self.domain}"


def parse_mailbox(text: str) -> Mailbox | Rejection:
    """Read an address without angle brackets and display name."""
    found = _MAILBOX.match(text)
    if found is None:
        return _reject(text, len(text), len(text), "an address has an '@' and a domain behind it")
    local_part = found["local"]
    if not _LOCAL_PART.match(local_part):
        return _reject(
            text,
            *found.span("local"),
            "a local part is words with dots between them, or a text in double quotes",
            rule="Local-part",
        )
    domain = _domain(text, *found.span("domain"))
    if isinstance(domain, Rejection):
        return domain
    mailbox = Mailbox(local_part, domain)
    if len(str(mailbox).encode()) + 2 > MAX_PATH:
        return _reject(
            text,
            0,
            len(text),
            f"an address has at most {MAX_PATH - 2} octets",
            rule="Path",
            section="§4.5.3.1.3",
        )
    return mailbox


def _domain(text: str, start: int, end: int) -> HostName | Address | Rejection:
    inner = text[start:end]
    if inner.startswith("[") and inner.endswith("]"):
        literal = inner[1:-1]
        # RFC 5321 §4.1.3: "IPv6:" stands before an IPv6 address, and only there.
        tagged = literal[:5].lower() == "ipv6:"
        try:
            address = Address(literal[5:] if tagged else literal)
        except InvalidName:
            return _reject(text, start, end, "no address literal", rule="address-literal", section="§4.1.3")
        if tagged != (address.version == 6):
            return _reject(
                text,
                start,
                end,
                "'IPv6:' stands before IPv6 addresses only",
                rule="address-literal",
                section="§4.1.3",
            )
        return address
    host = parse_host_name(inner)
    if isinstance(host, Rejection):
        return _reject(text, start + host.start, start + host.end, host.message, rule="Domain")
    return host


def _reject(
    text: str, start: int, end: int, message: str, *, rule: str = "Mailbox", section: str = "§4.1.2"
) -> Rejection:
    return Rejection(text, start, end, message, rule, f"RFC 5321 {section}")
