"""``check`` says of each scenario exactly what its row of the table names."""

import asyncio

import pytest

from mxseal.decisions.checkup import judge
from mxseal.lab import SCENARIOS, Fate
from mxseal.vocabulary.names import HostName
from mxseal.wiring import World

STATES = {
    Fate.SEALED: {"sealed", "open", "broken"},  # one strict sender's luck is not the domain's state
    Fate.OPEN: {"open"},
    Fate.WAITS: {"broken"},
    Fate.RETURNED: {"sealed", "broken"},
}


def examine(lab, name, options=()):
    world = World(lab.world)

    async def collect():
        return await world.examiner(all_servers="--all-servers" in options).examine(HostName(name))

    evidence = asyncio.run(collect())
    return judge(evidence, world.clock.now(), roots=world.judging_roots)


@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=SCENARIOS)
def test_the_findings_are_those_of_the_table(lab, scenario):
    judgement = examine(lab, scenario.name, scenario.options)
    assert {finding.id for finding in judgement.findings} == scenario.findings
    assert judgement.state in STATES[scenario.fate]


@pytest.mark.parametrize("name", ["d0000.test", "d0002.test", "mailhost.test", "reports.test"])
def test_the_fleet_and_what_it_needs_are_well_kept(lab, name):
    judgement = examine(lab, name)
    assert judgement.state == "sealed"
    assert {finding.id for finding in judgement.findings} <= {"DANE001"}
