"""Policies in memory, with a journal on disk."""

import asyncio
import heapq
import logging
import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Final, Self

import msgspec

from mxseal.adapters.clock import SystemClock
from mxseal.adapters.sqlite.journal import FileMoved, Journal, describe, is_corrupt
from mxseal.adapters.sqlite.rows import DamagedRow, Row, from_row, pack, to_row, unpack
from mxseal.decisions.schedule import LATEST_LOOK, MOST_WORTH, PolicyState, worth_keeping
from mxseal.vocabulary.faults import StorageFault
from mxseal.vocabulary.names import HostName
from mxseal.vocabulary.rejection import printable

_LOG: Final = logging.getLogger("mxseal.adapters.sqlite")

PolicyChange = Callable[[PolicyState | None], PolicyState | None]

MAX_DOMAINS: Final = 250_000
MAX_OCTETS: Final = 512 << 20
"""Of packed rows in memory: a quarter of a million hostile policies of 64 KB each would be 16 GB."""
_LATEST: Final = LATEST_LOOK.total_seconds()
_AT_ONCE: Final = 1000
_LOOKED_AT: Final = 1000
_GIVEN_UP: Final = 100
_FULL: Final = 10.0
"""Seconds."""


class _Kept(msgspec.Struct, gc=False):
    """One row in memory: what has to be seen for all of them at once, and the rest packed."""

    look_at: float
    packed: bytes


class SqlitePolicyStore:
    """Satisfies `ports.PolicyStore`; see the package docstring.  Make one with `open`."""

    def __init__(
        self,
        path: Path,
        *,
        now: Callable[[], datetime],
        busy: float,
        retry: float,
        max_domains: int,
        max_octets: int,
        executor: Executor | None,
    ) -> None:
        self._journal = Journal(path, busy=busy, now=now)
        self._path = path
        self._now = now
        self._retry = retry
        self._max_domains = max_domains
        self._max_octets = max_octets
        self._executor = executor or ThreadPoolExecutor(1, thread_name_prefix="policy-store")
        self._kept: dict[HostName, _Kept] = {}
        self._octets = 0
        self._loaded = False
        self._pending: dict[HostName, None] = {}
        """Domains whose row on disk is not the one in memory."""
        self._in_writing = 0
        self._waiting: list[asyncio.Future[bool]] = []
        self._writer: asyncio.Task[None] | None = None
        self._later: asyncio.TimerHandle | None = None
        self._loading: asyncio.Task[None] | None = None
        self._full_until = 0.0
        self._trouble = ""
        self._closed = False

    @classmethod
    async def open(
        cls,
        path: Path,
        *,
        now: Callable[[], datetime] | None = None,
        busy: float = 2.0,
        retry: float = 5.0,
        max_domains: int = MAX_DOMAINS,
        max_octets: int = MAX_OCTETS,
        executor: Executor | None = None,
    ) -> Self:
        """Open or make the file.

        `busy` is how many seconds to wait for another process' lock, `retry` how many to
        wait before trying again what failed.  `executor` (of one thread) is for tests.
        Raises `StorageFault` if the file belongs to somebody else, comes from a newer version,
        or must not be read.
        """
        store = cls(
            path,
            now=now or SystemClock().now,
            busy=busy,
            retry=retry,
            max_domains=max_domains,
            max_octets=max_octets,
            executor=executor,
        )
        try:
            await store._load()
        except BaseException:
            await store.close()
            raise
        return store

    # --- the port ------------------------------------------------------------------------------------

    async def get(self, domain: HostName) -> PolicyState | None:
        """What is kept; raises `StorageFault` as long as the file could not be read."""
        state = self._read(domain)
        if self._loaded or (state is not None and state.cached is not None):
            return state
        raise StorageFault(self._trouble or f"{self._path} has not been read yet")

    async def update(self, domain: HostName, change: PolicyChange) -> bool:
        """Change what is kept; True: it is on disk."""
        state = change(self._read(domain))
        if state is not None and not self._put(domain, to_row(state)):
            return False
        return await self._written()

    async def remove(self, domain: HostName) -> bool:
        """Forget the domain; raises `StorageFault` as long as the file could not be read."""
        if not self._loaded:
            raise StorageFault(self._trouble)
        if domain not in self._kept:
            return False
        self._drop(domain)
        await self._written()
        return True

    async def due(self, now: datetime, limit: int) -> Sequence[HostName]:
        """Domains to look at, the most overdue first."""
        moment = now.timestamp()
        # `decisions.schedule.is_due`, without a hundred thousand datetimes.
        found = (
            (kept.look_at, domain)
            for domain, kept in self._kept.items()
            if kept.look_at <= moment or kept.look_at > moment + _LATEST
        )
        return [domain for _, domain in heapq.nsmallest(limit, found)]

    async def states(self) -> AsyncIterator[PolicyState]:
        """All that is kept, by domain."""
        for number, domain in enumerate(sorted(self._kept)):
            state = self._read(domain)
            if state is not None:
                yield state
            if number % _AT_ONCE == 0:
                await asyncio.sleep(0)

    @property
    def trouble(self) -> str:
        """What is wrong now, one line; empty if nothing is."""
        return self._trouble

    @property
    def domains(self) -> int:
        """How many are kept."""
        return len(self._kept)

    @property
    def unwritten(self) -> int:
        """How many are in memory only."""
        return len(self._pending) + self._in_writing

    async def close(self) -> None:
        """Write what can be written and close the file."""
        self._closed = True
        for handle in (self._later, self._loading):
            if handle is not None:
                handle.cancel()
        if self._writer is not None:
            await self._writer
        if self._loaded and self._pending:
            await self._write()
        if self._pending:
            _LOG.error("%s: %d policies were not written: %s", self._path, len(self._pending), self._trouble)
        await self._run(self._journal.close)
        self._executor.shutdown(wait=False)

    # --- memory --------------------------------------------------------------------------------------

    def _read(self, domain: HostName) -> PolicyState | None:
        kept = self._kept.get(domain)
        if kept is None:
            return None
        try:
            return from_row(domain, unpack(kept.packed))
        except DamagedRow as damage:
            _LOG.error(
                "%s: the row of %s is damaged and dropped: %s",
                self._path,
                domain,
                printable(str(damage), 200),
            )
            self._drop(domain)
            self._write_soon()
            return None

    def _put(self, domain: HostName, row: Row) -> bool:
        packed = pack(row)
        kept = self._kept.get(domain)
        before = 0 if kept is None else len(kept.packed)
        more = len(packed) - before
        if not self._has_room(more, is_new=kept is None):
            self._make_room(domain, row)
            if not self._has_room(more, is_new=kept is None):
                return False
        if kept is None:
            self._kept[domain] = _Kept(row.look_at, packed)
        else:
            kept.look_at, kept.packed = row.look_at, packed
        self._octets += len(packed) - before
        self._pending[domain] = None
        return True

    def _drop(self, domain: HostName) -> None:
        self._octets -= len(self._kept.pop(domain).packed)
        self._pending[domain] = None

    def _has_room(self, octets: int, *, is_new: bool) -> bool:
        return (
            len(self._kept) + is_new <= self._max_domains
            and self._octets + max(0, octets) <= self._max_octets
        )

    def _make_room(self, domain: HostName, row: Row) -> None:
        """Give up what is worth less than the newcomer; never a policy that has to be enforced.

        Looks at a bounded number, those that were passed over longest ago; a fruitless
        look is not repeated for a while, so that a flood of domains costs little.
        """
        time = asyncio.get_running_loop().time()
        if time < self._full_until:
            return
        now = self._now()
        worth = self._worth(domain, row, now)
        seen = [(self._worth(d, unpack(k.packed), now), d) for d, k in islice(self._kept.items(), _LOOKED_AT)]
        victims = sorted(c for c in seen if c[0] <= worth and c[0] < MOST_WORTH and c[1] != domain)
        for _, victim in victims[:_GIVEN_UP]:
            self._drop(victim)
        for _, kept in seen:
            if kept in self._kept:
                self._kept[kept] = self._kept.pop(kept)
        if not victims:
            self._full_until = time + _FULL
            _LOG.critical(
                "%s is full of policies that hold (%d domains, %d octets): %s is not kept",
                self._path,
                len(self._kept),
                self._octets,
                domain,
            )

    @staticmethod
    def _worth(domain: HostName, row: Row, now: datetime) -> int:
        try:
            return worth_keeping(from_row(domain, row), now)
        except DamagedRow:
            return 0

    # --- disk ----------------------------------------------------------------------------------------

    async def _run(self, work: Callable[[], object]) -> None:
        await asyncio.get_running_loop().run_in_executor(self._executor, work)

    async def _load(self) -> None:
        """Read the file; if it is locked, once more each few seconds until it can be read."""
        found: dict[HostName, _Kept] = {}
        said = ""

        def absorb(domain: HostName, row: Row) -> None:
            found[domain] = _Kept(row.look_at, pack(row))

        def load() -> None:
            nonlocal said
            found.clear()
            said = self._journal.load(absorb)

        try:
            await self._run(load)
        except sqlite3.Error as error:
            self._say(f"{self._path} cannot be read now: {describe(error)}")
            self._loading = asyncio.create_task(self._load_later(), name=f"reading {self._path}")
            return
        self._merge(found)
        self._loaded = True
        self._trouble = ""
        if said:
            # Corrupt or read-only: all of it has to be written when that can be done.
            self._pending.update(dict.fromkeys(found))
            self._say(said)
        if self._pending or said:
            self._write_soon()

    async def _load_later(self) -> None:
        await asyncio.sleep(self._retry)
        try:
            await self._load()
        except StorageFault as fault:
            self._say(str(fault))

    def _merge(self, found: dict[HostName, _Kept]) -> None:
        """What was learnt before the file could be read is newer, but may lack the policy."""
        for domain in list(self._kept):
            on_disk = found.get(domain)
            state = self._read(domain)
            if on_disk is None or state is None or state.cached is not None:
                continue
            try:
                before = from_row(domain, unpack(on_disk.packed))
            except DamagedRow:
                continue
            state = msgspec.structs.replace(state, cached=before.cached, used_at=before.used_at)
            self._kept[domain] = _Kept(state.look_at.timestamp(), pack(to_row(state)))
        self._kept = found | self._kept
        self._octets = sum(len(kept.packed) for kept in self._kept.values())

    async def _written(self) -> bool:
        """Wait until all that is pending is on disk; False: it is not, and that is known."""
        if not self._pending:
            return True
        if not self._loaded or self._later is not None:
            # There was trouble a moment ago: no update waits for the next attempt.
            return False
        waiting: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiting)
        self._write_soon()
        return await waiting

    def _write_soon(self) -> None:
        if self._later is None and (self._writer is None or self._writer.done()) and not self._closed:
            self._writer = asyncio.create_task(self._write(), name=f"writing {self._path}")

    def _write_later(self) -> None:
        self._later = None
        if self._pending:
            self._write_soon()

    async def _write(self) -> None:
        """All that is pending, one transaction for all who wait, until nothing is."""
        while self._pending:
            domains, self._pending = self._pending, {}
            waiting, self._waiting = self._waiting, []
            batch = [(domain, self._packed(domain)) for domain in domains]
            self._in_writing = len(batch)
            try:
                await self._run(lambda batch=batch: self._journal.write(_unpacked(batch)))  # type: ignore[misc]
            except (sqlite3.Error, StorageFault) as error:
                written = await self._rebuild(error)
                if not written:
                    self._pending, self._in_writing = domains | self._pending, 0
                    self._answer([*waiting, *self._waiting], written=False)
                    self._waiting = []
                    if not self._closed:
                        self._later = asyncio.get_running_loop().call_later(self._retry, self._write_later)
                    return
            self._in_writing = 0
            self._recovered()
            self._answer(waiting, written=True)

    async def _rebuild(self, error: sqlite3.Error | StorageFault) -> bool:
        """After trouble: if the file is spoilt or gone, write another one from memory."""
        if not isinstance(error, FileMoved) and not (isinstance(error, sqlite3.Error) and is_corrupt(error)):
            self._say(f"{self._path} cannot be written: {describe(error)}; policies are kept in memory")
            return False
        everything: list[tuple[HostName, bytes | None]] = [
            (domain, kept.packed) for domain, kept in self._kept.items()
        ]
        try:
            await self._run(lambda: self._journal.rebuild(_unpacked(everything), error))
        except (sqlite3.Error, StorageFault, OSError) as again:
            self._say(f"{self._path} cannot be written anew: {describe(again)}; policies are kept in memory")
            return False
        _LOG.warning("%s was written anew with %d policies from memory", self._path, len(everything))
        return True

    def _packed(self, domain: HostName) -> bytes | None:
        kept = self._kept.get(domain)
        return None if kept is None else kept.packed

    def _answer(self, waiting: list[asyncio.Future[bool]], *, written: bool) -> None:
        for future in waiting:
            if not future.done():
                future.set_result(written)

    def _say(self, trouble: str) -> None:
        if trouble != self._trouble:
            _LOG.error("%s", trouble)
        self._trouble = trouble

    def _recovered(self) -> None:
        if self._trouble:
            _LOG.warning("%s is written again; until now: %s", self._path, self._trouble)
        self._trouble = ""


def _unpacked(batch: list[tuple[HostName, bytes | None]]) -> list[tuple[HostName, Row | None]]:
    return [(domain, None if packed is None else unpack(packed)) for domain, packed in batch]
