"""``mxseal lab``: the command as its user meets it."""

import json
import signal
import smtplib
import subprocess
import sys

import dns.message
import dns.query
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


def send_in_clear(home, domain):
    """As a sender would that has been made to believe that there is no STARTTLS."""
    about = json.loads((home / "lab.json").read_text())
    address, _, port = about["resolver"].partition(":")
    query = dns.message.make_query(f"mx1.{domain}", "A")
    (found,) = dns.query.udp(query, address, port=int(port), timeout=10).answer
    with smtplib.SMTP(found[0].address, about["smtp_port"], local_hostname="b.test", timeout=10) as peer:
        peer.ehlo()
        assert not peer.has_extn("STARTTLS"), "STARTTLS is offered"
        peer.sendmail("a@b.test", [f"c@{domain}"], "Subject: hello\r\n\r\n")


def attacks_are_switched(home, capfd):
    where = ["--lab", str(home)]
    capfd.readouterr()
    assert run(["lab", "mail", *where]) == 0
    assert capfd.readouterr().out == "no letter has arrived yet\n"
    assert run(["lab", "attack", "good-sts.test", "strip-starttls", *where]) == 0
    send_in_clear(home, "good-sts.test")
    assert run(["lab", "calm", "good-sts.test", *where]) == 0
    with pytest.raises(AssertionError, match="STARTTLS is offered"):
        send_in_clear(home, "good-sts.test")
    assert run(["lab", "mail", *where]) == 0
    assert run(["lab", "calm", "nowhere.test", *where]) == 64
    assert run(["lab", "attack", "good-sts.test", "magic", *where]) == 64
    printed = capfd.readouterr()
    assert "strip-starttls at good-sts.test until: mxseal lab calm good-sts.test" in printed.out
    assert "a@b.test → c@good-sts.test  at mx1.good-sts.test, in clear, read by the attacker" in printed.out
    assert "no domain 'nowhere.test'" in printed.err
    assert "no such attack: 'magic'" in printed.err


def test_without_a_laboratory_there_is_nothing_to_attack(tmp_path, capsys):
    assert run(["lab", "attack", "good-sts.test", "inject", "--lab", str(tmp_path)]) == 69
    assert "mxseal lab up" in capsys.readouterr().err


def test_up_says_where_everything_is_and_cleans_up_after_itself(tmp_path, capfd):
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
            attacks_are_switched(home, capfd)
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
