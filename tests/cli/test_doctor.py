"""``mxseal doctor`` on a machine that is fit, and on one that is not; against the lab's resolver."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from mxseal.cli import run
from mxseal.lab import Lab, LabThread

GOOD_POSTFIX = """#!/bin/sh
case "$1" in
-dh) echo 3.10.5 ;;
-Fh) echo n ;;
-x) cat <<END
queue_directory = /nonexistent
smtp_dns_support_level = dnssec
smtp_host_lookup = dns
smtp_tls_CAfile = /etc/ssl/certs/ca-certificates.crt
smtp_tls_policy_maps = socketmap:inet:127.0.0.1:8642:QUERY
smtp_tls_security_level = dane
END
esac
"""


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with LabThread(Lab(scenarios=["good-dane.test"])) as running:
        yield running


@pytest.fixture
def options(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The lab's resolver and roots, and a Postfix in front of whatever is installed here."""
    (tmp_path / "ca.pem").write_bytes(lab.ca_pem)
    (tmp_path / "root.ds").write_text(lab.trust_anchor)
    command = tmp_path / "postconf"
    command.write_text(GOOD_POSTFIX)
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    address, port = lab.resolver
    return [
        "doctor",
        f"--resolver={address}:{port}",
        f"--trust-anchor={tmp_path}/root.ds",
        f"--ca-file={tmp_path}/ca.pem",
    ]


def remarks(text: str) -> dict[str, list[tuple[str, str]]]:
    document = json.loads(text)
    assert (document["schema_version"], document["kind"]) == (1, "doctor")
    found: dict[str, list[tuple[str, str]]] = {}
    for remark in document["remarks"]:
        found.setdefault(remark["subject"], []).append((remark["health"], remark["sentence"]))
    return found


def test_a_fit_machine(options, capsys):
    assert run([*options, "--json"]) == 0
    found = remarks(capsys.readouterr().out)
    ((health, sentence),) = found["resolver"]
    assert health == "fine"
    assert "chain of trust proved" in sentence
    # The lab's signatures are of now, and they hold: the clock is vouched for.
    ((health, sentence),) = found["clock"]
    assert (health, "signatures of the DNS root hold" in sentence) == ("fine", True)
    ((health, sentence),) = found["CA store"]
    assert (health, "1 valid root" in sentence) == ("fine", True)
    assert {health for health, _ in found["Postfix"]} == {"fine"}


def test_for_people(options, capsys):
    assert run(options) == 0
    output = capsys.readouterr().out
    assert "✓ resolver" in output
    assert "This machine is fit." in output
    assert "\x1b" not in output


def test_a_resolver_that_is_not_there(options, capsys):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        port = silent.getsockname()[1]
        options[1] = f"--resolver=127.0.0.1:{port}"
        assert run([*options, "--timeout=0.2"]) == 1
    output = capsys.readouterr().out
    assert "✗ resolver" in output
    assert f"127.0.0.1:{port} does not answer" in output
    assert "→ name another one with --resolver" in output
    assert "1 wrong." in output


def test_another_root_is_not_trusted(options, tmp_path, capsys):
    """The anchors of the real root prove nothing in the lab."""
    options.pop(2)
    assert run([*options, "--json"]) == 1
    ((health, sentence),) = remarks(capsys.readouterr().out)["resolver"]
    assert (health, "could not be proved" in sentence) == ("wrong", True)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--resolver=example.org"], 64, "example.org"),
        (["--resolver=127.0.0.1:99999"], 64, "65535"),
        (["--ca-file=/nonexistent"], 64, "/nonexistent"),
        (["--trust-anchor", __file__], 65, "test_doctor.py:"),
        (["--no-such-option"], 64, "no-such-option"),
    ],
)
def test_bad_calls_are_told_in_a_line(arguments, code, words, capsys):
    assert run(["doctor", *arguments]) == code
    error = capsys.readouterr().err
    assert words in error
    assert "Traceback" not in error
