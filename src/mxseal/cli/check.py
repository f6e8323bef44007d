"""``mxseal check``: what would a strict sender see at a domain, what is wrong, which line mends it."""

import os
import stat
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from contextlib import aclosing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

import click

from mxseal.cli.options import world_options
from mxseal.cli.output import as_json, print_json
from mxseal.vocabulary.faults import DataFault, StorageFault, UnavailableFault, UsageFault
from mxseal.vocabulary.names import HostName, parse_host_name
from mxseal.vocabulary.rejection import Rejection, printable
from mxseal.wiring import WorldSettings

if TYPE_CHECKING:
    from mxseal.decisions.checkup import Judgement
    from mxseal.journeys.examine_domain import Examiner
    from mxseal.vocabulary.observations import Evidence
    from mxseal.wiring import World

_MAX_LINE: Final = 64 << 20
"""Octets of one line of saved evidence; real ones have some ten thousand."""
_MAX_NAME: Final = 4096
"""Octets of one line of a list of domains."""
_MAX_WRONG: Final = 1000
"""A file with more lines that are no domains is no list of domains."""
_FILES_EACH: Final = 24
"""Sockets that one domain can need at the same time."""
_OTHER_FILES: Final = 128
"""Sessions with MX hosts, which are bounded by themselves, and our own files."""
_FILE: Final = click.Path(dir_okay=False, allow_dash=True, path_type=Path)


@click.command()
@click.argument("domains", metavar="[DOMAIN]…", nargs=-1)
@click.option("--from", "source", type=_FILE, metavar="FILE|-", help="Read domains from a file, one a line.")
@click.option("--json", "output", flag_value="json", help="Print one JSON document.")
@click.option(
    "--jsonl",
    "output",
    flag_value="jsonl",
    help="Print one line of JSON for each domain as soon as it is known.",
)
@click.option("--all-servers", is_flag=True, help="Ask every authoritative server, and compare.")
@click.option("--save", type=_FILE, metavar="FILE", help="Write what was observed, one line a domain.")
@click.option("--replay", type=_FILE, metavar="FILE|-", help="Judge saved observations; nothing is asked.")
@click.option(
    "--at",
    metavar="TIME|now",
    help="With --replay: judge for this time.  [default: when it was observed]",
)
@click.option(
    "--previous", type=_FILE, metavar="FILE", help="Saved observations of an earlier check, to compare with."
)
@click.option("--strict", is_flag=True, help="Warnings count as findings for the exit code.")
@click.option(
    "--jobs",
    type=click.IntRange(1, 1000),
    default=24,
    show_default=True,
    help="Domains that are examined at the same time.",
)
@click.option("--explain", metavar="ID", help="Explain a finding, or list them with 'all'.")
@world_options
def check(
    *,
    domains: tuple[str, ...],
    source: Path | None,
    output: str | None,
    all_servers: bool,
    save: Path | None,
    replay: Path | None,
    at: str | None,
    previous: Path | None,
    strict: bool,
    jobs: int,
    explain: str | None,
    world: WorldSettings,
) -> int:
    """What would a strict sender see at DOMAIN, what is wrong, which line mends it.

    Every address of every MX host is connected to, up to the TLS handshake; no
    mail is sent.

    Exit codes: 0 nothing is wrong (notes, and warnings without --strict), 1 a
    domain is open or broken, 65 a line of FILE is no domain (the others are
    examined), 64 to 78 as docs/reference/exit-codes.md tells.
    """
    if explain is not None:
        from mxseal.cli.explain_finding import explain_finding

        explain_finding(explain, as_document=output is not None)
        return 0
    import asyncio

    wrong: list[str] = []
    earlier = {e.domain: e for e in read_evidence(previous)} if previous is not None else {}
    if replay is not None:
        if domains or source is not None:
            raise UsageFault(
                "--replay takes its domains from the file", cure="leave the other domains away, or --replay"
            )
        if save is not None or all_servers:
            raise UsageFault(
                "--replay asks nobody, so there is nothing to save",
                cure="leave --save and --all-servers away",
            )
        run = _replayed(replay, world, earlier, None if at is None else _moment(at))
        total = 0
    elif at is not None:
        raise UsageFault("--at needs saved observations", cure="--replay FILE --at TIME")
    else:
        names, wrong = _names(domains, source)
        for line in wrong:
            click.echo(f"mxseal: {line}", err=True)
        total = len(names)
        run = _examined(names, world, earlier, all_servers=all_servers, jobs=jobs, save=save)
    code = asyncio.run(_run(run, output, total, strict=strict))
    return DataFault.exit_code if wrong else code


def _moment(text: str) -> datetime:
    from mxseal.adapters.clock import SystemClock
    from mxseal.cli.texts import read_time

    return SystemClock().now() if text == "now" else read_time(text)


# --- which domains -----------------------------------------------------------------------------------


def _names(domains: Sequence[str], source: Path | None) -> tuple[list[HostName], list[str]]:
    """From the command line, then from the file, each once; and what is wrong with other lines of the file.

    Raises for what is no name on the command line, or if nothing is left.
    """
    names: dict[HostName, None] = {}
    wrong: list[str] = []
    for text in domains:
        name = parse_host_name(text)
        if isinstance(name, Rejection):
            raise UsageFault(
                f"'{printable(text, 80)}' is no domain: {name.message}",
                cure="give a name such as example.com",
            )
        names[name] = None
    if source is not None:
        for number, line in enumerate(_lines(source), 1):
            text = line.partition("#")[0].strip()
            if not text:
                continue
            name = parse_host_name(text)
            if isinstance(name, Rejection):
                # One slip in ten thousand lines must not cost the other lines.
                wrong.append(f"{source}, line {number}: '{printable(text, 80)}' is no domain: {name.message}")
            else:
                names[name] = None
            if len(wrong) > _MAX_WRONG:
                break
    if wrong and (not names or len(wrong) > _MAX_WRONG):
        raise DataFault(wrong[0], cure="one domain a line; '#' begins a comment")
    if not names:
        raise UsageFault("no domain is given", cure="mxseal check example.com, or --from FILE")
    return list(names), wrong


def _lines(path: Path) -> Iterator[str]:
    with _reading(path) as file:
        while line := file.readline(_MAX_NAME):
            yield line.decode("utf-8", "replace").lstrip("\ufeff")
            while len(line) == _MAX_NAME and not line.endswith(b"\n"):
                line = file.readline(_MAX_NAME)


@contextmanager
def _reading(path: Path) -> Iterator[IO[bytes]]:
    """The file, or stdin for ``-``; raises `DataFault` with the path if it cannot be read."""
    if str(path) == "-":
        yield sys.stdin.buffer
        return
    try:
        with path.open("rb") as file:
            yield file
    except OSError as error:
        raise DataFault(f"{path}: {error.strerror or error}", cure="give a file that can be read") from None


def read_evidence(path: Path) -> "Iterator[Evidence]":
    """Saved evidence, line by line; raises `DataFault` naming file and line."""
    from mxseal.vocabulary.observations import Evidence
    from mxseal.vocabulary.saved import from_json

    found = False
    with _reading(path) as file:
        number = 0
        while line := file.readline(_MAX_LINE):
            number += 1
            if line.strip():
                found = True
                evidence = from_json(Evidence, line, source=f"{path}, line {number}")
                # Other times are nonsense, and sums with them leave the calendar.
                if not 2000 <= evidence.at.year < 3000:
                    raise DataFault(
                        f"{path}, line {number}: observed in the year {evidence.at.year}",
                        cure="give a file that 'mxseal check --save' has written",
                    )
                yield evidence
    if not found:
        raise DataFault(
            f"{path}: nothing is in it", cure="give a file that 'mxseal check --save' has written"
        )


# --- the work ----------------------------------------------------------------------------------------


async def _replayed(
    path: Path, settings: WorldSettings, earlier: "dict[HostName, Evidence]", at: datetime | None
) -> "AsyncGenerator[tuple[int, Judgement]]":
    from mxseal.decisions.checkup import judge
    from mxseal.standards.certificate import Roots
    from mxseal.wiring import open_world

    async with open_world(settings) as world:
        for number, evidence in enumerate(read_evidence(path)):
            # The same verdict as then: by the roots of then, where it had some of its own.
            given = settings.ca_file is None and evidence.roots is not None
            roots = Roots(evidence.roots or ()) if given else world.judging_roots
            yield (
                number,
                judge(evidence, at or evidence.at, roots=roots, previous=earlier.get(evidence.domain)),
            )


async def _examined(
    names: Sequence[HostName],
    settings: WorldSettings,
    earlier: "dict[HostName, Evidence]",
    *,
    all_servers: bool,
    jobs: int,
    save: Path | None,
) -> "AsyncGenerator[tuple[int, Judgement]]":
    """Judgements as they become known, with the domain's place in `names`."""
    from mxseal.decisions.checkup import judge
    from mxseal.wiring import open_world

    async with open_world(settings) as world:
        await _demand_resolver(world)
        examiner = world.examiner(all_servers=all_servers)
        with _saving(save) as keep:
            async for number, evidence in _at_once(examiner, names, _afford(jobs)):
                keep(evidence)
                yield (
                    number,
                    judge(
                        evidence,
                        evidence.at,
                        roots=world.judging_roots,
                        previous=earlier.get(evidence.domain),
                    ),
                )


def affordable(jobs: int, files: int) -> int:
    """How many domains at the same time so many open files are enough for; at least one.

    Without this limit a lookup would fail for want of a socket, and be taken for the domain's fault.
    """
    return max(1, min(jobs, (files - _OTHER_FILES) // _FILES_EACH))


def _afford(jobs: int) -> int:
    """The same for this process, its limit raised as far as that is allowed and needed."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _OTHER_FILES + jobs * _FILES_EACH
    if 0 <= soft < wanted:
        soft = wanted if hard < 0 else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return jobs if soft < 0 else affordable(jobs, soft)


async def _at_once(
    examiner: "Examiner", names: Sequence[HostName], jobs: int
) -> "AsyncIterator[tuple[int, Evidence]]":
    """At most `jobs` examinations at the same time; in the order in which they end."""
    import asyncio

    waiting = iter(enumerate(names))
    running: dict[asyncio.Task[Evidence], int] = {}

    def start() -> None:
        while len(running) < jobs and (following := next(waiting, None)) is not None:
            number, name = following
            running[asyncio.ensure_future(examiner.examine(name))] = number

    try:
        start()
        while running:
            done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                number = running.pop(task)
                start()
                yield number, task.result()
    finally:
        for task in running:
            task.cancel()


async def _demand_resolver(world: "World") -> None:
    """Without DNS every domain would look broken, so that is found out first."""
    from mxseal.vocabulary.observations import RecordType, Security

    root = await world.resolver.resolve(".", RecordType.NS)
    if root.security is Security.BOGUS:
        raise UnavailableFault(
            f"DNSSEC does not work here: {root.reason}",
            cure="name a resolver that passes DNSSEC records on with --resolver; 'mxseal doctor' tells more",
        )
    if root.failed:
        raise UnavailableFault(
            f"no DNS resolver answers: {root.reason}",
            cure="name one that does with --resolver IP[:PORT]; 'mxseal doctor' tells more",
        )


@contextmanager
def _saving(path: Path | None) -> "Iterator[Callable[[Evidence], None]]":
    """A function that writes evidence to `path`, or does nothing."""
    if path is None:
        yield lambda _: None
        return
    from mxseal.vocabulary.saved import to_json

    if str(path) == "-":
        raise UsageFault("--save needs a file", cure="--save evidence.jsonl")
    try:
        file = path.open("wb")
    except OSError as error:
        raise StorageFault(
            f"{path}: {error.strerror or error}", cure="name a file that can be written"
        ) from None
    with file:
        yield lambda evidence: _write_line(file, path, to_json(evidence))


def _write_line(file: IO[bytes], path: Path, line: bytes) -> None:
    try:
        file.write(line + b"\n")
        file.flush()
    except OSError as error:
        raise StorageFault(f"{path}: {error.strerror or error}") from None


# --- what is printed ---------------------------------------------------------------------------------


async def _run(
    run: "AsyncGenerator[tuple[int, Judgement]]", output: str | None, total: int, *, strict: bool
) -> int:
    # Closed here and now, also if the reader of our output goes away.
    async with aclosing(run):
        return await _print(run, output, total, strict=strict)


async def _print(
    run: "AsyncIterator[tuple[int, Judgement]]", output: str | None, total: int, *, strict: bool
) -> int:
    """Print the judgements as they come, and return the exit code."""
    from mxseal.decisions.checkup import needs_action

    found = False
    with _progress(total, output) as advance:
        if output == "jsonl":
            async for _, judgement in run:
                found |= needs_action(judgement, strict=strict)
                sys.stdout.write(as_json("check", judgement) + "\n")
                sys.stdout.flush()  # whoever reads from the pipe gets it now, as the help says
                advance()
        elif output == "json":
            known: dict[int, Judgement] = {}
            async for number, judgement in run:
                found |= needs_action(judgement, strict=strict)
                known[number] = judgement
                advance()
            print_json("checks", {"domains": [known[number] for number in sorted(known)]})
        else:
            found = await _print_for_people(run, advance, strict=strict)
    return 1 if found else 0


async def _print_for_people(
    run: "AsyncIterator[tuple[int, Judgement]]", advance: Callable[[], None], *, strict: bool
) -> bool:
    """In the order of the command line, each as soon as those before it are printed."""
    from mxseal.cli.output import console
    from mxseal.cli.render import render
    from mxseal.decisions.checkup import needs_action

    out = console()
    found = False
    waiting: dict[int, Judgement] = {}
    following = 0
    async for number, judgement in run:
        found |= needs_action(judgement, strict=strict)
        waiting[number] = judgement
        advance()
        while following in waiting:
            if following:
                out.print()
            render(out, waiting.pop(following))
            following += 1
    return found


def _shares_the_terminal(output: str | None) -> bool:
    """Whether results may come to the terminal while the bar is there, also by way of ``| less`` or ``| jq``."""
    if output == "json":  # comes after the bar has gone
        return False
    return sys.stdout.isatty() or stat.S_ISFIFO(os.fstat(sys.stdout.fileno()).st_mode)


@contextmanager
def _progress(total: int, output: str | None) -> Iterator[Callable[[], None]]:
    """A progress bar on stderr, if that is a terminal and there is something to wait for."""
    if total < 2 or not sys.stderr.isatty() or _shares_the_terminal(output):
        yield lambda: None
        return
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    from mxseal.cli.output import console

    columns = (
        TextColumn("checking"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    # Left alone, rich would send our stdout to the bar's console.
    own = Progress(
        *columns, console=console(stderr=True), transient=True, redirect_stdout=False, redirect_stderr=False
    )
    with own as progress:
        task = progress.add_task("checking", total=total)
        yield lambda: progress.advance(task)
