"""`mxseal serve` with many policies in its store: how long it takes to start, and its memory.

    python bench/full_store.py [--policies 10000 100000]

The policies are those of usual providers: three MX patterns, two weeks.  The service is a process of its
own; its resolver does not answer, so nothing is refreshed meanwhile.
"""

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path

from mxseal.adapters.clock import SystemClock
from mxseal.adapters.sqlite import SqlitePolicyStore
from mxseal.decisions.policy_lifecycle import CachedPolicy
from mxseal.decisions.schedule import PolicyState
from mxseal.standards.mta_sts import Mode, MxPattern, Policy
from mxseal.vocabulary.names import HostName


async def fill(path: Path, count: int) -> None:
    """So many domains, each with a policy fetched just now."""
    now = SystemClock().now()
    store = await SqlitePolicyStore.open(path)

    async def keep(number: int) -> None:
        domain = HostName(f"d{number}.example")
        mx = (MxPattern(f"mx1.{domain}"), MxPattern(f"mx2.{domain}"), MxPattern("*.mail.provider.example"))
        state = PolicyState(
            domain=domain,
            cached=CachedPolicy("20261123", Policy(mode=Mode.ENFORCE, mx=mx, max_age=1_209_600), now),
            record_id="20261123",
            attempted_at=now,
            look_at=now + timedelta(hours=1),
            used_at=now,
        )
        await store.update(domain, lambda _: state)

    for start in range(0, count, 1000):
        await asyncio.gather(*(keep(number) for number in range(start, min(count, start + 1000))))
    await store.close()


def start(directory: Path) -> tuple[float, float]:
    """Seconds until it is ready, and megabytes then."""
    (directory / "mxseal.toml").write_text(
        f'[dns]\nresolvers = ["192.0.2.1"]\n[policies]\nstore = "{directory}/policies.sqlite"\n'
        f'[serve]\nsocketmap = ["127.0.0.1:0"]\ncontrol = "{directory}/control.sock"\n'
    )
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MXSEAL_")}
    begun = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-m", "mxseal", "serve", "--config", str(directory / "mxseal.toml")],
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        assert process.stderr is not None
        if not any("event=ready" in line for line in process.stderr):
            raise SystemExit("it does not start")
        seconds = time.perf_counter() - begun
        status = Path(f"/proc/{process.pid}/status").read_text()
        process.kill()
    return seconds, int(status.partition("VmRSS:")[2].split()[0]) / 1024


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--policies", type=int, nargs="+", default=[0, 10_000, 100_000])
    options = parser.parse_args(arguments)
    print("| policies | seconds until ready | memory MB | file MB |\n|---:|---:|---:|---:|")
    for count in options.policies:
        with tempfile.TemporaryDirectory() as text:
            directory = Path(text)
            asyncio.run(fill(directory / "policies.sqlite", count))
            size = sum(file.stat().st_size for file in directory.glob("policies.sqlite*")) / 1e6
            seconds, memory = start(directory)
        print(f"| {count:,} | {seconds:.2f} | {memory:.0f} | {size:.1f} |")


if __name__ == "__main__":
    main(sys.argv[1:])
