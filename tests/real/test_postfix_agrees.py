"""`mxseal check` and `mxseal send explain` against Postfix' own posttls-finger, on real servers.

Three witnesses have to agree on every domain of the table in `postfix_world.py`: what the RFCs
say (written down there by hand), what posttls-finger finds when smtp(8) is given our answer, and
what mxseal says.
"""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("postfix_world.py")
NAMESPACES = ("--net", "--mount", "--pid", "--ipc", "--fork", "--kill-child", "--mount-proc")


def table():
    """The domains of the world, which is a program and therefore not imported by name."""
    specification = importlib.util.spec_from_file_location("postfix_world", PROGRAM)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules[specification.name] = module
    specification.loader.exec_module(module)
    return {domain.name: domain for domain in module.DOMAINS}


def ask_the_world(tools: dict[str, str], give_up: Callable[[str], None]) -> dict[str, dict]:
    # Not pytest's tmp_path: Postfix' users have to reach it.
    directory = Path(tempfile.mkdtemp(prefix="mxseal-world-"))
    directory.chmod(0o755)
    try:
        done = subprocess.run(
            # If the launcher is killed, everything else is, too.
            [
                tools["setpriv"],
                "--pdeathsig",
                "KILL",
                tools["unshare"],
                *NAMESPACES,
                sys.executable,
                str(PROGRAM),
                str(directory),
            ],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
            env={**os.environ, "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"},
        )
        if done.returncode and "unshare failed" in done.stderr:
            give_up("this machine forbids network namespaces")
        assert done.returncode == 0, done.stderr[-4000:]
        return json.loads(done.stdout)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def explained(explanation: dict) -> str:
    """What `send explain` demands: it looks up what must hold, and does not try it."""
    decision = explanation["decision"]
    match decision["answer"]["kind"], {host["level"] for host in decision["hosts"]}:
        case "temp", _:
            return "lookup-failed"
        case (("dane-only" | "dane"), levels) if "dane" in levels:
            return "must authenticate by TLSA"
        case "secure", levels if levels == {"skip"}:
            return "refused"
        case "secure", _:
            return "must authenticate by PKIX"
        case _:
            return "encrypted"


def checked(judgement: dict, demand: str) -> str:
    """What `check` says of the sender that does what `send explain` demands."""
    views = {view["sender"]: view for view in judgement["senders"]}
    sts = demand == "must authenticate by PKIX" or (demand == "refused" and judgement["overview"]["mode"])
    view = views["mta-sts" if sts else "dane"]
    match view["fate"], view["protection"]:
        case "delivered", "authenticated":
            return "verified"
        case "delivered", "encrypted":
            return "encrypted"
        case "deferred", _ if judgement["overview"]["mx_dnssec"] == "broken":
            return "lookup-failed"
        case "deferred", _:
            return "refused"
        case other:
            return f"{other}"


@pytest.mark.real
@pytest.mark.slow
def test_mxseal_and_posttls_finger_agree(require_tools, require_root, give_up):
    tools = require_tools(
        "unshare",
        "setpriv",
        "ip",
        "mount",
        "nsd",
        "unbound",
        "postfix",
        "posttls-finger",
        "ldns-keygen",
        "ldns-key2ds",
        "ldns-signzone",
    )
    require_root()
    domains = table()
    world = ask_the_world(tools, give_up)
    results = world["domains"]
    assert results.keys() == domains.keys()
    assert len(domains) >= 30
    disagreements = []
    for name, domain in domains.items():
        said = results[name]
        demand = explained(said["explain"])
        witnesses = {
            "the RFCs": domain.verdict,
            "posttls-finger": said["finger"]["verdict"],
            "check": checked(said["check"], demand),
        }
        if demand == f"must authenticate by {'TLSA' if domain.tlsa else 'PKIX'}":
            # Whether the server can, is the others' business.
            witnesses["send explain"] = (
                domain.verdict if domain.verdict in {"verified", "refused"} else demand
            )
        else:
            witnesses["send explain"] = demand
        if len(set(witnesses.values())) != 1:
            disagreements.append(f"{name}: {witnesses}\n{said['errors']}{said['finger']['output'][-600:]}")
    assert not disagreements, "\n\n".join(disagreements)

    # Beside it: the doctor, where unbound validates and Postfix does DANE.
    said = {
        (remark["subject"], remark["health"], remark["sentence"]) for remark in world["doctor"]["remarks"]
    }
    assert ("Postfix", "fine", "smtp_tls_security_level = dane, with DNSSEC lookups") in said
    assert ("resolver", "fine") in {(subject, health) for subject, health, _ in said}
    assert any("proved; validates itself" in sentence for _, _, sentence in said)
    assert world["doctor"]["fit"], said
