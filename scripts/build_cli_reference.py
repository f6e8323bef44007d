"""Writes docs/reference/cli.md from the commands themselves; with --check only says whether it would change."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from mxseal.cli import COMMANDS, SUMMARIES, cli

TARGET = Path(__file__).parent.parent / "docs/reference/cli.md"

HEAD = """\
# Commands

<!-- Written by scripts/build_cli_reference.py; do not edit. -->

`mxseal COMMAND --help` tells the same in the terminal; [exit codes](exit-codes.md) are the same for all.
"""


def reference() -> str:
    """The whole page."""
    parts = [HEAD, "| command | |\n|---|---|"]
    parts[-1] += "".join(
        f"\n| [`mxseal {name}`](#mxseal-{name}) | {SUMMARIES[name]} |" for name in sorted(COMMANDS)
    )
    for name in sorted(COMMANDS):
        module, _, attribute = COMMANDS[name].partition(":")
        command = getattr(importlib.import_module(module), attribute)
        context = click.Context(cli, info_name="mxseal")
        parts += list(section(command, click.Context(command, info_name=name, parent=context), depth=2))
    return "\n\n".join(part.strip() for part in parts) + "\n"


def section(command: click.Command, context: click.Context, depth: int) -> Iterator[str]:
    """One command: heading, usage, text, options; then its subcommands."""
    yield f"{'#' * depth} {context.command_path}"
    if not isinstance(command, click.Group):
        usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
        yield f"```\n{usage}\n```"
    if command.help:
        yield paragraphs(command.help)
    rows = [row for parameter in command.get_params(context) if (row := option(parameter, context))]
    if rows and not isinstance(command, click.Group):
        yield "| option | |\n|---|---|\n" + "\n".join(rows)
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            if child is not None and not child.hidden:
                yield from section(child, click.Context(child, info_name=name, parent=context), depth + 1)


def paragraphs(text: str) -> str:
    r"""A paragraph that begins with \b keeps its lines (so says click)."""
    shown = []
    for paragraph in text.strip().split("\n\n"):
        lines = paragraph.splitlines()
        if lines and lines[0].strip() == "\b":
            shown.append("\n".join(f"    {line}" for line in lines[1:]))
        else:
            shown.append(" ".join(line.strip() for line in lines))
    return "\n\n".join(shown)


def option(parameter: click.Parameter, context: click.Context) -> str:
    record = parameter.get_help_record(context)
    if record is None:
        return ""
    name, text = (part.replace("|", "\\|") for part in record)
    return f"| `{name}` | {' '.join(text.split())} |"


def main(arguments: list[str]) -> int:
    text = reference()
    if arguments == ["--check"]:
        return int(not TARGET.exists() or TARGET.read_text(encoding="utf-8") != text)
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    TARGET.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
