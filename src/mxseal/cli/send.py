"""``mxseal send``: how mail to a domain must travel, and why."""

from typing import TYPE_CHECKING, Any

import click

from mxseal.cli.options import world_options
from mxseal.cli.output import print_json
from mxseal.vocabulary.faults import UsageFault
from mxseal.wiring import WorldSettings

if TYPE_CHECKING:
    from mxseal.decisions.delivery import Mixed
    from mxseal.journeys.discover_delivery import Discovery
    from mxseal.vocabulary.names import NextHop

MAIL_WAITS = 75
"""Exit code (EX_TEMPFAIL): there is no answer now, and mail waits."""


@click.group()
def send() -> None:
    """How must mail to a domain travel, and why."""


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
