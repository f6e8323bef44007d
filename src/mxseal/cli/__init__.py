"""The command line: who asks.

`main` is the entry point.  Each command lives in a module of its own that is
imported when the command is called, because start-up time is part of the
interface.  Faults become one line on stderr and an exit code of sysexits.h; a
traceback is never shown (``MXSEAL_DEBUG=1`` shows it).
"""

import errno
import importlib
import io
import os
import sys
from contextlib import suppress
from typing import Any, Final, NoReturn

import click

from mxseal._version import __version__
from mxseal.vocabulary.faults import Fault, StorageFault, UsageFault

COMMANDS: Final = {
    "check": "mxseal.cli.check:check",
    "config": "mxseal.cli.config:config",
    "dane": "mxseal.cli.dane:dane",
    "demo": "mxseal.cli.demo:demo",
    "dns": "mxseal.cli.dns:dns",
    "doctor": "mxseal.cli.doctor:doctor",
    "lab": "mxseal.cli.lab:lab",
    "send": "mxseal.cli.send:send",
    "serve": "mxseal.cli.serve:serve",
    "sts": "mxseal.cli.sts:sts",
    "tlsrpt": "mxseal.cli.tlsrpt:tlsrpt",
}
"""Command → where it lives."""

SUMMARIES: Final = {
    "check": "What would a strict sender see at a domain, what is wrong, which line mends it.",
    "config": "The configuration: check it, show what is in force.",
    "dane": "TLSA records: make them, verify a certificate chain against them.",
    "demo": "The whole story in under a minute, on a small internet of its own.",
    "dns": "DNS lookups with their DNSSEC status and the reason for it.",
    "doctor": "Look over this machine: resolver, clock, CA store, Postfix, kernel settings.",
    "lab": "A small internet on loopback, with attackers, to try all of this.",
    "send": "How must mail to a domain travel, and why; deliver it.",
    "serve": "Answer Postfix, Exim, Sendmail and others how mail must travel.",
    "sts": "MTA-STS records and policies: read and judge them.",
    "tlsrpt": "TLSRPT records: read and judge them.",
}


_CANNOT_WRITE: Final = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG)


class LazyGroup(click.Group):
    """Imports a command's module only when that command is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """From `SUMMARIES`, so that ``--help`` imports nothing."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, SUMMARIES[name]) for name in sorted(COMMANDS)])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            raise UsageFault(f"no such command: {args[0]!r}", cure=_nearest(args[0])) from error


def _nearest(word: str) -> str:
    import difflib

    close = difflib.get_close_matches(word, COMMANDS, n=1)
    return f"did you mean 'mxseal {close[0]}'?" if close else "'mxseal --help' lists the commands"


@click.group(
    cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(__version__, "-V", "--version", prog_name="mxseal")
def cli() -> None:
    """Transport security for e-mail, both ends of it: MTA-STS, DANE and TLSRPT."""


def main(argv: list[str] | None = None) -> NoReturn:
    """Run the command line and exit; exit codes as in docs/reference/exit-codes.md."""
    sys.exit(run(argv))


def run(argv: list[str] | None = None) -> int:
    """Run the command line and return the exit code; never raises, never shows a traceback."""
    for stream in (sys.stdout, sys.stderr):
        # In a locale without UTF-8 a sign that it lacks becomes "?", and not an error.
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="replace")
    try:
        result: Any = cli.main(args=argv, prog_name="mxseal", standalone_mode=False)
        sys.stdout.flush()
    except click.exceptions.Abort:
        return 130
    except click.ClickException as error:
        return _complain(UsageFault(error.format_message(), cure=_usage_cure(error)))
    except Fault as fault:
        return _complain(fault)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader (head, less) has gone.
        _give_up_stdout()
        return 141
    except Exception as error:
        if os.environ.get("MXSEAL_DEBUG"):
            raise
        return _complain(_unexpected(error))
    return result if isinstance(result, int) else 0


def _unexpected(error: Exception) -> Fault:
    """A full disk behind our stdout, or a bug of ours."""
    if isinstance(error, OSError) and error.errno in _CANNOT_WRITE:
        _give_up_stdout()
        return StorageFault(f"the output cannot be written: {error.strerror}")
    return Fault(
        f"internal error: {type(error).__name__}: {error}",
        cure="please report it, with the output of the same call with MXSEAL_DEBUG=1 set",
    )


def _give_up_stdout() -> None:
    """Keep the interpreter from complaining at exit of what it cannot write any more."""
    with suppress(OSError, ValueError):  # where a test has put something else in its place
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _usage_cure(error: click.ClickException) -> str:
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "mxseal"
    return f"'{path} --help' tells how it is called"


def _complain(fault: Fault) -> int:
    sys.stderr.write(f"mxseal: {_safe(str(fault))}\n")
    if fault.cure:
        sys.stderr.write(f"        {_safe(fault.cure)}\n")
    if os.environ.get("MXSEAL_DEBUG"):
        import traceback

        traceback.print_exception(fault)
    return fault.exit_code


def _safe(message: str) -> str:
    """A message may quote anybody; its lines are ours, nothing else in it acts on a terminal."""
    from mxseal.vocabulary.rejection import printable

    return "\n".join(printable(line, 2000) for line in message.split("\n"))
