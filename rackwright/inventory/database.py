"""The database: one writer, many readers, and a file that only its owner may open.

SQLite in WAL mode with synchronous=FULL: what a write's future acknowledged survives a power cut.
"""

import asyncio
import contextlib
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool, QueuePool

from rackwright.inventory import owner
from rackwright.inventory.errors import InventoryError, OperatorError, StaleOwnerError
from rackwright.inventory.lease import LEASE_S, Keeper, Lease
from rackwright.inventory.migrations import upgrade
from rackwright.inventory.storage_errors import wrapped
from rackwright.inventory.writer import Writer

T = TypeVar("T")
FILE_NAME = "rackwright.db"
BUSY_TIMEOUT_S = 5.0
READERS_MAX = 16


class Database:
    """Made by ``open_database``; ``close`` it. ``epoch`` is this owner's;
    ``others_until``: see ``owner.Takeover``."""

    def __init__(
        self,
        path: Path,
        *,
        now: float,
        pid: int,
        clock: Callable[[], float],
        lease_s: float,
    ) -> None:
        self.path = path
        self._clock = clock
        self._lease = Lease(lease_s=lease_s)
        self._replaced: list[Callable[[], None]] = []
        self._committed: list[Callable[[int], None]] = []
        self._write_engine = _engine(path, read_only=False)
        self._read_engine = _engine(path, read_only=True)
        try:
            upgrade(self._write_engine)
            with self._write_engine.begin() as connection:
                taken = owner.take_over(connection, pid=pid, now=now, lease_s=lease_s)
            self.epoch, self.others_until = taken.epoch, taken.others_until
            _write_out(self._write_engine)
        except (DBAPIError, sqlite3.Error) as error:
            raise wrapped(error) from error
        self._writer = Writer(self._write_engine.connect, self._guard, self._published)
        self._keeper = Keeper(self._lease, lambda: self.submit(_nothing))

    def submit(self, function: Callable[[Connection], T]) -> "Future[T]":
        """Queue a write from any thread; resolves after the COMMIT it was part of.

        ``function`` gets the writer's connection, runs under a savepoint, and must neither commit
        nor wait for anything. Raises (in the future) what it raised, or a StorageError leaf, or
        StaleOwnerError.
        """
        return self._writer.submit(function)

    async def write(self, function: Callable[[Connection], T]) -> T:
        """``submit``, awaited. A cancelled caller's write may still be committed."""
        return await asyncio.wrap_future(self.submit(function))

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A read-only connection with one snapshot for its whole block; any thread."""
        try:
            with self._read_engine.connect() as connection, connection.begin():
                yield connection
        except (DBAPIError, sqlite3.Error) as error:
            raise wrapped(error) from error

    def on_commit(self, listener: Callable[[int], None]) -> None:
        """Call it after each commit with the highest journal seq, in the writer's thread."""
        self._committed.append(listener)

    def on_replaced(self, listener: Callable[[], None]) -> None:
        """Call it, in the writer's thread, for each write that is refused since a newer owner
        exists; the lease's keeper tries one by itself."""
        self._replaced.append(listener)

    @property
    def commits(self) -> int:
        """How many transactions were committed since opening."""
        return self._writer.groups

    def close(self) -> None:
        """Commits what is queued, gives the lease back, then lets go of the file. Idempotent."""
        self._keeper.close()
        with contextlib.suppress(InventoryError):
            self.submit(lambda connection: owner.renew(connection, until=0.0)).result()
        self._writer.close()
        self._read_engine.dispose()
        self._write_engine.dispose()

    def may_act(self) -> bool:
        """Whether this owner's lease still lives: asked just before anything is sent."""
        return self._lease.may_act()

    def _guard(self, connection: Connection) -> None:
        self._lease.not_renewed()
        try:
            owner.check_epoch(connection, self.epoch)
        except StaleOwnerError:
            for listener in self._replaced:
                listener()
            raise
        if self._lease.is_due():
            self._lease.renewing()
            owner.renew(connection, until=self._clock() + self._lease.lease_s)

    def _published(self, last_seq: int) -> None:
        self._lease.renewed()
        for listener in self._committed:
            listener(last_seq)


def _write_out(engine: Engine) -> None:
    """Move the log into the database file, with an fsync of its own. After a failed fsync pages of
    the log may stand in the page cache alone, as clean: commits behind them would be lost with it.
    """
    with engine.connect() as connection:
        cursor = connection.connection.cursor()
        try:
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        finally:
            cursor.close()


def _nothing(_: Connection) -> None:
    """A commit for its guard's sake."""


def open_database(
    where: Path | str,
    *,
    now: float,
    pid: int | None = None,
    clock: Callable[[], float] = time.time,
    lease_s: float = LEASE_S,
) -> Database:
    """Open (and create or migrate) the database in a data directory, or of a ``sqlite:///`` URL.

    Takes ownership in the database (a new epoch); the directory's lock is the caller's to take
    first. Raises OwnedElsewhereError while another owner's lease runs, StorageError leaves,
    NewerSchemaError, OperatorError for another kind of URL.
    """
    path = _path_of(where)
    private_directory(path.parent)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    path.chmod(0o600)  # SQLite gives -wal and -shm the mode of the file
    pid = os.getpid() if pid is None else pid
    return Database(path, now=now, pid=pid, clock=clock, lease_s=lease_s)


def private_directory(path: Path) -> None:
    """Make it, and see that only its owner gets in."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.chmod(0o700)


def _path_of(where: Path | str) -> Path:
    if isinstance(where, Path) or "://" not in where:
        return Path(where) / FILE_NAME
    url = make_url(where)
    if url.get_backend_name() != "sqlite" or not url.database:
        raise OperatorError(
            f"a database of kind {url.get_backend_name()!r} cannot be opened",
            hint="this version keeps its data in SQLite: give a directory or sqlite:///FILE",
        )
    return Path(url.database)


def _engine(path: Path, *, read_only: bool) -> Engine:
    def connect() -> sqlite3.Connection:
        uri = f"{path.absolute().as_uri()}?mode={'ro' if read_only else 'rw'}"
        made = sqlite3.connect(
            uri, uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
        )
        _pragmas(made, read_only=read_only)
        return made

    pool: dict[str, Any] = (
        {"poolclass": QueuePool, "pool_size": 4, "max_overflow": READERS_MAX - 4}
        if read_only
        else {"poolclass": NullPool}
    )
    # SQL parameters never stand in an error's text: they may be ciphertext, or a token's hash
    engine = create_engine("sqlite://", creator=connect, hide_parameters=True, **pool)
    # with isolation_level None the driver leaves transactions to us
    begin = "BEGIN" if read_only else "BEGIN IMMEDIATE"
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(begin))
    return engine


def _pragmas(connection: sqlite3.Connection, *, read_only: bool) -> None:
    connection.execute(f"PRAGMA busy_timeout = {int(BUSY_TIMEOUT_S * 1000)}")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA cache_size = -32768")
    if read_only:
        connection.execute("PRAGMA query_only = ON")
        return
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA wal_autocheckpoint = 4000")  # pages of 4 KiB
    connection.execute("PRAGMA journal_size_limit = 67108864")
