"""The seams of a run: what the runner needs from executors and from whoever owns the database.

The executor seam is batched. The journal speaks plain tuples and bytes; the engine owns the codec,
the inventory owns the transaction.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from rackwright.engine.errors import EngineError
from rackwright.engine.schedule.events import Mode, Result


class Attempt(NamedTuple):
    """One attempt to be made. ``resumed``: a dead controller may already have begun it."""

    task: int
    attempt: int
    mode: Mode
    timeout_s: float
    resumed: bool


class Outcome(NamedTuple):
    """How an attempt ended. ``evidence`` is canonical JSON, at most 64 KiB, without secrets."""

    task: int
    attempt: int
    result: Result
    evidence: bytes = b"{}"
    outputs: Mapping[str, object] | None = None  # declared outputs only
    error: str = ""  # cause, and what to do; "" on success
    console: str = ""  # last lines of the machine's console or ramdisk log, on failure
    pressed: bool = False  # unreachable, busy or too late: what it shares may be overloaded


class Executor(Protocol):
    """Carries out attempts; never decides whether one should be made."""

    def start(self, attempts: Sequence[Attempt]) -> None:
        """Begin them; returns at once. Outcomes go to the sink given at construction."""

    def cancel(self, task: int, attempt: int) -> None:
        """Ask for an end; an Outcome still follows."""

    def elect(self, group: int, stage: int, candidates: Sequence[int]) -> None:
        """Find who leads; the sink's ``elected`` follows."""

    def stage_settled(self, stage: int) -> None:
        """Revoke what was minted for the stage."""

    async def close(self) -> None: ...


class OutcomeSink(Protocol):
    """Where an executor reports; callable from its event loop only."""

    def ended(self, outcome: Outcome) -> None: ...

    def elected(self, group: int, machine: int, error: str) -> None: ...

    async def intend(self, kind: str, task: int, attempt: int, detail: Mapping[str, object]) -> int:
        """Commit an intent (erase, mint, power) before acting; returns how often this kind was
        committed before for the same task in this run. Raises when the owner epoch is no longer
        ours: then nothing may be done."""


class Intent(NamedTuple):
    """A committed intent, as an earlier or this controller journaled it."""

    kind: str
    task: int
    attempt: int
    detail: Mapping[str, object]


IntentTold = Callable[[int, int, int | EngineError], None]  # task, attempt, count or error


class RunView(OutcomeSink, Protocol):
    """What a run gives to the executor it drives: where to report, and what is known so far."""

    def intend_then(
        self, kind: str, task: int, attempt: int, detail: Mapping[str, object], told: IntentTold
    ) -> None:
        """``intend`` for thousands at once, without a coroutine for each: ``told`` is called once,
        with what ``intend`` would have returned or raised."""

    def outputs(self) -> Mapping[str, Mapping[str, Mapping[str, object]]]:
        """Stage name -> machine id -> output name -> value."""

    def leader(self, group: str) -> str:
        """The elected machine's id, "" while there is none."""

    def intents(self, kind: str) -> Sequence[Intent]:
        """All committed intents of a kind in this run, oldest first."""


class Clock(Protocol):
    """Time for a run: real, or virtual in a simulation."""

    def now(self) -> float:
        """Wall time, unix seconds; for what is journaled and read by people."""

    def monotonic(self) -> float:
        """Seconds that only grow; for deadlines."""

    async def wait(self, woken: asyncio.Event, until: float | None) -> None:
        """Return when ``woken`` is set or ``monotonic()`` reaches ``until``. Virtual time moves in
        here only: while nothing is left to commit."""


class Fact(NamedTuple):
    """One journal row. ``kind``: issued, ended, elected, timer, marked, intent, asked, limit,
    window, approval, allowance, finished; what the fields hold by kind is said in ``codec``."""

    kind: str
    stage: int  # -1 where it does not apply
    machine: int  # -1 where it does not apply
    attempt: int
    status: int  # a Result, TaskState, RunStatus or Mode, by kind
    payload: bytes  # codec-owned JSON: evidence, outputs, error, detail


@dataclass(frozen=True, slots=True)
class Commit:
    """``states``: for each fact what its task has come to after this commit (a TaskState), 0 for
    a fact that tells nothing of a task. ``snapshot``: the run's standing after this commit."""

    facts: Sequence[Fact]
    states: Sequence[int]
    run_status: int | None = None
    snapshot: bytes | None = None


class Journal(Protocol):
    """One run's journal. Facts, snapshot and the run's status commit together or not at all."""

    def append(self, owner_epoch: int, commit: Commit) -> Awaitable[int]:
        """Durable when it resolves, to the last sequence number. Raises ``StaleOwnerError`` when a
        newer owner exists."""

    def read(self) -> Sequence[Fact]:
        """All facts of the run, in order."""

    def past(self) -> tuple[bytes, Sequence[Fact]]:
        """What a restart needs: the last snapshot, b"" for none, and the facts since."""
