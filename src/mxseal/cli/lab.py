"""``mxseal lab``: the small internet of `mxseal.lab`, kept running, and its table of scenarios."""

import os
import stat
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
import msgspec

from mxseal.cli.output import console, print_json
from mxseal.vocabulary.faults import StorageFault, UnavailableFault, UsageFault

if TYPE_CHECKING:
    from mxseal.lab import Lab, Scenario

DESCRIPTION: Final = "lab.json"
"""The file in a lab's directory that says where everything is."""


class LabDescription(msgspec.Struct, frozen=True, kw_only=True):
    """A running laboratory, as ``lab.json`` has it: what ``--lab`` reads."""

    pid: int
    resolver: str
    """IP:PORT."""
    forging_resolver: str
    """The same internet through an attacker who forges DNS answers."""
    smtp_port: int
    https_port: int
    dns_port: int
    ca_file: str
    trust_anchor: str
    domains: tuple[str, ...]

    def options(self) -> tuple[str, ...]:
        """The options that point any command at this laboratory."""
        return (
            *("--resolver", self.resolver),
            *("--trust-anchor", self.trust_anchor),
            *("--ca-file", self.ca_file),
            *("--smtp-port", str(self.smtp_port)),
            *("--https-port", str(self.https_port)),
            *("--dns-port", str(self.dns_port)),
            "--allow-private",
        )


@click.group()
def lab() -> None:
    """A small internet on loopback, with attackers, to try all of this."""


@lab.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def list_scenarios(as_json: bool) -> int:
    """Tell the laboratory's domains: how each is kept, and what a strict sender does."""
    from mxseal.lab.scenarios import SCENARIOS

    if as_json:
        print_json("lab-scenarios", {"scenarios": [_as_row(each) for each in SCENARIOS.values()]})
    else:
        _print_table(SCENARIOS.values(), with_sender=True)
    return 0


@lab.command("up")
@click.option(
    "--dir",
    "directory",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where to write lab.json, ca.pem, root.key and env.  [default: a directory of your own below /run or /tmp]",
)
@click.option(
    "--extra",
    type=click.IntRange(0, 9999),
    default=0,
    show_default=True,
    metavar="N",
    help="Add N well-kept domains, d0000.test and so on, for measurements.",
)
@click.option(
    "--attack",
    "attacks",
    multiple=True,
    metavar="DOMAIN=ATTACK",
    help="Let the attacker act on a domain from the start; several times if wanted.",
)
@click.option("--json", "as_json", is_flag=True, help="Print where everything is as one line of JSON.")
def up(directory: Path | None, extra: int, attacks: tuple[str, ...], as_json: bool) -> int:
    """Start the laboratory and keep it running until Ctrl-C.

    Attacks are: strip-starttls, refuse-starttls, inject, other-certificate,
    forge-dns, policy-host-down, tarpit.
    """
    import asyncio

    home = _own_directory(directory)
    wanted = [_parse_attack(text) for text in attacks]
    asyncio.run(_keep_up(home, extra, wanted, as_json))
    return 0


_LAB: Final = click.option(
    "--lab",
    "where",
    envvar="MXSEAL_LAB",
    default="auto",
    metavar="DIR|auto",
    help="The directory of the laboratory.  [env: MXSEAL_LAB]",
)


@lab.command("attack")
@click.argument("domain")
@click.argument("attack")
@_LAB
def attack_domain(domain: str, attack: str, where: str) -> int:
    """Let the attacker act on a domain of the laboratory that is up.

    ATTACK is one of strip-starttls, refuse-starttls, inject, other-certificate,
    forge-dns, policy-host-down, tarpit.  'mxseal lab calm' ends it.
    """
    from mxseal.lab.control import ask

    _parse_attack(f"{domain}={attack}")
    ask(_directory(where), "attack", domain, attack)
    sys.stdout.write(f"{attack} at {domain} until: mxseal lab calm {domain}\n")
    return 0


@lab.command("calm")
@click.argument("domain")
@_LAB
def calm_domain(domain: str, where: str) -> int:
    """End the attack on a domain, also one that its scenario began with."""
    from mxseal.lab.control import ask

    ask(_directory(where), "calm", domain)
    sys.stdout.write(f"nobody attacks {domain}\n")
    return 0


@lab.command("mail")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document, with the letters' contents.")
@_LAB
def list_mail(as_json: bool, where: str) -> int:
    """Show the letters that the laboratory's hosts have taken, and who could read them."""
    from mxseal.lab.control import ask
    from mxseal.vocabulary.rejection import printable

    letters = ask(_directory(where), "mail")
    if as_json:
        print_json("lab-mail", {"letters": letters})
        return 0
    for letter in letters:
        way = letter["tls"] or "in clear"
        read = "read by the attacker" if letter["attacker_read"] else "read by nobody else"
        to = ", ".join(letter["recipients"])
        sys.stdout.write(printable(f"{letter['sender']} → {to}  at {letter['host']}, {way}, {read}") + "\n")
    if not letters:
        sys.stdout.write("no letter has arrived yet\n")
    return 0


def _directory(where: str) -> Path:
    """The directory that ``--lab`` names; raises `UnavailableFault` if no laboratory is up there."""
    home = default_directory() if where == "auto" else Path(where)
    read_description(home)
    return home


async def _keep_up(home: Path, extra: int, attacks: list[tuple[str, Any]], as_json: bool) -> None:
    import asyncio
    import signal

    from mxseal.lab import Lab
    from mxseal.lab.control import serve

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with Lab(extra_domains=extra) as running:
        for domain, attack in attacks:
            try:
                running.attack(domain, attack)
            except KeyError:
                raise UsageFault(
                    f"--attack: the laboratory has no domain {domain!r}", cure="'mxseal lab list' tells them"
                ) from None
        control = await serve(running, home)
        description = _write(home, running)
        try:
            if as_json:
                print_json("lab", {"directory": str(home), **msgspec.to_builtins(description)}, indent=0)
            else:
                _print_ready(home, description, running)
            sys.stdout.flush()
            await stop.wait()
        finally:
            control.close()
            for name in _FILES:
                (home / name).unlink(missing_ok=True)
    if not as_json:
        sys.stdout.write("\nThe laboratory is closed.\n")


# --- the directory ---

_FILES: Final = (DESCRIPTION, "ca.pem", "root.key", "env", "control")


def default_directory() -> Path:
    """Where ``lab up`` writes and ``--lab auto`` looks: one place for each user."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime:
        return Path(runtime) / "mxseal-lab"
    return Path(tempfile.gettempdir()) / f"mxseal-lab-{os.getuid()}"


def read_description(directory: Path) -> LabDescription:
    """What is written about a running laboratory; raises `UnavailableFault` if there is none."""
    path = directory / DESCRIPTION
    try:
        text = path.read_bytes()
    except OSError as error:
        raise UnavailableFault(
            f"no laboratory is up: {path}: {error.strerror}", cure="start one:  mxseal lab up"
        ) from None
    try:
        found = msgspec.json.decode(text, type=LabDescription)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise UnavailableFault(
            f"{path} describes no laboratory: {error}", cure="stop it and start it again:  mxseal lab up"
        ) from None
    if not _is_alive(found.pid):
        raise UnavailableFault(
            f"the laboratory of {directory} is no longer up", cure="start it again:  mxseal lab up"
        )
    return found


def _own_directory(chosen: Path | None) -> Path:
    """The directory to write into: made if need be, and nobody else's."""
    home = (chosen or default_directory()).absolute()
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        about = home.lstat()
    except OSError as error:
        raise StorageFault(f"cannot make the directory {home}: {error.strerror}") from None
    # Below /tmp somebody else could have been here first, with a trust anchor of his own.
    if chosen is None and (about.st_uid != os.getuid() or not stat.S_ISDIR(about.st_mode)):
        raise StorageFault(f"{home} belongs to somebody else", cure="name another one with --dir")
    try:
        running = read_description(home)
    except UnavailableFault:
        return home
    raise UnavailableFault(
        f"a laboratory is already up there: {home} (process {running.pid})",
        cure="use it with --lab auto, or start a second one with --dir",
    )


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _write(home: Path, running: "Lab") -> LabDescription:
    (address, port), (forging, _) = running.resolver, running.forging_resolver
    description = LabDescription(
        pid=os.getpid(),
        resolver=f"{address}:{port}",
        forging_resolver=f"{forging}:{port}",
        smtp_port=running.smtp_port,
        https_port=running.https_port,
        dns_port=running.dns_port,
        ca_file=str(home / "ca.pem"),
        trust_anchor=str(home / "root.key"),
        domains=(*running.scenarios, *map(str, running.fleet)),
    )
    texts = {
        "ca.pem": running.ca_pem,
        "root.key": running.trust_anchor.encode(),
        "env": f"export MXSEAL_LAB='{home}'\n".encode(),
        # Last, because it says that the others are there.
        DESCRIPTION: msgspec.json.format(msgspec.json.encode(description), indent=2) + b"\n",
    }
    try:
        for name, text in texts.items():
            half = home / f".{name}.new"
            half.write_bytes(text)
            half.replace(home / name)
    except OSError as error:
        raise StorageFault(f"cannot write into {home}: {error.strerror}") from None
    return description


def _parse_attack(text: str) -> tuple[str, Any]:
    from mxseal.lab.attacks import Attack

    domain, equals, name = text.partition("=")
    if not equals:
        raise UsageFault(
            f"--attack {text!r}: not of the form DOMAIN=ATTACK", cure=_ATTACKS + ", ".join(Attack)
        )
    if name not in list(Attack):
        raise UsageFault(f"no such attack: {name!r}", cure=_ATTACKS + ", ".join(Attack))
    return domain, Attack(name)


_ATTACKS: Final = "attacks are: "

# --- what people see ---

_STYLES: Final = {"sealed": "green", "open": "yellow", "waits": "bold red", "returned": "dim"}


def _as_row(scenario: "Scenario") -> dict[str, Any]:
    return {
        "domain": scenario.name,
        "story": scenario.story,
        "sender": scenario.sender,
        "fate": str(scenario.fate),
        "findings": sorted(scenario.findings),
        "options": list(scenario.options),
    }


def _print_table(scenarios: "Iterable[Scenario]", *, with_sender: bool) -> None:
    from rich.table import Table
    from rich.text import Text

    out = console()
    rows = list(scenarios)
    if not out.is_terminal:
        for row in rows:
            sys.stdout.write(f"{row.name}\t{row.fate}\t{row.story}\n")
        return
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True, style="bold")
    table.add_column(no_wrap=True)
    table.add_column()
    for row in rows:
        cell = Text(row.story)
        if with_sender:
            cell.append(f"\n→ {row.sender}", "dim")
            if row.findings:
                cell.append("  " + " ".join(sorted(row.findings)), "cyan")
        table.add_row(row.name, Text(row.fate, _STYLES[row.fate]), cell)
    out.print(table)


def _print_ready(home: Path, description: LabDescription, running: "Lab") -> None:
    from rich.text import Text

    out = console()
    _print_table(running.scenarios.values(), with_sender=False)
    out.print()
    for label, value in (
        ("DNS resolver", description.resolver),
        ("  and forging", description.forging_resolver),
        ("SMTP, HTTPS", f"ports {description.smtp_port} and {description.https_port} of each host"),
        ("files", str(home)),
    ):
        out.print(Text.assemble((f"{label:<14}", "dim"), value))
    out.print()
    out.print(Text("Try, in another terminal:", "dim"))
    out.print(Text(f"  . {home}/env", "bold"))
    program = program_name()
    out.print(Text(f"  {program} check good-dane.test tlsa-mismatch.test", "bold"))
    out.print(Text(f"  {program} lab attack good-dane.test strip-starttls", "bold"))
    out.print(Text("or, without the environment:", "dim"))
    out.print(Text(f"  {program} check good-dane.test " + " ".join(description.options())), soft_wrap=True)
    out.print()
    out.print(Text(f"ready: {len(description.domains)} domains; Ctrl-C closes the laboratory", "green"))


def program_name() -> str:
    """How this program was called, if the bare name would not find it."""
    import shutil

    called = os.path.relpath(sys.argv[0]) if sys.argv[0].endswith("/mxseal") else "mxseal"
    return "mxseal" if shutil.which("mxseal") or called.startswith("..") else called
