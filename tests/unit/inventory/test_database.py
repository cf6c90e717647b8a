import asyncio
import sqlite3
import stat
import threading
from concurrent.futures import Future
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import Connection, func, insert, select, text
from sqlalchemy.exc import OperationalError

from rackwright.inventory.database import open_database
from rackwright.inventory.errors import (
    ConflictError,
    InventoryError,
    NewerSchemaError,
    OperatorError,
    StorageBusyError,
    StorageError,
    StorageFullError,
)
from rackwright.inventory.tables import SITE
from tests.unit.inventory.conftest import NOW, Store


def put(connection: Connection, name: str) -> None:
    connection.execute(insert(SITE).values(name=name))


def put_all(connection: Connection, names: list[str]) -> None:
    for name in names:
        put(connection, name)


def sites(store: Store) -> list[str]:
    return store.read(lambda c: list(c.scalars(select(SITE.c.name).order_by(SITE.c.name))))


def hold(store: Store) -> tuple[threading.Event, "Future[None]"]:
    """Keep the writer busy until the event is set, so that what follows gathers."""
    begun, gate = threading.Event(), threading.Event()

    def wait(_: Connection) -> None:
        begun.set()
        gate.wait(30)

    future = store.database.submit(wait)
    begun.wait(30)
    return gate, future


def test_waiting_writes_share_one_commit(store: Store) -> None:
    gate, held = hold(store)
    before = store.database.commits
    futures = [store.database.submit(partial(put, name=f"s{n}")) for n in range(100)]
    gate.set()
    for future in [held, *futures]:
        future.result(timeout=30)
    assert store.database.commits - before == 2  # the one that was held, and one for all others
    assert len(sites(store)) == 100


def test_a_failing_write_loses_only_itself(store: Store) -> None:
    def fail(connection: Connection) -> None:
        put(connection, "lost")
        raise OperatorError("no")

    gate, _ = hold(store)
    good, bad, also = (
        store.database.submit(lambda c: put(c, "one")),
        store.database.submit(fail),
        store.database.submit(lambda c: put(c, "two")),
    )
    gate.set()
    good.result(timeout=30)
    also.result(timeout=30)
    with pytest.raises(OperatorError, match="no"):
        bad.result(timeout=30)
    assert sites(store) == ["one", "two"]


def test_a_contradiction_is_a_conflict(store: Store) -> None:
    store.write(lambda c: put(c, "lab"))
    with pytest.raises(ConflictError):
        store.write(lambda c: put(c, "lab"))


def test_writes_are_awaited_and_cancelled_waiters_harm_nobody(store: Store) -> None:
    async def check() -> None:
        gate, _ = hold(store)
        doomed = asyncio.ensure_future(store.database.write(lambda c: put(c, "doomed")))
        kept = asyncio.ensure_future(store.database.write(lambda c: put(c, "kept")))
        await asyncio.sleep(0)
        doomed.cancel()
        gate.set()
        await kept
        assert doomed.cancelled()

    asyncio.run(check())
    assert "kept" in sites(store)


def test_readers_cannot_write(store: Store) -> None:
    with pytest.raises(StorageError):
        store.read(lambda c: put(c, "x"))


def test_a_reader_keeps_one_snapshot(store: Store) -> None:
    with store.database.read() as connection:
        assert connection.scalar(select(func.count()).select_from(SITE)) == 0
        store.write(lambda c: put(c, "lab"))
        assert connection.scalar(select(func.count()).select_from(SITE)) == 0
    assert sites(store) == ["lab"]


def test_files_are_for_their_owner_alone(store: Store) -> None:
    store.write(lambda c: put(c, "lab"))
    assert stat.S_IMODE(store.directory.stat().st_mode) == 0o700
    files = [path for path in store.directory.iterdir() if path.is_file()]
    assert {path.name for path in files} >= {"rackwright.db", "rackwright.db-wal"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}


def test_settings_are_durable(store: Store) -> None:
    def pragmas(connection: Connection) -> dict[str, object]:
        names = ("journal_mode", "synchronous", "foreign_keys")
        return {name: connection.execute(text(f"PRAGMA {name}")).scalar() for name in names}

    found = store.write(pragmas)
    assert found == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}


def test_a_full_disk_refuses_writes_and_then_recovers(store: Store) -> None:
    store.write(lambda c: put(c, "before"))
    pages = store.write(lambda c: c.execute(text("PRAGMA page_count")).scalar())
    store.write(lambda c: c.execute(text(f"PRAGMA max_page_count = {pages}")).scalar())
    with pytest.raises(StorageFullError) as caught:
        store.write(lambda c: put_all(c, [f"{n:01000}" for n in range(200)]))
    assert caught.value.retryable
    assert sites(store) == ["before"]
    store.write(lambda c: c.execute(text("PRAGMA max_page_count = 1000000")).scalar())
    store.write(lambda c: put(c, "after"))
    assert sites(store) == ["after", "before"]


def test_an_io_error_stops_the_writer_for_good(store: Store) -> None:
    def fail(_: Connection) -> None:
        broken = sqlite3.OperationalError("disk I/O error")
        broken.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
        raise OperationalError("COMMIT", None, broken)

    original = store.database._writer._guard
    store.database._writer._guard = fail
    with pytest.raises(StorageError, match="could not be read or written"):
        store.write(lambda c: put(c, "lost"))
    store.database._writer._guard = original
    with pytest.raises(StorageError, match="could not be read or written"):
        store.write(lambda c: put(c, "later"))
    assert sites(store) == []


def test_an_io_error_with_a_known_result_is_told_and_passes(store: Store) -> None:
    def fail(_: Connection) -> None:
        refused = sqlite3.OperationalError("disk I/O error")
        refused.sqlite_errorcode = sqlite3.SQLITE_IOERR_WRITE
        raise OperationalError("INSERT", None, refused)

    original = store.database._writer._guard
    store.database._writer._guard = fail
    with pytest.raises(StorageError, match="nothing was written"):
        store.write(lambda c: put(c, "lost"))
    store.database._writer._guard = original
    store.write(lambda c: put(c, "later"))
    assert sites(store) == ["later"]


def test_opening_writes_out_the_log_that_a_dead_owner_left(store: Store, tmp_path: Path) -> None:
    store.write(lambda c: put(c, "before"))
    left = tmp_path / "left"
    left.mkdir(mode=0o700)
    for file in store.directory.glob("rackwright.db*"):
        (left / file.name).write_bytes(file.read_bytes())
    assert (left / "rackwright.db-wal").stat().st_size > 0
    reader = sqlite3.connect(left / "rackwright.db")  # else the first to close would do it
    reader.execute("SELECT count(*) FROM site").fetchall()
    database = open_database(left, now=NOW + 3600, pid=1)
    try:
        assert (left / "rackwright.db-wal").stat().st_size == 0
    finally:
        database.close()
        reader.close()


def test_a_lock_held_elsewhere_is_named_and_passes(store: Store) -> None:
    store.write(lambda c: c.execute(text("PRAGMA busy_timeout = 1")).scalar())
    other = sqlite3.connect(store.directory / "rackwright.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StorageBusyError, match="locked by another process"):
        store.write(lambda c: put(c, "lost"))
    other.rollback()
    other.close()
    store.write(lambda c: put(c, "later"))
    assert sites(store) == ["later"]


def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    open_database(tmp_path, now=NOW).close()
    with sqlite3.connect(tmp_path / "rackwright.db") as raw:
        raw.execute("UPDATE alembic_version SET version_num = '9999'")
    raw.close()
    with pytest.raises(NewerSchemaError, match="9999"):
        open_database(tmp_path, now=NOW)


def test_what_is_no_database_is_refused_and_kept(tmp_path: Path) -> None:
    (tmp_path / "rackwright.db").write_bytes(b"this is something else" * 300)
    with pytest.raises(StorageError, match="damaged"):
        open_database(tmp_path, now=NOW)
    assert (tmp_path / "rackwright.db").read_bytes().startswith(b"this is")


def test_a_url_may_name_a_sqlite_file_and_nothing_else(tmp_path: Path) -> None:
    database = open_database(f"sqlite:///{tmp_path}/own.db", now=NOW)
    assert database.path == tmp_path / "own.db"
    database.close()
    with pytest.raises(OperatorError, match="postgresql"):
        open_database("postgresql://host/name", now=NOW)


def test_a_closed_database_says_so(store: Store) -> None:
    store.database.close()
    with pytest.raises(InventoryError, match="closed"):
        store.write(lambda c: put(c, "x"))
