"""Writes docs/reference/configuration.md from the settings' structs; with --check only says whether it would change."""

import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec.inspect as kinds

from mxseal import config

TARGET = Path(__file__).parent.parent / "docs/reference/configuration.md"

HEAD = """\
# Configuration

<!-- Written by scripts/build_configuration_reference.py; do not edit. -->

Everything has a default, so there may be no configuration at all. What there is, is read in this
order, and what comes later goes before:

1. `/etc/mxseal/mxseal.toml`, or `~/.config/mxseal/mxseal.toml` for a user who has one; another file
   with `--config FILE` or `MXSEAL_CONFIG`
2. `conf.d/*.toml` beside it, in the order of their names
3. the environment: `MXSEAL_SERVE__SOCKETMAP` is the key `socketmap` of the section `[serve]`; values of
   a list are separated by blanks or commas

A key that is not known is refused, with file and line. `mxseal config check` tells whether all is in
order, `mxseal config show` what is in force and where it comes from.

An address to listen at is written `HOST:PORT`, `[IPv6]:PORT`, or as the absolute path of a unix socket.
"""


def reference() -> str:
    """The whole page."""
    return "\n".join(part.rstrip() for part in parts()) + "\n"


def parts() -> Iterator[str]:
    yield HEAD
    for section, struct in config.sections().items():
        yield f"## [{section}]\n\n{struct.__doc__}\n"
        yield "| key | kind | default | |\n|---|---|---|---|"
        for key, field in config.fields_of(section).items():
            text = config.description(section, key).replace("|", "\\|")
            yield f"| `{key}` | {kind_of(field.type)} | `{config.as_toml(field.default)}` | {text} |"
        yield ""


def kind_of(kind: kinds.Type) -> str:
    """In words."""
    match kind:
        case kinds.BoolType():
            return "`true` or `false`"
        case kinds.IntType() | kinds.FloatType():
            name = "whole number" if isinstance(kind, kinds.IntType) else "number"
            return f"{name}, {kind.ge} to {kind.le}"
        case kinds.LiteralType():
            return " or ".join(f"`{value}`" for value in kind.values)
        case kinds.VarTupleType():
            return "list of addresses" if isinstance(kind.item_type, kinds.CustomType) else "list of texts"
        case kinds.StrType():
            return "text"
    raise TypeError(kind)


def main(arguments: list[str]) -> int:
    text = reference()
    if arguments == ["--check"]:
        return int(not TARGET.exists() or TARGET.read_text(encoding="utf-8") != text)
    TARGET.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
