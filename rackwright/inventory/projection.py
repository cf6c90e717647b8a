"""What became of every task of a run: folded from its packs, and kept while somebody looks.

Nothing of it is stored: each fact carries the state of its task, so that the last fact of a task
tells all about it. A projection follows its run by the packs that are new since it was last asked;
the first look at a run of 70,000 x 10 costs about a second.
"""

import heapq
import json
import threading
from array import array
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection

from rackwright.inventory.pack import Pack

KEPT: Final = 4  # runs
ENDED: Final = "ended"  # the kind of fact that ends an attempt
BOUNDS_S: Final = (
    0.1,
    0.3,
    1.0,
    3.0,
    10.0,
    30.0,
    60.0,
    120.0,
    300.0,
    600.0,
    1200.0,
    1800.0,
    3600.0,
)
"""Upper bounds of a latency histogram's buckets; the last bucket has none."""


class TaskState(NamedTuple):
    """``seq``: the fact that told of it last."""

    stage: int
    machine: int
    state: int
    attempt: int
    seq: int


class LastWord(NamedTuple):
    """What the last fact of a task says; see ``last_words``."""

    error: str
    console: str
    evidence: bytes
    at: float


class StageSummary(NamedTuple):
    """``counts``: tasks by state. ``histogram``: attempts that ended, by seconds from their issue,
    one bucket more than ``BOUNDS_S``; ``total_s`` is their sum. Moments are unix seconds, 0 for
    none."""

    counts: Mapping[int, int]
    first_at: float
    last_at: float
    total_s: float
    histogram: tuple[int, ...]


class Summary(NamedTuple):
    """A run in bounded size. ``oldest``: (task, since when) of those longest in a state,
    ``newest``: those that came to one last. ``seq``: the event up to which it tells."""

    seq: int
    stages: Mapping[int, StageSummary]
    oldest: tuple[tuple[TaskState, float], ...]
    newest: tuple[TaskState, ...]


SILENT: Final = LastWord("", "", b"", 0.0)


@dataclass(slots=True)
class _StageColumns:
    state: bytearray = field(default_factory=bytearray)
    attempt: "array[int]" = field(default_factory=lambda: array("I"))
    seq: "array[int]" = field(default_factory=lambda: array("Q"))
    at: "array[float]" = field(default_factory=lambda: array("d"))
    histogram: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS_S) + 1))
    total_s: float = 0.0
    first_at: float = 0.0
    last_at: float = 0.0

    def took(self, taken_s: float) -> None:
        self.histogram[bisect_left(BOUNDS_S, taken_s)] += 1
        self.total_s += taken_s

    def summary(self) -> StageSummary:
        counts = {s: n for s in sorted(set(self.state)) if (n := self.state.count(s)) and s}
        return StageSummary(
            counts, self.first_at, self.last_at, self.total_s, tuple(self.histogram)
        )

    def grow(self, count: int) -> None:
        more = count - len(self.state)
        self.at.extend([0.0] * more)
        self.state.extend(bytes(more))
        self.attempt.extend(bytes(more))
        self.seq.extend(bytes(more))


class Projection:
    """One run's. ``seq``: up to where it was folded."""

    def __init__(self, seq: int) -> None:
        self.seq = seq
        self._stages: dict[int, _StageColumns] = {}

    def fold(self, pack: Pack, last_seq: int, at: float) -> None:
        seq = last_seq - pack.count
        ended = pack.names.index(ENDED) if ENDED in pack.names else -1
        columns: _StageColumns | None = None
        of_stage = -1
        rows = zip(pack.kinds, pack.stages, pack.machines, pack.attempts, pack.states, strict=True)
        for kind, stage, machine, attempt, state in rows:
            seq += 1
            if not state:
                continue
            if columns is None or stage != of_stage:
                of_stage = stage
                columns = self._stages.setdefault(stage, _StageColumns(first_at=at))
                columns.last_at = at
            if machine >= len(columns.state):
                columns.grow(max(machine + 1, 2 * len(columns.state)))
            if kind == ended:
                columns.took(at - columns.at[machine])
            columns.at[machine] = at
            columns.state[machine] = state
            columns.attempt[machine] = attempt
            columns.seq[machine] = seq
        self.seq = last_seq

    def tasks(
        self, *, stage: int | None = None, machine: int | None = None, states: Sequence[int] = ()
    ) -> Iterator[TaskState]:
        """By stage and machine; without those that no fact has told of."""
        wanted = bytes(not states or s in states for s in range(256))
        for number in sorted(self._stages):
            if stage is not None and stage != number:
                continue
            columns = self._stages[number]
            machines = range(len(columns.state)) if machine is None else (machine,)
            for m in machines:
                if m < len(columns.seq) and columns.seq[m] and wanted[columns.state[m]]:
                    yield TaskState(number, m, columns.state[m], columns.attempt[m], columns.seq[m])

    def summary(self, *, oldest: int, newest: Sequence[int], top: int) -> Summary:
        """``oldest`` is a state, ``newest`` are states; ``top`` bounds both lists."""
        longest = heapq.nsmallest(
            top,
            (
                (columns.at[m], number, m)
                for number, columns in self._stages.items()
                for m in _places(columns.state, oldest)
            ),
        )
        latest = heapq.nlargest(
            top,
            (
                (columns.seq[m], number, m)
                for number, columns in self._stages.items()
                for state in newest
                for m in _places(columns.state, state)
            ),
        )
        return Summary(
            self.seq,
            {number: columns.summary() for number, columns in sorted(self._stages.items())},
            tuple((self._task(number, m), at) for at, number, m in longest),
            tuple(self._task(number, m) for _, number, m in latest),
        )

    def _task(self, stage: int, machine: int) -> TaskState:
        columns = self._stages[stage]
        return TaskState(
            stage, machine, columns.state[machine], columns.attempt[machine], columns.seq[machine]
        )


def _places(states: bytearray, state: int) -> Iterator[int]:
    place = states.find(state)
    while place >= 0:
        yield place
        place = states.find(state, place + 1)


class Projections:
    """The projections of the runs looked at last. For any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[int, Projection] = OrderedDict()

    def tasks(
        self,
        connection: Connection,
        run_no: int,
        first_seq: int,
        *,
        stage: int | None = None,
        machine: int | None = None,
        states: Sequence[int] = (),
        limit: int | None = None,
    ) -> list[TaskState]:
        """As the connection's snapshot has them, or newer."""
        with self._lock:
            projection = self._followed(connection, run_no, first_seq)
            found = projection.tasks(stage=stage, machine=machine, states=states)
            return [task for task, _ in zip(found, range(limit or 1 << 60), strict=False)]

    def summary(
        self,
        connection: Connection,
        run_no: int,
        first_seq: int,
        *,
        oldest: int,
        newest: Sequence[int],
        top: int,
    ) -> Summary:
        """As ``tasks``, in bounded size; see ``Projection.summary``."""
        with self._lock:
            projection = self._followed(connection, run_no, first_seq)
            return projection.summary(oldest=oldest, newest=newest, top=top)

    def _followed(self, connection: Connection, run_no: int, first_seq: int) -> Projection:
        projection = self._kept.setdefault(run_no, Projection(first_seq))
        self._kept.move_to_end(run_no)
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        for last_seq, at, blob in packs(connection, run_no, projection.seq):
            projection.fold(Pack(blob), last_seq, at)
        return projection


def packs(connection: Connection, run_no: int, after: int) -> Iterator[tuple[int, float, bytes]]:
    """(last seq, at, blob) of a run's packs that end after ``after``, in order."""
    cursor = connection.connection.cursor()  # the driver's own: blobs by the thousand
    cursor.execute(
        "SELECT seq, at, payload FROM journal WHERE seq > ? AND run_no = ? AND facts > 0 "
        "ORDER BY seq",
        (after, run_no),
    )
    while row := cursor.fetchone():  # one at a time: a pack may be megabytes
        yield row


def last_words(connection: Connection, tasks: Sequence[TaskState]) -> dict[int, LastWord]:
    """By ``seq``; without those that the connection's snapshot does not have yet.

    By contract a payload is a JSON object; of its keys ``error``, ``console`` and ``evidence`` are
    what a task shows. A payload of another kind says nothing.
    """
    found: dict[int, LastWord] = {}
    last, at, pack = 0, 0.0, None
    cursor = connection.connection.cursor()
    for seq in sorted(task.seq for task in tasks):
        if pack is None or seq > last:
            cursor.execute(
                "SELECT seq, at, payload FROM journal WHERE seq >= ? ORDER BY seq LIMIT 1", (seq,)
            )
            row = cursor.fetchone()
            if row is None:
                break
            last, at, blob = row
            pack = Pack(blob)
        found[seq] = _word(pack.payload(seq - last + pack.count - 1), at)
    return found


def _word(payload: bytes, at: float) -> LastWord:
    try:
        said: Any = json.loads(payload) if payload else {}
    except ValueError:
        said = {}
    if not isinstance(said, dict):
        said = {}
    evidence = b""
    if "evidence" in said:
        text = json.dumps(said["evidence"], separators=(",", ":"), ensure_ascii=False)
        evidence = text.encode()
    return LastWord(str(said.get("error", "")), str(said.get("console", "")), evidence, at)
