"""The table itself: complete, documented, and in words that exist elsewhere."""

from pathlib import Path

import pytest

from mxseal.decisions.checkup.catalogue import CATALOGUE
from mxseal.lab import SCENARIOS, Fate, scenarios
from mxseal.vocabulary.names import HostName

DOCUMENT = Path(__file__).parents[2] / "docs" / "lab.md"


def test_the_table_is_large_and_has_no_name_twice():
    assert len(scenarios._TABLE) == len(SCENARIOS) >= 28


@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=lambda scenario: scenario.name)
def test_each_row_is_whole(scenario):
    assert HostName(scenario.name).is_within("test")
    assert scenario.story.endswith(".")
    assert scenario.sender
    assert not scenario.sender.endswith(".")
    assert scenario.findings <= CATALOGUE.keys()


def test_stories_differ():
    assert len({scenario.story for scenario in SCENARIOS.values()}) == len(SCENARIOS)


def test_every_fate_occurs():
    assert {scenario.fate for scenario in SCENARIOS.values()} == set(Fate)


def test_the_document_has_the_same_table():
    rows = [
        f"| `{each.name}` | {each.story} | **{each.fate}**: {each.sender} | {' '.join(sorted(each.findings)) or '–'} |"
        for each in SCENARIOS.values()
    ]
    written = [line for line in DOCUMENT.read_text().splitlines() if ".test` |" in line]
    assert written == rows, "run: python scripts/build_lab.py"
