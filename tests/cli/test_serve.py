"""``mxseal serve`` as a process of its own, over the laboratory; and the commands that look after it."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager, suppress

import pytest
from msgspec.structs import replace

from mxseal.cli import run
from mxseal.cli.postfix_config import lines
from mxseal.cli.serve import _without_own_store
from mxseal.config import Settings
from mxseal.lab import Attack, Lab, LabThread

DOMAINS = ("good-dane.test", "good-sts.test", "good-both.test", "sts-testing.test", "bogus.test")
STS = "OK secure match=mx1.good-sts.test servername=hostname"


@pytest.fixture(scope="module")
def lab():
    with LabThread(Lab(scenarios=DOMAINS)) as lab:
        yield lab


class Served:
    """The running process, asked over its socket."""

    def __init__(self, home, config, process):
        self.home, self.config, self.process = home, config, process

    def ask(self, *questions):
        told = []
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(60)
            sock.connect(str(self.home / "s.sock"))
            for question in questions:
                sock.sendall(b"%d:%b," % (len(question), question.encode()))
                octets = b""
                while not octets.endswith(b","):
                    octets += sock.recv(100_000)
                told.append(octets[octets.index(b":") + 1 : -1].decode().strip())
        return told

    def end(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        return self.process.wait(60)


@pytest.fixture
def serving(tmp_path, lab):
    """Call it to start the service; it may be started again over the same files."""
    home = tmp_path
    if len(str(home / "control.sock")) > 100:
        pytest.skip(f"{home} is too long for a unix socket")
    (home / "ca.pem").write_bytes(lab.ca_pem)
    (home / "root.key").write_text(lab.trust_anchor)
    (home / "overrides").write_text("held.test temp wait\n")
    address, port = lab.resolver
    (home / "mxseal.toml").write_text(f"""
[dns]
resolvers = ["{address}:{port}"]
trust_anchor = "{home}/root.key"
[policies]
store = "{home}/policies.sqlite"
ca_file = "{home}/ca.pem"
https_port = {lab.https_port}
allow_private = true
[serve]
socketmap = ["{home}/s.sock", "127.0.0.1:0"]
control = "{home}/control.sock"
overrides = "{home}/overrides"
""")
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MXSEAL_")}

    @contextmanager
    def start():
        process = subprocess.Popen(
            [sys.executable, "-m", "mxseal", "serve", "--config", str(home / "mxseal.toml")],
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        seen = []
        for line in process.stderr:
            seen.append(line)
            if "event=ready" in line:
                break
        else:
            raise AssertionError("".join(seen))
        # Nobody may wait for a full pipe.
        reader = threading.Thread(target=lambda: seen.extend(process.stderr), daemon=True)
        reader.start()
        try:
            yield Served(home, str(home / "mxseal.toml"), process)
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            process.wait(60)
            reader.join(60)
            process.stderr.close()

    return start


def test_a_service_from_start_to_end(serving, capsys):
    with serving() as served:
        told = served.ask(
            "QUERY good-dane.test", "QUERY good-sts.test", "QUERYwithTLSRPT good-sts.test",
            "sts good-both.test", "QUERY sts-testing.test", "QUERY bogus.test", "QUERY .test", "QUERY held.test",
        )  # fmt: skip
        assert told[:2] == ["OK dane-only", STS]
        assert told[2].startswith(f"{STS} policy_type=sts policy_domain=good-sts.test mx_host_pattern=")
        assert told[3].startswith("OK secure match=mx1.good-both.test:mx2.good-both.test")
        assert told[4:] == ["NOTFOUND", "TEMP MX lookup for bogus.test is bogus", "NOTFOUND", "TEMP wait"]

        config = f"--config={served.config}"
        assert run(["send", "dump", config]) == 0
        assert re.search(r"^good-sts\.test +enforce +until 20", capsys.readouterr().out, re.MULTILINE)
        assert run(["send", "dump", "--jsonl", config]) == 0
        dumped = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert {state["domain"] for state in dumped} >= {
            "good-sts.test",
            "good-both.test",
            "sts-testing.test",
        }
        assert run(["send", "export", config]) == 0
        assert capsys.readouterr().out.splitlines() == [
            f"{'good-both.test':<30} secure match=mx1.good-both.test:mx2.good-both.test servername=hostname",
            f"{'good-sts.test':<30} {STS[3:]}",
        ]
        assert run(["send", "refresh", "good-sts.test", config]) == 0
        assert run(["send", "refresh", "good-dane.test", config]) == 1
        assert run(["send", "purge", "sts-testing.test", config]) == 0
        assert run(["send", "purge", "sts-testing.test", config]) == 1
        capsys.readouterr()
        assert run(["send", "status", "--json", config]) == 0
        assert json.loads(capsys.readouterr().out)["overrides"] == 1
        assert run(["send", "ask", "good-sts.test", config]) == 0
        explained = capsys.readouterr().out
        assert explained.startswith("Mail to good-sts.test may be delivered.")
        assert explained.rstrip().endswith(f"The service answers: {STS}")
        assert run(["send", "ask", "held.test", "--json", config]) == 75
        held = json.loads(capsys.readouterr().out)
        assert (held["answer"], held["override"]) == ("TEMP wait", True)
        assert run(["send", "ask", "a..b", config]) == 64
        capsys.readouterr()

        (served.home / "overrides").write_text("held.test dane-only\n")
        served.process.send_signal(signal.SIGHUP)
        while served.ask("QUERY held.test") != ["OK dane-only"]:
            assert served.process.poll() is None
        assert served.end() == 0
        assert not (served.home / "s.sock").exists()
    assert run(["send", "status", f"--config={served.config}"]) == 69
    assert "is 'mxseal serve' running" in capsys.readouterr().err


REPORTS = (
    f"{STS[3:]} policy_type=sts policy_domain=good-sts.test mx_host_pattern=mx1.good-sts.test"
    " { policy_string = version: STSv1 } { policy_string = mode: enforce }"
    " { policy_string = mx: mx1.good-sts.test } { policy_string = max_age: 1209600 }"
)
POSTMAP = {
    # map name and key: what postmap -q prints, its exit code, and what it warns of
    ("postfix", "good-sts.test"): (STS[3:], 0, ""),
    ("postfix", "Good-STS.Test"): (STS[3:], 0, ""),
    ("QUERYwithTLSRPT", "good-sts.test"): (REPORTS, 0, ""),
    ("sts", "good-sts.test"): (STS[3:], 0, ""),
    ("postfix", "good-dane.test"): ("dane-only", 0, ""),
    ("QUERYwithTLSRPT", "good-dane.test"): ("dane-only", 0, ""),
    ("postfix", "[mx1.good-dane.test]:25"): ("dane-only", 0, ""),
    ("sts", "good-dane.test"): ("", 1, ""),
    ("postfix", "sts-testing.test"): ("", 1, ""),
    ("postfix", ".good-sts.test"): ("", 1, ""),
    ("postfix", "[192.0.2.1]"): ("", 1, ""),
    ("postfix", "bogus.test"): ("", 1, "temporary error: MX lookup for bogus.test is bogus"),
    ("postfix", "held.test"): ("", 1, "temporary error: wait"),
}


@pytest.mark.real
def test_postfix_asks(serving, require_tools, capsys):
    postmap = require_tools("postmap")["postmap"]
    with serving() as served:
        assert run(["send", "status", "--json", f"--config={served.config}"]) == 0
        listening = dict(place.split() for place in json.loads(capsys.readouterr().out)["listening"])
        for place in (f"unix:{served.home}/s.sock", f"inet:{listening['socketmap']}"):
            for (name, key), (printed, code, warning) in POSTMAP.items():
                done = subprocess.run(
                    [postmap, "-q", key, f"socketmap:{place}:{name}"],
                    capture_output=True,
                    text=True,
                    check=False,
                    timeout=60,
                )
                assert (done.stdout.strip(), done.returncode) == (printed, code), (name, key, done.stderr)
                assert warning in done.stderr
            # All keys of one process go over one connection.
            keys = "\n".join(key for _, key in POSTMAP if "bogus" not in key and "held" not in key)
            done = subprocess.run(
                [postmap, "-q", "-", f"socketmap:{place}:postfix"],
                input=keys, capture_output=True, text=True, check=False, timeout=60,
            )  # fmt: skip
            assert "good-dane.test\tdane-only\n" in done.stdout


@pytest.mark.parametrize(
    ("written", "used"), [("", "memory"), ("/srv/policies.sqlite", "/srv/policies.sqlite")]
)
def test_a_laboratory_leaves_the_policies_of_real_mail_alone(written, used):
    settings = Settings()
    settings = replace(settings, policies=replace(settings.policies, store=written))
    assert _without_own_store(settings).policies.store == used


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_restart_keeps_policies(serving, lab, number):
    with serving() as served:
        assert served.ask("QUERY good-sts.test") == [STS]
        served.end(number)
    lab.attack("good-sts.test", Attack.POLICY_HOST_DOWN)
    try:
        # A stale socket may be there, and nobody can fetch the policy now.
        with serving() as served:
            assert served.ask("QUERY good-sts.test") == [STS]
    finally:
        lab.attack("good-sts.test", None)


COMPLAINTS = {
    '[serve]\nsocketmap = ["192.0.2.1:1"]\n[policies]\nstore = "memory"\n': (69, "192.0.2.1:1"),
    '[serve]\nsocketmap = ["/nonexistent/x"]\n[policies]\nstore = "memory"\n': (69, "/nonexistent/x"),
    "[serve]\nsocketmaps = []\n": (78, "did you mean 'socketmap'?"),
    '[policies]\nstore = "/nonexistent/p.sqlite"\n': (78, "no directory /nonexistent"),
}


@pytest.mark.parametrize("text", COMPLAINTS)
def test_a_start_that_fails_says_why(tmp_path, text):
    (tmp_path / "mxseal.toml").write_text(text)
    done = subprocess.run(
        [sys.executable, "-m", "mxseal", "serve", "--config", str(tmp_path / "mxseal.toml")],
        capture_output=True,
        text=True,
        env=os.environ | {"MXSEAL_SERVE__CONTROL": str(tmp_path / "c")},
        timeout=60,
        check=False,
    )
    code, told = COMPLAINTS[text]
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert done.returncode == code


def test_defaults_find_or_make_their_places(tmp_path):
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MXSEAL_")}
    environment |= {
        "RUNTIME_DIRECTORY": str(tmp_path / "run/x"),
        "STATE_DIRECTORY": f"{tmp_path}/state/x:/nonexistent",
        "XDG_CONFIG_HOME": str(tmp_path),
        "MXSEAL_SERVE__SOCKETMAP": "127.0.0.1:0",
    }
    with subprocess.Popen(
        [sys.executable, "-m", "mxseal", "serve"], stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert any("event=ready" in line for line in process.stderr)
        assert (tmp_path / "run/x/control.sock").is_socket()
        assert (tmp_path / "state/x/policies.sqlite").exists()
        process.send_signal(signal.SIGINT)
        assert "event=stopped" in process.stderr.read()
    assert process.returncode == 0


POSTFIX = {
    # version: map name, whether insecure MX RRsets need a setting
    "3.4.23": ("postfix", True),
    "3.6.16": ("postfix", True),
    "3.6.17": ("postfix", False),
    "3.7.11": ("postfix", True),
    "3.9.9": ("postfix", False),
    "3.10.0": ("QUERYwithTLSRPT", False),
    "3.12-20260821": ("QUERYwithTLSRPT", False),
}


@pytest.mark.parametrize("version", POSTFIX)
def test_postfix_config(capsys, tmp_path, version):
    (tmp_path / "mxseal.toml").write_text('[serve]\nsocketmap = ["127.0.0.1:8461"]\n')
    assert (
        run(["send", "postfix-config", "--postfix", version, "--config", str(tmp_path / "mxseal.toml")]) == 0
    )
    told = capsys.readouterr().out
    name, insecure = POSTFIX[version]
    assert f"postconf -e 'smtp_tls_policy_maps = socketmap:inet:127.0.0.1:8461:{name}'" in told
    assert ("smtp_tls_dane_insecure_mx_policy" in told) == insecure


@pytest.mark.parametrize("version", ["3.3.9", "2.10", "new", ""])
def test_postfix_config_refuses(capsys, version):
    assert run(["send", "postfix-config", "--postfix", version or "x"]) == 64
    assert "Postfix" in capsys.readouterr().err


def test_postfix_config_for_a_unix_socket():
    assert any("chroot" in line for line in lines((3, 10, 0), "/var/spool/postfix/run/mxseal.sock"))
    assert any("socketmap:unix:/x:postfix" in line for line in lines((3, 5, 0), "/x"))
