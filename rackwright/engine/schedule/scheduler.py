"""The scheduler: events in, commands out. No clock, no random, no I/O, no logging.

Theory of operation
-------------------
State lives in a ``Board``: one byte per task, and counters. ``feed`` applies an event to them and
notes what it made ready; ``take`` turns what is ready into starts, within waves and limits, and
returns all commands since the last call, in order. A batch of events therefore costs one pass.

A task is ready when ``unmet`` (needs on its own machine) and ``gate`` (barriers of its stage, plus
one while its group has no elected machine) are both zero. Each success takes one from the
``unmet`` of its dependents, each barrier met takes one from the ``gate`` of its stage: cost
O(out-degree). A barrier once met stays met, until an operator's retry re-opens what it counted.

Limits and waves are *resources*. A ready task refused by one is parked in that resource's queue
and looked at again only when that one has room. When a task taken from one queue is refused by
another resource it moves there as the first queue's *delegate*: the first queue is looked at again
when the delegate leaves, so that no wake-up is lost; the number of delegates made in one go is
bounded, so that two full resources never shovel a whole queue to and fro.

Failure spreads by worklist (``_doomed``), never by recursion: depth does not grow with the graph.

A decision that no outcome implies (blocked, skipped, re-opened) is told as ``Marked``; with issues,
outcomes and timers that is all a restore needs. Hot-path file: plain ints, local names, no enums
in comparisons; ``_on_ended``'s first branch is the path of 99 % of events.
"""

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Final

from rackwright.engine.errors import OperatorError
from rackwright.engine.schedule import board as b
from rackwright.engine.schedule.board import Board
from rackwright.engine.schedule.events import (
    Cancel,
    CancelAsked,
    Cause,
    Command,
    Elect,
    Elected,
    Ended,
    Event,
    Finish,
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
from rackwright.engine.schedule.reopening import reopen, tasks_in
from rackwright.engine.schedule.topology import BACKOFF_CAP_S, Topology

DELEGATES: Final = 16

_FULL = Mode.FULL
_PROBE = Mode.PROBE
_WAITING, _READY, _PARKED = b.WAITING, b.READY, b.PARKED
_RUNNING, _BACKOFF = b.RUNNING, b.BACKOFF
_UNSTARTED = frozenset({_WAITING, _READY, _PARKED, _BACKOFF})
_QUEUED = frozenset({_READY, _PARKED})
_BAD = frozenset({b.FAILED, b.BLOCKED, b.CANCELLED})
_GOOD = frozenset({b.SATISFIED, b.CHANGED, b.SKIPPED})
_make = tuple.__new__


class Scheduler:
    """One run. Single-threaded; duplicated and late events are harmless."""

    def __init__(self, topology: Topology, board: Board | None = None) -> None:
        self.topology = topology
        self.board = board or Board(topology)
        self.board.recount(restored=board is not None)
        self._machines = topology.machine_count or 1
        self._out: list[Command] = []
        self._ready: list[int] = []
        self._held: list[int] = []  # ready, but the run is paused
        self._wake: dict[int, None] = {}  # resources with room and a queue
        self._doomed: list[tuple[int, Cause, int]] = []
        self._elections: dict[int, None] = {}  # groups whose election may be possible now
        self._queues: list[deque[int]] = [deque() for _ in self.board.used]
        self._parked: dict[int, int] = {}  # task -> the resource it is parked on
        self._delegate_of: dict[int, list[int]] = {}  # task -> queues that wait for it to leave
        self._deferred: dict[int, list[int]] = {}  # machine -> ends that wait to re-open a means
        self.causes: dict[int, tuple[Cause, int]] = {}
        self._handlers: dict[type, Callable[[Any], None]] = {
            Ended: self._on_ended,
            TimerFired: self._on_timer,
            Elected: self._on_elected,
            CancelAsked: self._on_cancel,
            PauseAsked: self._on_pause,
            RetryAsked: self._on_retry,
            SkipAsked: self._on_skip,
            LimitChanged: self._on_limit,
        }
        self._bind()
        self._find_work(announce=board is not None)

    def _bind(self) -> None:
        """Names for the hot path, and what is known per stage for good."""
        board, topology = self.board, self.topology
        self._state, self._unmet, self._flags = board.state, board.unmet, board.flags
        self._attempts, self._tries = board.attempts, board.tries
        self._open, self._ok, self._gate = board.open, board.ok, board.gate
        machines = topology.machine_count
        shapes = topology.stages
        stages = range(len(shapes))
        self._always = tuple(x.always for x in shapes)
        self._steps = tuple(
            tuple(((c - s) * machines, c) for c in topology.dependents[s]) for s in stages
        )
        self._erases = tuple(x.destructive for x in shapes)
        self._waved = tuple(x.has_waves for x in shapes)
        self._watchers: tuple[tuple[int, ...], ...] = tuple(
            tuple(t for ts in topology.triggers for t in ts if s in topology.needs[t])
            for s in stages
        )
        # nothing but states and counters moves when such a task starts or succeeds
        self._plain = tuple(
            shapes[s].limits is None
            and not self._waved[s]
            and not topology.ends[s]
            and not topology.means[s]
            and not any(topology.ends[n] for n in topology.needs[s])
            for s in stages
        )
        self._watched = tuple(
            bool(topology.outgoing[s] or self._watchers[s] or shapes[s].canary) for s in stages
        )
        self._open_total = sum(board.open)

    # the interface ---------------------------------------------------------------------------

    def feed(self, event: Event) -> None:
        """Apply one event. Unknown attempts and events that no longer fit are ignored."""
        self._handlers[type(event)](event)

    def take(self) -> list[Command]:
        """The commands that follow from everything fed so far, in order."""
        self._drive()
        if not self._open_total and not self.board.finished:
            self.board.finished = True
            self._out.append(Finish(self.outcome()))
        out = self._out
        self._out = []
        return out

    @classmethod
    def restore(cls, topology: Topology, history: Iterable[Event | Command]) -> "Scheduler":
        """A scheduler that has lived through ``history``: journaled events and commands, in order.

        Past decisions are taken as they were. ``in_flight`` and ``backing_off`` say what must be
        delivered and armed again.
        """
        from rackwright.engine.schedule.restoration import Restoration

        restoration = Restoration(topology)
        for item in history:
            restoration.fold(item)
        return restoration.scheduler()

    def in_flight(self) -> list[Start]:
        """Attempts issued and not ended."""
        return [
            Start(t, self._attempts[t], _PROBE if self._flags[t] & b.PROBING else _FULL)
            for t in tasks_in(self.board, _RUNNING)
        ]

    def backing_off(self) -> list[tuple[int, int]]:
        """(task, attempt) of every task whose timer must fire."""
        return [(t, self._attempts[t]) for t in tasks_in(self.board, _BACKOFF)]

    def parked_on(self, task: int) -> int:
        """The resource that refused a PARKED task: a limit, or ``limit_count`` + stage's wave."""
        return self._parked[task]

    def state(self, task: int) -> TaskState:
        return TaskState(self._state[task])

    def outcome(self) -> RunStatus:
        """How the run stands if it ended now. DEGRADED: at least one machine has all of its tasks
        succeeded, another has not; FAILED: no machine has."""
        bad = any(self._state.count(s) for s in _BAD)
        if not bad:
            return RunStatus.SUCCEEDED
        if self.board.cancelled:
            return RunStatus.CANCELLED
        return RunStatus.DEGRADED if self._any_machine_done() else RunStatus.FAILED

    def _any_machine_done(self) -> bool:
        machines = self.topology.machine_count
        stages = range(len(self.topology.stages))
        for m in range(machines):
            mine = {self._state[s * machines + m] for s in stages}
            if mine & _GOOD and not mine & _BAD:
                return True
        return False

    # outcomes --------------------------------------------------------------------------------

    def _on_ended(self, event: Ended) -> None:
        task, attempt, result = event
        state = self._state
        if state[task] != _RUNNING or attempt != self._attempts[task]:
            return
        stage = task // self._machines
        if result > 1 or not self._plain[stage]:
            self._conclude(task, stage, result)
            self._fall()
            return
        state[task] = 6 + result  # SATISFIED or CHANGED
        self._ok[stage] += 1
        left = self._open[stage] - 1
        self._open[stage] = left
        self._open_total -= 1
        unmet = self._unmet
        for step, child_stage in self._steps[stage]:
            child = task + step
            needs = unmet[child] - 1
            unmet[child] = needs
            if not needs and state[child] == _WAITING and not self._gate[child_stage]:
                state[child] = _READY
                self._ready.append(child)
        if not left or self._watched[stage]:
            self._stage_moved(stage, task)
            self._fall()

    def _conclude(self, task: int, stage: int, result: int) -> None:
        """An attempt ended on a task that holds resources, or ended without success."""
        flags = self._flags[task]
        self._release_limits(task, stage)
        cancelled = self.board.cancelled and not self._always[stage]
        result = b.plausible(result, flags, cancel_wanted=cancelled)
        if result <= Result.CHANGED:
            self._succeed(task, stage, b.SATISFIED + result)
        elif flags & b.SKIPPING:
            self._succeed(task, stage, b.SKIPPED, Cause.OPERATOR)
        elif cancelled:
            failed = result in (Result.FAILED, Result.REFUSED)
            told = failed or result == Result.CANCELLED
            self._end_badly(
                task, b.FAILED if failed else b.CANCELLED, None if told else Cause.CANCEL
            )
        elif result == Result.UNSATISFIED:
            self._flags[task] = flags | b.PROBED
            self._stop_probing(task, stage, unanswered=False)
        elif flags & b.PROBING and (blocker := self._blocker(task, stage)):
            self._end_badly(task, b.BLOCKED, *blocker)
        elif flags & b.PROBING and not self._is_probe_wanted(task, stage):
            self._stop_probing(task, stage, unanswered=True)
        elif result != Result.REFUSED and self._tries[task] < self.topology.stages[stage].retries:
            self._back_off(task, stage)
        else:
            self._end_badly(task, b.FAILED, None)
        if self._deferred:
            for end in self._deferred.pop(task % self._machines, ()):
                self._retry_end(end)

    def _back_off(self, task: int, stage: int) -> None:
        tries = self._tries[task]
        self._tries[task] = tries + 1
        self._state[task] = _BACKOFF
        delay_s = min(BACKOFF_CAP_S, self.topology.stages[stage].backoff_s * 2.0 ** min(tries, 32))
        self._out.append(SetTimer(task, self._attempts[task], delay_s))

    def _succeed(
        self, task: int, stage: int, state: int, cause: Cause | None = None, subject: int = -1
    ) -> None:
        self._leave_queue(task)
        flags = self._flags[task]
        self._flags[task] = flags & ~(b.IN_WAVE | b.SKIPPING)
        self._state[task] = state
        if cause is not None:
            self._mark(task, state, cause, subject)
        if flags & b.IN_WAVE:
            self._leave_wave(stage)
        if self._erases[stage] and b.is_proof(state, flags):
            self.board.proven[stage] += 1
        self._ok[stage] += 1
        self._open[stage] -= 1
        self._open_total -= 1
        for step, child_stage in self._steps[stage]:
            self._meet_need(task + step, child_stage)
        self._nudge_means(task, stage)
        self._release_ends(task, stage)
        self._stage_moved(stage, task)

    def _end_badly(self, task: int, state: int, cause: Cause | None, subject: int = -1) -> None:
        """FAILED, BLOCKED or CANCELLED, with what follows for others put on the worklist."""
        stage = task // self._machines
        self._leave_queue(task)
        flags = self._flags[task]
        self._state[task] = state
        self._open[stage] -= 1
        self._open_total -= 1
        if cause is not None:
            self._mark(task, state, cause, subject)
        if flags & b.IN_WAVE:
            self._leave_wave(stage)
            flags &= ~b.IN_WAVE
            if state != b.CANCELLED:
                flags |= b.WAVE_FAILED
                self.board.wave_failures[stage] += 1
                self._halt_if_due(stage)
        self._flags[task] = flags & ~b.SKIPPING
        for step, child_stage in self._steps[stage]:
            if self._always[child_stage]:
                self._meet_need(task + step, child_stage)
            elif self._state[task + step] in _UNSTARTED:
                self._doomed.append((task + step, Cause.NEED, task))
        self._nudge_means(task, stage)
        self._stage_moved(stage, task)

    def _fall(self) -> None:
        """Block what can no longer run; each blocked task may doom others."""
        doomed = self._doomed
        while doomed:
            task, cause, subject = doomed.pop()
            if self._state[task] not in _UNSTARTED:
                continue
            stage = task // self._machines
            if not self.board.unresolved[stage] and not self._always[stage]:
                self._end_badly(task, b.BLOCKED, cause, subject)

    def _mark(self, task: int, state: int, cause: Cause, subject: int) -> None:
        self.causes[task] = (cause, subject)
        self._out.append(Marked(task, TaskState(state), cause, subject))

    def _meet_need(self, task: int, stage: int) -> None:
        self._unmet[task] -= 1
        if not self._unmet[task] and not self._gate[stage] and self._state[task] == _WAITING:
            self._state[task] = _READY
            self._ready.append(task)

    def _is_probe_wanted(self, task: int, stage: int) -> bool:
        """Whether a means still waits for the answer."""
        return any(
            self._state[task + (means - stage) * self._machines] in (_WAITING, _READY, _BACKOFF)
            for means in self.topology.means[stage]
        )

    def _stop_probing(self, task: int, stage: int, *, unanswered: bool) -> None:
        """A probe is over and the task waits again: what happened meanwhile counts now."""
        self._leave_queue(task)
        self._flags[task] &= ~b.PROBING
        self._tries[task] = 0
        self._state[task] = _WAITING
        if unanswered:
            self._mark(task, _WAITING, Cause.END, task)
        blocker = self._blocker(task, stage)
        if blocker is not None:
            self._end_badly(task, b.BLOCKED, *blocker)
            return
        if not self._unmet[task] and not self._gate[stage]:
            self._state[task] = _READY
            self._ready.append(task)
        self._nudge_means(task, stage)

    def _blocker(self, task: int, stage: int) -> tuple[Cause, int] | None:
        """Why an unstarted task can never run, if so."""
        if self._always[stage]:
            return None
        machines = self._machines
        for need in self.topology.needs[stage]:
            other = task + (need - stage) * machines
            if self._state[other] in _BAD:
                return Cause.NEED, other
        if self.board.dead[stage]:
            edges = self.topology.incoming[stage]
            edge = next(e for e in edges if self.board.edge_dead[e])
            return Cause.BARRIER, self.topology.edges[edge].source
        if self.board.halted[stage] and not self._flags[task] & b.STARTED:
            return Cause.WAVE, stage
        return None

    # barriers and waves ----------------------------------------------------------------------

    def _stage_moved(self, stage: int, task: int) -> None:
        """A task of the stage ended: barriers, its wave's canaries, elections, settling."""
        board = self.board
        if self._watched[stage]:
            self._check_edges(stage)
            for trigger in self._watchers[stage]:
                other = task + (trigger - stage) * self._machines
                if board.unresolved[trigger] and self._state[other] != b.ABSENT:
                    board.unsettled[trigger] -= 1
                    if not board.unsettled[trigger]:
                        self._elections[self.topology.stages[trigger].group] = None
            if self._waved[stage]:
                self._resize_wave(stage)
        if not self._open[stage]:
            self._out.append(StageSettled(stage))

    def _check_edges(self, stage: int) -> None:
        for edge in self.topology.outgoing[stage]:
            if not self.board.edge_met[edge]:
                self._check_edge(edge)

    def _check_edge(self, index: int) -> None:
        board = self.board
        target = self.topology.edges[index].target
        met, dead = board.edge_status(index)
        if met:
            board.edge_met[index] = 1
            board.gate[target] -= 1
            if board.edge_dead[index]:
                board.edge_dead[index] = 0
                board.dead[target] -= 1
            self._open_gate(target)
        elif dead and not board.edge_dead[index]:
            board.edge_dead[index] = 1
            board.dead[target] += 1
            if board.unresolved[target]:
                self._elections[self.topology.stages[target].group] = None
            else:
                self._doom_stage(target, Cause.BARRIER, self.topology.edges[index].source)

    def _open_gate(self, stage: int) -> None:
        board = self.board
        if board.unresolved[stage]:
            if board.gate[stage] == 1:
                self._elections[self.topology.stages[stage].group] = None
            return
        if board.gate[stage]:
            return
        state, unmet = self._state, self._unmet
        for task in self._tasks(stage):
            if not unmet[task] and state[task] == _WAITING:
                state[task] = _READY
                self._ready.append(task)

    def _tasks(self, stage: int) -> range:
        return range(stage * self.topology.machine_count, (stage + 1) * self.topology.machine_count)

    def _doom_stage(self, stage: int, cause: Cause, subject: int) -> None:
        """No task of the stage that waits can ever run; a halted wave spares those it let in."""
        if not self._open[stage] or self._always[stage]:
            return
        spared = b.STARTED if cause == Cause.WAVE else 0
        self._doomed.extend(
            (task, cause, subject)
            for task in self._tasks(stage)
            if self._state[task] in _UNSTARTED and not self._flags[task] & spared
        )

    def _halt_if_due(self, stage: int) -> None:
        if not self.board.halted[stage] and self.board.is_halting(stage):
            self.board.halted[stage] = 1
            self._doom_stage(stage, Cause.WAVE, stage)

    def _leave_wave(self, stage: int) -> None:
        resource = self.board.limit_count + stage
        self.board.used[resource] -= 1
        if self._queues[resource]:
            self._wake[resource] = None

    def _resize_wave(self, stage: int) -> None:
        resource = self.board.limit_count + stage
        self.board.capacity[resource] = self.board.wave_capacity(stage)
        if self._queues[resource]:
            self._wake[resource] = None

    # starting --------------------------------------------------------------------------------

    def _drive(self) -> None:
        """Until nothing more can start. Paused: nothing starts, nobody is elected."""
        while True:
            if self._ready:
                self._start_ready()
            elif self._doomed:
                self._fall()
            elif self.board.paused:
                return
            elif self._elections:
                self._try_elect(self._elections.popitem()[0])
            elif self._wake:
                self._drain(self._wake.popitem()[0])
            else:
                return

    def _start_ready(self) -> None:
        ready = self._ready
        self._ready = []
        if self.board.paused:
            self._held.extend(ready)
            return
        state, attempts, plain, machines = self._state, self._attempts, self._plain, self._machines
        out = self._out.append
        for task in ready:
            if state[task] != _READY:
                continue
            stage = task // machines
            if plain[stage]:
                state[task] = _RUNNING
                attempt = attempts[task] + 1
                attempts[task] = attempt
                out(_make(Start, (task, attempt, _FULL)))
            else:
                self._launch(task, stage)

    def _launch(self, task: int, stage: int) -> None:
        probing = self._flags[task] & b.PROBING
        if not probing and self.topology.ends[stage] and not self._is_means_due(task, stage):
            return
        refused = self._admit(task, stage)
        if refused >= 0:
            self._park(task, refused)

    def _admit(self, task: int, stage: int) -> int:
        """Start the task; or the resource that refuses it, and nothing is taken."""
        board = self.board
        used, capacity = board.used, board.capacity
        flags = self._flags[task]
        probing = flags & b.PROBING
        wave = -1
        if self._waved[stage] and not probing and not flags & b.IN_WAVE:
            wave = board.limit_count + stage
            if used[wave] >= capacity[wave]:
                return wave
        limits = self.topology.stages[stage].limits
        if limits is not None:
            held = limits[task % self._machines]
            for limit in held:
                if used[limit] >= capacity[limit]:
                    return limit
            for limit in held:
                used[limit] += 1
        if wave >= 0:
            used[wave] += 1
            flags |= b.IN_WAVE
        self._flags[task] = flags if probing else flags | b.PROBED | b.STARTED
        self._leave_queue(task)
        self._state[task] = _RUNNING
        attempt = self._attempts[task] + 1
        self._attempts[task] = attempt
        self._out.append(Start(task, attempt, _PROBE if probing else _FULL))
        return -1

    def _park(self, task: int, resource: int) -> None:
        self._state[task] = _PARKED
        self._parked[task] = resource
        self._queues[resource].append(task)

    def _leave_queue(self, task: int) -> None:
        """Its entry in the queue becomes stale; queues that waited for it are looked at again."""
        if self._parked.pop(task, None) is not None:
            for resource in self._delegate_of.pop(task, ()):
                self._wake[resource] = None

    def _drain(self, resource: int) -> None:
        queue = self._queues[resource]
        used, capacity = self.board.used, self.board.capacity
        delegates = 0
        while queue and used[resource] < capacity[resource] and delegates < DELEGATES:
            task = queue.popleft()
            if self._parked.get(task) != resource:
                continue
            refused = self._admit(task, task // self._machines)
            if refused >= 0:
                self._park(task, refused)
                self._delegate_of.setdefault(task, []).append(resource)
                delegates += 1

    def _release_limits(self, task: int, stage: int) -> None:
        limits = self.topology.stages[stage].limits
        if limits is not None:
            for limit in limits[task % self._machines]:
                self.board.used[limit] -= 1
                if self._queues[limit]:
                    self._wake[limit] = None

    # means and ends --------------------------------------------------------------------------

    def _is_means_due(self, task: int, stage: int) -> bool:
        """Whether a ready means must run. If not, an end is being asked, or it has been settled.

        The ends are probed one after another; the first unsatisfied one decides.
        """
        state, flags, machines = self._state, self._flags, self._machines
        dead = -1
        for end in self.topology.ends[stage]:
            other = task + (end - stage) * machines
            now = state[other]
            if now == b.ABSENT or now in _GOOD:
                continue
            if now in _BAD:
                dead = other
            elif flags[other] & b.PROBED:
                return True
            else:
                state[task] = _WAITING
                if not flags[other] & b.PROBING:
                    self._leave_queue(other)
                    flags[other] |= b.PROBING
                    state[other] = _READY
                    self._ready.append(other)
                return False
        if dead >= 0:
            self._end_badly(task, b.BLOCKED, Cause.ENDS, dead)
        else:
            self._succeed(task, stage, b.SKIPPED, Cause.ENDS, task)
        return False

    def _nudge_means(self, task: int, stage: int) -> None:
        """An end was answered for or ended: its means look again whether they are due."""
        for means in self.topology.means[stage]:
            other = task + (means - stage) * self._machines
            now = self._state[other]
            waits = now == _WAITING and not self._unmet[other] and not self._gate[means]
            if waits or now == _PARKED:
                self._leave_queue(other)
                self._state[other] = _READY
                self._ready.append(other)

    def _release_ends(self, task: int, stage: int) -> None:
        """A means ended while its ends were being asked (an operator skipped it): probes that
        nobody waits for and that do not run yet are dropped."""
        for end in self.topology.ends[stage]:
            other = task + (end - stage) * self._machines
            queued = self._state[other] in (_READY, _PARKED, _BACKOFF)
            if queued and self._flags[other] & b.PROBING and not self._is_probe_wanted(other, end):
                self._stop_probing(other, end, unanswered=True)

    def _retry_end(self, task: int) -> None:
        """A full attempt's backoff is over: through the means again, then the next attempt."""
        if self._state[task] != _BACKOFF:
            return
        stage = task // self._machines
        opened = [
            other
            for means in self.topology.means[stage]
            if self._state[other := task + (means - stage) * self._machines]
            in (b.SATISFIED, b.CHANGED)
        ]
        if opened and any(self._is_in_use(means) for means in opened):
            self._deferred.setdefault(task % self._machines, []).append(task)
            return
        for means in opened:
            self._reopen_means(means, task)
        if self._unmet[task] or self._gate[stage]:
            self._state[task] = _WAITING
            self._mark(task, _WAITING, Cause.END, task)
            self._doom_if_blocked(task, stage)
        else:
            self._state[task] = _READY
            self._ready.append(task)

    def _doom_if_blocked(self, task: int, stage: int) -> None:
        if blocker := self._blocker(task, stage):
            self._doomed.append((task, *blocker))

    def _is_in_use(self, means: int) -> bool:
        """Whether something on the machine runs on what this means provides."""
        stage = means // self._machines
        return any(self._state[means + step] == _RUNNING for step, _ in self._steps[stage])

    def _reopen_means(self, means: int, end: int) -> None:
        stage = means // self._machines
        if self._erases[stage] and b.is_proof(self._state[means], self._flags[means]):
            self.board.proven[stage] -= 1
        self._state[means] = _WAITING
        self._tries[means] = 0
        self._ok[stage] -= 1
        self._open[stage] += 1
        self._open_total += 1
        self._mark(means, _WAITING, Cause.MEANS, end)
        if self._waved[stage]:
            self._resize_wave(stage)
        for step, _ in self._steps[stage]:
            child = means + step
            self._unmet[child] += 1
            if self._state[child] in _QUEUED and not self._flags[child] & b.PROBING:
                self._leave_queue(child)
                self._state[child] = _WAITING
        for trigger in self._watchers[stage]:
            other = means + (trigger - stage) * self._machines
            if self.board.unresolved[trigger] and self._state[other] != b.ABSENT:
                self.board.unsettled[trigger] += 1
        if not self._unmet[means] and not self._gate[stage]:
            self._state[means] = _READY
            self._ready.append(means)

    def _on_timer(self, event: TimerFired) -> None:
        task, attempt = event
        if self._state[task] != _BACKOFF or attempt != self._attempts[task]:
            return
        stage = task // self._machines
        probing = self._flags[task] & b.PROBING
        if self.topology.means[stage] and not probing:
            self._retry_end(task)
        elif (self._unmet[task] or self._gate[stage]) and not probing:
            self._state[task] = _WAITING  # what it needs was opened again meanwhile
            self._doom_if_blocked(task, stage)
        else:
            self._state[task] = _READY
            self._ready.append(task)

    # elections -------------------------------------------------------------------------------

    def _try_elect(self, group: int) -> None:
        """Ask once every candidate's needs have ended and the barriers are met; give up when no
        stage that could ask ever will."""
        board = self.board
        if board.leader[group] != b.PENDING or not self.topology.picked[group]:
            return
        hopeless = True
        for stage in self.topology.triggers[group]:
            if not board.unsettled[stage] and board.gate[stage] == 1:
                candidates = tuple(
                    t % self._machines
                    for t in self._tasks(stage)
                    if self._state[t] == _WAITING and not self._unmet[t]
                )
                if candidates:
                    board.leader[group] = b.ELECTING
                    board.electing_stage[group] = stage
                    self._out.append(Elect(group, stage, candidates))
                    return
            elif not board.dead[stage]:
                hopeless = False
        if hopeless:
            self._void_election(group, -1)

    def _void_election(self, group: int, failed_stage: int) -> None:
        self.board.leader[group] = b.VOID
        for stage in self.topology.picked[group]:
            self.board.unresolved[stage] = 0
            self._gate[stage] -= 1
            state = b.FAILED if stage == failed_stage else b.BLOCKED
            for task in self._tasks(stage):
                if self._state[task] in _UNSTARTED:
                    self._end_badly(task, state, Cause.ELECTION, group)
            self._check_edges(stage)
        self._fall()

    def _on_elected(self, event: Elected) -> None:
        group, machine = event
        board = self.board
        if board.leader[group] != b.ELECTING:
            return
        stage = board.electing_stage[group]
        if not 0 <= machine < self._machines or self._state[
            self.topology.task(stage, machine)
        ] not in (_WAITING, b.SKIPPED):
            self._void_election(group, stage)
            return
        board.leader[group] = machine
        for stage in self.topology.picked[group]:
            wants_leader = self.topology.stages[stage].pick == "one"
            for task in self._tasks(stage):
                if (task % self._machines == machine) != wants_leader:
                    self._make_absent(task, stage)
            board.unresolved[stage] = 0
            self._gate[stage] -= 1
        for stage in self.topology.picked[group]:
            self._settle_membership(stage)
        self._fall()

    def _settle_membership(self, stage: int) -> None:
        """An elected stage knows its participants: what counts them is looked at again."""
        self._check_edges(stage)
        if self._waved[stage]:
            self._resize_wave(stage)
        if self.board.total[stage] and not self._open[stage]:
            self._out.append(StageSettled(stage))
        for task in self._tasks(stage):
            if self._state[task] == _WAITING:
                self._doom_if_blocked(task, stage)
        self._open_gate(stage)

    def _make_absent(self, task: int, stage: int) -> None:
        if self._state[task] != _WAITING:
            return
        self._state[task] = b.ABSENT
        self.board.total[stage] -= 1
        self._open[stage] -= 1
        self._open_total -= 1
        for trigger in self._watchers[stage]:
            other = task + (trigger - stage) * self._machines
            if self.board.unresolved[trigger] and self._state[other] != b.ABSENT:
                self.board.unsettled[trigger] -= 1
                if not self.board.unsettled[trigger]:
                    self._elections[self.topology.stages[trigger].group] = None
        for step, child_stage in self._steps[stage]:
            self._meet_need(task + step, child_stage)

    # the operator ----------------------------------------------------------------------------

    def _on_cancel(self, _: CancelAsked) -> None:
        """Later stages first, so that nothing is called blocked that was cancelled."""
        if self.board.cancelled or not self._open_total:
            return
        self.board.cancelled = True
        self._deferred.clear()
        for stage in reversed(range(len(self.topology.stages))):
            if self._always[stage] or not self._open[stage]:
                continue
            for task in self._tasks(stage):
                state = self._state[task]
                if state in _UNSTARTED:
                    self._end_badly(task, b.CANCELLED, Cause.CANCEL)
                elif state == _RUNNING:
                    self._out.append(Cancel(task, self._attempts[task]))
        self._fall()
        for group in range(self.topology.group_count):
            self._elections[group] = None
        self._unpause()

    def _on_pause(self, event: PauseAsked) -> None:
        if not event.paused:
            self._unpause()
        elif not self.board.cancelled:
            self.board.paused = True

    def _unpause(self) -> None:
        self.board.paused = False
        self._ready.extend(self._held)
        self._held.clear()
        self._wake.update((r, None) for r, queue in enumerate(self._queues) if queue)

    def _on_limit(self, event: LimitChanged) -> None:
        """Raises OperatorError for a limit that the run does not have."""
        limit, capacity = event
        if not 0 <= limit < self.board.limit_count or capacity < 0:
            raise OperatorError(f"there is no limit {limit}, or {capacity} is not a capacity")
        self.board.capacity[limit] = capacity
        if self._queues[limit]:
            self._wake[limit] = None

    def _on_skip(self, event: SkipAsked) -> None:
        """A skipped task counts as succeeded; what it blocked is taken up again."""
        task = event.task
        state = self._state[task]
        stage = task // self._machines
        if self.board.cancelled or state == b.ABSENT or state in _GOOD or state == b.CANCELLED:
            return
        if state == _RUNNING:
            self._flags[task] |= b.SKIPPING
            self._out.append(Cancel(task, self._attempts[task]))
        elif state in _UNSTARTED:
            self._succeed(task, stage, b.SKIPPED, Cause.OPERATOR)
            if self.board.unresolved[stage]:
                self._elections[self.topology.stages[stage].group] = None
            self._fall()
        else:
            self._state[task] = b.SKIPPED
            self._flags[task] &= ~b.WAVE_FAILED
            self._mark(task, b.SKIPPED, Cause.OPERATOR, -1)
            self._reopen(())

    def _on_retry(self, event: RetryAsked) -> None:
        """Failed tasks are opened again, with a fresh budget of retries and through their means;
        what they blocked too; and what was concluded over them once they had *ended* (a settled
        barrier, an ``always`` stage) is concluded again. A cancelled run stays cancelled."""
        if self.board.cancelled or (b.FAILED not in self._state and b.BLOCKED not in self._state):
            return
        self._reopen(
            [t for t in tasks_in(self.board, b.FAILED) if event.machine in (-1, t % self._machines)]
        )

    def _reopen(self, failed: Iterable[int]) -> None:
        for mark in reopen(self.board, failed):
            self._mark(*mark)
        self._open_total = sum(self._open)
        self.board.finished = self.board.finished and not self._open_total
        self._deferred.clear()
        self._find_work(announce=False)

    def _find_work(self, *, announce: bool) -> None:
        """Look at everything once: at the start, after a restore and after a re-opening.

        ``announce``: tell again of the stages that have settled; a dead controller may have known
        and not acted on it.
        """
        self._ready.clear()
        self._held.clear()
        self._wake.clear()
        self._doomed.clear()
        self._parked.clear()
        self._delegate_of.clear()
        for queue in self._queues:
            queue.clear()
        self._open_total = sum(self._open)
        for stage in range(len(self.topology.stages)):
            self._forget_queued_probes(stage)
        for stage in range(len(self.topology.stages)):
            if announce and self.board.total[stage] and not self._open[stage]:
                self._out.append(StageSettled(stage))
            if not self.board.unresolved[stage]:
                self._find_work_in(stage)
        self._fall()
        self._elections.update((g, None) for g in range(self.topology.group_count))

    def _forget_queued_probes(self, stage: int) -> None:
        """A probe that was wanted and not started is asked for again by its means, if at all."""
        if self.topology.means[stage]:
            for task in self._tasks(stage):
                if self._flags[task] & b.PROBING:
                    now = self._state[task]
                    if now == _BACKOFF and not self._is_probe_wanted(task, stage):
                        self._state[task] = now = _WAITING
                        self._mark(task, _WAITING, Cause.END, task)
                    if now == _WAITING:
                        self._flags[task] &= ~b.PROBING

    def _find_work_in(self, stage: int) -> None:
        if not self._open[stage]:
            return
        cancelled = self.board.cancelled and not self._always[stage]
        board = self.board
        suspect = (
            cancelled
            or board.dead[stage]
            or board.halted[stage]
            or any(board.ok[p] + board.open[p] < board.total[p] for p in self.topology.needs[stage])
        )
        if suspect:
            for task in self._tasks(stage):
                if self._state[task] in _UNSTARTED:
                    if cancelled:
                        self._end_badly(task, b.CANCELLED, Cause.CANCEL)
                    else:
                        self._doom_if_blocked(task, stage)
        self._open_gate(stage)
