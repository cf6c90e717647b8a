"""What became of every task of a run: folded from its packs, and kept while somebody looks.

Nothing of it is stored: each fact carries the state of its task, so that the last fact of a task
tells all about it. A projection follows its run by the packs that are new since it was last asked;
the first look at a run of 70,000 x 10 costs about a second.
"""

import json
import threading
from array import array
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection

from rackwright.inventory.pack import Pack

KEPT: Final = 4  # runs


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


SILENT: Final = LastWord("", "", b"", 0.0)


@dataclass(slots=True)
class _StageColumns:
    state: bytearray = field(default_factory=bytearray)
    attempt: "array[int]" = field(default_factory=lambda: array("I"))
    seq: "array[int]" = field(default_factory=lambda: array("Q"))

    def grow(self, count: int) -> None:
        more = count - len(self.state)
        self.state.extend(bytes(more))
        self.attempt.extend(bytes(more))
        self.seq.extend(bytes(more))


class Projection:
    """One run's. ``seq``: up to where it was folded."""

    def __init__(self, seq: int) -> None:
        self.seq = seq
        self._stages: dict[int, _StageColumns] = {}

    def fold(self, pack: Pack, last_seq: int) -> None:
        seq = last_seq - pack.count
        columns: _StageColumns | None = None
        of_stage = -1
        rows = zip(pack.stages, pack.machines, pack.attempts, pack.states, strict=True)
        for stage, machine, attempt, state in rows:
            seq += 1
            if not state:
                continue
            if columns is None or stage != of_stage:
                of_stage = stage
                columns = self._stages.setdefault(stage, _StageColumns())
            if machine >= len(columns.state):
                columns.grow(max(machine + 1, 2 * len(columns.state)))
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
            projection = self._kept.setdefault(run_no, Projection(first_seq))
            self._kept.move_to_end(run_no)
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
            for last_seq, _, blob in packs(connection, run_no, projection.seq):
                projection.fold(Pack(blob), last_seq)
            found = projection.tasks(stage=stage, machine=machine, states=states)
            return [task for task, _ in zip(found, range(limit or 1 << 60), strict=False)]


def packs(connection: Connection, run_no: int, after: int) -> Iterator[tuple[int, float, bytes]]:
    """(last seq, at, blob) of a run's packs that end after ``after``, in order."""
    cursor = connection.connection.cursor()  # the driver's own: blobs by the thousand
    cursor.execute(
        "SELECT seq, at, payload FROM journal WHERE seq > ? AND run_no = ? AND facts > 0 "
        "ORDER BY seq",
        (after, run_no),
    )
    while rows := cursor.fetchmany(32):
        yield from rows


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
