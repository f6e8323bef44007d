"""Exim's lines, HTTP, metrics, and the administrator's socket."""

import asyncio
import json
import re

import pytest

from mxseal.daemon.control import Command, request
from mxseal.decisions.overrides import Overrides, parse_overrides
from mxseal.vocabulary.faults import ConfigurationFault, TemporaryFault, UnavailableFault, UsageFault

SECURE = "OK secure match=mx.example.com:.example.net servername=hostname"
PLACES = {"lines": ("127.0.0.1:0",), "http": ("127.0.0.1:0",), "metrics": ("127.0.0.1:0",)}


def everything(tools, **more):
    from mxseal.config import Listen

    serve = {name: tuple(map(Listen, places)) for name, places in PLACES.items()} | more.pop("serve", {})
    return tools.running(serve=serve, **more)


LINES = {
    "secure.example\n": f"{SECURE}\n",
    "Secure.Example\r\n": f"{SECURE}\n",
    "secure.example": f"{SECURE}\n",
    "dane-only.example\n": "OK dane-only\n",
    "temp.example\n": "TEMP DNS failed\n",
    "example.org\n": "NOTFOUND\n",
    "[192.0.2.1]\n": "NOTFOUND\n",
    "b\u00fccher.example\n": "NOTFOUND\n",
    "dane.example\ntemp.example\nexample.org\n": "OK dane\nTEMP DNS failed\nNOTFOUND\n",
    "\n": "PERM a line is a next-hop, for instance example.com\n",
    "a\x00b\n": "PERM a line is a next-hop, for instance example.com\n",
    "x" * 3000: "PERM a line is longer than any next-hop\n",
    "x" * 3000 + "\n": "PERM a line is longer than any next-hop\n",
    "": "",
}


@pytest.mark.parametrize("line", LINES)
def test_a_line_for_a_line(tools, line):
    async def main():
        async with everything(tools) as world:
            assert (await world.say(line.encode(), listener="lines")).decode() == LINES[line]

    tools.run(main())


def test_many_lines_are_answered_in_order(tools):
    async def main():
        async with everything(tools) as world:
            reader, writer = await world.connect("lines")
            for number in range(2000):
                writer.write(b"dane%d.example\n" % (number % 50) if number % 2 else b"[192.0.2.1]\n")
            writer.write_eof()
            told = (await reader.read()).decode().splitlines()
            assert told == ["NOTFOUND", "OK dane"] * 1000

    tools.run(main())


def test_a_line_in_pieces(tools):
    async def main():
        async with everything(tools) as world:
            reader, writer = await world.connect("lines")
            for octet in b"dane.example\n":
                writer.write(bytes([octet]))
                await writer.drain()
                await asyncio.sleep(0)
            assert await reader.readline() == b"OK dane\n"

    tools.run(main())


async def get(world, target, *, method="GET", listener="http", more=""):
    octets = f"{method} {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{more}\r\n".encode()
    head, _, body = (await world.say(octets, listener=listener)).partition(b"\r\n\r\n")
    status = int(head.split()[1])
    headers = dict(line.lower().split(": ", 1) for line in head.decode().split("\r\n")[1:])
    return status, headers, body


STATUSES = {
    # target: status, answer
    "/v1/policy/secure.example": (200, "secure"),
    "/v1/policy/secure.example?x=1": (200, "secure"),
    "/v1/policy/%5Bsecure.example%5D:587": (200, "secure"),
    "/v1/policy/dane-only.example": (200, "dane-only"),
    "/v1/policy/temp.example": (200, "temp"),
    "/v1/policy/example.org": (200, "not-found"),
    "/v1/policy/held.example": (200, "temp"),
    "/v1/policy/open.example": (200, "not-found"),
    "/v1/policy/mine.example": (200, "encrypt"),
    "/v1/policy/b%C3%BCcher.example": (200, "not-found"),
    "/v1/policy/.example": (400, None),
    "/v1/policy/": (400, None),
    "/v1/policy/a..b": (400, None),
    "/v1/policy/%FF.example": (400, None),
    "/v1/policy/bug.example": (503, None),
    "/": (404, None),
    "/metrics": (404, None),
    "/healthz": (200, None),
}


@pytest.mark.parametrize("target", STATUSES)
def test_policies_over_http(tools, target):
    overrides = parse_overrides("held.example temp wait\nopen.example notfound\nmine.example encrypt\n")

    async def main():
        async with everything(tools, overrides=overrides) as world:
            return await get(world, target)

    status, headers, body = tools.run(main())
    assert (status, json.loads(body).get("answer")) == STATUSES[target]
    assert int(headers["content-length"]) == len(body)
    if status >= 400:
        assert headers["content-type"] == "application/problem+json"
        assert json.loads(body)["status"] == status


def test_all_of_an_answer(tools):
    async def main():
        async with everything(tools) as world:
            return await get(world, "/v1/policy/secure.example")

    _, headers, body = tools.run(main())
    assert headers["cache-control"] == "no-store"
    told = json.loads(body)
    assert told["postfix"] == told["sendmail"] == SECURE
    assert told["mx_patterns"] == ["mx.example.com", "*.example.net"]
    assert told["reasons"] == [{"text": "because", "section": "RFC 8461 §5"}]
    assert (told["schema_version"], told["kind"], told["override"]) == (1, "policy-answer", False)
    assert told["valid_until"] == "2026-11-23T01:00:00Z"


def test_several_requests_on_one_connection(tools):
    async def main():
        async with everything(tools) as world:
            one = b"GET /v1/policy/dane.example HTTP/1.1\r\nHost: x\r\n\r\n"
            last = b"HEAD /v1/policy/dane.example HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
            told = await world.say(one + one + last, listener="http", eof=False)
            assert told.count(b"HTTP/1.1 200") == 3
            assert told.count(b'"answer":"dane"') == 2

    tools.run(main())


WRONG = {
    b"POST /v1/policy/a.example HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n": 405,
    b"POST /v1/policy/a.example HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello": 413,
    b"nonsense\r\n\r\n": 400,
    b"GET / HTTP/1.1\r\n\r\n": 400,
    b"GET /" + b"x" * 40_000: 431,
}


@pytest.mark.parametrize("octets", WRONG)
@pytest.mark.parametrize("listener", ["http", "metrics"])
def test_wrong_requests(tools, octets, listener):
    async def main():
        async with everything(tools) as world:
            told = await world.say(octets, listener=listener)
            status = int(told.split()[1])
            assert status == (WRONG[octets] if listener == "http" or WRONG[octets] != 405 else 404)

    tools.run(main())


def test_metrics(tools):
    async def main():
        async with everything(tools) as world:
            await world.ask(*["QUERY dane.example"] * 3, "QUERY .example", "nonsense")
            status, headers, body = await get(world, "/metrics", listener="metrics")
            assert status == 200
            assert headers["content-type"].startswith("text/plain; version=0.0.4")
            return body.decode()

    text = tools.run(main())
    samples = dict(re.findall(r"^([a-z_]+(?:\{[^}]*\})?) ([0-9.e+]+)$", text, re.MULTILINE))
    assert len(samples) == sum(not line.startswith("#") for line in text.splitlines())
    assert samples['mxseal_answers_total{from="ready",answer="any"}'] == "2"
    assert samples['mxseal_answers_total{from="found-out",answer="dane"}'] == "1"
    assert samples['mxseal_answers_total{from="at-once",answer="notfound"}'] == "1"
    assert samples['mxseal_malformed_requests_total{listener="socketmap"}'] == "1"
    assert samples["mxseal_finding_out_seconds_count"] == "1"
    assert samples['mxseal_finding_out_seconds_bucket{le="+Inf"}'] == "1"
    assert samples['mxseal_connections_total{listener="socketmap"}'] == "1"
    assert samples["mxseal_ready_answers"] == "2"
    named = {re.split(r"[{ ]", line)[0] for line in text.splitlines() if not line.startswith("#")}
    typed = set(re.findall(r"^# TYPE ([a-z_]+) ", text, re.MULTILINE))
    assert {re.sub(r"_seconds_(bucket|sum|count)$", "_seconds", name) for name in named} <= typed


# --- the administrator --------------------------------------------------------------------------------


def test_the_administrator(tools, tmp_path):
    path = tools.unix_name(tmp_path)

    async def main():
        async with everything(tools, control=path) as world:

            async def ask(*words):
                return await asyncio.to_thread(lambda: list(request(path, Command(*words))))

            assert path.stat().st_mode & 0o777 == 0o660
            dumped = await ask("dump")
            assert [item["domain"] for item in dumped] == ["a.example", "b.example"]
            assert await ask("purge", "A.Example") == [{"domain": "a.example", "kept": True}]
            assert await ask("purge", "b.example") == [{"domain": "b.example", "kept": False}]
            assert world.service.purged == ["a.example", "b.example"]
            (refreshed,) = await ask("refresh", "a.example")
            assert refreshed["fetched"] is False
            (status,) = await ask("status")
            assert f"control {path}" in status["listening"]
            assert await ask("reload") == [{"reloaded": True}]
            with pytest.raises(UsageFault, match="no domain"):
                await ask("purge", "a..b")
        assert not path.exists()
        with pytest.raises(UnavailableFault, match=str(path)):
            list(request(path, Command("status")))

    tools.run(main())


@pytest.mark.parametrize(
    "octets", [b"", b"x", b"\n", b"{}\n", b'{"command":"halt"}\n', b"[" * 3000 + b"\n", b"x" * 100_000]
)
def test_no_command(tools, tmp_path, octets):
    path = tools.unix_name(tmp_path)

    async def main():
        async with everything(tools, control=path) as world:
            told = await world.say(octets, listener="control")
            assert json.loads(told)["exit_code"] == 64

    tools.run(main())


def test_a_service_that_is_cut_off(tools, tmp_path):
    path = tools.unix_name(tmp_path)

    async def main():
        async def serve(reader, writer):
            await reader.readline()
            writer.write(b'{"item": 1}\n')
            writer.close()

        server = await asyncio.start_unix_server(serve, path)
        with pytest.raises(TemporaryFault, match="cut off"):
            await asyncio.to_thread(lambda: list(request(path, Command("status"))))
        server.close()

    tools.run(main())


def test_a_reload_that_fails_keeps_what_was(tools):
    def broken():
        raise ConfigurationFault("line 3 is wrong")

    async def main():
        overrides = parse_overrides("mine.example encrypt\n")
        async with tools.running(overrides=overrides, read_again=broken) as world:
            assert await world.ask("QUERY mine.example") == ["OK encrypt"]
            world.daemon._hang_up()
            assert await world.ask("QUERY mine.example") == ["OK encrypt"]
            assert world.daemon.counters.reloads == {"failed": 1}

    tools.run(main())


def test_a_reload_takes_over_at_once(tools):
    read = [parse_overrides("mine.example may\n"), Overrides()]

    async def main():
        async with tools.running(read_again=lambda: read.pop(0)) as world:
            told = []
            for _ in range(3):
                told += await world.ask("QUERY mine.example", "QUERY dane.example")
                if read:
                    world.daemon.reload()
            assert told == ["NOTFOUND ", "OK dane", "OK may", "OK dane", "NOTFOUND ", "OK dane"]

    tools.run(main())
