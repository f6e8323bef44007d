"""`mxseal check` and checkdmarc over the same domains of the lab, in one run, under the same conditions.

    python bench/check.py [--domains 300] [--hosted] [--rtt 20]

Everything happens in a network namespace of its own (`unshare -Urnm`, no root needed), because
checkdmarc knows only the ports 25, 53 and 443.  The lab is a process of its own; the two run one
after the other, each with the lab's resolver, CA and addresses.  By default each domain has an MX
host of its own; with --hosted they share two, which is what checkdmarc's cache is made for.

With --rtt everything is so many milliseconds away (see `distance.py`), as on the real internet; without
it only CPU time counts.

The rate of mxseal includes the start of the program; that of checkdmarc begins after its imports.
"""

import argparse
import asyncio
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec

HERE = Path(__file__).resolve().parent
# This directory last: another benchmark in it may be called like a package that is needed here.
sys.path[:] = [path for path in sys.path if Path(path).resolve() != HERE] + [str(HERE)]

from distance import DistantLoop  # noqa: E402 - see above

from mxseal.lab import Lab  # noqa: E402
from mxseal.lab.scenarios import SCENARIOS, fleet_domain  # noqa: E402
from mxseal.lab.zones import Signing  # noqa: E402

PEERS = HERE.parent / ".bench/peers"
MXSEAL = [sys.executable, "-m", "mxseal"]


def names(count: int, *, hosted: bool) -> list[str]:
    return [fleet_domain(number) if hosted else f"own{number:04}.test" for number in range(count)]


async def serve_lab(count: int, directory: Path, *, hosted: bool) -> None:
    """The lab, until stdin ends; tells where it is in a line of JSON."""
    model = SCENARIOS["good-rsa-zone.test"]
    model = msgspec.structs.replace(
        model, domain=msgspec.structs.replace(model.domain, signing=Signing.ECDSA)
    )
    lab = Lab(
        scenarios=(),
        extra_domains=count if hosted else 0,
        dns_port=53,
        smtp_port=25,
        https_port=443,
    )
    if not hosted:
        lab.scenarios.update(dict.fromkeys(names(count, hosted=False), model))
    async with lab:
        (directory / "ca.pem").write_bytes(lab.ca_pem)
        (directory / "root.ds").write_text(lab.trust_anchor)
        sys.stdout.write(json.dumps({"resolver": str(lab.resolver[0])}) + "\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.read)


def mount_namespace() -> str:
    return Path("/proc/self/ns/mnt").readlink().name


def inside(options: argparse.Namespace) -> dict:
    """Within the namespace: start the lab, run both, give the numbers."""
    if options.inside == mount_namespace():
        raise SystemExit(
            "--inside is for the program itself: it would mount over this machine's /etc/resolv.conf"
        )
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    with tempfile.TemporaryDirectory() as text:
        directory = Path(text)
        again = [sys.executable, __file__, "--lab", text]
        again += ["--domains", str(options.domains), "--rtt", str(options.rtt)]
        lab = subprocess.Popen(
            again + ["--hosted"] * options.hosted, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        try:
            assert lab.stdout is not None
            resolver = json.loads(lab.stdout.readline())["resolver"]
            resolv = directory / "resolv.conf"
            resolv.write_text(f"nameserver {resolver}\noptions timeout:2 attempts:1\n")
            target = Path("/etc/resolv.conf").resolve()
            subprocess.run(["mount", "--bind", str(resolv), str(target)], check=True)
            domains = names(options.domains, hosted=options.hosted)
            rows = {"mxseal check": ours(domains, resolver, directory)}
            for threads in (1, options.threads):
                label = "checkdmarc" if threads == 1 else f"checkdmarc, {threads} threads"
                rows[label] = peer(domains, resolver, directory, threads)
            return rows
        finally:
            lab.kill()


def ours(domains: list[str], resolver: str, directory: Path) -> dict:
    command = [
        *MXSEAL,
        "check",
        "--jsonl",
        "--resolver",
        resolver,
        "--allow-private",
        "--ca-file",
        str(directory / "ca.pem"),
        "--trust-anchor",
        str(directory / "root.ds"),
        "--from",
        "-",
    ]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    done = subprocess.run(command, input="\n".join(domains), capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode > 1:
        raise SystemExit(done.stderr)
    results = [json.loads(line) for line in done.stdout.splitlines()]
    return {
        "domains": len(results),
        "good": sum(result["state"] == "sealed" for result in results),
        "seconds": seconds,
        "cpu": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
    }


def peer(domains: list[str], resolver: str, directory: Path, threads: int) -> dict:
    done = subprocess.run(
        [str(PEERS / "bin/python"), "-P", str(HERE / "peer_checkdmarc.py"), resolver, str(threads)],
        input="\n".join(domains),
        capture_output=True,
        text=True,
        check=False,
        env={
            **os.environ,
            "SSL_CERT_FILE": str(directory / "ca.pem"),
            "REQUESTS_CA_BUNDLE": str(directory / "ca.pem"),
        },
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    found = json.loads(done.stdout)
    return {
        "domains": len(found["results"]),
        "good": sum(
            all(each[key] for key in ("sts", "starttls", "tlsa", "tlsrpt")) for each in found["results"]
        ),
        "seconds": found["seconds"],
        "cpu": found["cpu"],
    }


def outside(options: argparse.Namespace, arguments: list[str]) -> None:
    if not (PEERS / "bin/python").exists():
        raise SystemExit("the peers are missing: make bench installs them")
    done = subprocess.run(
        [
            "unshare",
            "--user",
            "--map-root-user",
            "--net",
            "--mount",
            "--pid",
            "--fork",
            "--kill-child",
            "--mount-proc",
            sys.executable,
            __file__,
            f"--inside={mount_namespace()}",
            *arguments,
        ],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"the run in the namespace failed: exit {done.returncode}")
    rows = json.loads(done.stdout)
    base = rows["checkdmarc"]["domains"] / rows["checkdmarc"]["seconds"]
    where = "sharing two MX hosts" if options.hosted else "each with an MX host of its own"
    print(f"{options.domains} domains of the lab, {where}, {options.rtt:g} ms away\n")
    print("|  | domains | found in order | seconds | domains/s | CPU ms a domain | rate |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for label, row in rows.items():
        rate = row["domains"] / row["seconds"]
        print(
            f"| {label} | {row['domains']} | {row['good']} | {row['seconds']:.2f} | {rate:.1f} "
            f"| {1000 * row['cpu'] / row['domains']:.1f} | {rate / base:.1f}× |"
        )


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--domains", type=int, default=300)
    parser.add_argument("--hosted", action="store_true")
    parser.add_argument("--rtt", type=float, default=0, help="round trip time in milliseconds")
    parser.add_argument("--threads", type=int, default=16)
    parser.add_argument("--inside", default="", help=argparse.SUPPRESS)
    parser.add_argument("--lab", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.lab:
        DistantLoop.round_trip = options.rtt / 1000
        with asyncio.Runner(loop_factory=DistantLoop) as runner:
            runner.run(serve_lab(options.domains, options.lab, hosted=options.hosted))
    elif options.inside:
        json.dump(inside(options), sys.stdout)
    else:
        outside(options, arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
