"""The expansions of docs/exim.md, read by Exim itself: ``exim -be``.

Debian installs either Postfix or Exim, so Exim may be unpacked only (scripts/system.sh); its user
is then known to it alone, in a mount namespace.
"""

import asyncio
import re
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.real

PAGE = (Path(__file__).parents[2] / "docs/exim.md").read_text(encoding="utf-8")
ANSWER = "OK secure match=mx1.a.test:.b.test servername=hostname"

ALLOWED = {
    "mx1.a.test": True,
    "MX1.A.test": True,
    "mx.b.test": True,
    "MX.B.Test": True,
    "a.mx.b.test": False,
    "b.test": False,
    "x.a.test": False,
    "mx1.a.test.attacker.example": False,
}


USER = "Debian-exim"


@pytest.fixture(scope="module")
def expand(require_tools, require_root, give_up, tmp_path_factory):
    exim = require_tools("exim4")["exim4"]
    prefix = []
    if f"\n{USER}:" not in Path("/etc/passwd").read_text():
        require_root()
        tools = require_tools("unshare", "mount")
        own = tmp_path_factory.mktemp("etc")
        for name, line in {
            "passwd": f"{USER}:x:64999:64999::/:/bin/false",
            "group": f"{USER}:x:64999:",
        }.items():
            (own / name).write_text(f"{Path('/etc', name).read_text().rstrip()}\n{line}\n")
        binds = " && ".join(
            f"{tools['mount']} --bind {own / name} /etc/{name}" for name in ("passwd", "group")
        )
        prefix = [tools["unshare"], "--mount", "sh", "-c", f'{binds} && exec "$@"', "sh"]
        if subprocess.run([*prefix, "true"], check=False, capture_output=True, timeout=60).returncode:
            give_up("this machine forbids mount namespaces")

    def run(text):
        # On standard input, since Exim bounds its arguments.
        command = [*prefix, exim, "-C", "/dev/null", "-be"]
        done = subprocess.run(
            command, input=f"{text}\n", capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.replace("> ", "").strip("\n")

    return run


def option(name):
    (found,) = set(re.findall(rf"^ +{name} = (.*)$", PAGE, re.MULTILINE))
    return found


@pytest.mark.parametrize("host", ALLOWED)
def test_hosts_are_held_to_the_patterns(expand, host):
    text = option("event_action")
    for name, value in (("$address_data", ANSWER), ("$event_name", "tcp:connect"), ("$host", host)):
        text = text.replace(name, value)
    assert (expand(text) == "") == ALLOWED[host]


def test_it_fails_closed(expand):
    text = option("address_data").replace("127.0.0.1:8464", "127.0.0.1:1").replace("$domain", "a.test")
    assert expand(text) == "TEMP no answer from mxseal"
    text = option("condition").replace("127.0.0.1:8464", "127.0.0.1:1").replace("$domain", "a.test")
    assert expand(text) not in ("", "0", "no", "false")


def test_it_reads_our_answers(expand):
    from mxseal.daemon.answering import Answerer
    from mxseal.daemon.answers import AnswerTable
    from mxseal.daemon.connections import Connections
    from mxseal.daemon.counters import Counters
    from mxseal.daemon.lines import LineProtocol
    from mxseal.decisions.overrides import parse_overrides

    async def main():
        counters = Counters()
        overrides = parse_overrides(
            f"a.test {ANSWER[3:]}\nb.test dane-only\nc.test notfound\nd.test temp wait\n"
        )
        answerer = Answerer(None, table=AnswerTable(100), counters=counters, overrides=overrides)
        connections = Connections(counters, most=10)
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: LineProtocol(answerer, connections), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        told: dict[tuple[str, str], str] = {}
        async with server:
            for domain in ("a.test", "b.test", "c.test", "d.test"):
                for name in ("address_data", "condition"):
                    text = option(name).replace("127.0.0.1:8464", f"127.0.0.1:{port}")
                    told[domain, name] = await asyncio.to_thread(expand, text.replace("$domain", domain))
        return told

    told = asyncio.run(main())
    assert [told[f"{letter}.test", "address_data"] for letter in "abcd"] == [
        ANSWER, "OK dane-only", "NOTFOUND", "TEMP wait",
    ]  # fmt: skip
    assert [bool(told[f"{letter}.test", "condition"]) for letter in "abcd"] == [False, False, False, True]
