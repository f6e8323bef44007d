"""Real MTAs send mail as `mxseal serve` tells them, and it travels sealed or waits.

`serve_world.py` is the world and has the table; here each line of the table is held to what the
sender's log, its answers and the receivers' mailboxes say.
"""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

pytestmark = [pytest.mark.real, pytest.mark.slow]

PROGRAM = Path(__file__).with_name("serve_world.py")
NAMESPACES = ("--net", "--mount", "--pid", "--ipc", "--fork", "--kill-child", "--mount-proc")
SERVERS = ("ip", "mount", "nsd", "unbound", "postfix", "ldns-keygen", "ldns-key2ds", "ldns-signzone")


def load_world():
    """The program's module, for its table."""
    sys.path.insert(0, str(PROGRAM.parent))
    try:
        specification = importlib.util.spec_from_file_location("serve_world", PROGRAM)
        module = importlib.util.module_from_spec(specification)
        sys.modules[specification.name] = module
        specification.loader.exec_module(module)
    finally:
        sys.path.remove(str(PROGRAM.parent))
    return module


@pytest.fixture
def send(require_tools, require_root, give_up):
    """Call it with the kind of sender; gives what the program prints."""
    tools = require_tools("unshare", "setpriv", *SERVERS)
    require_root()

    def run(*sender: str) -> dict:
        # Not pytest's tmp_path: the servers' users have to reach it.
        directory = Path(tempfile.mkdtemp(prefix="mxseal-serve-"))
        directory.chmod(0o755)
        command = [sys.executable, str(PROGRAM), str(directory), *sender]
        try:
            done = subprocess.run(
                # If the launcher is killed, everything else is, too.
                [tools["setpriv"], "--pdeathsig", "KILL", tools["unshare"], *NAMESPACES, *command],
                stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=240, check=False,
                env={**os.environ, "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"},
            )  # fmt: skip
        finally:
            shutil.rmtree(directory, ignore_errors=True)
        if done.returncode and "unshare failed" in done.stderr:
            give_up("this machine forbids network namespaces")
        assert done.returncode == 0, done.stderr[-8000:]
        return json.loads(done.stdout)

    return run


def received(inbox: list[str], phase: str, domain: str) -> list[str]:
    return [mail for mail in inbox if f"\nSubject: {phase} {domain}\n" in mail]


def in_full(case) -> str:
    """The answer of `case` as Postfix 3.10 wants it: with the policy, for its TLS reports."""
    if not case.answer.startswith("secure "):
        return case.answer
    lines = case.domain.policy.splitlines()
    patterns = [line.removeprefix("mx: ") for line in lines if line.startswith("mx: ")]
    return " ".join(
        (
            case.answer,
            f"policy_type=sts policy_domain={case.domain.name}",
            *(f"mx_host_pattern={pattern}" for pattern in patterns),
            *(f"{{ policy_string = {line} }}" for line in lines),
        )
    )


def trouble(world, told: dict, case, *, sender: str) -> list[str]:
    """What did not come as the table has it, for one line of it."""
    found = []
    name = case.domain.name
    answer, fates = told["answers"][name], told["fates"]
    wanted = in_full(case) if told["in full"] else case.answer
    if answer != wanted and not (wanted == world.WAIT and answer.startswith(world.WAIT)):
        found.append(f"answered {answer!r}, not {wanted!r}")
    fate = "sent" if case.delivered else "deferred"
    if fates["calm"][name] != fate:
        found.append(f"{fates['calm'][name]}, not {fate}")
    mails = received(told["inbox"], "calm", name)
    if len(mails) != case.delivered:
        found.append(f"{len(mails)} mails arrived")
    sealed = case.domain.certificate != "no-starttls"
    if any((" with ESMTPS id" in mail) != sealed for mail in mails):
        found.append(f"did not travel as it should: {mails}")
    words = getattr(case.log, sender)
    lines = [line for line in told["log"].splitlines() if re.search(rf"[.@]{re.escape(name)}\b", line)]
    if not any(re.search(words, line) for line in lines):
        found.append(f"nothing in the log fits {words!r}")
    if case.attack:
        found += trouble_under_attack(told, case)
    return [f"{name}: {sentence}" for sentence in found] + (lines[:12] if found else [])


def trouble_under_attack(told: dict, case) -> list[str]:
    found = []
    name = case.domain.name
    if told["under attack"][name] != told["answers"][name]:
        found.append(f"under attack: answered {told['under attack'][name]!r}")
    fate = "deferred" if case.resists else "sent"
    if told["fates"]["attack"][name] != fate:
        found.append(f"under attack: {told['fates']['attack'][name]}, not {fate}")
    afterwards = told["fates"].get("over", {}).get(name)
    if case.resists and afterwards != "sent":
        found.append(f"after the attack: {afterwards}")
    mails = received(told["inbox"], "attack", name)
    # Once, and after the attack: sealed.
    if [" with ESMTPS id" in mail for mail in mails] != [case.resists]:
        found.append(f"attacked mail came so: {mails}")
    return found


def hold_to_the_table(told: dict, *, sender: str) -> None:
    world = load_world()
    cases = world.CASES
    assert len(cases) >= 30
    assert told["answers"].keys() == told["fates"]["calm"].keys() == {case.domain.name for case in cases}
    found = [line for case in cases for line in trouble(world, told, case, sender=sender)]
    assert not found, "\n".join(found)
    # With nobody to ask, mail waits; not even that to a domain without any policy goes out.
    assert told["fates"]["dead"] == dict.fromkeys(world.UNASKED, "deferred")
    assert told["fates"]["alive"] == dict.fromkeys(world.UNASKED, "sent")
    # All of it, and nothing twice.
    sent = sum(fate == "sent" for phase in told["fates"].values() for fate in phase.values())
    assert len(told["inbox"]) == sent
    assert all("traceback" not in log.lower() for log in told["serve"])


def test_postfix_sends_as_it_is_told(send):
    told = send("postfix")
    hold_to_the_table(told, sender="postfix")


@pytest.fixture
def debian_13(require_tools, require_root):
    """A directory with Debian 13's Postfix and its libraries, from packages; nothing of it is installed."""
    tools = require_tools("mmdebstrap", "timeout", "apt-get")
    require_root()
    targets = [
        tools["apt-get"],
        "indextargets",
        "--format",
        "$(REPO_URI)",
        "Created-By: Packages",
        "Label: Debian",
    ]
    mirrors = subprocess.run(
        targets, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False
    ).stdout.split()
    # Not pytest's tmp_path: the servers' users have to reach it.
    with tempfile.TemporaryDirectory(prefix="mxseal-debian-13-", ignore_cleanup_errors=True) as name:
        root = Path(name)
        root.chmod(0o755)
        command = [
            # Which ends the children as well.
            tools["timeout"], "--kill-after=5", "150",
            tools["mmdebstrap"], "--mode=root", "--variant=extract", "--include=postfix", "--format=directory",
            "--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr", "trixie", name, *mirrors[:1],
        ]  # fmt: skip
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=180, check=False
        )
        if done.returncode:
            # A mirror that is away is no mistake of ours, whatever CI wants.
            pytest.skip(f"exit {done.returncode}, no Debian 13 made: {done.stderr.strip().splitlines()[-2:]}")
        yield root


def test_the_postfix_of_debian_13_sends_as_it_is_told_in_full(send, debian_13):
    told = send("postfix", str(debian_13))
    assert told["version"].startswith("3.10.")
    hold_to_the_table(told, sender="postfix")


def test_exim_sends_as_its_page_has_it(send, require_tools):
    """The router and the transports of docs/exim.md, word by word."""
    told = send("exim", require_tools("exim4")["exim4"])
    assert "DANE" in told["version"]
    hold_to_the_table(told, sender="exim")
