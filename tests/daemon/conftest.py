"""A service whose answers a test decides, and clients that speak to it octet by octet."""

import asyncio
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from mxseal.adapters.clock import SystemClock
from mxseal.config import Listen, ServeSettings, Settings
from mxseal.daemon.answers import AnswerTable
from mxseal.daemon.service import Daemon
from mxseal.decisions.delivery import Course, Decision, Kind, OneAnswer, Reason
from mxseal.decisions.overrides import Overrides
from mxseal.decisions.policy_lifecycle import CachedPolicy, EffectivePolicy, PolicySource
from mxseal.decisions.schedule import PolicyState
from mxseal.journeys.answer_mta import Served
from mxseal.standards.mta_sts import Mode, MxPattern, Policy
from mxseal.vocabulary.names import HostName

NOW = datetime(2026, 11, 23, tzinfo=UTC)
PATTERNS = (MxPattern("mx.example.com"), MxPattern("*.example.net"))
SECURE = "OK secure match=mx.example.com:.example.net servername=hostname"


def decide(domain, kind):
    policy = Policy(mode=Mode.ENFORCE, mx=PATTERNS, max_age=86400) if kind is Kind.SECURE else None
    return Decision(
        domain=domain,
        course=Course.DEFER if kind is Kind.TEMP else Course.DELIVER,
        answer=OneAnswer(
            kind,
            patterns=PATTERNS if kind is Kind.SECURE else (),
            detail="DNS failed" if kind is Kind.TEMP else "",
        ),
        hosts=(),
        policy=EffectivePolicy(policy=policy, source=PolicySource.CACHED if policy else PolicySource.NONE),
        reasons=(Reason("because", "RFC 8461 §5"),),
        valid_until=NOW + timedelta(hours=1),
    )


class FakeService:
    """What a domain is told stands in its first label: ``secure.example``, ``dane-only.example``, …"""

    def __init__(self):
        self.asked = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.seconds = 3600.0
        self.purged = []

    async def answer(self, next_hop):
        self.asked.append(str(next_hop))
        word = next_hop.host.labels[0].rstrip("0123456789")
        if word == "slow":
            await self.gate.wait()
            word = "dane-only"
        if word == "bug":
            raise RuntimeError("a mistake of ours")
        if word == "hangs":
            await asyncio.Event().wait()
        kind = Kind(word) if word in list(Kind) else Kind.NOT_FOUND
        return Served(next_hop=next_hop, at=NOW, decision=decide(next_hop.host, kind), until=0.0)

    def seconds_left(self, served):
        return self.seconds

    async def dump(self):
        for name in ("a.example", "b.example"):
            mode = Mode.ENFORCE if name == "a.example" else Mode.TESTING
            cached = CachedPolicy("1", Policy(mode=mode, mx=PATTERNS, max_age=86400), SystemClock().now())
            yield PolicyState(domain=HostName(name), cached=cached, look_at=NOW, used_at=NOW)

    async def purge(self, domain):
        self.purged.append(domain)
        return domain == "a.example"

    async def refresh(self, domain):
        return None


class World:
    """A running service, and how to ask it."""

    def __init__(self, daemon, service):
        self.daemon, self.service = daemon, service
        self.writers = []

    def place(self, listener="socketmap", number=0):
        return self.daemon.listening[listener][number]

    async def connect(self, listener="socketmap", number=0):
        place = self.place(listener, number)
        host, _, port = place.rpartition(":")
        reader, writer = await (
            asyncio.open_unix_connection(place)
            if place.startswith("/")
            else asyncio.open_connection(host.strip("[]"), int(port))
        )
        self.writers.append(writer)
        return reader, writer

    @property
    def waiting(self):
        """How many socketmap connections wait for an answer that is being found out."""
        return sum(connection._task is not None for connection in self.daemon.connections._open)

    async def leave(self):
        for writer in self.writers:
            writer.transport.abort()
            with suppress(OSError):
                await writer.wait_closed()

    async def say(self, octets, *, listener="socketmap", eof=True):
        """All that comes back until the service closes."""
        reader, writer = await self.connect(listener)
        writer.write(octets)
        if eof:
            writer.write_eof()
        found = await reader.read()
        writer.close()
        return found

    async def ask(self, *questions, listener="socketmap", number=0):
        """One question after the other on one connection."""
        reader, writer = await self.connect(listener, number)
        told = []
        for question in questions:
            writer.write(framed(question))
            told.append(await read_reply(reader))
        writer.close()
        return told


def framed(text):
    octets = text.encode()
    return b"%d:%b," % (len(octets), octets)


async def read_reply(reader):
    length = int((await reader.readuntil(b":"))[:-1])
    octets = await reader.readexactly(length + 1)
    assert octets.endswith(b",")
    return octets[:-1].decode()


@asynccontextmanager
async def running(*, overrides=None, read_again=None, places=("127.0.0.1:0",), **more):
    service = FakeService()
    settings = Settings(serve=ServeSettings(socketmap=tuple(map(Listen, places)), **more.pop("serve", {})))
    table = AnswerTable(settings.serve.answers)
    daemon = Daemon(
        service,
        settings=settings,
        overrides=overrides or Overrides(),
        table=table,
        read_again=read_again or Overrides,
        **more,
    )
    await daemon.start()
    world = World(daemon, service)
    try:
        yield world
    finally:
        await daemon.stop(grace=0.5)
        await world.leave()


class Tools:
    running = staticmethod(running)
    framed = staticmethod(framed)
    read_reply = staticmethod(read_reply)
    FakeService = FakeService
    SECURE = SECURE
    replace = staticmethod(msgspec.structs.replace)

    @staticmethod
    def unix_name(tmp_path, name="x.sock"):
        # pytest's directories may be longer than a unix socket's path may be.
        path = tmp_path / name
        if len(str(path)) > 100:
            pytest.skip(f"{tmp_path} is too long for a unix socket")
        return path

    @staticmethod
    async def until(condition):
        """There is no event to wait for in what is looked at from outside."""
        async with asyncio.timeout(20):
            while not condition():  # noqa: ASYNC110 - see above
                await asyncio.sleep(0)

    def __init__(self, loop_factory):
        self._loop_factory = loop_factory

    def run(self, main):
        with asyncio.Runner(loop_factory=self._loop_factory) as runner:
            return runner.run(main)


@pytest.fixture(params=["asyncio", "uvloop"])
def tools(request):
    """Everything is tried on both event loops: they differ in how connections end and sockets are taken over."""
    if request.param == "asyncio":
        return Tools(None)
    return Tools(pytest.importorskip("uvloop").new_event_loop)
