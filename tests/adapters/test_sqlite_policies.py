"""Policies survive what happens to processes and files."""

import asyncio
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mxseal.adapters.sqlite import SqlitePolicyStore, journal
from mxseal.adapters.sqlite.rows import DamagedRow, from_row, pack, to_row, unpack
from mxseal.decisions.policy_lifecycle import CachedPolicy
from mxseal.decisions.schedule import PolicyState
from mxseal.standards.mta_sts import parse_policy
from mxseal.vocabulary.faults import StorageFault
from mxseal.vocabulary.names import HostName
from mxseal.vocabulary.observations import FetchStage

NOW = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)
YEAR = 31_557_600


def policy(mode="enforce", mx="mx.example.com", max_age=604800):
    parsed = parse_policy(f"version: STSv1\nmode: {mode}\nmx: {mx}\nmax_age: {max_age}\nnote: höflich\n")
    assert not hasattr(parsed, "message"), parsed
    return parsed


def state(domain="example.com", *, number=1, mode="enforce", age=timedelta(0), broken=False):
    return PolicyState(
        domain=HostName(domain),
        cached=None if broken else CachedPolicy(str(number), policy(mode), NOW - age),
        record_id=str(number),
        attempted_at=NOW,
        failures=number if broken else 0,
        failure="no certificate" if broken else "",
        failure_stage=FetchStage.CERTIFICATE if broken else None,
        look_at=NOW + timedelta(hours=1),
        used_at=NOW,
    )


@asynccontextmanager
async def opened(path, **options):
    store = await SqlitePolicyStore.open(
        path, **{"now": lambda: NOW, "busy": 0.05, "retry": 3600.0} | options
    )
    try:
        yield store
    finally:
        await store.close()


async def put(store, *states):
    return await asyncio.gather(*(store.update(s.domain, lambda _, s=s: s) for s in states))


async def kept(store):
    return [s async for s in store.states()]


async def try_again(store):
    """What the timer does after `retry` seconds."""
    store._later.cancel()
    store._write_later()
    await store._writer


def read_back(path):
    async def read():
        async with opened(path) as store:
            assert store.trouble == ""
            return await kept(store)

    return asyncio.run(read())


# --- what goes in comes out -----------------------------------------------------------------------

moments = st.datetimes(datetime(1970, 1, 2), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - hypothesis adds it
states = st.builds(
    PolicyState,
    domain=st.just(HostName("example.com")),
    cached=st.none()
    | st.builds(
        CachedPolicy,
        st.from_regex(r"[A-Za-z0-9]{1,32}", fullmatch=True),
        st.builds(
            policy,
            st.sampled_from(["enforce", "testing", "none"]),
            st.sampled_from(["*.example.net", "a.example"]),
            st.integers(0, YEAR * 2),
        ),
        moments,
    ),
    record_id=st.text("abc1", max_size=3),
    attempted_at=st.none() | moments,
    failures=st.integers(0, 10**6),
    failure=st.text(max_size=20),
    failure_stage=st.none() | st.sampled_from(FetchStage),
    look_at=moments,
    used_at=moments,
)


@given(states)
def test_a_row_is_what_was_kept(value):
    row = to_row(value)
    assert from_row(value.domain, unpack(pack(row))) == value


@given(st.binary(max_size=200))
@settings(max_examples=50)
def test_no_octets_become_a_policy_without_patterns(text):
    row = to_row(state())
    damaged = type(row)(
        *[text.decode("latin-1") if f == "policy" else getattr(row, f) for f in row.__struct_fields__]
    )
    with pytest.raises(DamagedRow):
        from_row(HostName("example.com"), damaged)


def test_reopened(tmp_path):
    path = tmp_path / "policies.db"
    written = [state("a.example"), state("b.example", mode="testing"), state("c.example", broken=True)]

    async def write():
        async with opened(path) as store:
            assert await put(store, *written) == [True] * 3
            assert await store.remove(HostName("b.example"))
            assert not await store.remove(HostName("b.example"))
            assert await store.update(HostName("x.example"), lambda _: None)

    asyncio.run(write())
    assert read_back(path) == [written[0], written[2]]
    assert path.stat().st_mode & 0o777 == 0o600


def test_the_event_loop_never_touches_the_file(tmp_path, monkeypatch):
    threads = set()
    for name in ("load", "write", "close"):
        original = getattr(journal.Journal, name)

        def noted(self, *arguments, original=original):
            threads.add(threading.current_thread())
            return original(self, *arguments)

        monkeypatch.setattr(journal.Journal, name, noted)

    async def run():
        async with opened(tmp_path / "p.db") as store:
            await put(store, state())
            await store.remove(HostName("example.com"))

    asyncio.run(run())
    assert len(threads) == 1
    assert threading.main_thread() not in threads


def test_many_updates_are_one_transaction(tmp_path, monkeypatch):
    batches = []
    original = journal.Journal.write

    def write(self, batch):
        batch = list(batch)
        batches.append(len(batch))
        original(self, batch)

    monkeypatch.setattr(journal.Journal, "write", write)

    async def run():
        async with opened(tmp_path / "p.db") as store:
            await put(store, *(state(f"d{n}.example") for n in range(500)))

    asyncio.run(run())
    assert sum(batches) == 500
    assert len(batches) <= 2


def test_what_is_due(tmp_path):
    async def run():
        async with opened(tmp_path / "p.db") as store:
            await put(store, *(state(f"d{n}.example") for n in range(3)))
            assert await store.due(NOW, 10) == []
            assert len(await store.due(NOW + timedelta(hours=1), 2)) == 2
            # The clock was set back by two days: what lies so far ahead is due.
            assert len(await store.due(NOW - timedelta(days=2), 10)) == 3

    asyncio.run(run())


# --- killed ---------------------------------------------------------------------------------------

WRITER = """
import asyncio, sys
from pathlib import Path
from datetime import UTC, datetime, timedelta
sys.path.insert(0, {tests!r})
import test_sqlite_policies as t

async def write():
    store = await t.SqlitePolicyStore.open(Path({path!r}))
    number = {first}
    while True:
        number += 1
        states = [t.state(f"d{{n}}.example", number=number) for n in range(20)]
        assert all(await t.put(store, *states))
        print(number, flush=True)

asyncio.run(write())
"""


def test_killed_at_any_moment_nothing_acknowledged_is_lost(tmp_path):
    path = tmp_path / "policies.db"
    seed = random.Random(8461)
    last = 0
    for _ in range(5):
        code = WRITER.format(tests=str(Path(__file__).parent), path=str(path), first=last)
        with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
            # Some acknowledged batches, then the kill falls somewhere into the next ones.
            for _ in range(seed.randrange(1, 40)):
                line = process.stdout.readline()
                assert line, "the writer ended"
            process.send_signal(signal.SIGKILL)
            acknowledged = [int(text) for text in [line, *process.stdout.read().split()]]
        last = acknowledged[-1]
        found = read_back(path)
        numbers = {int(s.cached.policy_id) for s in found}
        assert len(found) == 20
        # One transaction a batch: either the last acknowledged one, or the one after it, whole.
        assert len(numbers) == 1
        assert numbers <= {last, last + 1}


# --- no room ---------------------------------------------------------------------------------------


def test_disk_full(tmp_path):
    path = tmp_path / "policies.db"

    async def run():
        async with opened(path) as store:
            assert await put(store, state("before.example")) == [True]
            # SQLite says SQLITE_FULL then, as on a full disk.
            pages = store._journal._connection.execute("PRAGMA page_count").fetchone()[0]
            store._journal._connection.execute(f"PRAGMA max_page_count = {pages}")
            many = [state(f"d{n}.example") for n in range(100)]
            assert set(await put(store, *many)) == {False}
            assert "full" in store.trouble
            assert store.unwritten == 100
            assert await store.get(HostName("d7.example")) == many[7]
            assert await store.get(HostName("before.example")) is not None
            # Meanwhile nobody waits for the disk.
            assert await put(store, state("next.example")) == [False]
            store._journal._connection.execute("PRAGMA max_page_count = 1000000")
            await try_again(store)
            assert store.trouble == ""
            assert store.unwritten == 0

    asyncio.run(run())
    assert len(read_back(path)) == 102


FILE_TOO_LARGE = """
import asyncio, resource, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
import test_sqlite_policies as t

async def run():
    async with t.opened(Path({path!r})) as store:
        assert await t.put(store, t.state("before.example")) == [True]
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20000, limits[1]))
        states = [t.state(f"d{{n}}.example") for n in range(300)]
        assert set(await t.put(store, *states)) == {{False}}
        assert store.trouble and store.unwritten == 300
        assert await store.get(states[0].domain) == states[0]
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        await t.try_again(store)
        assert store.trouble == "" and store.unwritten == 0

asyncio.run(run())
"""


def test_the_kernel_refuses_to_write(tmp_path):
    path = tmp_path / "policies.db"
    code = FILE_TOO_LARGE.format(tests=str(Path(__file__).parent), path=str(path))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(read_back(path)) == 301


def test_bounded_and_what_is_enforced_is_never_given_up(tmp_path):
    async def run():
        async with opened(tmp_path / "p.db", max_domains=10) as store:
            precious = [state(f"p{n}.example") for n in range(6)]
            cheap = [state(f"c{n}.example", broken=True) for n in range(4)]
            await put(store, *precious, *cheap)
            assert await put(store, state("t.example", mode="testing")) == [True]
            assert {s.domain for s in precious} <= {s.domain for s in await kept(store)}
            await put(store, *(state(f"q{n}.example") for n in range(4)))
            # Full of what must be kept: a newcomer is not, and those who are there stay as they are.
            assert await put(store, state("late.example")) == [False]
            assert store.domains == 10
            found = {s.domain for s in await kept(store)}
            assert {s.domain for s in precious} < found
            assert "late.example" not in found
            newer = state("p1.example", number=2)
            assert await put(store, newer) == [True]
            assert await store.get(newer.domain) == newer

    asyncio.run(run())


def test_bounded_in_octets(tmp_path):
    async def run():
        async with opened(tmp_path / "p.db", max_octets=2000) as store:
            answers = await put(store, *(state(f"p{n}.example") for n in range(50)))
            assert 0 < sum(answers) < 50
            assert store._octets <= 2000
            assert store._octets == sum(len(kept.packed) for kept in store._kept.values())

    asyncio.run(run())


# --- corrupt ---------------------------------------------------------------------------------------


def filled(path, count=200):
    async def fill():
        async with opened(path) as store:
            await put(store, *(state(f"d{n:03}.example") for n in range(count)))

    asyncio.run(fill())


def spoil_whole(path):
    path.write_bytes(b"This is no database, but it is long enough to look like one. " * 200)


def spoil_page(path):
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        file.write(random.Random(1).randbytes(4096))


def spoil_end(path):
    os.truncate(path, path.stat().st_size // 2)


def spoil_header(path):
    with path.open("r+b") as file:
        file.seek(20)
        file.write(b"\xff" * 60)


def drop_table(path):
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TABLE policies")


@pytest.mark.parametrize("spoil", [spoil_whole, spoil_page, spoil_end, spoil_header, drop_table])
def test_a_corrupt_file_is_moved_aside_and_said(tmp_path, caplog, spoil):
    path = tmp_path / "policies.db"
    filled(path)
    spoil(path)

    async def run():
        async with opened(path) as store:
            assert "is corrupt" in store.trouble
            before = {s.domain for s in await kept(store)}
            assert await put(store, state("new.example")) == [True]
            assert store.trouble == ""
            return before

    before = asyncio.run(run())
    assert (tmp_path / "policies.db.corrupt-20261123T030000Z").exists()
    assert any(record.levelname == "CRITICAL" and "is corrupt" in record.message for record in caplog.records)
    # What could be read from it is in the new one, and nothing else.
    assert {s.domain for s in read_back(path)} == before | {"new.example"}
    if spoil is spoil_page:
        assert len(before) > 0


def test_a_file_that_is_spoilt_while_we_run_is_written_anew_from_memory(tmp_path, caplog):
    path = tmp_path / "policies.db"
    filled(path)

    async def run():
        async with opened(path) as store:
            with path.open("r+b") as file:
                file.write(b"\x00" * path.stat().st_size)
            # SQLite sees it as soon as it has to read a page again.
            store._journal._connection.execute("PRAGMA cache_size = 0")
            await put(store, state("new.example"))

    asyncio.run(run())
    assert len(read_back(path)) == 201
    assert any("was written anew with 201 policies" in record.message for record in caplog.records)


def test_a_file_that_vanishes_while_we_run_is_written_anew_from_memory(tmp_path):
    path = tmp_path / "policies.db"
    filled(path)

    async def run():
        async with opened(path) as store:
            for suffix in ("", "-wal", "-shm"):
                os.unlink(f"{path}{suffix}")  # noqa: PTH108 - of a test's own
            assert await put(store, state("new.example")) == [True]

    asyncio.run(run())
    assert len(read_back(path)) == 201


DAMAGE = {
    "no policy text": "UPDATE policies SET policy = ''",
    "no pattern": "UPDATE policies SET policy = 'version: STSv1' || char(10) || 'mode: enforce' || char(10) || 'max_age: 1'",
    "a pattern that matches all": "UPDATE policies SET policy = replace(policy, 'mx.example.com', '*')",
    "an octet that is no UTF-8": "UPDATE policies SET policy = CAST(x'ff' AS TEXT) || policy",
    "a blob": "UPDATE policies SET policy = x'00'",
    "a word for a time": "UPDATE policies SET fetched_at = 'yesterday'",
    "no such time": "UPDATE policies SET fetched_at = 9e999",
    "a time beyond all": "UPDATE policies SET look_at = 1e300",
    "no number": "UPDATE policies SET failures = 'many'",
    "no such stage": "UPDATE policies SET failure_stage = 'lunch'",
    "no name": "UPDATE policies SET domain = 'ex ample.com'",
    "not its canonical name": "UPDATE policies SET domain = 'Example.com'",
    "a number for a name": "UPDATE policies SET domain = x'41'",
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_row_is_dropped_with_a_word(tmp_path, caplog, damage):
    path = tmp_path / "policies.db"

    async def fill():
        async with opened(path) as store:
            await put(store, state("example.com"), state("sound.example"))

    asyncio.run(fill())
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"{damage} WHERE domain = 'example.com'")
        connection.commit()

    async def run():
        async with opened(path) as store:
            assert await store.get(HostName("example.com")) is None
            return await kept(store)

    assert asyncio.run(run()) == [state("sound.example")]
    assert sum("damaged and dropped" in record.message for record in caplog.records) == 1
    assert not list(tmp_path.glob("*corrupt*"))


# --- locked ----------------------------------------------------------------------------------------


def test_locked_by_another_process_while_we_run(tmp_path):
    path = tmp_path / "policies.db"

    async def run():
        async with opened(path) as store:
            await put(store, state("a.example"))
            with closing(sqlite3.connect(path, isolation_level=None)) as other:
                other.execute("BEGIN EXCLUSIVE")
                assert await put(store, state("b.example")) == [False]
                assert "locked" in store.trouble
                assert await store.get(HostName("b.example")) == state("b.example")
                assert await store.get(HostName("a.example")) == state("a.example")
            await try_again(store)
            assert store.trouble == ""

    asyncio.run(run())
    assert len(read_back(path)) == 2


def test_locked_at_the_start_nothing_is_known_and_that_is_said(tmp_path):
    path = tmp_path / "policies.db"

    async def fill():
        async with opened(path) as store:
            await put(store, state("a.example"), state("b.example", number=1), state("c.example", number=1))

    asyncio.run(fill())

    async def run():
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        async with opened(path) as store:
            with pytest.raises(StorageFault, match="cannot be read now"):
                await store.get(HostName("a.example"))
            with pytest.raises(StorageFault):
                await store.remove(HostName("a.example"))
            # A policy that is fetched meanwhile is known; a failure says nothing about what is on disk.
            newer, failed = state("b.example", number=2), state("c.example", broken=True)
            assert await put(store, newer, failed) == [False, False]
            assert await store.get(newer.domain) == newer
            with pytest.raises(StorageFault):
                await store.get(failed.domain)
            other.execute("ROLLBACK")
            other.close()
            store._loading.cancel()
            await store._load()
            assert store.trouble == ""
            assert await store.get(HostName("a.example")) == state("a.example")
            assert await store.get(newer.domain) == newer
            merged = await store.get(failed.domain)
            assert merged.cached == state("c.example").cached
            assert merged.failure == "no certificate"

    asyncio.run(run())
    assert [s.cached.policy_id for s in read_back(path)] == ["1", "2", "1"]


# --- read-only, foreign, older and newer --------------------------------------------------------------

READ_ONLY = """
import asyncio, os, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
import test_sqlite_policies as t

async def run():
    if os.geteuid() == 0:
        # Root writes to read-only directories.
        os.setegid(65534)
        os.seteuid(65534)
    async with t.opened(Path({path!r})) as store:
        print([str(s.domain) async for s in store.states()])
        assert store.trouble, "no trouble"
        assert await t.put(store, t.state("new.example")) == [False]
        assert await store.get(t.HostName("new.example")) == t.state("new.example")

asyncio.run(run())
"""


@pytest.mark.parametrize("with_file", [True, False])
def test_read_only_directory(with_file):
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        path = directory / "policies.db"
        if with_file:
            filled(path, 2)
            path.chmod(0o444)
        directory.chmod(0o555)
        try:
            code = READ_ONLY.format(tests=str(Path(__file__).parent), path=str(path))
            done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            assert done.stdout.strip() == ("['d000.example', 'd001.example']" if with_file else "[]")
        finally:
            directory.chmod(0o755)


def test_somebody_elses_database_is_not_touched(tmp_path):
    path = tmp_path / "theirs.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE policies (domain TEXT, theirs INTEGER)")
        connection.commit()
    before = path.read_bytes()
    with pytest.raises(StorageFault, match="another program"):
        read_back(path)
    assert path.read_bytes() == before


def test_schema_versions(tmp_path, monkeypatch):
    path = tmp_path / "policies.db"
    filled(path, 3)
    step = "ALTER TABLE policies ADD COLUMN remark TEXT NOT NULL DEFAULT ''"
    with monkeypatch.context() as patch:
        patch.setattr(journal, "MIGRATIONS", (*journal.MIGRATIONS, step))
        assert len(read_back(path)) == 3
        with closing(sqlite3.connect(path)) as connection:
            assert connection.execute("SELECT count(*), max(remark) FROM policies").fetchone() == (3, "")
            assert connection.execute("PRAGMA user_version").fetchone() == (2,)
    with pytest.raises(StorageFault, match="newer version"):
        read_back(path)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM policies").fetchone() == (3,)
