"""The administrator asks: one request, a line of JSON, on a unix socket; the response is lines of JSON.

    {"command": "purge", "domain": "example.com"}
    {"item": {"domain": "example.com", "kept": true}}
    {"done": true}

A response that ends without ``done`` was cut off; one that ends with ``fault`` says
what is wrong and what mends it.  The socket is for its owner and group only.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import suppress
from logging import getLogger
from pathlib import Path
from typing import Any, Final, Literal, Protocol

import msgspec

from mxseal.daemon.connections import Connections
from mxseal.decisions.postfix_answer import reply_in
from mxseal.decisions.schedule import PolicyState
from mxseal.journeys.answer_mta import Explanation
from mxseal.journeys.discover_delivery import Discovery
from mxseal.standards.postfix_tls import Dialect, Reply, parse_key
from mxseal.vocabulary.faults import Fault, TemporaryFault, UnavailableFault, UsageFault
from mxseal.vocabulary.names import HostName, NextHop, parse_host_name
from mxseal.vocabulary.observations import PolicyFetch, PolicyFetched
from mxseal.vocabulary.rejection import Rejection, printable
from mxseal.vocabulary.saved import to_builtins

log: Final = getLogger("mxseal.control")

_LONGEST_REQUEST: Final = 4096
_SECONDS: Final = 90.0
"""For a request as a whole to be read, and for a fetch."""


Explain = Callable[[Discovery], Iterable[str]]


class Administration(Protocol):
    """What can be asked of the journey (`journeys.answer_mta.PolicyService`)."""

    def dump(self) -> AsyncIterator[PolicyState]: ...

    async def purge(self, domain: HostName) -> bool: ...

    async def refresh(self, domain: HostName) -> PolicyFetch | None: ...

    async def explain(self, next_hop: NextHop) -> Explanation: ...


class Command(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    command: Literal["dump", "explain", "purge", "refresh", "status", "reload"]
    domain: str = ""
    """A policy domain; for ``explain`` a next-hop."""


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """How the service is."""

    version: str
    listening: tuple[str, ...]
    connections: int
    ready: int
    """Answers that are ready in memory."""
    answered: int
    """Questions answered since the start."""
    overrides: int
    store_trouble: str


class Commands:
    """Carries commands out."""

    def __init__(self, service: Administration, status: "StatusSource", explain: Explain) -> None:
        """`explain` puts a decision and its facts into lines for people."""
        self._service = service
        self._status = status
        self._explain = explain

    async def items(self, command: Command) -> AsyncIterator[Any]:
        """The response, item by item; raises a `Fault`."""
        match command.command:
            case "dump":
                async for state in self._service.dump():
                    yield to_builtins(state)
            case "status":
                yield to_builtins(self._status.status())
            case "reload":
                self._status.reload()
                yield {"reloaded": True}
            case "purge":
                domain = _domain(command.domain)
                yield {"domain": domain, "kept": await self._service.purge(domain)}
            case "explain":
                yield await self._explanation(command.domain)
            case "refresh":
                domain = _domain(command.domain)
                yield {"domain": domain, **_told(await self._service.refresh(domain))}

    async def _explanation(self, text: str) -> dict[str, object]:
        next_hop = parse_key(text)
        if next_hop is None or isinstance(next_hop, Rejection):
            raise UsageFault(f"no next-hop: {next_hop}", cure="name a domain, for instance example.com")
        override = self._status.override(next_hop)
        found = await self._service.explain(next_hop)
        return {
            "lines": list(self._explain(found.discovery)),
            "answer": str(
                reply_in(Dialect.PLAIN, found.served.decision) if override is None else override
            ).strip(),
            "override": override is not None,
            "policy": None if found.state is None else to_builtins(found.state),
            "store_trouble": found.trouble,
        }


class StatusSource(Protocol):
    """The service itself."""

    def status(self) -> Status: ...

    def override(self, next_hop: NextHop) -> Reply | None:
        """What the administrator has set."""
        ...

    def reload(self) -> None:
        """Read the configuration again; raises a `Fault` if it cannot be used."""
        ...


def _domain(text: str) -> HostName:
    domain = parse_host_name(text)
    if isinstance(domain, Rejection):
        raise UsageFault(f"no domain: {domain}", cure="name a policy domain, for instance example.com")
    return domain


def _told(fetch: PolicyFetch | None) -> dict[str, object]:
    if fetch is None:
        return {"fetched": False, "detail": "the domain announces no policy"}
    if isinstance(fetch, PolicyFetched):
        return {"fetched": True, "detail": printable(fetch.body.decode(errors="replace"), 65_536)}
    return {"fetched": False, "detail": printable(f"{fetch.stage}: {fetch.detail}", 500)}


class ControlConnection:
    """One administrator's request."""

    name = "control"

    def __init__(
        self,
        commands: Commands,
        connections: Connections,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._commands = commands
        self._connections = connections
        self._reader = reader
        self._writer = writer
        self._task = asyncio.current_task()

    async def run(self) -> None:
        if not self._connections.admit(self, self._writer.transport):
            return
        try:
            with suppress(OSError):
                await self._serve()
        finally:
            self._connections.leave(self)
            self._writer.close()
            with suppress(OSError):
                await self._writer.wait_closed()

    def stop(self) -> None:
        """It is let come to its end."""

    def abort(self) -> None:
        self._writer.transport.abort()

    async def _serve(self) -> None:
        try:
            async with asyncio.timeout(_SECONDS):
                line = await self._reader.readuntil(b"\n")
            command = msgspec.json.decode(line, type=Command)
        except (
            TimeoutError,
            asyncio.IncompleteReadError,
            asyncio.LimitOverrunError,
            msgspec.MsgspecError,
            RecursionError,
        ) as error:
            await self._send(
                {"fault": f"no command: {printable(str(error), 200)}", "cure": "", "exit_code": 64}
            )
            return
        log.info("command", extra={"command": command.command, "domain": printable(command.domain, 300)})
        try:
            async for item in self._commands.items(command):
                await self._send({"item": item})
        except Fault as fault:
            await self._send({"fault": str(fault), "cure": fault.cure, "exit_code": fault.exit_code})
        else:
            await self._send({"done": True})

    async def _send(self, line: dict[str, Any]) -> None:
        self._writer.write(msgspec.json.encode(line, enc_hook=str) + b"\n")
        await self._writer.drain()


def request(path: Path, command: Command, *, seconds: float = _SECONDS) -> Iterator[Any]:
    """The administrator's side: the items of the response, as they come.

    Raises `UnavailableFault` if nothing answers there, and the service's own faults.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(seconds)
        try:
            sock.connect(str(path))
        except OSError as error:
            raise UnavailableFault(
                f"{path}: {error.strerror or error}",
                cure="is 'mxseal serve' running, and may you write to its socket? serve.control says where it is",
            ) from None
        try:
            sock.sendall(msgspec.json.encode(command) + b"\n")
            with sock.makefile("rb") as lines:
                for line in lines:
                    answer = msgspec.json.decode(line)
                    if "item" in answer:
                        yield answer["item"]
                    elif "fault" in answer:
                        raise _remote_fault(answer)
                    else:
                        return
        except (OSError, msgspec.MsgspecError) as error:
            raise TemporaryFault(f"{path}: {error}", cure="try again") from None
    raise TemporaryFault(f"{path}: the response was cut off", cure="try again; the service's log tells more")


def _remote_fault(answer: dict[str, Any]) -> Fault:
    fault = Fault(str(answer["fault"]), cure=str(answer["cure"]))
    kinds = {kind.exit_code: kind for kind in Fault.__subclasses__()}
    return kinds.get(int(answer["exit_code"]), Fault)(str(fault), cure=fault.cure)
