"""What a run came to, from its journal alone: counts, durations, failures.

Pure: facts in, values out. Times are the journal's, by the clock of the runner that wrote them.
"""

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from rackwright.engine.plan.model import Plan
from rackwright.engine.run import codec, words
from rackwright.engine.run.ports import Fact
from rackwright.engine.run.restore import restore
from rackwright.engine.schedule import board as b
from rackwright.engine.schedule.board import Board
from rackwright.engine.schedule.events import Cause, RunStatus, TaskState
from rackwright.engine.schedule.topology import Topology

_UNDER_WAY = (b.WAITING, b.READY, b.PARKED, b.RUNNING, b.BACKOFF)


@dataclass(frozen=True, slots=True)
class Failure:
    """A task that failed by itself. What it blocked is counted, not listed."""

    machine: str
    machine_name: str
    stage: str
    attempt: int
    error: str
    console: str


@dataclass(frozen=True, slots=True)
class StageReport:
    """Counts of tasks by how they ended; durations in seconds of attempts that ended."""

    name: str
    machines: int
    changed: int
    satisfied: int
    skipped: int
    failed: int
    blocked: int
    cancelled: int
    under_way: int
    attempts: int
    started_at: float | None
    ended_at: float | None
    median_s: float
    p99_s: float
    longest_s: float
    total_s: float  # of all attempts together
    slowest: str  # name of the machine whose attempt took longest


@dataclass(frozen=True, slots=True)
class PathStep:
    """A stage on the chain that the run's end waited for, and the seconds it added to it."""

    stage: str
    added_s: float


@dataclass(frozen=True, slots=True)
class RunReport:
    status: RunStatus
    started_at: float | None
    ended_at: float | None
    changed: int  # tasks that changed a machine: 0 for a second apply
    stages: tuple[StageReport, ...]
    failures: tuple[Failure, ...]
    blocked: tuple[str, ...]  # why tasks were blocked, each cause once
    critical_path: tuple[PathStep, ...] = ()

    @property
    def causes(self) -> tuple[tuple[str, str, int], ...]:
        """(stage, error, how many machines) of the failures, the most frequent first."""
        counts = Counter((failure.stage, failure.error) for failure in self.failures)
        ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        return tuple((stage, error, count) for (stage, error), count in ordered)

    @property
    def wall_s(self) -> float:
        if self.started_at is None or self.ended_at is None:
            return 0.0
        return self.ended_at - self.started_at


@dataclass(slots=True)
class _StageTimes:
    started_at: float | None = None
    ended_at: float | None = None
    attempts: int = 0
    durations_s: "array[float]" = field(default_factory=lambda: array("d"))
    slowest: tuple[float, int] = (-1.0, -1)


def report(plan: Plan, facts: Iterable[Fact], snapshot: bytes = b"", covered: int = 0) -> RunReport:
    """The run as its journal tells it, finished or not. Reads ``facts``, all of the run's, once,
    keeping none. ``snapshot``: how the run stood after the first ``covered`` of them."""
    topology = Topology.from_plan(plan)
    reader = _Reader(plan)
    since = reader.watching(facts, covered)
    scheduler = restore(plan, topology, since, snapshot, is_to_go_on=False).scheduler
    board = scheduler.board
    times, last_words = reader.times, reader.last_words
    stages = tuple(_stage(plan, board, s, times[s]) for s in range(len(plan.stages)))
    starts = [t.started_at for t in times if t.started_at is not None]
    ends = [t.ended_at for t in times if t.ended_at is not None]
    blocks = dict.fromkeys(
        (cause, _subject(plan, cause, subject))
        for task, (cause, subject) in scheduler.causes.items()
        if board.state[task] == b.BLOCKED
    )
    return RunReport(
        status=scheduler.outcome() if board.finished else _unfinished(board),
        started_at=min(starts, default=None),
        ended_at=max(ends, default=None),
        changed=board.state.count(b.CHANGED),
        stages=stages,
        failures=tuple(_failures(plan, board, last_words)),
        blocked=tuple(words.cause(plan, cause, subject) for cause, subject in blocks),
        critical_path=_critical_path(plan, times),
    )


def _unfinished(board: Board) -> RunStatus:
    return RunStatus.PAUSED if board.paused else RunStatus.RUNNING


def _subject(plan: Plan, cause: Cause, subject: int) -> int:
    """One machine's need stands for all of that stage's."""
    machines = len(plan.machines)
    return subject // machines * machines if cause in (Cause.NEED, Cause.ENDS) else subject


class _Reader:
    """Durations and last words, picked up while the facts go by."""

    def __init__(self, plan: Plan) -> None:
        self._machines = len(plan.machines)
        self.times = [_StageTimes() for _ in plan.stages]
        self.last_words: dict[int, bytes] = {}

    def watching(self, facts: Iterable[Fact], covered: int) -> Iterator[Fact]:
        """Gives on all but the first ``covered``."""
        machines, times, last_words = self._machines, self.times, self.last_words
        begun = array("d", bytes(8 * machines * len(times)))  # when; 0.0: not under way
        at, prefix = 0.0, b"?"
        for fact in facts:
            if covered:
                covered -= 1
            else:
                yield fact
            kind, stage, machine, _, _, payload = fact
            if kind != "issued" and kind != "ended":
                continue
            if not payload.startswith(prefix):  # the facts of a commit are of one moment
                at, prefix = _at(payload)
            if kind == "issued":
                begun[stage * machines + machine] = at
                times_of = times[stage]
                times_of.attempts += 1
                if times_of.started_at is None:
                    times_of.started_at = at
            else:
                task = stage * machines + machine
                times_of = times[stage]
                times_of.ended_at = at
                taken_s = at - (begun[task] or at)
                begun[task] = 0.0
                times_of.durations_s.append(taken_s)
                if taken_s > times_of.slowest[0]:
                    times_of.slowest = (taken_s, machine)
                if b'"error":' in payload:
                    last_words[task] = payload


def _critical_path(plan: Plan, times: Sequence[_StageTimes]) -> tuple[PathStep, ...]:
    """From the stage that ended last, back through the need of each that ended last."""
    ended = {
        stage.name: of.ended_at
        for stage, of in zip(plan.stages, times, strict=True)
        if of.ended_at is not None
    }
    if not ended:
        return ()
    stages = {stage.name: stage for stage in plan.stages}
    first = min(of.started_at for of in times if of.started_at is not None)
    here = max(ended, key=lambda name: ended[name])
    path: list[PathStep] = []
    while True:
        needs = [need.stage for need in stages[here].needs if need.stage in ended]
        before = max(needs, key=lambda name: ended[name], default="")
        since = ended[before] if before else first
        path.append(PathStep(here, max(0.0, ended[here] - since)))
        if not before:
            return tuple(reversed(path))
        here = before


def _at(payload: bytes) -> tuple[float, bytes]:
    """Every payload begins with {"at":...; a full parse would cost ten times as much. Also all of
    it up to the comma."""
    end = payload.find(b",", 6)
    return float(payload[6 : end if end > 0 else -1]), payload[: end + 1] or payload


def _stage(plan: Plan, board: Board, index: int, times: _StageTimes) -> StageReport:
    count = len(plan.machines)
    row = board.state[index * count : (index + 1) * count]
    durations = sorted(times.durations_s)
    return StageReport(
        name=plan.stages[index].name,
        machines=count - row.count(b.ABSENT),
        changed=row.count(b.CHANGED),
        satisfied=row.count(b.SATISFIED),
        skipped=row.count(b.SKIPPED),
        failed=row.count(b.FAILED),
        blocked=row.count(b.BLOCKED),
        cancelled=row.count(b.CANCELLED),
        under_way=sum(map(row.count, _UNDER_WAY)),
        attempts=times.attempts,
        started_at=times.started_at,
        ended_at=times.ended_at,
        median_s=_quantile(durations, 0.5),
        p99_s=_quantile(durations, 0.99),
        longest_s=durations[-1] if durations else 0.0,
        total_s=sum(durations),
        slowest=plan.machines[times.slowest[1]].name if durations else "",
    )


def _quantile(ordered: Sequence[float], share: float) -> float:
    """Nearest rank."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


def _failures(plan: Plan, board: Board, last_words: dict[int, bytes]) -> list[Failure]:
    machines = len(plan.machines)
    found = []
    for task, state in enumerate(board.state):
        if state != TaskState.FAILED:
            continue
        stage, machine = divmod(task, machines)
        said = last_words.get(task)
        payload = codec.decode(said) if said is not None else {}
        found.append(
            Failure(
                machine=plan.machines[machine].id,
                machine_name=plan.machines[machine].name,
                stage=plan.stages[stage].name,
                attempt=board.attempts[task],
                error=str(payload.get("error", "")),
                console=str(payload.get("console", "")),
            )
        )
    return found
