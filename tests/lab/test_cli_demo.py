"""``mxseal demo`` to the end: what it shows is what happened."""

import re

from mxseal.cli import demo as module
from mxseal.cli import run
from mxseal.decisions.mailing import Bounced
from mxseal.lab import SCENARIOS


def test_the_story_comes_out_as_told(capsys):
    assert run(["demo", "--fast"]) == 0
    screen = capsys.readouterr().out
    assert "\x1b" not in screen
    assert max(map(len, screen.splitlines())) <= module.WIDTH
    assert [line[3:5].strip() for line in screen.splitlines() if line.startswith("── ")] == list("12345")
    assert "Anna ──── in clear ──▶ Eve" in screen
    assert screen.count("■ delivered") == 3
    assert screen.count("■ strict sender  the mail waits: ") == 3
    assert screen.count("Eve reads it") == 3
    assert "Eve has read 4 letters" in screen
    assert "3 of 3 delivered, sealed" in screen
    for name in (*module.WELL_KEPT, *module.SLOPPY, *module.ATTACKED):
        state = re.search(rf"^   {re.escape(name)} +(sealed|open|broken) ", screen, re.MULTILINE).group(1)
        assert {"waits": "broken"}.get(SCENARIOS[name].fate, SCENARIOS[name].fate) == state
    for section in ("RFC 7672 §2.2", "RFC 8461 §4.2", "RFC 7672 §2.1.1", "RFC 8461 §5.1"):
        assert section in screen


def test_a_story_that_comes_out_otherwise_is_admitted(capsys, monkeypatch):
    from mxseal.lab.sender import StrictSender

    honest = StrictSender.send

    async def lazy(self, letter):
        discovery, _ = await honest(self, letter)
        return discovery, Bounced(recipient="", reasons=discovery.decision.reasons, status="5.0.0")

    monkeypatch.setattr(StrictSender, "send", lazy)
    assert run(["demo", "--fast"]) == 1
    assert "not as told: the letter to good-dane.test" in capsys.readouterr().out
