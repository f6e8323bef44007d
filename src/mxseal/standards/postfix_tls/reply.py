"""The reply of a lookup table, as socketmap writes it (proto/socketmap_table)."""

from typing import Final

import msgspec

from mxseal.standards.postfix_tls.dialects import StsPolicy
from mxseal.standards.postfix_tls.policy import TlsPolicy

_MAX_REASON: Final = 200


class Ok(msgspec.Struct, frozen=True, tag="ok"):
    """The table has this policy."""

    policy: TlsPolicy | StsPolicy

    def __str__(self) -> str:
        return f"OK {self.policy}"


class NotFound(msgspec.Struct, frozen=True, tag="not-found"):
    """The table has nothing: Postfix asks the next one, then falls back to its default level."""

    def __str__(self) -> str:
        # The blank belongs to the status (proto/socketmap_table).
        return "NOTFOUND "


class Temporary(msgspec.Struct, frozen=True, tag="temp"):
    """Not known now: Postfix defers the mail and asks again with the next attempt."""

    reason: str

    def __str__(self) -> str:
        """One line of printable ASCII, since Postfix logs the reason as it is."""
        shown = "".join(c if " " <= c <= "~" else "?" for c in self.reason[:_MAX_REASON])
        return f"TEMP {' '.join(shown.split()) or 'not known now'}"


Reply = Ok | NotFound | Temporary
