"""``mxseal doctor``: looks over this machine and says what would spoil verdicts or mail."""

import asyncio
from datetime import datetime
from typing import TYPE_CHECKING

import click

from mxseal.cli.options import world_options
from mxseal.cli.output import print_json
from mxseal.wiring import WorldSettings

if TYPE_CHECKING:
    from mxseal.adapters.dns import UpstreamCheck
    from mxseal.decisions.doctor import Remark, ResolverObservation

MARKS = {"fine": "✓", "note": "!", "wrong": "✗"}
_STYLES = {"fine": "green", "note": "yellow", "wrong": "bold red"}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@world_options
def doctor(as_json: bool, world: WorldSettings) -> int:
    """Look over this machine: resolver, clock, CA store, Postfix, kernel settings.

    Nothing is changed.  The resolver is asked about the DNS root only.  Each
    line begins with ✓ (fine), ! (worth knowing) or ✗ (wrong), and what is not
    fine is followed by the line that mends it.

    Exit codes: 0 nothing is wrong, 1 something is.
    """
    from mxseal.decisions.doctor import is_fit

    remarks = asyncio.run(examine(world))
    fit = is_fit(remarks)
    if as_json:
        print_json("doctor", {"fit": fit, "remarks": remarks})
    else:
        show(remarks)
    return 0 if fit else 1


async def examine(world: WorldSettings) -> "list[Remark]":
    """All observations of this machine, judged."""
    from mxseal.adapters.clock import SystemClock
    from mxseal.adapters.machine import (
        observe_ca_store,
        observe_clock,
        observe_datagram_queue,
        observe_postfix,
    )
    from mxseal.decisions import doctor as judge

    now = SystemClock().now()
    remarks, proved = await examine_resolvers(world, now)
    remarks += judge.judge_clock(observe_clock(now, signatures_current=proved or None))
    remarks += judge.judge_ca_store(observe_ca_store(now, world.ca_file))
    postfix = await asyncio.to_thread(observe_postfix)
    if postfix is not None:
        remarks += judge.judge_postfix(postfix)
    remarks += judge.judge_datagram_queue(observe_datagram_queue())
    return remarks


async def examine_resolvers(world: WorldSettings, now: datetime) -> "tuple[list[Remark], bool]":
    """Every resolver, side by side; and whether the chain of trust was proved through one of them."""
    from mxseal.adapters.dns import check_upstream, load_trust_anchors, system_servers
    from mxseal.decisions.doctor import Health, Remark, judge_resolver
    from mxseal.vocabulary.faults import UnavailableFault

    anchors = load_trust_anchors(world.trust_anchor) if world.trust_anchor else None
    try:
        servers = world.resolvers or system_servers()
    except UnavailableFault as fault:
        return [Remark(subject="resolver", health=Health.WRONG, sentence=str(fault), cure=fault.cure)], False
    results = await asyncio.gather(
        *(
            check_upstream(server, anchors=anchors, timeout=min(world.timeout, 5.0), now=lambda: now)
            for server in servers
        )
    )
    seen = [observation(checks) for checks in results]
    remarks = [remark for each in seen for remark in judge_resolver(each, trust_ad=world.trust_ad is True)]
    return remarks, any(each.proved for each in seen)


def observation(checks: "tuple[UpstreamCheck, ...]") -> "ResolverObservation":
    """The adapter's list of tries as one observation."""
    from mxseal.decisions.doctor import ResolverObservation

    passed = {each.check: each.passed for each in checks}
    failed = next((each.detail for each in checks if not each.passed and each.needed), "")
    return ResolverObservation(
        address=checks[0].server,
        answers=passed.get("reachable", False),
        passes_signatures=passed.get("records"),
        proved=passed.get("chain"),
        proved_denial=passed.get("denial"),
        speaks_tcp=passed.get("tcp"),
        sets_ad=passed.get("validates"),
        detail=failed,
    )


def show(remarks: "list[Remark]") -> None:
    """The report for people."""
    from rich.text import Text

    from mxseal.cli.output import console
    from mxseal.decisions.doctor import Health, is_fit

    out = console()
    width = max(len(remark.subject) for remark in remarks)
    for remark in remarks:
        line = Text(f"{MARKS[remark.health]} ", style=_STYLES[remark.health])
        line.append(f"{remark.subject:<{width}}  ", style="bold")
        line.append(remark.sentence, style="")
        if remark.section:
            line.append(f" ({remark.section})", style="dim")
        out.print(line)
        if remark.cure and remark.health is not Health.FINE:
            out.print(Text(f"  {'':<{width}}  → {remark.cure}", style="cyan"))
    notes = sum(remark.health is Health.NOTE for remark in remarks)
    wrong = sum(remark.health is Health.WRONG for remark in remarks)
    verdict = "This machine is fit." if is_fit(remarks) else f"{wrong} wrong."
    out.print(f"\n{verdict}" + (f" {notes} worth knowing." if notes else ""))
