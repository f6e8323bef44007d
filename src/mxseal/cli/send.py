"""``mxseal send``: how mail to a domain must travel, and why."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mxseal.cli.options import world_options
from mxseal.cli.output import print_json
from mxseal.cli.postfix_config import postfix_config
from mxseal.cli.send_admin import ask, dump, export, purge, refresh, status
from mxseal.vocabulary.faults import UsageFault
from mxseal.wiring import WorldSettings

if TYPE_CHECKING:
    from mxseal.decisions.delivery import Mixed
    from mxseal.journeys.deliver import Delivery
    from mxseal.journeys.discover_delivery import Discovery
    from mxseal.vocabulary.names import NextHop

MAIL_WAITS = 75
"""Exit code (EX_TEMPFAIL): there is no answer now, and mail waits."""


@click.group()
def send() -> None:
    """How must mail to a domain travel, and why."""


for command in (ask, dump, export, postfix_config, purge, refresh, status):
    send.add_command(command)


@send.command()
@click.argument("next_hop", metavar="DOMAIN")
@click.option(
    "--mixed",
    type=click.Choice(["sts", "dane-only"]),
    default="sts",
    show_default=True,
    help="What an MTA is told where MTA-STS enforces and only some MX hosts have DANE.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@world_options
def explain(next_hop: str, mixed: "Mixed", as_json: bool, world: WorldSettings) -> int:
    """Why mail to DOMAIN travels as it does, or why it waits.

    DOMAIN is a next-hop as Postfix writes it: example.com, example.com:587,
    [mx.example.com]:587.  Nothing is sent anywhere; DNS and the policy host
    are asked, and the MX hosts are not.

    Exit codes: 0 there is an answer, 75 mail has to wait.
    """
    import asyncio

    from mxseal.decisions.delivery import Course, Kind

    discovery = asyncio.run(_discover(_parse(next_hop), mixed, world))
    if as_json:
        print_json("delivery-explanation", _as_builtins(discovery))
    else:
        from mxseal.cli.explanation import lines

        for line in lines(discovery):
            click.echo(line)
    decision = discovery.decision
    waits = decision.answer.kind is Kind.TEMP or decision.course is Course.DEFER
    return MAIL_WAITS if waits else 0


def _parse(text: str) -> "NextHop":
    from mxseal.vocabulary.names import parse_next_hop
    from mxseal.vocabulary.rejection import Rejection

    parsed = parse_next_hop(text)
    if isinstance(parsed, Rejection):
        raise UsageFault(
            f"no next-hop: {parsed.with_caret()}",
            cure="give a domain (example.com, example.com:587) or a host in brackets ([mx.example.com]:587)",
        )
    return parsed


async def _discover(next_hop: "NextHop", mixed: "Mixed", settings: WorldSettings) -> "Discovery":
    from mxseal.journeys.discover_delivery import discover_delivery
    from mxseal.wiring import open_world

    async with open_world(settings) as world:
        return await discover_delivery(
            next_hop,
            resolver=world.resolver,
            policy_hosts=world.policy_hosts,
            clock=world.clock,
            mixed=mixed,
        )


def _as_builtins(discovery: "Discovery") -> dict[str, Any]:
    """The discovery, with the next-hop as text and the answer in Postfix' words as well."""
    from mxseal.decisions.postfix_answer import postfix_reply
    from mxseal.vocabulary.saved import to_builtins

    body: dict[str, Any] = to_builtins(discovery)
    body["next_hop"] = str(discovery.next_hop)
    body["postfix"] = str(postfix_reply(discovery.decision.answer)).strip()
    return body


@send.command()
@click.argument("recipients", nargs=-1)
@click.option("-f", "--sender", metavar="ADDRESS", help='For bounces; "" or "<>" for none.  [default: From]')
@click.option(
    "-t", "from_header", is_flag=True, help="The recipients are those in To, Cc and Bcc (and those given)."
)
@click.option("-i", "ignore_dots", is_flag=True, help="A line with a single dot does not end the message.")
@click.option(
    "-o", "flags", metavar="FLAG", multiple=True, help="As sendmail's: -oi is -i, others mean nothing."
)
@click.option(
    "--policies",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Remember MTA-STS policies in this file.  [default: mail-policies.sqlite in ~/.local/share/mxseal,"
    " or /var/lib/mxseal for root; nowhere with trust anchors that are not the world's]",
)
@click.option("--ehlo", metavar="NAME", help="What to call ourselves.  [default: this machine's name]")
@click.option(
    "--within",
    type=click.FloatRange(1, 86400),
    default=900.0,
    show_default=True,
    metavar="SECONDS",
    help="Time for all of it.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@world_options
def mail(  # noqa: PLR0917 - click calls by name
    recipients: tuple[str, ...],
    sender: str | None,
    from_header: bool,
    ignore_dots: bool,
    flags: tuple[str, ...],
    policies: Path | None,
    ehlo: str | None,
    within: float,
    as_json: bool,
    world: WorldSettings,
) -> int:
    """Deliver the message on standard input, as sendmail would, but sealed.

    Each MX host is held to what DANE and MTA-STS say of it, and nothing is sent
    to one that does not keep to that.  There is no queue: what is deferred has
    to be sent again, to those recipients.

    Exit codes: 0 delivered to all, 75 deferred for some, 67 no such user, 68 no
    such host, 69 returned for another reason.
    """
    import asyncio

    if not recipients and not from_header:
        raise UsageFault("there is no recipient", cure="name one, or take them from the header with -t")
    octets = _message(sys.stdin.buffer.read(), ends_at_dot=not (ignore_dots or "i" in flags))
    if policies is None and world.ca_file is None and world.trust_anchor is None:
        from mxseal.delivering import own_policies

        policies = own_policies()
    delivery = asyncio.run(_deliver(octets, recipients, sender, from_header, policies, ehlo, within, world))
    if as_json:
        print_json("delivery", {"fates": delivery.fates, "sessions": delivery.sessions})
    else:
        from mxseal.cli.fates import lines

        for line in lines(delivery):
            click.echo(line)
    from mxseal.cli.fates import exit_code

    return exit_code(delivery)


def _message(octets: bytes, *, ends_at_dot: bool) -> bytes:
    """What of standard input is the message."""
    if ends_at_dot:
        import re

        end = re.search(rb"^\.\r?$", octets, re.MULTILINE)
        octets = octets[: end.start()] if end else octets
    return octets


async def _deliver(  # noqa: PLR0917 - all that was given
    octets: bytes,
    recipients: tuple[str, ...],
    sender: str | None,
    from_header: bool,
    policies: Path | None,
    ehlo: str | None,
    within: float,
    world: WorldSettings,
) -> "Delivery":
    from mxseal.delivering import deliver, recipients_of
    from mxseal.vocabulary.names import HostName, InvalidName

    try:
        name = HostName(ehlo) if ehlo else None
    except InvalidName as error:
        raise UsageFault(f"--ehlo: {error.rejection.with_caret()}", cure="give a full host name") from None
    to = (*recipients, *recipients_of(octets)) if from_header else recipients
    return await deliver(
        octets,
        to=to,
        sender="" if sender == "<>" else sender,
        settings=world,
        policies=policies,
        ehlo_name=name,
        seconds=within,
    )
