"""The one writer of the database: a thread that commits whatever has gathered, as a group.

Theory of operation. SQLite has one write lock, and each commit costs an fsync. Callers put
functions on a queue; the thread takes all that wait (at most ``GROUP_MAX``), begins one
transaction, checks the owner epoch inside it, runs each function under a savepoint of its own,
commits once, and only then resolves their futures. A function that raises loses its own savepoint
and nothing else; a commit that fails, fails them all. A failed fsync stops the writer for good:
after it nobody knows what the file holds (docs/decisions/0006-a-failed-fsync-stops-the-writer.md).
"""

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import Connection, text

from rackwright.inventory.errors import StorageError
from rackwright.inventory.storage_errors import is_fatal, refused_after, wrapped

T = TypeVar("T")
GROUP_MAX = 256


class _Job(NamedTuple):
    function: Callable[[Connection], Any]
    future: "Future[Any]"


class Writer:
    """Owns the write connection. ``guard`` runs first in each transaction, ``committed`` after it.

    ``committed`` gets the highest journal sequence number, in the writer's thread.
    """

    def __init__(
        self,
        connect: Callable[[], Connection],
        guard: Callable[[Connection], None],
        committed: Callable[[int], None],
    ) -> None:
        self._connect = connect
        self._guard = guard
        self._committed = committed
        self._queue: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._closed = threading.Lock()
        self._is_closed = False
        self._broken: Exception | None = None
        self.groups = 0  # commits so far
        self._thread = threading.Thread(target=self._work, name="inventory-writer", daemon=True)
        self._thread.start()

    def submit(self, function: Callable[[Connection], T]) -> "Future[T]":
        """Run it in a shared transaction; the future resolves after the COMMIT."""
        future: Future[T] = Future()
        with self._closed:
            if self._is_closed:
                raise StorageError("the database is closed")
            self._queue.put(_Job(function, future))
        return future

    def close(self) -> None:
        """Commits what waits, then ends the thread. Idempotent."""
        with self._closed:
            if not self._is_closed:
                self._is_closed = True
                self._queue.put(None)
        self._thread.join()

    def _work(self) -> None:
        connection: Connection | None = None
        going = True
        while going:
            group, going = self._next_group()
            if self._broken is not None:
                _fail(group, self._broken)
                continue
            try:
                connection = connection or self._connect()
                self._commit(connection, group)
            except Exception as error:  # noqa: BLE001 - becomes the callers' failure
                if connection is not None and connection.in_transaction():
                    connection.rollback()
                if is_fatal(error):
                    self._broken = refused_after(error)
                _fail(group, wrapped(error))
            group.clear()  # what it wrote is not kept while the next is waited for
        if connection is not None:
            connection.close()

    def _next_group(self) -> tuple[list[_Job], bool]:
        first = self._queue.get()
        group: list[_Job] = []
        while first is not None:
            group.append(first)
            if len(group) >= GROUP_MAX or self._queue.empty():
                return [job for job in group if job.future.set_running_or_notify_cancel()], True
            first = self._queue.get()
        return [job for job in group if job.future.set_running_or_notify_cancel()], False

    def _commit(self, connection: Connection, group: list[_Job]) -> None:
        """Resolves every future of the group, or raises with none resolved."""
        if not group:
            return
        done: list[tuple[_Job, Any]] = []
        failed: list[tuple[_Job, Exception]] = []
        with connection.begin():
            self._guard(connection)
            for job in group:
                savepoint = connection.begin_nested()
                try:
                    result = job.function(connection)
                    savepoint.commit()
                except Exception as error:
                    if not _transaction_lives(connection):
                        raise  # SQLite itself rolled back: a full disk or an I/O error
                    savepoint.rollback()
                    failed.append((job, wrapped(error)))
                else:
                    done.append((job, result))
            last_seq = _last_seq(connection)
        self.groups += 1
        self._committed(last_seq)
        for job, result in done:
            job.future.set_result(result)
        for job, failure in failed:
            job.future.set_exception(failure)


def _transaction_lives(connection: Connection) -> bool:
    return bool(getattr(connection.connection.dbapi_connection, "in_transaction", True))


def _last_seq(connection: Connection) -> int:
    found = connection.scalar(text("SELECT seq FROM sqlite_sequence WHERE name = 'journal'"))
    return int(found or 0)


def _fail(group: list[_Job], error: Exception) -> None:
    for job in group:
        if not job.future.done():
            job.future.set_exception(error)
