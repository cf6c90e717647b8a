"""Machines that do not exist: an executor whose latencies and faults follow from a seed.

What a machine *is* lives in a ``World`` (``simulated_world``), which outlives any controller. What
an attempt does follows from (seed, task, attempt) alone, so that the order in which attempts are
made changes nothing. Results of one instant are reported together.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Protocol

from rackwright.engine.errors import EngineError
from rackwright.engine.executors.simulated_world import World
from rackwright.engine.plan.model import Plan
from rackwright.engine.run.clock import Timeline
from rackwright.engine.run.ports import Attempt, Outcome, RunView
from rackwright.engine.schedule.events import Mode, Result

_MASK: Final = (1 << 64) - 1
_SATISFIED: Final = Result.SATISFIED  # a member's name is looked up anew for each use of it
_CHANGED: Final = Result.CHANGED
_UNSATISFIED: Final = Result.UNSATISFIED
_HONEST: Final = Result.CANCELLED  # no chance comes to this: nothing goes wrong

_make = tuple.__new__


@dataclass(frozen=True, slots=True)
class Faults:
    """Shares of attempts, 0 to 1; what remains succeeds. ``broken`` names (stage, machine id)
    that fail each time, whatever the dice say."""

    fail: float = 0.0  # apply or verify fails
    unknown: float = 0.0  # the check is not answered
    refuse: float = 0.0  # a retry cannot help
    hang: float = 0.0  # no outcome, not even when cancelled
    duplicate: float = 0.0  # the outcome comes twice, the second time later
    broken: frozenset[tuple[str, str]] = frozenset()


@dataclass(frozen=True, slots=True)
class Latency:
    """Seconds an attempt takes: between ``least_s`` and ``most_s``, long ones rare. Rounded up to
    ``tick_s``, which makes batches. ``share`` of it for a check that finds nothing to do."""

    least_s: float = 1.0
    most_s: float = 10.0
    tick_s: float = 0.25
    share: float = 0.1
    stages: Mapping[str, tuple[float, float]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Strike:
    """What a fault makes of one attempt. ``result`` None: what it would have been anyway."""

    result: Result | None
    cause: str
    is_silent: bool = False  # nobody is told, also of a cancellation
    is_done: bool = False  # the machine was changed all the same
    is_repeated: bool = False  # told again, later


class Strikes(Protocol):
    def strike(self, task: int, attempt: int, mode: int, at_s: float) -> Strike | None: ...


def dice(seed: int, task: int, attempt: int, throw: int) -> float:
    """A number in [0, 1), the same for the same arguments everywhere (splitmix64)."""
    x = (seed * 0x9E3779B97F4A7C15 + task * 0xBF58476D1CE4E5B9 + attempt * 131 + throw) & _MASK
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & _MASK
    return ((x ^ (x >> 31)) >> 11) / (1 << 53)


def _chances(faults: Faults, *, fail: float) -> tuple[tuple[float, Result | None], ...]:
    """(share, what comes of it), in the order in which a throw is spent; None: nothing is heard."""
    every = (
        (faults.hang, None),
        (faults.unknown, Result.UNKNOWN),
        (faults.refuse, Result.REFUSED),
        (fail, Result.FAILED),
    )
    return tuple((share, result) for share, result in every if share)


class SimulatedExecutor:
    """An ``Executor`` over a timeline. Destructive stages commit their intent before they write."""

    def __init__(
        self,
        plan: Plan,
        sink: RunView,
        timeline: Timeline,
        world: World,
        *,
        seed: int = 0,
        faults: Faults | None = None,
        latency: Latency | None = None,
        strikes: Strikes | None = None,
    ) -> None:
        self._plan = plan
        self._machines = len(plan.machines)
        self._ids = tuple(machine.id.encode() for machine in plan.machines)
        self._sink = sink
        self._timeline = timeline
        self._world = world
        self._seed = seed
        self._faults = faults or Faults()
        self._of_a_probe = _chances(self._faults, fail=0.0)
        self._of_an_apply = _chances(self._faults, fail=self._faults.fail)
        self._is_chancy = bool(self._of_an_apply or self._faults.broken)
        self._strikes = strikes
        latency = latency or Latency()
        self._latency = latency
        self._ranges = tuple(
            latency.stages.get(stage.name, (latency.least_s, latency.most_s))
            for stage in plan.stages
        )
        self._outputs = tuple(stage.outputs for stage in plan.stages)
        self._applied = world.counts(len(plan.stages) * self._machines)
        self._tells_once = not self._faults.duplicate
        self._destructive = tuple(stage.destructive is not None for stage in plan.stages)
        self._due: dict[int, list[tuple[int, int, int]]] = {}  # tick -> (task, attempt, mode)
        self._cancelled: set[tuple[int, int]] = set()
        self.silent: dict[tuple[int, int], str] = {}  # (task, attempt) nobody hears of -> why
        self._repeated: set[tuple[int, int]] = set()
        self._closed = False

    def start(self, attempts: Sequence[Attempt]) -> None:
        now, tick_s = self._timeline.monotonic(), self._latency.tick_s
        seed, machines, ranges = self._seed, self._machines, self._ranges
        applied, share = self._applied, self._latency.share
        for task, attempt, mode, _, _ in attempts:
            least_s, most_s = ranges[task // machines]
            taken_s = least_s + (most_s - least_s) * dice(seed, task, attempt, 0) ** 3
            if mode or applied[task]:  # a probe, or a check that finds nothing to do
                taken_s *= share
            tick = int((now + taken_s) / tick_s) + 1
            due = self._due.get(tick)
            if due is None:
                due = self._due[tick] = []
                self._timeline.call_later(tick * tick_s - now, partial(self._happen, tick))
            due.append((task, attempt, mode))

    def _happen(self, tick: int) -> None:
        applied, destructive, machines = self._applied, self._destructive, self._machines
        strikes = self._strikes
        for task, attempt, mode in self._due.pop(tick):
            if self._closed:
                return
            if self._cancelled and (task, attempt) in self._cancelled:
                self._cancelled.discard((task, attempt))
                continue
            if strikes is not None:
                strike = strikes.strike(task, attempt, mode, self._timeline.monotonic())
                if strike is not None and self._struck(task, attempt, mode, strike):
                    continue
            if self._is_chancy and (result := self._unlucky(task, attempt, mode)) is not _HONEST:
                if result is not None:
                    self._report(task, attempt, result)
            elif applied[task]:
                self._report(task, attempt, _SATISFIED)
            elif mode:
                self._report(task, attempt, _UNSATISFIED)
            elif destructive[task // machines]:
                self._write(task, attempt)
            else:
                self._world.apply(task, attempt)
                self._report(task, attempt, _CHANGED)

    def _struck(self, task: int, attempt: int, mode: int, strike: Strike) -> bool:
        """Whether the fault decides what comes of it; then that is done."""
        if strike.is_silent:
            self.silent[task, attempt] = strike.cause
            if strike.is_done and mode != Mode.PROBE:
                self._world.apply(task, attempt)
            return True
        if strike.result is not None:
            self._report(task, attempt, strike.result, strike.cause)
            return True
        if strike.is_repeated:
            self._repeated.add((task, attempt))
        return False

    def _unlucky(self, task: int, attempt: int, mode: int) -> Result | None:
        """What comes of it by chance; None: nothing is ever heard of this attempt."""
        stage, machine = divmod(task, self._machines)
        faults = self._faults
        if faults.broken:
            broken = (self._plan.stages[stage].name, self._plan.machines[machine].id)
            if broken in faults.broken:
                return Result.UNSATISFIED if mode == Mode.PROBE else Result.FAILED
        throw = dice(self._seed, task, attempt, 1)
        for share, result in self._of_a_probe if mode == Mode.PROBE else self._of_an_apply:
            if throw < share:
                return result
            throw -= share
        return _HONEST

    def _report(self, task: int, attempt: int, result: Result, error: str = "") -> None:
        outcome = self._outcome(task, attempt, result, error)
        self._sink.ended(outcome)
        if self._tells_once and not self._repeated:
            return
        if self._repeated and (task, attempt) in self._repeated:
            self._repeated.discard((task, attempt))
            self._timeline.call_later(self._latency.tick_s, lambda: self._sink.ended(outcome))
        if self._faults.duplicate and dice(self._seed, task, attempt, 2) < self._faults.duplicate:
            self._timeline.call_later(self._latency.tick_s, lambda: self._sink.ended(outcome))

    def _outcome(self, task: int, attempt: int, result: Result, error: str) -> Outcome:
        if error or result > _UNSATISFIED:
            error = error or f"simulated: {result.name.lower()}"
            pressed = result == Result.UNKNOWN
            console = "simulated console"
            return Outcome(task, attempt, result, error=error, console=console, pressed=pressed)
        stage, machine = divmod(task, self._machines)
        names = self._outputs[stage]
        outputs: dict[str, object] | None = None
        if names:
            outputs = dict.fromkeys(names, self._plan.machines[machine].id)
        evidence = b'{"simulated":true,"machine":"%s","attempt":%d}' % (self._ids[machine], attempt)
        return _make(Outcome, (task, attempt, result, evidence, outputs, "", "", False))

    def _write(self, task: int, attempt: int) -> None:
        detail = {"drive_serial": f"SIM-{task % self._machines}"}
        self._sink.intend_then("erase", task, attempt, detail, self._write_disk)

    def _write_disk(self, task: int, attempt: int, granted: int | EngineError) -> None:
        """The erasure, once its intent is committed; a closed executor writes nothing."""
        if self._closed:
            return
        if isinstance(granted, EngineError):
            self._report(task, attempt, Result.FAILED, str(granted))
            return
        self._world.erase(task, attempt)
        self._world.apply(task, attempt)
        self._report(task, attempt, Result.CHANGED)

    def cancel(self, task: int, attempt: int) -> None:
        silent = (task, attempt) in self.silent
        if silent or dice(self._seed, task, attempt, 1) < self._faults.hang:
            return
        self._cancelled.add((task, attempt))
        self._sink.ended(self._outcome(task, attempt, Result.CANCELLED, "cancelled"))

    def elect(self, group: int, stage: int, candidates: Sequence[int]) -> None:
        """The member that was elected before, if it is a candidate; else the first."""
        leader = self._world.leader(group)
        machine = leader if leader in candidates else candidates[0]

        def answer() -> None:
            if not self._closed:
                self._world.elect(group, machine)
                self._sink.elected(group, machine, "")

        self._timeline.call_later(self._latency.tick_s, answer)

    def stage_settled(self, stage: int) -> None:
        self._world.settled.append(stage)

    async def close(self) -> None:
        self._closed = True
