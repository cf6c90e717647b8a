"""The journal: facts of runs, snapshots to restore from, and the feed of both for watchers.

Theory of operation. A commit of a run is one row that packs its facts (``pack``), with the run's
status and now and then a snapshot in the same transaction. The facts of a row hold consecutive
sequence numbers, of which the row has the last: each fact is an event of the feed with a number of
its own. What became of tasks is folded from the same facts (``projection``).

``payload`` is the engine's; what is read of it here, ``projection.last_words`` says. ``seq`` counts
over all runs and is never reused, which makes it an SSE event id.
"""

import asyncio
import json
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from sqlalchemy import Connection, delete, func, insert, select, text, update

from rackwright.inventory.database import Database
from rackwright.inventory.errors import NotFoundError, StaleOwnerError
from rackwright.inventory.pack import FactTuple, Pack, encode
from rackwright.inventory.projection import packs
from rackwright.inventory.tables import JOURNAL, RUN, SNAPSHOT

NO_RUN = 0
F = TypeVar("F", bound=tuple[object, ...], covariant=True)


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
    def states(self) -> Sequence[int]: ...
    @property
    def run_status(self) -> int | None: ...
    @property
    def snapshot(self) -> bytes | None: ...


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
        fact: type[F],
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
        with self._database.read() as connection:
            return self._facts(connection, self._first_seq)

    def each(self) -> Iterator[F]:
        """All facts of the run, in order, a commit at a time in memory."""
        for pack in self.packs():
            yield from pack.facts(self._fact)

    def packs(self) -> Iterator[Pack]:
        """The same, a commit at a time, as columns."""
        with self._database.read() as connection:
            for _, _, blob in packs(connection, self._run_no, self._first_seq):
                yield Pack(blob)

    def past(self) -> tuple[bytes, list[F]]:
        """The last snapshot, empty where there is none, and the facts since."""
        with self._database.read() as connection:
            found = connection.execute(
                select(SNAPSHOT.c.seq, SNAPSHOT.c.payload).where(SNAPSHOT.c.run_no == self._run_no)
            ).first()
            seq, snapshot = found or (self._first_seq, b"")
            return snapshot, self._facts(connection, seq)

    def standing(self) -> tuple[bytes, int]:
        """The last snapshot, empty where there is none, and how many facts it covers."""
        with self._database.read() as connection:
            found = connection.execute(
                select(SNAPSHOT.c.payload, func.sum(JOURNAL.c.facts))
                .join(JOURNAL, JOURNAL.c.run_no == SNAPSHOT.c.run_no)
                .where(SNAPSHOT.c.run_no == self._run_no, JOURNAL.c.seq > self._first_seq)
                .where(JOURNAL.c.seq <= SNAPSHOT.c.seq)
                .group_by(SNAPSHOT.c.run_no)
            ).first()
        return (found[0], int(found[1])) if found else (b"", 0)

    def _facts(self, connection: Connection, after: int) -> list[F]:
        facts: list[F] = []
        for _, _, blob in packs(connection, self._run_no, after):
            facts.extend(Pack(blob).facts(self._fact))
        return facts


def append(connection: Connection, run_no: int, commit: Commit, now: float) -> int:
    """Write one commit; returns the last sequence number."""
    seq = last_seq(connection) + len(commit.facts)
    if commit.facts:
        blob = encode(commit.facts, commit.states)
        connection.exec_driver_sql(
            _INSERT, (seq, run_no, "", -1, -1, 0, 0, now, len(commit.facts), blob)
        )
    if commit.snapshot is not None:
        connection.execute(delete(SNAPSHOT).where(SNAPSHOT.c.run_no == run_no))
        row = {"run_no": run_no, "seq": seq, "payload": commit.snapshot}
        connection.execute(insert(SNAPSHOT).values(row))
    if commit.run_status is not None:
        changed = {"status": int(commit.run_status)}
        connection.execute(update(RUN).where(RUN.c.no == run_no).values(changed))
    return seq


def record(connection: Connection, kind: str, subject: str, now: float, **detail: object) -> None:
    """A change of the inventory's own into the feed; ``detail`` must hold no secret."""
    payload = json.dumps({"subject": subject, **detail}, sort_keys=True).encode()
    connection.exec_driver_sql(_INSERT, (None, NO_RUN, kind, -1, -1, 0, 0, now, 0, payload))


_INSERT = (
    "INSERT INTO journal (seq, run_no, kind, stage, machine, attempt, status, at, facts, payload) "
    "VALUES (?,?,?,?,?,?,?,?,?,?)"
)


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
    run_no, after = (NO_RUN, seq)
    if run:
        found = connection.execute(select(RUN.c.no, RUN.c.first_seq).where(RUN.c.id == run)).first()
        if found is None:
            raise NotFoundError(f"there is no run {run!r}", run=run)
        run_no, after = found.no, max(seq, found.first_seq)
    query = (
        select(JOURNAL.c.seq, JOURNAL.c.kind, JOURNAL.c.at, JOURNAL.c.facts, JOURNAL.c.payload)
        .add_columns(RUN.c.id)
        .outerjoin(RUN, RUN.c.no == JOURNAL.c.run_no)
        .where(JOURNAL.c.seq > after)
        .order_by(JOURNAL.c.seq)
        .execution_options(yield_per=16)
    )
    if run:
        query = query.where(JOURNAL.c.run_no == run_no)
    events: list[Event] = []
    for last, kind, at, count, payload, run_id in connection.execute(query):
        if not count:
            events.append(Event(last, run_id or "", kind, -1, -1, 0, 0, at, payload))
        else:
            pack = Pack(payload)
            first = last - count + 1
            start = max(0, after + 1 - first)
            indices = range(start, min(count, start + limit - len(events)))
            events.extend(_event(pack, i, first + i, run_id or "", at) for i in indices)
        if len(events) >= limit:
            break
    return events


def _event(pack: Pack, index: int, seq: int, run_id: str, at: float) -> Event:
    return Event(
        seq,
        run_id,
        pack.kind(index),
        pack.stages[index],
        pack.machines[index],
        pack.attempts[index],
        pack.statuses[index],
        at,
        pack.payload(index),
    )


def attempts_of(
    connection: Connection, run: Mapping[str, Any], stage: int, machine: int
) -> list[Event]:
    """What was journaled of one task, oldest first. ``run`` has id, no and first_seq."""
    events: list[Event] = []
    for last, at, blob in packs(connection, run["no"], run["first_seq"]):
        pack = Pack(blob)
        first = last - pack.count + 1
        found = pack.of_task(stage, machine)
        events.extend(_event(pack, i, first + i, run["id"], at) for i in found)
    return events
