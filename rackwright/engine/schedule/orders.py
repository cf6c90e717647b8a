"""What an operator asked for: cancel, pause, retry, skip, another capacity for a limit, approvals;
and maintenance windows that open and close."""

from collections.abc import Iterable

from rackwright.engine.errors import OperatorError
from rackwright.engine.schedule import board as b
from rackwright.engine.schedule.barriers import doom_stage
from rackwright.engine.schedule.endings import end_badly, fall, succeed
from rackwright.engine.schedule.events import (
    Cancel,
    CancelAsked,
    Cause,
    Decided,
    HoldChanged,
    LimitChanged,
    PauseAsked,
    RetryAsked,
    SkipAsked,
)
from rackwright.engine.schedule.reopening import reopen, tasks_in
from rackwright.engine.schedule.search import find_work
from rackwright.engine.schedule.work import Work


def on_cancel(work: Work, _: CancelAsked) -> None:
    """Later stages first, so that nothing is called blocked that was cancelled."""
    if work.board.cancelled or not work.open_total:
        return
    work.board.cancelled = True
    work.deferred.clear()
    for stage in reversed(range(len(work.topology.stages))):
        if work.always[stage] or not work.open[stage]:
            continue
        for task in work.tasks(stage):
            state = work.state[task]
            if state in b.UNSTARTED:
                end_badly(work, task, b.CANCELLED, Cause.CANCEL)
            elif state == b.RUNNING:
                work.out.append(Cancel(task, work.attempts[task]))
    fall(work)
    for group in range(work.topology.group_count):
        work.elections[group] = None
    unpause(work)


def on_pause(work: Work, event: PauseAsked) -> None:
    if not event.paused:
        unpause(work)
    elif not work.board.cancelled:
        work.board.paused = True


def unpause(work: Work) -> None:
    work.board.paused = False
    work.ready.extend(work.held)
    work.held.clear()
    work.wake.update((r, None) for r in sorted(work.queues))


def on_limit(work: Work, event: LimitChanged) -> None:
    """Raises OperatorError for a limit that the run does not have."""
    limit, capacity = event
    if not 0 <= limit < work.board.limit_count or capacity < 0:
        raise OperatorError(f"there is no limit {limit}, or {capacity} is not a capacity")
    work.board.capacity[limit] = capacity
    if limit in work.queues:
        work.wake[limit] = None


def on_hold(work: Work, event: HoldChanged) -> None:
    """Raises OperatorError for what is no window of the run."""
    hold, is_open = event
    _check_hold(work, hold, "window")
    work.board.set_hold(hold, b.OPEN if is_open else b.CLOSED)
    _wake_hold(work, hold)


def on_decided(work: Work, event: Decided) -> None:
    """The first answer counts. Raises OperatorError for what is no approval of the run."""
    hold, is_approved = event
    _check_hold(work, hold, "approval")
    if work.board.holds[hold] != b.CLOSED:
        return
    work.board.set_hold(hold, b.OPEN if is_approved else b.REJECTED)
    if is_approved:
        _wake_hold(work, hold)
    else:
        doom_stage(work, work.topology.holds[hold].stage, Cause.APPROVAL, hold)
        fall(work)


def _check_hold(work: Work, hold: int, kind: str) -> None:
    holds = work.topology.holds
    if not 0 <= hold < len(holds) or holds[hold].kind != kind:
        raise OperatorError(f"the run has no {kind} {hold}")


def _wake_hold(work: Work, hold: int) -> None:
    resource = work.board.hold_base + hold
    if resource in work.queues:
        work.wake[resource] = None


def on_skip(work: Work, event: SkipAsked) -> None:
    """A skipped task counts as succeeded; what it blocked is taken up again."""
    task = event.task
    state = work.state[task]
    stage = task // work.machines
    if work.board.cancelled or state == b.ABSENT or state in b.GOOD or state == b.CANCELLED:
        return
    if state == b.RUNNING:
        work.flags[task] |= b.SKIPPING
        work.out.append(Cancel(task, work.attempts[task]))
    elif state in b.UNSTARTED:
        succeed(work, task, stage, b.SKIPPED, Cause.OPERATOR)
        if work.board.unresolved[stage]:
            work.elections[work.topology.stages[stage].group] = None
        fall(work)
    else:
        work.state[task] = b.SKIPPED
        work.flags[task] &= ~b.WAVE_FAILED
        work.mark(task, b.SKIPPED, Cause.OPERATOR, -1)
        take_up(work, ())


def on_retry(work: Work, event: RetryAsked) -> None:
    """Failed tasks are opened again, with a fresh budget of retries and through their means;
    what they blocked too; and what was concluded over them once they had *ended* (a settled
    barrier, an ``always`` stage) is concluded again. A cancelled run stays cancelled."""
    if work.board.cancelled or (b.FAILED not in work.state and b.BLOCKED not in work.state):
        return
    work.board.ask_again(work.asked)
    work.board.denied[:] = bytes(len(work.board.denied))
    take_up(
        work,
        [t for t in tasks_in(work.board, b.FAILED) if event.machine in (-1, t % work.machines)],
    )


def take_up(work: Work, failed: Iterable[int]) -> None:
    for mark in reopen(work.board, failed):
        work.mark(*mark)
    work.open_total = sum(work.open)
    work.board.finished = work.board.finished and not work.open_total
    work.deferred.clear()
    find_work(work, announce=False)
