"""What `mxseal check` has to say."""

from enum import StrEnum

import msgspec


class Severity(StrEnum):
    """How much it matters to mail."""

    BROKEN = "broken"
    """Mail is lost or waits at senders that follow the standards."""
    OPEN = "open"
    """Mail flows, but an attacker in the path can read or take it."""
    WARNING = "warning"
    """It works, and will break or is weaker than meant."""
    NOTE = "note"
    """Worth knowing; nothing has to be done."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that `check` found.

    `id` is stable over releases; the catalogue (`decisions.checkup.catalogue`)
    holds its title, explanation and RFC section.
    """

    id: str
    severity: Severity
    subject: str
    """What it is about: a domain, an MX host, an address."""
    sentence: str
    cure: str = ""
    """A line to paste (a DNS record, a command, a line of configuration), or what to do."""
    section: str = ""
    on: str = ""
    """ISO date on which it breaks, for findings about the future."""
    evidence: tuple[str, ...] = ()
    """Details, one line each."""
