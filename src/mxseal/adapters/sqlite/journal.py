"""The file: opened, brought to the newest schema, read once, and written in batches.

Everything here blocks and belongs to one thread.  What can go wrong with a file is
raised as `sqlite3.Error` and named by `describe`; a corrupt one is moved aside here.
"""

import logging
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Final

from mxseal.adapters.sqlite.rows import COLUMNS, DamagedRow, Row, check_columns
from mxseal.vocabulary.faults import StorageFault
from mxseal.vocabulary.names import HostName
from mxseal.vocabulary.rejection import printable

_LOG: Final = logging.getLogger("mxseal.adapters.sqlite")

APPLICATION_ID: Final = 0x4D585365
"""Says that the file is ours ("MXSe"), so that no other program's database is ever written to."""

MIGRATIONS: Final[tuple[str, ...]] = (
    """
    CREATE TABLE policies (
        domain TEXT PRIMARY KEY NOT NULL,
        look_at REAL NOT NULL,
        used_at REAL NOT NULL,
        policy TEXT,
        policy_id TEXT NOT NULL,
        fetched_at REAL NOT NULL,
        record_id TEXT NOT NULL,
        attempted_at REAL,
        failures INTEGER NOT NULL,
        failure TEXT NOT NULL,
        failure_stage TEXT NOT NULL
    ) WITHOUT ROWID
    """,
)
"""One step a version of the schema; `PRAGMA user_version` says how many were made.  Only ever append."""

_SELECT: Final = f"SELECT {', '.join(COLUMNS)} FROM policies"  # noqa: S608 - names of our own
_REPLACE: Final = (
    f"INSERT OR REPLACE INTO policies ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})"  # noqa: S608 - idem
)
_DELETE: Final = "DELETE FROM policies WHERE domain = ?"

Batch = Iterable[tuple[HostName, Row | None]]
"""Rows to write; None: the row is to go."""
Absorb = Callable[[HostName, Row], None]


class FileMoved(sqlite3.OperationalError):
    """The file that was opened is not the one at its path any more; SQLite would go on writing to it."""


class Journal:
    """One file of policies."""

    def __init__(self, path: Path, *, busy: float, now: Callable[[], datetime]) -> None:
        """`busy`: seconds to wait for a lock of another process."""
        self._path = path
        self._busy = busy
        self._now = now
        self._connection: sqlite3.Connection | None = None
        self._opened: tuple[int, int] | None = None

    def load(self, absorb: Absorb) -> str:
        """Open the file and give each row that is sound to `absorb`.

        Returns what is wrong: empty, or that the file can be read only, or that it was
        corrupt; in the latter case all that `absorb` got has to be written anew.
        Raises `sqlite3.Error` if nothing can be known now, and `StorageFault` if
        the file is not ours to touch.
        """
        self.close()
        try:
            self._open()
            self._read(absorb)
        except sqlite3.Error as error:
            self.close()
            if is_corrupt(error):
                return self.set_aside(error)
            if not _is_unwritable(error):
                raise
            self._load_read_only(absorb)
            return describe(error)
        return ""

    def write(self, batch: Batch) -> None:
        """All of it or nothing; when this returns it survives the end of this process.  Raises `sqlite3.Error`."""
        if self._connection is None:
            self._open()
        elif self._identity() != self._opened:
            raise FileMoved(f"{self._path} was moved or deleted")
        rows, gone = [], []
        for domain, row in batch:
            if row is None:
                gone.append((domain,))
            else:
                rows.append((domain, *(getattr(row, column) for column in COLUMNS[1:])))
        with self._transaction() as connection:
            connection.executemany(_DELETE, gone)
            connection.executemany(_REPLACE, rows)

    def rebuild(self, batch: Batch, error: sqlite3.Error) -> None:
        """The file is corrupt, or is not at its place any more: begin a new one with all that is known."""
        if is_corrupt(error):
            self.set_aside(error)
        self.close()
        self._open()
        self.write(batch)

    def set_aside(self, error: sqlite3.Error) -> str:
        """Move the file away as NAME.corrupt-TIME, with what belongs to it; what to say about it."""
        self.close()
        base = f"{self._path}.corrupt-{self._now():%Y%m%dT%H%M%SZ}"
        target, count = base, 1
        while Path(target).exists():
            target, count = f"{base}.{count}", count + 1
        for suffix in ("", "-wal", "-shm"):
            with suppress(FileNotFoundError):
                Path(f"{self._path}{suffix}").rename(f"{target}{suffix}")
        said = f"{self._path} is corrupt ({describe(error)}) and was moved to {target}"
        _LOG.critical("%s: policies that cannot be read from it are forgotten", said)
        return said

    def close(self) -> None:
        if self._connection is not None:
            with suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None

    # --- opening -------------------------------------------------------------------------------------

    def _open(self) -> None:
        with suppress(OSError):
            # Whom we mail is nobody's business.
            os.close(os.open(self._path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
        connection = self._connect(f"{self._path.absolute().as_uri()}?mode=rw")
        self._connection = connection
        _refuse_foreign(connection, self._path)
        connection.execute("PRAGMA journal_mode = WAL")
        # FULL: a policy that was acknowledged survives a power cut as well.
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA journal_size_limit = 16777216")
        self._migrate(connection)
        self._opened = self._identity()

    def _identity(self) -> tuple[int, int] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def _connect(self, uri: str) -> sqlite3.Connection:
        connection = sqlite3.connect(
            uri, uri=True, timeout=self._busy, isolation_level=None, check_same_thread=False
        )
        # What somebody edited in may be no UTF-8; it must fail as a row, not as a file.
        connection.text_factory = lambda octets: octets.decode(errors="replace")
        connection.execute("PRAGMA cell_size_check = ON")
        connection.execute("PRAGMA trusted_schema = OFF")
        return connection

    def _migrate(self, connection: sqlite3.Connection) -> None:
        if _version(connection) == len(MIGRATIONS):
            return
        with self._transaction():
            # Somebody else may have done it between the look and the lock.
            for number in range(_version(connection), len(MIGRATIONS)):
                connection.execute(MIGRATIONS[number])
            connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        connection = self._connection
        if connection is None:
            raise StorageFault(f"{self._path} is not open")
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
            connection.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            raise

    # --- reading -------------------------------------------------------------------------------------

    def _read(self, absorb: Absorb) -> None:
        if self._connection is not None:
            _read_rows(self._connection, absorb, self._path)

    def _load_read_only(self, absorb: Absorb) -> None:
        """From a file or directory that must not be written to; none there is as good as an empty one."""
        try:
            if not self._path.exists():
                return
            # "immutable": without it SQLite wants to make a -shm file beside a database in WAL mode.
            with closing(self._connect(f"{self._path.absolute().as_uri()}?immutable=1")) as connection:
                _refuse_foreign(connection, self._path)
                _read_rows(connection, absorb, self._path)
        except (sqlite3.Error, OSError) as error:
            raise StorageFault(
                f"{self._path} cannot be read: {describe(error)}",
                cure=f"let the user that mxseal runs as read and write {self._path.parent}",
            ) from None


def _read_rows(connection: sqlite3.Connection, absorb: Absorb, path: Path) -> None:
    for columns in connection.execute(_SELECT):
        try:
            domain, row = check_columns(columns)
        except DamagedRow as damage:
            _LOG.error(
                "%s: the row of %s is damaged and dropped: %s",
                path,
                printable(str(columns[0]), 80),
                printable(str(damage), 200),
            )
        else:
            absorb(domain, row)


def _refuse_foreign(connection: sqlite3.Connection, path: Path) -> None:
    """Raises `StorageFault` for a database of another program or of a newer version."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if tables and application != APPLICATION_ID:
        raise StorageFault(f"{path} is a database of another program", cure="name another file")
    version = _version(connection)
    if version > len(MIGRATIONS):
        raise StorageFault(
            f"{path} was written by a newer version of mxseal (schema {version}, this one knows {len(MIGRATIONS)})",
            cure="install that version again, or name another file; policies are then learnt anew",
        )


def _version(connection: sqlite3.Connection) -> int:
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    return int(version)


# --- what went wrong -----------------------------------------------------------------------------------

_CORRUPT: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT})
_UNWRITABLE: Final = frozenset({sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM})


def _code(error: BaseException) -> int:
    """The primary result code, without the extension in its upper bits."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def is_corrupt(error: sqlite3.Error) -> bool:
    """Whether the file is no sound database, or not one with our columns."""
    return _code(error) in _CORRUPT or (_code(error) == sqlite3.SQLITE_ERROR and "no such" in str(error))


def _is_unwritable(error: sqlite3.Error) -> bool:
    return _code(error) in _UNWRITABLE


def describe(error: BaseException) -> str:
    """In a few words."""
    return printable(str(error), 200)
