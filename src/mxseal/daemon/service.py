"""All of it together: listeners, reloading, the service manager, and an end in good order."""

import asyncio
import resource
import signal
import socket
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from logging import getLogger
from pathlib import Path
from typing import Final, Protocol

from mxseal._version import __version__
from mxseal.config import Listen, Settings
from mxseal.daemon.answering import Answerer, Service
from mxseal.daemon.answers import AnswerTable
from mxseal.daemon.connections import Connections
from mxseal.daemon.control import Administration, Commands, ControlConnection, Explain, Status
from mxseal.daemon.counters import Counters
from mxseal.daemon.http import HttpConnection, MetricsRoutes, PolicyRoutes, Routes
from mxseal.daemon.lines import LineProtocol
from mxseal.daemon.listeners import Permissions, open_listener
from mxseal.daemon.socketmap import SocketmapProtocol
from mxseal.daemon.systemd import Notifier
from mxseal.decisions.overrides import Overrides
from mxseal.standards.postfix_tls import Reply
from mxseal.vocabulary.faults import Fault
from mxseal.vocabulary.names import NextHop

log: Final = getLogger("mxseal.service")

GRACE: Final = 10.0
"""Seconds for connections to get the answers that they wait for, at the end."""

Sockets = dict[str, list[socket.socket]]
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class PolicyJourney(Service, Administration, Protocol):
    """`journeys.answer_mta.PolicyService`."""


class Daemon:
    """The service.

        daemon = Daemon(service, settings=…, overrides=…, table=…, reload=…)
        with daemon.signals():
            await daemon.start()
            await daemon.until_stopped()
            await daemon.stop()

    `table` is made before the journey, whose `changed` is the table's `forget`.  `read_again`
    gives what a reload takes over, or raises a `Fault`.
    """

    def __init__(
        self,
        service: PolicyJourney,
        *,
        settings: Settings,
        overrides: Overrides,
        table: AnswerTable,
        read_again: Callable[[], Overrides],
        control: Path | None = None,
        explain: Explain = lambda _: (),
        background: Iterable[Callable[[], Awaitable[None]]] = (),
        store_trouble: Callable[[], str] = str,
        inherited: Sockets | None = None,
        notifier: Notifier | None = None,
    ) -> None:
        self.counters: Final = Counters()
        self.connections: Final = Connections(self.counters, most=settings.serve.connections)
        self.answerer: Final = Answerer(service, table=table, counters=self.counters, overrides=overrides)
        self.listening: Final[dict[str, list[str]]] = {}
        """By listener: where it really listens."""
        self._service = service
        self._settings = settings
        self._read_again = read_again
        self._control = control
        self._explain = explain
        self._background = list(background)
        self._store_trouble = store_trouble
        self._inherited = inherited or {}
        self._notifier = notifier or Notifier({})
        self._servers: list[asyncio.Server] = []
        self._opened: list[socket.socket] = []
        self._unix: list[tuple[Path, int]] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._stop = asyncio.Event()

    # --- life ----------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Listen; raises a `Fault` if that cannot be done, and listens nowhere then."""
        _raise_file_limit()
        try:
            await self._listen()
        except Fault:
            self._close_listeners()
            raise
        self._tasks = [asyncio.ensure_future(self._run(work)) for work in self._background]
        if self._notifier.watchdog_seconds is not None:
            self._tasks.append(asyncio.ensure_future(self._watchdog(self._notifier.watchdog_seconds / 2)))
        self._notifier.ready(self._status_text())
        log.info("ready", extra={"version": __version__, "overrides": len(self.answerer.overrides.replies)})

    @contextmanager
    def signals(self) -> Iterator[None]:
        """SIGTERM and SIGINT end it, SIGHUP reads the configuration again: from before the start on."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        loop.add_signal_handler(signal.SIGHUP, self._hang_up)
        try:
            yield
        finally:
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                loop.remove_signal_handler(number)

    async def until_stopped(self) -> None:
        """Until one of the `signals` says so."""
        await self._stop.wait()

    async def stop(self, grace: float = GRACE) -> None:
        """Take no new connections, answer what was asked, end."""
        self._notifier.stopping()
        log.info("stopping", extra={"connections": len(self.connections)})
        self._close_listeners()
        await self.connections.stop(grace)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.answerer.close()
        log.info("stopped")

    # --- what may be asked of it ---------------------------------------------------------------------

    def status(self) -> Status:
        counters = self.counters
        return Status(
            version=__version__,
            listening=tuple(f"{name} {place}" for name, places in self.listening.items() for place in places),
            connections=len(self.connections),
            ready=len(self.answerer.table),
            answered=counters.ready + counters.at_once.total() + counters.found_out.total(),
            overrides=len(self.answerer.overrides.replies),
            store_trouble=self._store_trouble(),
        )

    def override(self, next_hop: NextHop) -> Reply | None:
        """What the administrator has set for it."""
        return self.answerer.overrides.reply(next_hop)

    def reload(self) -> None:
        """Read the configuration again; raises a `Fault`, and keeps what was, if it cannot be used."""
        self._notifier.reloading()
        try:
            overrides = self._read_again()
        except Fault as fault:
            self.counters.reloads["failed"] += 1
            log.error("not reloaded", extra={"why": str(fault), "cure": fault.cure})  # noqa: TRY400 - no bug of ours
            raise
        finally:
            self._notifier.ready(self._status_text())
        self.answerer.use(overrides)
        self.counters.reloads["done"] += 1
        log.info("reloaded", extra={"overrides": len(overrides.replies)})

    def _hang_up(self) -> None:
        with suppress(Fault):
            self.reload()

    def _gauges(self) -> dict[str, tuple[str, float]]:
        return {
            "mxseal_ready_answers": ("Answers that are ready in memory.", len(self.answerer.table)),
            "mxseal_finding_out": ("Answers that are being found out.", self.answerer.finding),
            "mxseal_overrides": ("Lines of the file of overrides.", len(self.answerer.overrides.replies)),
            "mxseal_store_trouble": (
                "1 if what is known of policies cannot be read or written.",
                float(bool(self._store_trouble())),
            ),
        }

    # --- listening -----------------------------------------------------------------------------------

    async def _listen(self) -> None:
        serve = self._settings.serve
        loop = asyncio.get_running_loop()
        policy, metrics = PolicyRoutes(self.answerer), MetricsRoutes(self.counters, self._gauges)
        commands = Commands(self._service, self, self._explain)
        for name, protocol, places in (
            ("socketmap", SocketmapProtocol, serve.socketmap),
            ("lines", LineProtocol, serve.lines),
        ):
            make = partial(protocol, self.answerer, self.connections)
            for sock in self._sockets(name, places):
                # Of the two ways to begin, uvloop has one for each family.
                begin = loop.create_unix_server if sock.family == socket.AF_UNIX else loop.create_server
                self._serving(sock, await begin(make, sock=sock))
        control = () if self._control is None else (Listen(str(self._control)),)
        for name, answer, places in (
            ("http", self._http("http", policy), serve.http),
            ("metrics", self._http("metrics", metrics), serve.metrics),
            ("control", partial(self._administer, commands), control),
        ):
            for sock in self._sockets(name, places):
                start = asyncio.start_unix_server if sock.family == socket.AF_UNIX else asyncio.start_server
                self._serving(sock, await start(answer, sock=sock))

    def _serving(self, sock: socket.socket, server: asyncio.Server) -> None:
        """From here on the server owns the socket."""
        self._servers.append(server)
        if sock in self._opened:
            self._opened.remove(sock)

    def _sockets(self, name: str, places: tuple[Listen, ...]) -> list[socket.socket]:
        """Those that the service manager has opened for this listener, or else the configuration's."""
        found = self._inherited.get(name, [])
        if not found:
            serve = self._settings.serve
            mode = int(serve.socket_mode, 8)
            permissions = Permissions(
                mode & 0o660 if name == "control" else mode, serve.socket_owner, serve.socket_group
            )
            for place in places:
                opened = open_listener(place, permissions)
                self._opened += opened
                found = [*found, *opened]
                if place.path is not None:
                    self._unix.append((place.path, place.path.stat().st_ino))
                    self._tell(name, place)
        for sock in found:
            sock.setblocking(False)
            # What a unix socket of ours says of itself is the name it had while it was made.
            if sock.family != socket.AF_UNIX or name in self._inherited:
                self._tell(name, _place_of(sock))
        return found

    def _tell(self, name: str, place: str) -> None:
        self.listening.setdefault(name, []).append(place)
        log.info("listening", extra={"listener": name, "place": place})

    def _http(self, name: str, routes: Routes) -> Serve:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await HttpConnection(name, routes, self.connections, reader, writer).run()

        return serve

    async def _administer(
        self, commands: Commands, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await ControlConnection(commands, self.connections, reader, writer).run()

    def _close_listeners(self) -> None:
        for server in self._servers:
            server.close()
        self._servers.clear()
        for sock in self._opened:
            sock.close()
        self._opened.clear()
        for path, inode in self._unix:
            # Only what is still ours: a successor may have moved its own there.
            with suppress(OSError):
                if path.lstat().st_ino == inode:
                    path.unlink()
        self._unix.clear()

    # --- in the background ---------------------------------------------------------------------------

    async def _run(self, work: Callable[[], Awaitable[None]]) -> None:
        """A supervisor: background work that fails begins again, and mail is answered meanwhile."""
        while True:
            try:
                await work()
            except Exception:
                log.exception("background work failed, and begins again in a minute")
            await asyncio.sleep(60)

    async def _watchdog(self, pause: float) -> None:
        while True:
            self._notifier.alive()
            await asyncio.sleep(pause)

    def _status_text(self) -> str:
        return "answering at " + ", ".join(self.listening.get("socketmap", ["no socketmap"]))


def _place_of(sock: socket.socket) -> str:
    name = sock.getsockname()
    if isinstance(name, tuple):
        host, port = name[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return name if isinstance(name, str) else repr(name)


def _raise_file_limit() -> None:
    """Each connection is an open file, and the usual limit of 1,024 is there for select(2), which nobody uses here."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
