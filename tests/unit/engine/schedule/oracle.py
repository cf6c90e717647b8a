"""A naive scheduler's judge, written from the specification and not from the scheduler.

It keeps sets and dicts, looks at everything again at every step, and holds what is told (events in,
commands out) against the rules. ``predict`` says how a run must end where timing cannot matter.
It imports the scheduler's vocabulary (events, topology's declared shape) and none of its state.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable

from rackwright.engine.schedule.events import (
    AskApproval,
    Cancel,
    CancelAsked,
    Cause,
    Command,
    Decided,
    Elect,
    Elected,
    Ended,
    Event,
    Finish,
    HoldChanged,
    LimitChanged,
    Marked,
    Mode,
    PauseAsked,
    Result,
    RetryAsked,
    RunStatus,
    SetTimer,
    SkipAsked,
    StageSettled,
    Start,
    TaskState,
    TimerFired,
)
from rackwright.engine.schedule.topology import Barrier, StageShape, Topology

GOOD = {TaskState.SATISFIED, TaskState.CHANGED, TaskState.SKIPPED}
BAD = {TaskState.FAILED, TaskState.BLOCKED, TaskState.CANCELLED}
W = TaskState.WAITING
Key = tuple[int, int]  # stage, machine


def required(wait: str, amount: int, participants: int) -> int:
    if participants == 0:
        return 0
    if wait == "all":
        return participants
    if wait == "count":
        return amount
    return max(1, math.ceil(participants * amount / 100))


def ends_of(shapes: tuple[StageShape, ...], stage: int) -> list[int]:
    """A means to a means is a means to that one's ends."""
    found: list[int] = []
    for end in shapes[stage].means_to:
        for leaf in ends_of(shapes, end) if shapes[end].means_to else [end]:
            if leaf not in found:
                found.append(leaf)
    return found


class Oracle:
    """Watches one run. Every broken rule is an AssertionError that names it."""

    def __init__(self, topology: Topology) -> None:
        self.machines = topology.machine_count
        self.shapes = topology.stages
        self.capacities = list(topology.capacities)
        self.holds = topology.holds
        self.open: set[int] = set()  # windows
        self.approved: dict[int, bool] = {}
        self.asked: set[int] = set()
        self.stages = range(len(self.shapes))
        self.ends = [ends_of(self.shapes, s) for s in self.stages]
        self.needs = [
            {*self.shapes[s].needs, *(x for x in self.stages if s in self.ends[x])}
            for s in self.stages
        ]
        self.state: dict[Key, TaskState] = {
            (s, m): TaskState.WAITING
            for s in self.stages
            for m in range(self.machines)
            if self.shapes[s].participants[m]
        }
        self.running: dict[Key, Start] = {}
        self.attempts: Counter[Key] = Counter()
        self.in_wave: set[Key] = set()
        self.ever_in_wave: set[Key] = set()  # since it was last opened by an operator
        self.retries_used: Counter[Key] = Counter()
        self.backing_off: set[Key] = set()
        self.asked_to_skip: set[Key] = set()
        self.ever_skipped: set[Key] = set()
        self.met: set[tuple[int, Barrier]] = set()
        self.halted: set[int] = set()
        self.wave_failures: dict[int, set[Key]] = {s: set() for s in self.stages}
        self.leaders: dict[int, int] = {}
        self.electing: dict[int, Elect] = {}
        self.cancelled = False
        self.paused = False
        self.finished: RunStatus | None = None
        self.settled: set[int] = set()
        self.applied: Counter[Key] = Counter()
        self.proven: set[Key] = set()  # succeeded by a full attempt since it was last opened
        self._watch_barriers()

    def key(self, task: int) -> Key:
        return divmod(task, self.machines)

    def of_stage(self, stage: int) -> list[TaskState]:
        return [state for (s, _), state in self.state.items() if s == stage]

    # events ----------------------------------------------------------------------------------

    def told(self, event: Event) -> None:
        match event:
            case Ended(task, attempt, result):
                self._ended(self.key(task), attempt, result)
            case CancelAsked():
                if any(not self._is_over(k) for k in self.state):
                    self.cancelled, self.paused = True, False
            case PauseAsked(paused):
                self.paused = paused and not self.cancelled
            case Elected(group, machine):
                self._elected(group, machine)
            case SkipAsked(task):
                self._skip_asked(self.key(task))
            case RetryAsked(machine):
                self._retry_asked(machine)
            case TimerFired(task, attempt):
                if self.attempts[self.key(task)] == attempt:
                    self.backing_off.discard(self.key(task))
            case _:
                self._bound(event)
        self._watch_barriers()

    def _bound(self, event: Event) -> None:
        match event:
            case LimitChanged(limit, capacity):
                self.capacities[limit] = capacity
            case HoldChanged(hold, is_open):
                self.open = self.open | {hold} if is_open else self.open - {hold}
            case Decided(hold, is_approved):
                self.approved.setdefault(hold, is_approved)
            case _:
                raise AssertionError(event)

    def _ended(self, key: Key, attempt: int, result: Result) -> None:
        start = self.running.get(key)
        if start is None or start.attempt != attempt:
            return
        del self.running[key]
        probing = start.mode == Mode.PROBE
        if result == Result.CHANGED and not probing:
            self.applied[key] += 1
        if result in (Result.SATISFIED, Result.CHANGED):
            changed = result == Result.CHANGED and not probing
            if not probing:
                self.proven.add(key)
            self._over(key, TaskState.CHANGED if changed else TaskState.SATISFIED)
        elif result == Result.UNSATISFIED and probing:
            self.retries_used[key] = 0
        else:  # the scheduler answers with a timer, a mark, or with silence for FAILED
            self._lost(key, TaskState.FAILED)

    def _over(self, key: Key, state: TaskState) -> None:
        self.state[key] = state
        self.in_wave.discard(key)
        self.retries_used[key] = 0
        self.asked_to_skip.discard(key)

    def _lost(self, key: Key, state: TaskState) -> None:
        self.state[key] = state
        if key in self.in_wave:
            self.in_wave.discard(key)
            self.wave_failures[key[0]].add(key)

    def _elected(self, group: int, machine: int) -> None:
        elect = self.electing.pop(group, None)
        if elect is None:
            return
        if not 0 <= machine < self.machines:
            return
        if self.state.get((elect.stage, machine)) not in (W, TaskState.SKIPPED):
            return
        self.leaders[group] = machine
        for s in self.stages:
            shape = self.shapes[s]
            if shape.group == group and shape.pick != "all":
                for m in range(self.machines):
                    left_out = (m == machine) != (shape.pick == "one")
                    if left_out and self.state.get((s, m)) == TaskState.WAITING:
                        del self.state[s, m]

    def _skip_asked(self, key: Key) -> None:
        if key in self.running and not self.cancelled:
            self.asked_to_skip.add(key)
            self.ever_skipped.add(key)

    def _retry_asked(self, machine: int) -> None:
        """What opens is told by marks; here only what they may undo."""
        lost = (TaskState.FAILED, TaskState.BLOCKED)
        if not self.cancelled and any(x in lost for x in self.state.values()):
            refused = {h for h, yes in self.approved.items() if not yes}
            self.asked -= refused
            for hold in refused:
                del self.approved[hold]

    # barriers --------------------------------------------------------------------------------

    def barriers(self, stage: int) -> Iterable[Barrier]:
        always = self.shapes[stage].always
        for barrier in self.shapes[stage].barriers:
            yield Barrier(barrier.stage, "settled", barrier.amount) if always else barrier

    def is_met_now(self, barrier: Barrier) -> bool:
        states = self.of_stage(barrier.stage)
        if barrier.wait == "settled":
            return all(self._is_over(k) for k in self.state if k[0] == barrier.stage)
        good = sum(1 for x in states if x in GOOD)
        return good >= required(barrier.wait, barrier.amount, len(states))

    def is_unreachable(self, barrier: Barrier) -> bool:
        states = self.of_stage(barrier.stage)
        bad = sum(1 for x in states if x in BAD)
        need = required(barrier.wait, barrier.amount, len(states))
        return barrier.wait != "settled" and len(states) - bad < need

    def _watch_barriers(self) -> None:
        for s in self.stages:
            for barrier in self.barriers(s):
                if self.is_met_now(barrier):
                    self.met.add((s, barrier))

    def _is_over(self, key: Key) -> bool:
        return key not in self.running and self.state[key] in GOOD | BAD

    # commands --------------------------------------------------------------------------------

    def heard(self, commands: Iterable[Command]) -> None:
        for command in commands:
            assert self.finished is None, f"{command} after Finish"
            match command:
                case Start():
                    self._started(command)
                case SetTimer(task, attempt, delay_s):
                    self._timer(self.key(task), attempt, delay_s)
                case Marked():
                    self._marked(command)
                case Cancel(task, attempt):
                    key = self.key(task)
                    assert self.attempts[key] == attempt, "cancels what does not run"
                    assert self.cancelled or key in self.ever_skipped, "cancels unasked"
                case Elect():
                    self._elects(command)
                case AskApproval(hold):
                    assert self.holds[hold].kind == "approval"
                    assert hold not in self.approved, "asks for what was decided"
                    assert hold not in self.asked, "asks twice"
                    self.asked.add(hold)
                case StageSettled(stage):
                    assert all(self._is_over(k) for k in self.state if k[0] == stage), "not settled"
                    self.settled.add(stage)
                case Finish(status):
                    self._finished(status)
                case _:
                    raise AssertionError(command)
            self._watch_barriers()

    def _started(self, start: Start) -> None:
        key = stage, machine = self.key(start.task)
        shape = self.shapes[stage]
        assert key in self.state, f"{key} does not take part"
        assert key not in self.running, f"{key} runs twice at once"
        assert self.state[key] == TaskState.WAITING, f"{key} has ended: {self.state[key]!r}"
        assert key not in self.backing_off, f"{key} started before its timer"
        self.attempts[key] += 1
        assert start.attempt == self.attempts[key], "attempts are numbered from 1 without gaps"
        assert not self.paused, "started while paused"
        assert not self.cancelled or shape.always, "started after cancel"
        self.running[key] = start
        self._check_limits(stage, machine)
        if start.mode == Mode.PROBE:
            assert any(
                self.state.get((x, machine)) == TaskState.WAITING
                for x in self.stages
                if stage in self.ends[x]
            ), "probed without a means that waits for it"
            return
        for need in self.needs[stage]:
            state = self.state.get((need, machine))
            ok = state is None or state in (GOOD | BAD if shape.always else GOOD)
            assert ok, f"{key} started before its need {need}: {state!r}"
            assert (need, machine) not in self.running, f"{key} started while {need} runs"
        for barrier in self.barriers(stage):
            assert (stage, barrier) in self.met, f"{key} started before {barrier}"
        for hold in shape.holds[machine] if shape.holds else ():
            if self.holds[hold].kind == "window":
                assert hold in self.open, f"{key} started outside its window"
            else:
                assert self.approved.get(hold), f"{key} started without its approval"
        if shape.pick != "all":
            leader = self.leaders.get(shape.group)
            assert leader is not None, "started before its election"
            assert (machine == leader) == (shape.pick == "one"), "not whom the election named"
        self._check_wave(key)

    def _check_limits(self, stage: int, machine: int) -> None:
        limits = self.shapes[stage].limits
        for limit in limits[machine] if limits else ():
            held = sum(
                1
                for s, m in self.running
                if (rows := self.shapes[s].limits) is not None and limit in rows[m]
            )
            assert held <= self.capacities[limit], f"limit {limit} exceeded: {held}"

    def _check_wave(self, key: Key) -> None:
        stage = key[0]
        shape = self.shapes[stage]
        entering = key not in self.in_wave
        self.in_wave.add(key)
        if not entering:
            return
        size = sum(1 for s, _ in self.in_wave if s == stage)
        if shape.max_parallel:
            assert size <= shape.max_parallel, f"wave of {stage} exceeded: {size}"
        good = sum(
            1
            for k, x in self.state.items()
            if k[0] == stage and x in GOOD and (k in self.proven or not shape.destructive)
        )
        if good < shape.canary:
            assert size + good <= shape.canary, f"{key} overtakes the canaries of {stage}"
        if not shape.always and key not in self.ever_in_wave:
            assert stage not in self.halted, f"{key} started in a halted wave"
        self.ever_in_wave.add(key)

    def _timer(self, key: Key, attempt: int, delay_s: float) -> None:
        assert self.attempts[key] == attempt, "a timer for another attempt"
        assert self.state[key] == TaskState.FAILED, "a retry of what did not fail"
        assert delay_s > 0
        self.retries_used[key] += 1
        assert self.retries_used[key] <= self.shapes[key[0]].retries, f"{key} retried too often"
        self.state[key] = TaskState.WAITING
        self.backing_off.add(key)
        if key in self.wave_failures[key[0]]:
            self.wave_failures[key[0]].discard(key)
            self.in_wave.add(key)

    def _marked(self, mark: Marked) -> None:
        key = stage, _ = self.key(mark.task)
        assert key not in self.running, f"{mark} while it runs"
        if mark.state == TaskState.WAITING:
            self._check_opened(key, mark)
            self.state[key] = mark.state
        else:
            self._check_settled(key, mark)
            if mark.state in GOOD:
                self.wave_failures[stage].discard(key)
                self._over(key, mark.state)
            else:
                self._lost(key, mark.state)
        self.backing_off.discard(key)

    def _check_settled(self, key: Key, mark: Marked) -> None:
        stage, machine = key
        match mark.cause:
            case Cause.NEED:
                need = self.key(mark.subject)
                assert need[0] in self.needs[stage], "blocked by what it does not need"
                assert need[1] == machine, "blocked by another machine"
                assert self.state[need] in BAD, f"blocked by {need}, which is fine"
                assert not self.shapes[stage].always
            case Cause.BARRIER:
                assert any(
                    b.stage == mark.subject and self.is_unreachable(b) for b in self.barriers(stage)
                ), f"{key} blocked by a barrier that can be met"
            case Cause.WAVE:
                assert self.shapes[stage].canary or self.shapes[stage].halt_at_failures
                assert self.wave_failures[stage], "a wave halted without a failure"
                self.halted.add(stage)
            case Cause.ENDS:
                states = [self.state.get((e, machine)) for e in self.ends[stage]]
                if mark.state == TaskState.SKIPPED:
                    assert all(x is None or x in GOOD for x in states), "ends are not satisfied"
                else:
                    assert any(x in BAD for x in states), "no end is lost"
            case Cause.APPROVAL:
                assert self.holds[mark.subject].stage == stage
                assert self.approved.get(mark.subject) is False, "blocked, and nobody refused"
            case Cause.ELECTION:
                assert self.shapes[stage].pick != "all"
            case Cause.CANCEL:
                assert self.cancelled, "cancelled unasked"
            case _:
                assert mark.cause == Cause.OPERATOR
                assert mark.state == TaskState.SKIPPED

    def _check_opened(self, key: Key, mark: Marked) -> None:
        stage, machine = key
        old = self.state[key]
        if mark.cause == Cause.RETRY:
            assert old in GOOD | BAD, "opened what is open"
            self.retries_used[key] = 0
            self.wave_failures[stage].discard(key)
            self.halted.discard(stage)
            self.ever_in_wave.discard(key)
            self.proven.discard(key)
            self.met = set()
        elif mark.cause == Cause.MEANS:
            end = self.key(mark.subject)
            assert stage in self.needs[end[0]], "not its means"
            assert old in GOOD, "re-opened a means that had not ended"
            users = [k for k in self.running if k[1] == machine and stage in self.needs[k[0]]]
            assert not users, f"a means re-opened under {users}"
            self.proven.discard(key)
        else:
            assert mark.cause == Cause.END
            failed_probe = old == TaskState.FAILED and any(stage in e for e in self.ends)
            assert old == TaskState.WAITING or failed_probe
            if key not in self.ever_in_wave:
                self.retries_used[key] = 0  # it was a probe's retry

    def _elects(self, elect: Elect) -> None:
        assert elect.group not in self.electing
        assert elect.group not in self.leaders
        assert not self.paused
        shape = self.shapes[elect.stage]
        assert shape.group == elect.group
        assert shape.pick != "all"
        assert elect.candidates, "an election without candidates"
        for key in self.state:
            if key[0] != elect.stage:
                continue
            needs = [self.state.get((n, key[1])) for n in self.needs[elect.stage]]
            over = all(x is None or x in GOOD | BAD for x in needs)
            assert over, "elected before every candidate's needs had ended"
        for barrier in self.barriers(elect.stage):
            assert (elect.stage, barrier) in self.met, "elected before the barrier"
        self.electing[elect.group] = elect

    def _finished(self, status: RunStatus) -> None:
        self.finished = status
        assert not self.running, "finished while something runs"
        lost = [k for k, x in self.state.items() if x not in GOOD | BAD]
        assert not lost, f"finished with {lost} open"
        bad = any(x in BAD for x in self.state.values())
        expected = RunStatus.SUCCEEDED
        if bad:
            expected = RunStatus.CANCELLED if self.cancelled else self._how_bad()
        assert status == expected, (status, expected)
        for s in self.stages:
            if self.of_stage(s):
                assert s in self.settled, f"stage {s} never settled"

    def _how_bad(self) -> RunStatus:
        for m in range(self.machines):
            mine = [x for (_, machine), x in self.state.items() if machine == m]
            if mine and all(x in GOOD for x in mine):
                return RunStatus.DEGRADED
        return RunStatus.FAILED

    def reopen(self) -> None:
        """The run goes on after its end."""
        self.finished = None


# the end of a run, where timing cannot matter --------------------------------------------------

Fate = Callable[[Key], Result]  # what a full attempt ends in for good; a probe follows from it
Choose = Callable[[int, list[int]], int]


def predict(topology: Topology, fate: Fate, choose: Choose) -> dict[Key, TaskState]:
    """Final states, stage by stage, by the specification's words. Absent tasks are left out."""
    return _Prediction(topology, fate, choose).states()


class _Prediction:
    def __init__(self, topology: Topology, fate: Fate, choose: Choose) -> None:
        self.machines = topology.machine_count
        self.shapes = topology.stages
        self.stages = range(len(self.shapes))
        self.fate = fate
        self.choose = choose
        self.ends = [ends_of(self.shapes, s) for s in self.stages]
        self.done: dict[Key, TaskState] = {}

    def takes_part(self, key: Key) -> bool:
        return bool(self.shapes[key[0]].participants[key[1]])

    def states(self) -> dict[Key, TaskState]:
        for s in self.stages:
            members = [m for m in range(self.machines) if self.takes_part((s, m))]
            if self.shapes[s].pick == "all":
                for m in members:
                    if (s, m) not in self.done:
                        self.done[s, m] = self.end_of(s, m)
            else:
                self.elected_stage(s, members)
        return self.done

    def needs(self, s: int) -> set[int]:
        return {*self.shapes[s].needs, *(x for x in self.stages if s in self.ends[x])}

    def may_run(self, s: int, m: int) -> bool:
        if self.shapes[s].always:
            return True
        for need in self.needs(s):
            if self.done.get((need, m), TaskState.SKIPPED) not in GOOD:
                return False
        return self.gate_opens(s)

    def gate_opens(self, s: int) -> bool:
        for barrier in self.shapes[s].barriers:
            states = [x for (stage, _), x in self.done.items() if stage == barrier.stage]
            good = sum(1 for x in states if x in GOOD)
            if self.shapes[s].always or barrier.wait == "settled":
                continue
            if good < required(barrier.wait, barrier.amount, len(states)):
                return False
        return True

    def attempt(self, key: Key) -> TaskState:
        result = self.fate(key)
        if result in (Result.SATISFIED, Result.CHANGED):
            return TaskState.SATISFIED if result == Result.SATISFIED else TaskState.CHANGED
        return TaskState.FAILED

    def end_of(self, s: int, m: int) -> TaskState:
        if not self.may_run(s, m):
            return TaskState.BLOCKED
        if not self.ends[s]:
            return self.attempt((s, m))
        lost = False
        for end in self.ends[s]:
            if not self.takes_part((end, m)):
                continue
            answer = self.fate((end, m))
            if answer == Result.SATISFIED:
                self.done[end, m] = TaskState.SATISFIED
            elif answer in (Result.UNKNOWN, Result.REFUSED):
                self.done[end, m] = TaskState.FAILED
                lost = True
            else:
                return self.attempt((s, m))
        return TaskState.BLOCKED if lost else TaskState.SKIPPED

    def elected_stage(self, s: int, members: list[int]) -> None:
        """In a predictable topology a group has one elected stage."""
        if self.shapes[s].always:
            able = members
            opens = True
        else:
            able = [m for m in members if self.may_run(s, m)]
            opens = self.gate_opens(s)
        group = self.shapes[s].group
        leader = self.choose(group, able) if able and opens else None
        for m in members:
            if leader is None:
                self.done[s, m] = TaskState.BLOCKED
            elif leader < 0:
                self.done[s, m] = TaskState.FAILED
            elif (m == leader) == (self.shapes[s].pick == "one"):
                able_here = m in able
                self.done[s, m] = self.attempt((s, m)) if able_here else TaskState.BLOCKED
