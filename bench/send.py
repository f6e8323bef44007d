"""`mxseal serve`, postfix-mta-sts-resolver and a bare protocol that answers a constant, asked alike in one run.

    python bench/send.py [--domains 300] [--seconds 5]

Everything happens in a network namespace of its own (`unshare -Urnm`, no root needed), because the
peer knows only the ports 53 and 443.  The lab is a process of its own, and so is each service; the one
that asks is this process, with one request in flight on each connection, as Postfix has it.

*cold* asks for each domain once, at 64 connections; then each of them is asked again and again: lookups
a second, and how long one took.  With one core for who asks and one for who answers the rates cannot
exceed what the asking side manages, so the service's own CPU time for a lookup stands beside them.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import cast

HERE = Path(__file__).resolve().parent
# This directory last: another benchmark in it may be called like a package that is needed here.
sys.path[:] = [path for path in sys.path if Path(path).resolve() != HERE] + [str(HERE)]

import uvloop  # noqa: E402 - see above
from check import MXSEAL, PEERS, mount_namespace, names  # noqa: E402 - see above

PORTS = {"mxseal serve": 8461, "postfix-mta-sts-resolver": 8462, "a constant": 8463}
CONNECTIONS = (1, 8, 64)


class Constant(asyncio.Protocol):
    """What can be had at all: no question is read, every answer is the same."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.write = cast("asyncio.Transport", transport).write

    def data_received(self, data: bytes) -> None:
        del data
        self.write(b"12:OK dane-only,")


class Asker(asyncio.Protocol):
    """One connection: asks, waits for the answer, asks again."""

    def __init__(self, questions: Iterator[bytes], took: list[float], ended: asyncio.Future[None]) -> None:
        self.questions, self.took, self.ended = questions, took, ended
        self.buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.ask()

    def ask(self) -> None:
        question = next(self.questions, None)
        if question is None:
            self.transport.close()
            return
        self.since = time.perf_counter()
        self.transport.write(question)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        if not self.buffer.endswith(b","):
            return
        self.took.append(time.perf_counter() - self.since)
        if b":PERM " in self.buffer or b":TEMP " in self.buffer:
            raise SystemExit(f"an answer that was not expected: {self.buffer!r}")
        self.buffer = b""
        self.ask()

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        if not self.ended.done():
            self.ended.set_result(None)


def framed(domain: str) -> bytes:
    text = f"postfix {domain}".encode()
    return b"%d:%b," % (len(text), text)


async def ask_all(port: int, questions: Iterator[bytes], connections: int) -> tuple[float, list[float]]:
    """Until the questions end; seconds, and how long each took."""
    loop = asyncio.get_running_loop()
    took: list[float] = []
    ends: list[asyncio.Future[None]] = []
    begun = time.perf_counter()
    for _ in range(connections):
        ends.append(loop.create_future())
        await loop.create_connection(partial(Asker, questions, took, ends[-1]), "127.0.0.1", port)
    await asyncio.gather(*ends)
    return time.perf_counter() - begun, sorted(took)


def for_seconds(questions: Iterable[bytes], seconds: float) -> Iterator[bytes]:
    end = time.perf_counter() + seconds
    for question in cycle(questions):
        if time.perf_counter() > end:
            return
        yield question


def cpu_of(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_of(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def commands(directory: Path, resolver: str) -> dict[str, list[str]]:
    (directory / "mxseal.toml").write_text(f"""
[dns]
resolvers = ["{resolver}"]
trust_anchor = "{directory}/root.ds"
[policies]
store = "{directory}/policies.sqlite"
ca_file = "{directory}/ca.pem"
allow_private = true
[serve]
socketmap = ["127.0.0.1:{PORTS["mxseal serve"]}"]
control = "{directory}/control.sock"
""")
    (directory / "peer.yml").write_text(
        f"host: 127.0.0.1\nport: {PORTS['postfix-mta-sts-resolver']}\ncache:\n  type: internal\n  options:\n"
        "    cache_size: 100000\ndefault_zone:\n  strict_testing: false\n  timeout: 10\n"
    )
    return {
        "a constant": [sys.executable, "-P", __file__, "--constant"],
        "postfix-mta-sts-resolver": [
            str(PEERS / "bin/mta-sts-daemon"), "-v", "error", "-c", str(directory / "peer.yml"),
        ],
        "mxseal serve": [*MXSEAL, "serve", "--config", str(directory / "mxseal.toml")],
    }  # fmt: skip


def measure(
    name: str,
    command: list[str],
    domains: list[str],
    *,
    seconds: float,
    environment: dict[str, str],
    log: Path,
) -> dict:
    questions = [framed(domain) for domain in domains]
    port = PORTS[name]
    with log.open("wb") as stream:
        process = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream
        )
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(until_listening(port, process, log))
            row: dict = {"name": name}
            before = cpu_of(process.pid)
            cold, _ = runner.run(ask_all(port, iter(questions), 64))
            row |= {
                "cold": len(questions) / cold,
                "cold_cpu": (cpu_of(process.pid) - before) / len(questions),
            }
            for connections in CONNECTIONS:
                before = cpu_of(process.pid)
                lasted, took = runner.run(ask_all(port, for_seconds(questions, seconds), connections))
                row[str(connections)] = {
                    "rate": len(took) / lasted,
                    "p50": took[len(took) // 2],
                    "p99": took[len(took) * 99 // 100],
                    "cpu": (cpu_of(process.pid) - before) / len(took),
                }
            row["memory"] = memory_of(process.pid)
            return row
    finally:
        process.kill()
        process.wait()


async def until_listening(port: int, process: subprocess.Popen, log: Path) -> None:
    for _ in range(400):
        if process.poll() is not None:
            raise SystemExit(f"it ended: {log}")
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.05)
        else:
            writer.close()
            return
    raise SystemExit(f"nothing listens at port {port}: {log}")


def inside(options: argparse.Namespace) -> list[dict]:
    if options.inside == mount_namespace():
        raise SystemExit("--inside is for the program itself: it would mount over this machine's files")
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    domains = names(options.domains, hosted=True)
    with tempfile.TemporaryDirectory() as text:
        directory = Path(text)
        lab = subprocess.Popen(
            [sys.executable, "-P", str(HERE / "check.py"), "--lab", text, "--hosted", "--domains", str(options.domains)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            assert lab.stdout is not None
            resolver = json.loads(lab.stdout.readline())["resolver"]
            (directory / "resolv.conf").write_text(f"nameserver {resolver}\noptions timeout:2 attempts:1\n")
            target = str(Path("/etc/resolv.conf").resolve())
            subprocess.run(["mount", "--bind", str(directory / "resolv.conf"), target], check=True)
            environment = os.environ | {"SSL_CERT_FILE": str(directory / "ca.pem")}
            return [
                measure(
                    name,
                    command,
                    domains,
                    seconds=options.seconds,
                    environment=environment,
                    log=directory / "log",
                )
                for name, command in commands(directory, resolver).items()
            ]
        finally:
            lab.kill()
            lab.wait()


def outside(options: argparse.Namespace, arguments: list[str]) -> None:
    if not (PEERS / "bin/mta-sts-daemon").exists():
        raise SystemExit("the peers are missing: make bench installs them")
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc",
         sys.executable, "-P", __file__, f"--inside={mount_namespace()}", *arguments],
        stdout=subprocess.PIPE, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"the run in the namespace failed: exit {done.returncode}")
    rows = json.loads(done.stdout)
    print(f"{options.domains} domains with MTA-STS and DANE, {options.seconds:g} s each\n")
    print("|  | connections | lookups/s | p50 µs | p99 µs | CPU µs a lookup |")
    print("|---|---:|---:|---:|---:|---:|")
    for connections in CONNECTIONS:
        for row in rows:
            found = row[str(connections)]
            print(
                f"| {row['name']} | {connections} | {found['rate']:,.0f} | {1e6 * found['p50']:.0f} "
                f"| {1e6 * found['p99']:.0f} | {1e6 * found['cpu']:.1f} |"
            )
    print("\n|  | cold lookups/s | CPU ms a cold lookup | memory MB afterwards |\n|---|---:|---:|---:|")
    for row in rows:
        if row["name"] != "a constant":
            print(
                f"| {row['name']} | {row['cold']:.0f} | {1000 * row['cold_cpu']:.2f} | {row['memory']:.0f} |"
            )


async def answer_a_constant() -> None:
    server = await asyncio.get_running_loop().create_server(Constant, "127.0.0.1", PORTS["a constant"])
    await server.serve_forever()


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--domains", type=int, default=300)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--inside", default="", help=argparse.SUPPRESS)
    parser.add_argument("--constant", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.constant:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(answer_a_constant())
    elif options.inside:
        json.dump(inside(options), sys.stdout)
    else:
        outside(options, arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
