"""The scheduler: events in, commands out. No clock, no random, no I/O, no logging.

Theory of operation
-------------------
State lives in a ``Board``: one byte per task, and counters. ``feed`` applies an event to them and
notes what it made ready; ``take`` turns what is ready into starts, within waves and limits, and
returns all commands since the last call, in order. A batch of events therefore costs one pass.

A task is ready when ``unmet`` (needs on its own machine) and ``gate`` (barriers of its stage, plus
one while its group has no elected machine) are both zero. Each success takes one from the
``unmet`` of its dependents, each barrier met takes one from the ``gate`` of its stage: cost
O(out-degree).

The rooms, each of functions over one ``Work``: ``endings`` (how a task ends and what follows),
``barriers`` (and waves), ``means``, ``elections``, ``starting`` (waves, limits, queues), ``orders``
(of the operator), ``search`` (everything looked at once). They call downwards only; what goes up
goes by worklist. Rooms on the hot path use plain ints and no enums in comparisons.

A decision that no outcome implies (blocked, skipped, re-opened) is told as ``Marked``; with issues,
outcomes and timers that is all a restore needs.
"""

from collections.abc import Callable, Iterable
from typing import Any, Final

from rackwright.engine.schedule import board as b
from rackwright.engine.schedule.allowances import on_granted, on_recalled, settle_accounts
from rackwright.engine.schedule.board import Board
from rackwright.engine.schedule.elections import on_elected
from rackwright.engine.schedule.endings import on_ended, on_timer
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
    Mode,
    PauseAsked,
    Recalled,
    RetryAsked,
    RunStatus,
    SkipAsked,
    Start,
    TaskState,
    TimerFired,
)
from rackwright.engine.schedule.orders import (
    on_cancel,
    on_decided,
    on_hold,
    on_limit,
    on_pause,
    on_retry,
    on_skip,
)
from rackwright.engine.schedule.reopening import tasks_in
from rackwright.engine.schedule.search import find_work
from rackwright.engine.schedule.starting import drive
from rackwright.engine.schedule.topology import Topology
from rackwright.engine.schedule.work import Work

_HANDLERS: Final[dict[type, Callable[[Work, Any], None]]] = {
    Ended: on_ended,
    TimerFired: on_timer,
    Elected: on_elected,
    CancelAsked: on_cancel,
    PauseAsked: on_pause,
    RetryAsked: on_retry,
    SkipAsked: on_skip,
    LimitChanged: on_limit,
    HoldChanged: on_hold,
    Decided: on_decided,
    Granted: on_granted,
    Recalled: on_recalled,
}


class Scheduler:
    """One run. Single-threaded; duplicated and late events are harmless."""

    def __init__(self, topology: Topology, board: Board | None = None) -> None:
        self.topology = topology
        self.board = board or Board(topology)
        self.board.recount(restored=board is not None)
        self._work = Work(topology, self.board)
        find_work(self._work, announce=board is not None)

    def feed(self, event: Event) -> None:
        """Apply one event. Unknown attempts and events that no longer fit are ignored."""
        _HANDLERS[type(event)](self._work, event)

    def ended(self, event: tuple[int, int, int]) -> None:
        """``feed`` for what makes up almost all events: an ``Ended``, or a tuple like it."""
        on_ended(self._work, event)

    def take(self) -> list[Command]:
        """The commands that follow from everything fed so far, in order."""
        work = self._work
        drive(work)
        if self.board.owed:
            settle_accounts(work)
        if not work.open_total and not self.board.finished:
            self.board.finished = True
            work.out.append(Finish(self.outcome()))
        out = work.out
        work.out = []
        return out

    @property
    def causes(self) -> dict[int, tuple[Cause, int]]:
        """Task -> why it has a state that no attempt gave it, and the subject."""
        return self._work.causes

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
            Start(
                t,
                self.board.attempts[t],
                Mode.PROBE if self.board.flags[t] & b.PROBING else Mode.FULL,
            )
            for t in tasks_in(self.board, b.RUNNING)
        ]

    def backing_off(self) -> list[tuple[int, int]]:
        """(task, attempt) of every task whose timer must fire."""
        return [(t, self.board.attempts[t]) for t in tasks_in(self.board, b.BACKOFF)]

    def parked_on(self, task: int) -> int:
        """The resource that refused a PARKED task: a limit, ``limit_count`` + stage's wave, or
        ``hold_base`` + hold."""
        return self._work.parked[task]

    def state(self, task: int) -> TaskState:
        return TaskState(self.board.state[task])

    def outcome(self) -> RunStatus:
        """How the run stands if it ended now. DEGRADED: at least one machine has all of its tasks
        succeeded, another has not; FAILED: no machine has."""
        bad = any(self.board.state.count(s) for s in b.BAD)
        if not bad:
            return RunStatus.SUCCEEDED
        if self.board.cancelled:
            return RunStatus.CANCELLED
        return RunStatus.DEGRADED if self._any_machine_done() else RunStatus.FAILED

    def _any_machine_done(self) -> bool:
        machines = self.topology.machine_count
        stages = range(len(self.topology.stages))
        for m in range(machines):
            mine = {self.board.state[s * machines + m] for s in stages}
            if mine & b.GOOD and not mine & b.BAD:
                return True
        return False
