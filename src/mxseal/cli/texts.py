"""What the commands share that judge a single text: reading it, and showing the verdict."""

import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import click

from mxseal.cli.output import print_json
from mxseal.vocabulary.faults import DataFault, UnavailableFault
from mxseal.vocabulary.fields import as_text
from mxseal.vocabulary.rejection import Rejection, printable
from mxseal.vocabulary.saved import to_builtins


def text_of(argument: str) -> str:
    """An argument as a TXT record's octets are read; what is not UTF-8 came in as surrogates, which JSON lacks."""
    return as_text(argument.encode(errors="surrogateescape"))


def read_file(path: str, limit: int) -> bytes:
    """At most `limit` octets of a file, or of stdin for ``-``; a `Fault` says what is in the way."""
    shown = printable(path)
    try:
        if path == "-":
            return sys.stdin.buffer.read(limit)
        with open(path, "rb") as file:  # noqa: PTH123 - Path would not take the names that open takes
            return file.read(limit)
    except FileNotFoundError:
        raise UnavailableFault(f"no such file: {shown}", cure="'-' reads from stdin") from None
    except IsADirectoryError:
        raise DataFault(f"{shown} is a directory", cure="give the file itself") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UnavailableFault(f"cannot read {shown}: {printable(reason)}") from None


def read_time(text: str) -> datetime:
    """A time as somebody types it, UTC unless it says otherwise; raises `DataFault`."""
    try:
        time = datetime.fromisoformat(text.strip())
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError):
        raise DataFault(
            f"not a time: {printable(text, 60)!r}", cure="a time is like 2026-11-23 or 2026-11-23T12:00:00Z"
        ) from None


def accepted(
    kind: str,
    value: object,
    headline: str,
    rows: Sequence[tuple[str, str]],
    *,
    as_json: bool,
    extra: Mapping[str, object] | None = None,
) -> int:
    """Show a valid text's meaning; returns the exit code 0."""
    if as_json:
        body: Any = to_builtins(value)
        print_json(kind, {"valid": True, **body, **(extra or {})})
        return 0
    click.echo(headline)
    width = max((len(name) for name, _ in rows), default=0)
    for name, text in rows:
        click.echo(f"  {printable(name):<{width}}  {printable(text, 4000)}")
    return 0


def rejected(kind: str, rejection: Rejection, *, as_json: bool) -> int:
    """Show why a text is not valid: a caret on stderr, or JSON on stdout; returns the exit code 65."""
    if as_json:
        body: Any = to_builtins(rejection)
        place = {"line": rejection.line, "column": rejection.column}
        print_json(kind, {"valid": False, "rejection": {**body, **place}})
    else:
        click.echo(f"mxseal: not valid: {rejection.with_caret()}", err=True)
    return DataFault.exit_code
