"""``mxseal lab``: the command as its user meets it."""

import json
import signal
import subprocess
import sys

import pytest

from mxseal.cli import run
from mxseal.lab import SCENARIOS

MXSEAL = [sys.executable, "-m", "mxseal"]


def test_list_tells_the_table(capsys):
    assert run(["lab", "list", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["schema_version"] == 1
    assert [row["domain"] for row in document["scenarios"]] == list(SCENARIOS)
    assert run(["lab", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(SCENARIOS)
    assert lines[0].startswith("good-dane.test\tsealed\t")


def test_up_says_where_everything_is_and_cleans_up_after_itself(tmp_path):
    home = tmp_path / "lab"
    command = [*MXSEAL, "lab", "up", "--dir", str(home), "--extra", "2", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as up:
        try:
            ready = json.loads(up.stdout.readline())
            assert ready["kind"] == "lab"
            assert ready["domains"][-1] == "d0001.test"
            assert (home / "ca.pem").read_text().startswith("-----BEGIN CERTIFICATE-----")
            assert "IN DNSKEY 257 3 13" in (home / "root.key").read_text()
            assert str(home) in (home / "env").read_text()
            second = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
            assert second.returncode == 69
            assert "already up" in second.stderr
        finally:
            up.send_signal(signal.SIGINT)
            _, errors = up.communicate(timeout=60)
    assert up.returncode == 0
    assert errors == ""
    assert list(home.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--attack", "good-sts.test"], 64, "DOMAIN=ATTACK"),
        (["--attack", "good-sts.test=magic"], 64, "strip-starttls"),
        (["--attack", "nowhere.test=strip-starttls"], 64, "nowhere.test"),
        (["--extra", "-1"], 64, "--extra"),
        (["--dir", "/dev/null/lab"], 74, "/dev/null/lab"),
    ],
)
def test_bad_calls_are_told_in_one_line(tmp_path, capsys, arguments, code, says):
    where = [] if "--dir" in arguments else ["--dir", str(tmp_path)]
    assert run(["lab", "up", *where, *arguments]) == code
    printed = capsys.readouterr()
    assert says in printed.err
    assert "Traceback" not in printed.err
