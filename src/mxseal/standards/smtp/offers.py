"""Which of a server's extensions matter to a message, and whether it can go there."""

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Final

import msgspec

_SIZE_VALUE: Final = re.compile(r"[0-9]{1,20}\Z")


class Unfit(StrEnum):
    """Why this server cannot be given this message at all."""

    TOO_LARGE = "too-large"
    """Larger than the server takes (RFC 1870 §6)."""
    NEEDS_8BITMIME = "needs-8bitmime"
    """Octets above 127, and a server that does not say that it takes them (RFC 6152 §3)."""
    NEEDS_SMTPUTF8 = "needs-smtputf8"
    """An internationalized address or header, and a server that knows none (RFC 6531 §3.5)."""


class Offers(msgspec.Struct, frozen=True, kw_only=True):
    """The extensions of the EHLO reply that a mail transaction uses."""

    size: int | None = None
    """The largest message in octets; None: not said (RFC 1870 §3: 0 says nothing either)."""
    declares_size: bool = False
    """Whether MAIL may say the size."""
    eight_bit: bool = False
    utf8: bool = False
    pipelining: bool = False


def read_offers(extensions: Mapping[str, tuple[str, ...]]) -> Offers:
    """From the keywords (upper case) of the EHLO reply and their parameters."""
    size = extensions.get("SIZE", ())
    limit = int(size[0]) if size and _SIZE_VALUE.match(size[0]) else 0
    return Offers(
        size=limit or None,
        declares_size="SIZE" in extensions,
        eight_bit="8BITMIME" in extensions,
        utf8="SMTPUTF8" in extensions,
        pipelining="PIPELINING" in extensions,
    )
