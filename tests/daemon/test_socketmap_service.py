"""Postfix and Sendmail ask: every form of question, in every manner that a client may have."""

import asyncio

import pytest

from mxseal.daemon.answering import Answerer
from mxseal.daemon.answers import AnswerTable
from mxseal.daemon.counters import Counters
from mxseal.decisions.overrides import parse_overrides

SECURE = "OK secure match=mx.example.com:.example.net servername=hostname"
REPORTS = (
    f"{SECURE} policy_type=sts policy_domain=secure.example"
    " mx_host_pattern=mx.example.com mx_host_pattern=*.example.net { policy_string = version: STSv1 }"
    " { policy_string = mode: enforce } { policy_string = mx: mx.example.com }"
    " { policy_string = mx: *.example.net } { policy_string = max_age: 86400 }"
)

QUESTIONS = {
    "QUERY secure.example": SECURE,
    "QUERY SECURE.Example": SECURE,
    "postfix secure.example": SECURE,
    "QUERYwithTLSRPT secure.example": REPORTS,
    "querywithTLSRPT Secure.Example.": REPORTS,
    "sts secure.example": SECURE,
    "QUERY dane-only.example": "OK dane-only",
    "QUERYwithTLSRPT dane-only.example": "OK dane-only",
    "sts dane-only.example": "NOTFOUND ",
    "QUERY dane.example": "OK dane",
    "QUERY temp.example": "TEMP DNS failed",
    "QUERY example.org": "NOTFOUND ",
    "QUERY secure.example:587": SECURE,
    "QUERY secure.example:submission": SECURE,
    "QUERY [secure.example]": SECURE,
    "QUERY [secure.example]:587": SECURE,
    "QUERY secure.example:http": SECURE,  # nobody mails there, but services(5) knows it
}
AT_ONCE = {
    "QUERY .example": "NOTFOUND ",
    "QUERYwithTLSRPT .secure.example": "NOTFOUND ",
    "QUERY [192.0.2.1]": "NOTFOUND ",
    "QUERY [IPv6:2001:db8::1]:25": "NOTFOUND ",
    "QUERY 192.0.2.1": "NOTFOUND ",
    "QUERY /run/lmtp.sock": "NOTFOUND ",
    "QUERY unix:private/lmtp": "NOTFOUND ",
    "QUERY no such name": "NOTFOUND ",
    "QUERY secure.example:nosuchservice": "NOTFOUND ",
    "QUERY " + "x" * 10_000: "NOTFOUND ",
}

# octets: what comes back before the service closes
MALFORMED = [b"GET / HTTP/1.1\r\n\r\n", b"5:QUERYx", b"99999:", b"\x16\x03\x01\x02\x00", b"12:QUERY a.test;"]


@pytest.mark.parametrize("pieces", [1, 0])
def test_questions(tools, pieces):
    async def main():
        async with tools.running() as world:
            for _ in range(2):  # found out, then ready
                reader, writer = await world.connect()
                for question, told in (QUESTIONS | AT_ONCE).items():
                    octets = tools.framed(question)
                    for start in range(0, len(octets), 700) if pieces else (0,):
                        writer.write(octets[start : start + 700] if pieces else octets)
                        await asyncio.sleep(0)
                    assert await tools.read_reply(reader) == told, question
                writer.close()
            # Once each; nothing is asked about what is known at once.
            assert len(world.service.asked) == len(QUESTIONS)
            # But for the one that is too long to be kept.
            assert world.daemon.counters.ready == len(QUESTIONS | AT_ONCE) - 1

    tools.run(main())


def test_all_at_once_is_answered_in_order(tools):
    async def main():
        async with tools.running() as world:
            questions = [*QUESTIONS, *AT_ONCE] * 3
            octets = b"".join(map(tools.framed, questions))
            told = await world.say(octets)
            expected = [(QUESTIONS | AT_ONCE)[question] for question in questions]
            assert told == b"".join(map(tools.framed, expected))

    tools.run(main())


def test_octet_by_octet(tools):
    async def main():
        async with tools.running() as world:
            reader, writer = await world.connect()
            for octet in tools.framed("QUERY secure.example"):
                writer.write(bytes([octet]))
                await writer.drain()
                await asyncio.sleep(0)
            assert await tools.read_reply(reader) == SECURE
            writer.close()

    tools.run(main())


def test_a_slow_answer_keeps_nobody_else_waiting_and_the_order(tools):
    async def main():
        async with tools.running() as world:
            world.service.gate.clear()
            reader, writer = await world.connect()
            writer.write(tools.framed("QUERY slow.example") + tools.framed("QUERY .example"))
            assert await world.ask("QUERY dane.example") == ["OK dane"]
            others = [asyncio.ensure_future(world.ask("QUERY slow.example")) for _ in range(20)]
            await tools.until(lambda: world.waiting == 21)
            world.service.gate.set()
            assert [await tools.read_reply(reader) for _ in range(2)] == ["OK dane-only", "NOTFOUND "]
            assert await asyncio.gather(*others) == [["OK dane-only"]] * 20
            assert world.service.asked.count("slow.example") == 1
            writer.close()

    tools.run(main())


def test_a_client_that_leaves_takes_no_answer_from_others(tools):
    async def main():
        async with tools.running() as world:
            world.service.gate.clear()
            _, writer = await world.connect()
            writer.write(tools.framed("QUERY slow.example"))
            await tools.until(lambda: world.service.asked)
            other = asyncio.ensure_future(world.ask("QUERY slow.example"))
            writer.transport.abort()
            await tools.until(lambda: world.waiting == 2)
            world.service.gate.set()
            assert await other == ["OK dane-only"]
            assert world.service.asked == ["slow.example"]

    tools.run(main())


@pytest.mark.parametrize("octets", MALFORMED)
def test_what_is_no_netstring_is_told_and_closed(tools, octets):
    async def main():
        async with tools.running() as world:
            told = await world.say(tools.framed("QUERY dane.example") + octets, eof=False)
            first, second = told[:10], told[10:]
            assert first == b"7:OK dane,"
            assert b":PERM not a socketmap request" in second
            assert await world.ask("QUERY dane.example") == ["OK dane"]
            assert world.daemon.counters.malformed["socketmap"] == 1

    tools.run(main())


def test_no_question_is_told_and_the_connection_goes_on(tools):
    async def main():
        async with tools.running() as world:
            told = await world.ask("QUERY", "QUERY ", "", "QUERY dane.example")
            assert [reply.split()[0] for reply in told] == ["PERM", "PERM", "PERM", "OK"]

    tools.run(main())


def test_half_a_request_and_an_end_is_closed(tools):
    async def main():
        async with tools.running() as world:
            assert await world.say(b"12:QUERY a.te") == b""
            assert await world.say(b"") == b""

    tools.run(main())


def test_a_client_that_does_not_read_is_not_read_from(tools):
    async def main():
        async with tools.running() as world:
            reader, writer = await world.connect()
            await world.ask("QUERYwithTLSRPT secure.example")
            octets = tools.framed("QUERYwithTLSRPT secure.example") * 1000
            sent = 0
            try:
                async with asyncio.timeout(0.5):
                    while sent < 200:
                        writer.write(octets)
                        await writer.drain()
                        sent += 1
            except TimeoutError:
                pass
            (connection,) = world.daemon.connections._open
            assert connection._transport.get_write_buffer_size() < 2_000_000
            expected = tools.framed(REPORTS)
            for _ in range(2000):
                assert await reader.readexactly(len(expected)) == expected
            writer.transport.abort()

    tools.run(main())


def test_a_thousand_connections(tools):
    async def main():
        async with tools.running() as world:
            opened = [await world.connect() for _ in range(1000)]
            for turn in range(3):
                for number, (_, writer) in enumerate(opened):
                    writer.write(tools.framed(f"QUERY dane{(number + turn) % 7}.example"))
                told = await asyncio.gather(*(tools.read_reply(reader) for reader, _ in opened))
                assert set(told) == {"OK dane"}
            assert len(world.daemon.connections) == 1000
            assert len(world.service.asked) == 7
            for _, writer in opened:
                writer.close()

    tools.run(main())


def test_more_connections_than_there_is_room_for(tools):
    async def main():
        async with tools.running(serve={"connections": 2}) as world:
            first, _second = await world.connect(), await world.connect()
            first[1].write(tools.framed("QUERY dane.example"))
            assert await tools.read_reply(first[0]) == "OK dane"
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                await world.ask("QUERY dane.example")
            assert world.daemon.counters.refused == 1
            first[1].close()
            await tools.until(lambda: len(world.daemon.connections) == 1)
            assert await world.ask("QUERY dane.example") == ["OK dane"]

    tools.run(main())


def test_a_mistake_of_ours_makes_mail_wait(tools, caplog):
    async def main():
        async with tools.running() as world:
            assert await world.ask("QUERY bug.example") == ["TEMP no answer now; the service's log tells why"]
            assert await world.ask("QUERY dane.example") == ["OK dane"]

    tools.run(main())


def test_what_hangs_makes_mail_wait(tools):
    async def main():
        table, counters = AnswerTable(100), Counters()
        answerer = Answerer(tools.FakeService(), table=table, counters=counters, longest=0.01)
        from mxseal.standards.postfix_tls import Dialect

        answer = await answerer.find_out("hangs.example", Dialect.PLAIN)
        assert str(answer.reply).startswith("TEMP ")
        assert answer.until < table.now() + 60
        assert answerer.finding == 0

    tools.run(main())


def test_too_much_at_a_time_makes_mail_wait(tools):
    async def main():
        service = tools.FakeService()
        service.gate.clear()
        answerer = Answerer(service, table=AnswerTable(100), counters=Counters(), most_at_once=3)
        from mxseal.standards.postfix_tls import Dialect

        tasks = [
            asyncio.ensure_future(answerer.find_out(f"slow{number}.example", Dialect.PLAIN))
            for number in range(4)
        ]
        assert str((await tasks[3]).reply).startswith("TEMP ")
        service.gate.set()
        assert {str((await task).reply) for task in tasks[:3]} == {"OK dane-only"}

    tools.run(main())


def test_an_answer_that_ends_is_found_out_again(tools):
    async def main():
        async with tools.running() as world:
            world.service.seconds = 0.0
            assert await world.ask(*["QUERY dane.example"] * 3) == ["OK dane"] * 3
            assert len(world.service.asked) == 3
            world.service.seconds = 3600.0
            assert await world.ask(*["QUERY dane.example"] * 3) == ["OK dane"] * 3
            assert len(world.service.asked) == 4

    tools.run(main())


def test_a_change_of_policy_ends_answers_at_once(tools):
    async def main():
        async with tools.running() as world:
            table = world.daemon.answerer.table
            questions = ["QUERY dane.example", "QUERYwithTLSRPT dane.example", "QUERY secure.example"]
            await world.ask(*questions)
            assert len(table) == 3
            table.forget("dane.example")
            assert len(table) == 1
            await world.ask(*questions)
            assert world.service.asked.count("dane.example") == 3 + 1

    tools.run(main())


def test_an_answer_that_was_outdated_on_its_way_is_not_kept(tools):
    async def main():
        async with tools.running() as world:
            answerer, table = world.daemon.answerer, world.daemon.answerer.table
            from mxseal.standards.postfix_tls import Dialect

            answer = await answerer.find_out("dane.example", Dialect.PLAIN)
            table.forget("dane.example")
            answerer.keep(b"request", b"reply", answer)
            assert len(table) == 0

    tools.run(main())


def test_overrides_go_first(tools):
    overrides = parse_overrides("secure.example dane-only\n.example encrypt\nheld.org temp wait\n")

    async def main():
        async with tools.running(overrides=overrides) as world:
            told = await world.ask(
                "QUERY secure.example", "QUERYwithTLSRPT secure.example", "sts secure.example",
                "QUERY dane.example", "QUERY held.org", "QUERY example.org", "QUERY .example",
            )  # fmt: skip
            assert told == [
                "OK dane-only", "OK dane-only", "NOTFOUND ", "OK encrypt", "TEMP wait", "NOTFOUND ", "NOTFOUND ",
            ]  # fmt: skip
            assert world.service.asked == ["example.org"]

    tools.run(main())


def test_the_end_gives_everybody_his_answer(tools):
    async def main():
        async with tools.running() as world:
            world.service.gate.clear()
            idle_reader, idle_writer = await world.connect()
            reader, writer = await world.connect()
            writer.write(tools.framed("QUERY slow.example"))
            await tools.until(lambda: world.service.asked)
            ending = asyncio.ensure_future(world.daemon.stop(grace=30))
            assert await idle_reader.read() == b""
            world.service.gate.set()
            assert await tools.read_reply(reader) == "OK dane-only"
            assert await reader.read() == b""
            await ending
            idle_writer.close()
            writer.close()

    tools.run(main())


def test_the_end_cuts_off_what_hangs(tools):
    async def main():
        async with tools.running() as world:
            reader, writer = await world.connect()
            writer.write(tools.framed("QUERY hangs.example"))
            await tools.until(lambda: world.service.asked)
            await world.daemon.stop(grace=0.01)
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                await tools.read_reply(reader)
            writer.close()

    tools.run(main())


def test_the_table_is_bounded():
    table = AnswerTable(100)
    for number in range(1000):
        table.put(b"%d" % number, (b"x", 1.0), domain=f"d{number % 150}")
        assert len(table) <= 100
    assert b"999" in table.entries
    assert b"0" not in table.entries
    assert sum(map(len, table._domains.values())) == len(table._domain_of) == len(table)
    for number in range(150):
        table.forget(f"d{number}")
    assert not table.entries
    assert table.octets == 0
    assert not table._domains
    assert not table._domain_of


def test_the_table_is_bounded_in_octets():
    table = AnswerTable(1000)
    for number in range(100):
        table.put(b"%d" % number, (b"x" * 90_000, 1.0), domain=f"d{number}")
        assert table.octets <= table.max_octets
        assert table.octets == sum(len(key) + len(entry[0]) for key, entry in table.entries.items())
    assert b"99" in table.entries
    assert 0 < len(table) <= 11
    table.put(b"k" * 5000, (b"x", 1.0))
    assert b"k" * 5000 not in table.entries
    table.clear()
    assert table.octets == 0
