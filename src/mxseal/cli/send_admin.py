"""``mxseal send dump|export|purge|refresh|status``: the administrator asks the running `mxseal serve`."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mxseal.cli.config import config_option
from mxseal.cli.output import as_json as json_line
from mxseal.cli.output import print_json
from mxseal.vocabulary.faults import DataFault, UsageFault

if TYPE_CHECKING:
    from mxseal.decisions.schedule import PolicyState

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.command()
@config_option
@click.option("--jsonl", is_flag=True, help="Print one JSON object a line, with all that is kept.")
def dump(file: Path | None, jsonl: bool) -> int:
    """All MTA-STS policies that the service keeps, by domain."""
    for item in _ask(file, "dump"):
        if jsonl:
            click.echo(json_line("policy-state", item))
        else:
            click.echo(_row(_state(item)))
    return 0


@click.command()
@config_option
def export(file: Path | None) -> int:
    """The policies that are enforced now, as a table for Postfix.

    For instance as texthash: map behind the service in smtp_tls_policy_maps, so that
    mail is as safe while the service is away. DANE is not in it: its records end within
    the hour. Write it to a file again every day, since policies end.
    """
    from mxseal.adapters.clock import SystemClock
    from mxseal.standards.mta_sts import Mode
    from mxseal.standards.postfix_tls import secure
    from mxseal.vocabulary.rejection import Rejection

    now = SystemClock().now()
    for item in _ask(file, "dump"):
        cached = _state(item).cached
        if cached is None or cached.policy.mode is not Mode.ENFORCE or cached.expires <= now:
            continue
        policy = secure(cached.policy.mx)
        if not isinstance(policy, Rejection):
            click.echo(f"{item['domain']:<30} {policy}")
    return 0


@click.command()
@click.argument("domains", metavar="DOMAIN...", nargs=-1, required=True)
@config_option
@json_option
def purge(domains: tuple[str, ...], file: Path | None, as_json: bool) -> int:
    """Forget the policy of DOMAIN.

    That lets mail flow again where a domain has lost its policy host and its policy is
    wrong; it also is what an attacker would want, so look twice.

    Exit codes: 0 forgotten, 1 nothing was kept about one of them.
    """
    missing = 0
    for domain in map(_domain, domains):
        (item,) = _ask(file, "purge", domain)
        missing += not item["kept"]
        if as_json:
            print_json("purged", item, indent=0)
        else:
            click.echo(f"{domain}: {'forgotten' if item['kept'] else 'nothing was kept'}")
    return int(bool(missing))


@click.command()
@click.argument("domains", metavar="DOMAIN...", nargs=-1, required=True)
@config_option
@json_option
def refresh(domains: tuple[str, ...], file: Path | None, as_json: bool) -> int:
    """Fetch the policy of DOMAIN now.

    A fetch that fails changes nothing: the policy that is kept holds until its max_age
    is over.

    Exit codes: 0 fetched, 1 a policy could not be fetched, or is not announced.
    """
    failed = 0
    for domain in map(_domain, domains):
        (item,) = _ask(file, "refresh", domain)
        failed += not item["fetched"]
        if as_json:
            print_json("refreshed", item, indent=0)
        else:
            click.echo(f"{domain}: {'fetched' if item['fetched'] else item['detail']}")
    return int(bool(failed))


@click.command()
@click.argument("next_hop", metavar="NEXT-HOP")
@config_option
@json_option
def ask(next_hop: str, file: Path | None, as_json: bool) -> int:
    """What the running service tells MTAs about NEXT-HOP, and why.

    As 'send explain', but with the policy that the service keeps, and the overrides
    that it knows: what a mail that waits is really waiting for.

    Exit codes: 0 there is an answer, 75 mail has to wait.
    """
    (item,) = _ask(file, "explain", next_hop)
    if as_json:
        print_json("service-answer", item)
    else:
        for line in item["lines"]:
            click.echo(line)
        click.echo()
        if item["override"]:
            click.echo("An override goes before all of that.")
        click.echo(f"The service answers: {item['answer']}")
        if item["store_trouble"]:
            click.echo(f"Its policy store is in trouble: {item['store_trouble']}")
    return 75 if item["answer"].startswith("TEMP") else 0


@click.command()
@config_option
@json_option
def status(file: Path | None, as_json: bool) -> int:
    """How the running service is."""
    (item,) = _ask(file, "status")
    if as_json:
        print_json("service-status", item)
        return 0
    click.echo(f"mxseal {item['version']}")
    for place in item["listening"]:
        click.echo(f"  {place}")
    click.echo(f"  {item['connections']} connections, {item['answered']} questions answered")
    click.echo(f"  {item['ready']} answers ready, {item['overrides']} overrides")
    if item["store_trouble"]:
        click.echo(f"  policy store: {item['store_trouble']}")
    return 0


def _ask(file: Path | None, command: str, domain: str = "") -> Iterator[Any]:
    import msgspec

    from mxseal.config import load
    from mxseal.daemon.control import Command, request
    from mxseal.wiring import control_socket

    wanted = msgspec.convert({"command": command, "domain": domain}, Command)
    return request(control_socket(load(file)), wanted)


def _domain(text: str) -> str:
    from mxseal.vocabulary.names import parse_host_name
    from mxseal.vocabulary.rejection import Rejection

    domain = parse_host_name(text)
    if isinstance(domain, Rejection):
        raise UsageFault(f"no domain: {domain.with_caret()}", cure="give a domain, for instance example.com")
    return str(domain)


def _state(item: object) -> "PolicyState":
    import msgspec

    from mxseal.decisions.schedule import PolicyState
    from mxseal.vocabulary.saved import from_json

    try:
        return from_json(PolicyState, msgspec.json.encode(item), source="the service's answer")
    except DataFault as fault:
        raise DataFault(str(fault), cure="is the running service of another version?") from None


def _row(state: "PolicyState") -> str:
    cached = state.cached
    if cached is None:
        return f"{state.domain:<30} no policy yet   {state.failure or 'nothing was fetched'}"
    policy = cached.policy
    trouble = f"   {state.failures} failed: {state.failure}" if state.failures else ""
    until = f"{cached.expires:%Y-%m-%d %H:%M} UTC"
    return f"{state.domain:<30} {policy.mode:<8} until {until}   {' '.join(policy.mx)}{trouble}"
