"""The journal: facts of runs, the projection of their tasks, and the feed of both for watchers.

Theory of operation. A commit of a run puts its facts, the task rows that they changed and the run's
status into one transaction. Rows go in by statements of many VALUES, in chunks whose sizes are
powers of four: sqlite3 lets go of the interpreter lock at each statement's step, so one statement a
row makes a busy event loop and the writer's thread hand the lock back and forth for every row
(measured: 4,400 rows/s), and one statement for a thousand rows does not. Few distinct statements
keep their cache warm.

``payload`` is the engine's; nothing here reads it. ``seq`` counts over all runs and is never
reused, which makes it an SSE event id.
"""

import asyncio
import json
import threading
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from sqlalchemy import Connection, select, text, update

from rackwright.inventory.database import Database
from rackwright.inventory.errors import NotFoundError, StaleOwnerError
from rackwright.inventory.tables import JOURNAL, RUN

NO_RUN = 0
FactTuple = tuple[str, int, int, int, int, bytes]  # kind, stage, machine, attempt, status, payload
TaskTuple = tuple[int, int, int, int, str, bytes]  # stage, machine, state, attempt, error, evidence
F = TypeVar("F", covariant=True)


class FactRow(NamedTuple):
    """What ``read`` gives unless told another type; the engine's Fact has the same fields."""

    kind: str
    stage: int
    machine: int
    attempt: int
    status: int
    payload: bytes


class Commit(Protocol):
    """The engine's Commit, by structure."""

    @property
    def facts(self) -> Sequence[FactTuple]: ...
    @property
    def tasks(self) -> Sequence[TaskTuple]: ...
    @property
    def run_status(self) -> int | None: ...


class Event(NamedTuple):
    """One row of the feed. ``run`` is "" for the inventory's own changes, whose payload is JSON."""

    seq: int
    run: str
    kind: str
    stage: int
    machine: int
    attempt: int
    status: int
    at: float
    payload: bytes


class RunJournal(Generic[F]):
    """One run's journal; fits the engine's Journal when ``fact`` is the engine's Fact."""

    def __init__(
        self,
        database: Database,
        run_id: str,
        *,
        fact: Callable[[str, int, int, int, int, bytes], F],
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Raises NotFoundError when there is no such run."""
        self._database = database
        self._fact = fact
        self._clock = clock
        self._run_no, self._first_seq = _run_of(database, run_id)

    def append(self, owner_epoch: int, commit: Commit) -> Awaitable[int]:
        """Durable when it resolves, to the last sequence number.

        Raises StaleOwnerError when a newer owner exists, StorageError leaves when nothing was
        written.
        """
        now = self._clock()

        def write(connection: Connection) -> int:
            if owner_epoch != self._database.epoch:
                raise StaleOwnerError(f"owner epoch {owner_epoch} is over")
            return append(connection, self._run_no, commit, now)

        return asyncio.wrap_future(self._database.submit(write))

    def read(self) -> list[F]:
        """All facts of the run, in order."""
        sql = (
            "SELECT kind, stage, machine, attempt, status, payload FROM journal "
            "WHERE seq > ? AND run_no = ? ORDER BY seq"
        )
        make = self._fact
        with self._database.read() as connection:
            # the driver's own cursor: rows by the million, at half of the Core's cost
            cursor = connection.connection.cursor()
            cursor.execute(sql, (self._first_seq, self._run_no))
            return [make(*row) for row in cursor.fetchall()]


def append(connection: Connection, run_no: int, commit: Commit, now: float) -> int:
    """Write one commit; returns the last sequence number."""
    facts = [(run_no, *fact, now) for fact in commit.facts]
    insert_many(connection, _INSERT_FACTS, "", facts)
    # one upsert may not name a row twice: the last word on a task wins
    last = {(task[0], task[1]): task for task in commit.tasks}
    insert_many(
        connection, _INSERT_TASKS, _UPSERT, [(run_no, *task, now) for task in last.values()]
    )
    if commit.run_status is not None:
        changed = {"status": int(commit.run_status)}
        connection.execute(update(RUN).where(RUN.c.no == run_no).values(changed))
    return int(connection.exec_driver_sql("SELECT max(seq) FROM journal").scalar() or 0)


def record(connection: Connection, kind: str, subject: str, now: float, **detail: object) -> None:
    """A change of the inventory's own into the feed; ``detail`` must hold no secret."""
    payload = json.dumps({"subject": subject, **detail}, sort_keys=True).encode()
    insert_many(connection, _INSERT_FACTS, "", [(NO_RUN, kind, -1, -1, 0, 0, payload, now)])


_CHUNKS = (1024, 256, 64, 16, 4, 1)
_INSERT_FACTS = (
    "INSERT INTO journal (run_no, kind, stage, machine, attempt, status, payload, at) VALUES "
)
_INSERT_TASKS = (
    "INSERT INTO task (run_no, stage, machine, state, attempt, error, evidence, updated_at) VALUES "
)
_UPSERT = (
    " ON CONFLICT (run_no, stage, machine) DO UPDATE SET state = excluded.state, "
    "attempt = excluded.attempt, error = excluded.error, evidence = excluded.evidence, "
    "updated_at = excluded.updated_at"
)


def insert_many(
    connection: Connection, head: str, tail: str, rows: Sequence[tuple[Any, ...]]
) -> None:
    """Insert eight-column rows by as few statements as the chunk sizes allow."""
    start = 0
    for size in _CHUNKS:
        while len(rows) - start >= size:
            values = tuple(value for row in rows[start : start + size] for value in row)
            connection.exec_driver_sql(_statement(head, tail, size), values)
            start += size


def _statement(head: str, tail: str, size: int) -> str:
    return head + ",".join(("(?,?,?,?,?,?,?,?)",) * size) + tail


def _run_of(database: Database, run_id: str) -> tuple[int, int]:
    with database.read() as connection:
        row = connection.execute(
            select(RUN.c.no, RUN.c.first_seq).where(RUN.c.id == run_id)
        ).first()
    if row is None:
        raise NotFoundError(f"there is no run {run_id!r}", run=run_id)
    return row.no, row.first_seq


class Feed:
    """Tells watchers of new rows; made once for a database, used from any event loop."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiters: dict[asyncio.Future[None], asyncio.AbstractEventLoop] = {}
        self._lock = threading.Lock()
        with database.read() as connection:
            self._last = last_seq(connection)
        database.on_commit(self._committed)

    @property
    def last_seq(self) -> int:
        """The highest sequence number committed so far."""
        return self._last

    async def wait_for_new(self, seq: int) -> int:
        """Resolves to the highest sequence number once that is above ``seq``."""
        loop = asyncio.get_running_loop()
        while True:
            waiter: asyncio.Future[None] = loop.create_future()
            with self._lock:
                if self._last > seq:
                    return self._last
                self._waiters[waiter] = loop
            try:
                await waiter
            finally:
                with self._lock:
                    self._waiters.pop(waiter, None)

    def events_after(self, seq: int, *, run: str = "", limit: int = 1000) -> list[Event]:
        """The next rows, oldest first; of one run where it is named."""
        with self._database.read() as connection:
            return events_after(connection, seq, run=run, limit=limit)

    def _committed(self, last: int) -> None:
        """In the writer's thread."""
        with self._lock:
            if last <= self._last:
                return
            self._last = last
            waiters, self._waiters = self._waiters, {}
        for waiter, loop in waiters.items():
            if not loop.is_closed():
                loop.call_soon_threadsafe(_wake, waiter)


def _wake(waiter: "asyncio.Future[None]") -> None:
    if not waiter.done():
        waiter.set_result(None)


def last_seq(connection: Connection) -> int:
    """The highest sequence number ever given, also when its row was deleted."""
    found = connection.scalar(text("SELECT seq FROM sqlite_sequence WHERE name = 'journal'"))
    return int(found or 0)


def events_after(connection: Connection, seq: int, *, run: str, limit: int) -> list[Event]:
    """See ``Feed.events_after``."""
    query = (
        select(
            JOURNAL.c.seq,
            RUN.c.id,
            JOURNAL.c.kind,
            JOURNAL.c.stage,
            JOURNAL.c.machine,
            JOURNAL.c.attempt,
            JOURNAL.c.status,
            JOURNAL.c.at,
            JOURNAL.c.payload,
        )
        .outerjoin(RUN, RUN.c.no == JOURNAL.c.run_no)
        .where(JOURNAL.c.seq > seq)
        .order_by(JOURNAL.c.seq)
        .limit(limit)
    )
    if run:
        found = connection.execute(select(RUN.c.no, RUN.c.first_seq).where(RUN.c.id == run)).first()
        if found is None:
            raise NotFoundError(f"there is no run {run!r}", run=run)
        query = query.where(JOURNAL.c.run_no == found.no, JOURNAL.c.seq > found.first_seq)
    return [Event(row[0], row[1] or "", *row[2:]) for row in connection.execute(query)]


def attempts_of(
    connection: Connection, run: Mapping[str, Any], stage: int, machine: int
) -> list[Event]:
    """What was journaled of one task, oldest first. ``run`` has id, no and first_seq."""
    query = (
        select(JOURNAL)
        .where(
            JOURNAL.c.seq > run["first_seq"],
            JOURNAL.c.run_no == run["no"],
            JOURNAL.c.stage == stage,
            JOURNAL.c.machine == machine,
        )
        .order_by(JOURNAL.c.seq)
    )
    return [
        Event(
            row.seq,
            run["id"],
            row.kind,
            row.stage,
            row.machine,
            row.attempt,
            row.status,
            row.at,
            row.payload,
        )
        for row in connection.execute(query)
    ]
