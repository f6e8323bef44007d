"""What all commands share in printing: JSON with a schema version, and consoles that know their place."""

import re
import sys
from typing import TYPE_CHECKING, Any, Final

import msgspec

from mxseal.vocabulary.saved import to_builtins

if TYPE_CHECKING:
    from rich.console import Console

SCHEMA_VERSION = 1

# JSON must escape the controls below U+0020 only (RFC 8259 §7).  DEL, the C1 controls (U+009B begins an
# escape sequence), line separators and what turns the direction of writing are inside of strings as well.
_ACTS_ON_TERMINALS: Final = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")


def print_json(kind: str, value: object, *, indent: int = 2) -> None:
    """One JSON document on stdout: ``schema_version`` and ``kind`` first, then the value's own keys."""
    sys.stdout.write(as_json(kind, value, indent=indent) + "\n")


def as_json(kind: str, value: object, *, indent: int = 0) -> str:
    """The same as text; with ``indent=0`` a single line, as ``--jsonl`` prints it."""
    body: Any = to_builtins(value)
    if not isinstance(body, dict):
        body = {"value": body}
    encoded = msgspec.json.encode({"schema_version": SCHEMA_VERSION, "kind": kind, **body})
    text = (msgspec.json.format(encoded, indent=indent) if indent else encoded).decode()
    return _ACTS_ON_TERMINALS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def console(*, stderr: bool = False) -> "Console":
    """A rich console: colour on a terminal only, NO_COLOR honoured, never wraps what is piped."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    return Console(
        stderr=stderr,
        highlight=False,
        markup=False,
        emoji=False,
        soft_wrap=not stream.isatty(),
    )
