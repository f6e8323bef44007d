"""One line an event, whatever is in it."""

import io
import json
import logging
import os
import re

import pytest

from mxseal.daemon import logs


@pytest.fixture
def ours():
    logger = logging.getLogger("mxseal")
    before = logger.handlers[:], logger.propagate, logger.level
    yield logging.getLogger("mxseal.test")
    logger.handlers[:], logger.propagate = before[:2]
    logger.setLevel(before[2])


def test_text(ours):
    stream = io.StringIO()
    logs.set_up("info", "text", stream=stream, environment={})
    ours.info("answer", extra={"next_hop": "example.com", "answer": 'OK "x"', "empty": "", "n": 0.5})
    ours.debug("not written")
    ours.warning("evil", extra={"key": "a\nlevel=error \x1b[31m b=c"})
    first, second = stream.getvalue().splitlines()
    assert re.fullmatch(
        r'time=\S+ level=info logger=mxseal\.test event=answer next_hop=example\.com answer="OK \\"x\\"" empty="" n=0\.5',
        first,
    )
    assert second.endswith(r'key="a\\nlevel=error \\x1b[31m b=c"')


def test_json(ours):
    stream = io.StringIO()
    logs.set_up("debug", "json", stream=stream, environment={})
    try:
        int("wrong")
    except ValueError:
        ours.exception("failed", extra={"key": "a\nb"})
    (line,) = stream.getvalue().splitlines()
    found = json.loads(line)
    assert (found["level"], found["event"], found["key"]) == ("error", "failed", "a\nb")
    assert "ValueError: invalid literal" in found["traceback"]


def test_the_journal_gets_priorities(ours, tmp_path):
    with (tmp_path / "journal").open("w+") as stream:
        found = os.fstat(stream.fileno())
        environment = {"JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino}"}
        logs.set_up("info", "text", stream=stream, environment=environment)
        ours.error("bad")
        ours.info("good")
        stream.seek(0)
        assert stream.read() == "<3>logger=mxseal.test event=bad\n<6>logger=mxseal.test event=good\n"
