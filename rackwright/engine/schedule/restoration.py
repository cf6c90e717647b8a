"""History into state: what was journaled, folded without deciding anything again.

Works for a history that an older version wrote: it only follows what is told. Hot-path file: a
restart folds millions of items, so the common ones come as plain ints.
"""

from rackwright.engine.schedule import board as b
from rackwright.engine.schedule.board import Board
from rackwright.engine.schedule.events import (
    CancelAsked,
    Cause,
    Command,
    Decided,
    Elected,
    Ended,
    Event,
    Finish,
    Granted,
    HoldChanged,
    LimitChanged,
    Marked,
    Mode,
    PauseAsked,
    Recalled,
    Result,
    RetryAsked,
    Returned,
    SetTimer,
    SkipAsked,
    Start,
)
from rackwright.engine.schedule.scheduler import Scheduler
from rackwright.engine.schedule.standing import Standing, stand
from rackwright.engine.schedule.topology import Topology

_FULL = int(Mode.FULL)
_STATE_AFTER = {
    Result.SATISFIED: b.SATISFIED,
    Result.CHANGED: b.CHANGED,
    Result.UNSATISFIED: b.WAITING,
    Result.UNKNOWN: b.FAILED,
    Result.FAILED: b.FAILED,
    Result.REFUSED: b.FAILED,
    Result.CANCELLED: b.CANCELLED,
}
_AFTER = tuple(_STATE_AFTER[r] for r in Result)


class Restoration:
    """Folds one run's history, in order, from its start or from where it stood once;
    ``scheduler()`` ends it."""

    def __init__(self, topology: Topology, begin: Standing | None = None) -> None:
        self._topology = topology
        self._board = Board(topology)
        self._causes: dict[int, tuple[Cause, int]] = {}
        if begin is not None:
            stand(self._board, begin)
            self._causes.update(begin.causes)
        self._state, self._flags = self._board.state, self._board.flags
        self._attempts, self._tries = self._board.attempts, self._board.tries
        self._machines = topology.machine_count or 1
        self._waved = tuple(stage.has_waves for stage in topology.stages)

    def fold(self, item: Event | Command) -> None:
        """One event or command. Those that change no state of their own are passed over."""
        match item:
            case Start(task, attempt, mode):
                self.issued(task, attempt, mode)
            case Ended(task, attempt, result):
                self.ended(task, attempt, result)
            case SetTimer(task, attempt, _):
                self.backed_off(task, attempt)
            case Marked(task, state, cause, subject):
                self.marked(task, state, cause, subject)
            case _:
                self._fold_rare(item)

    def _fold_rare(self, item: Event | Command) -> None:
        board = self._board
        match item:
            case Elected(group, machine):
                self.elected(group, machine)
            case CancelAsked():
                if any(b.WAITING <= state <= b.BACKOFF for state in self._state):
                    board.cancelled, board.paused = True, False
            case PauseAsked(paused):
                board.paused = paused and not board.cancelled
            case SkipAsked(task):
                if self._state[task] == b.RUNNING and not board.cancelled:
                    self._flags[task] |= b.SKIPPING
                elif self._state[task] in (b.FAILED, b.BLOCKED):
                    self._judge_anew()
            case RetryAsked():
                if b.FAILED in self._state or b.BLOCKED in self._state:
                    self._judge_anew()
                    if not board.cancelled:
                        board.ask_again(set())
            case Finish():
                board.finished = True
            case _:
                self._fold_bounds(item)

    def _fold_bounds(self, item: Event | Command) -> None:
        """What was changed from outside."""
        board = self._board
        match item:
            case LimitChanged(limit, capacity):
                board.capacity[limit] = capacity
            case Granted(resource, amount):
                board.grant(resource, amount)
            case Recalled(resource, amount):
                owed = board.owed[resource] + amount
                board.owed[resource] = min(owed, board.granted[resource])
            case Returned(resource, amount):
                board.owed[resource] = max(0, board.owed[resource] - amount)
                board.grant(resource, -amount)
            case HoldChanged(hold, is_open):
                board.holds[hold] = b.OPEN if is_open else b.CLOSED
            case Decided(hold, is_approved):
                if board.holds[hold] == b.CLOSED:
                    board.holds[hold] = b.OPEN if is_approved else b.REJECTED
            case _:
                pass

    def _judge_anew(self) -> None:
        if not self._board.cancelled:
            self._board.passed[:] = bytes(len(self._board.passed))
            self._board.halted[:] = bytes(len(self._board.halted))
            self._board.denied[:] = bytes(len(self._board.denied))

    def issued(self, task: int, attempt: int, mode: int) -> None:
        flags = self._flags[task]
        if mode == _FULL:
            if flags & b.PROBING:
                self._tries[task] = 0
            wave = b.IN_WAVE if self._waved[task // self._machines] else 0
            self._flags[task] = (flags | b.PROBED | b.STARTED | wave) & ~(b.PROBING | b.WAVE_FAILED)
        else:
            self._flags[task] = flags | b.PROBING
        self._state[task] = b.RUNNING
        self._attempts[task] = attempt
        self._board.finished = False

    def ended(self, task: int, attempt: int, result: int) -> None:
        if self._state[task] != b.RUNNING or attempt != self._attempts[task]:
            return
        flags = self._flags[task]
        if flags or result > 1:
            always = self._topology.stages[task // self._machines].always
            cancelled = self._board.cancelled and not always
            result = b.plausible(result, flags, cancel_wanted=cancelled)
            if result == Result.UNSATISFIED:
                flags = (flags & ~b.PROBING) | b.PROBED
                self._tries[task] = 0
        after = _AFTER[result]
        self._state[task] = after
        if flags & b.IN_WAVE:
            flags &= ~b.IN_WAVE
            if after == b.FAILED:
                flags |= b.WAVE_FAILED
        self._flags[task] = flags & ~b.SKIPPING

    def backed_off(self, task: int, attempt: int) -> None:
        """The retry that was decided on; undoes what ``ended`` took for final."""
        self._state[task] = b.BACKOFF
        self._tries[task] += 1
        flags = self._flags[task] & ~b.WAVE_FAILED
        if self._waved[task // self._machines] and not flags & b.PROBING:
            flags |= b.IN_WAVE
        self._flags[task] = flags
        self._attempts[task] = attempt

    def marked(self, task: int, state: int, cause: int, subject: int) -> None:
        self._causes[task] = (Cause(cause), subject)
        if cause == Cause.MEANS:
            self._keep_met_barriers(task // self._machines)
        self._state[task] = state
        if state == b.WAITING:
            if cause == Cause.END:
                if self._flags[task] & b.PROBING:
                    self._flags[task] &= ~b.PROBING
                    self._tries[task] = 0
                return
            self._tries[task] = 0
            if cause == Cause.RETRY:
                self._flags[task] = 0
                self._board.finished = False
                self._reopen_election(task)
            return
        flags = self._flags[task]
        if flags & b.IN_WAVE and state in (b.FAILED, b.BLOCKED):
            flags |= b.WAVE_FAILED
        if state in (b.SKIPPED, b.CANCELLED):
            flags &= ~b.WAVE_FAILED
        self._flags[task] = flags & ~(b.IN_WAVE | b.SKIPPING)
        if cause == Cause.WAVE:
            self._board.halted[subject] = 1
        if cause == Cause.ELECTION:
            self._board.leader[subject] = b.VOID

    def _keep_met_barriers(self, stage: int) -> None:
        """A means is re-opened: what it let pass stays open, however its second run ends."""
        row = self._state[stage * self._machines : (stage + 1) * self._machines]
        ok = sum(map(row.count, (b.SATISFIED, b.CHANGED, b.SKIPPED)))
        open_ = sum(map(row.count, range(b.WAITING, b.SATISFIED)))
        for index in self._topology.outgoing[stage]:
            edge = self._topology.edges[index]
            required = edge.required(len(row) - row.count(b.ABSENT))
            if not open_ if edge.wait == "settled" else ok >= required:
                self._board.passed[index] = 1

    def _reopen_election(self, task: int) -> None:
        """An elected stage's task is open again: so is an election that had come to nothing."""
        shape = self._topology.stages[task // self._machines]
        if shape.pick != "all" and self._board.leader[shape.group] == b.VOID:
            self._board.leader[shape.group] = b.PENDING

    def elected(self, group: int, machine: int) -> None:
        """The choice; whom it leaves out is given by the workflow, not decided."""
        board, machines = self._board, self._topology.machine_count
        if not 0 <= machine < machines:
            board.leader[group] = b.VOID
            return
        board.leader[group] = machine
        for stage in self._topology.picked[group]:
            wants_leader = self._topology.stages[stage].pick == "one"
            for m in range(machines):
                task = stage * machines + m
                if (m == machine) != wants_leader and self._state[task] == b.WAITING:
                    self._state[task] = b.ABSENT

    def scheduler(self) -> Scheduler:
        scheduler = Scheduler(self._topology, self._board)
        for task, cause in self._causes.items():
            scheduler.causes.setdefault(task, cause)
        return scheduler
