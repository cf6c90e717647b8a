"""How a task ends, and what follows for others. The first branch of ``on_ended`` is the path of
99 % of events.

Failure spreads by worklist (``doomed``), never by recursion: depth does not grow with the graph.
"""

from typing import Final

from rackwright.engine.schedule import board as b
from rackwright.engine.schedule.barriers import blocker, halt_if_due, leave_wave, stage_moved
from rackwright.engine.schedule.events import Cause, Result, SetTimer, TimerFired
from rackwright.engine.schedule.means import (
    doom_if_blocked,
    is_probe_wanted,
    nudge_means,
    release_ends,
    retry_end,
    stop_probing,
)
from rackwright.engine.schedule.topology import BACKOFF_CAP_S
from rackwright.engine.schedule.work import Work

_CHANGED: Final = int(Result.CHANGED)
_UNSATISFIED: Final = int(Result.UNSATISFIED)


def on_ended(work: Work, event: tuple[int, int, int]) -> None:
    """``event``: an ``Ended``."""
    task, attempt, result = event
    state = work.state
    if state[task] != b.RUNNING or attempt != work.attempts[task]:
        return
    stage = task // work.machines
    if result > 1 or not work.plain[stage]:
        conclude(work, task, stage, result)
        fall(work)
        return
    state[task] = 6 + result  # SATISFIED or CHANGED
    work.ok[stage] += 1
    left = work.open[stage] - 1
    work.open[stage] = left
    work.open_total -= 1
    unmet = work.unmet
    for step, child_stage in work.steps[stage]:
        child = task + step
        needs = unmet[child] - 1
        unmet[child] = needs
        if not needs and state[child] == b.WAITING and not work.gate[child_stage]:
            state[child] = b.READY
            work.ready.append(child)
    if not left or work.watched[stage]:
        stage_moved(work, stage, task)
        fall(work)


def conclude(work: Work, task: int, stage: int, result: int) -> None:
    """An attempt ended on a task that holds resources, or ended without success."""
    flags = work.flags[task]
    work.release_limits(task, stage)
    cancelled = work.board.cancelled and not work.always[stage]
    result = b.plausible(result, flags, cancel_wanted=cancelled)
    if result <= _CHANGED:
        succeed(work, task, stage, b.SATISFIED + result)
    elif flags & b.SKIPPING:
        succeed(work, task, stage, b.SKIPPED, Cause.OPERATOR)
    elif cancelled:
        failed = result in (Result.FAILED, Result.REFUSED)
        told = failed or result == Result.CANCELLED
        end_badly(work, task, b.FAILED if failed else b.CANCELLED, None if told else Cause.CANCEL)
    elif result == _UNSATISFIED:
        work.flags[task] = flags | b.PROBED
        stop_probing(work, task, stage, unanswered=False)
    elif flags & b.PROBING and (found := blocker(work, task, stage)):
        end_badly(work, task, b.BLOCKED, *found)
    elif flags & b.PROBING and not is_probe_wanted(work, task, stage):
        stop_probing(work, task, stage, unanswered=True)
    elif result != Result.REFUSED and work.tries[task] < work.topology.stages[stage].retries:
        back_off(work, task, stage)
    else:
        end_badly(work, task, b.FAILED, None)
    if work.deferred:
        for end in work.deferred.pop(task % work.machines, ()):
            retry_end(work, end)


def back_off(work: Work, task: int, stage: int) -> None:
    tries = work.tries[task]
    work.tries[task] = tries + 1
    work.state[task] = b.BACKOFF
    delay_s = min(BACKOFF_CAP_S, work.topology.stages[stage].backoff_s * 2.0 ** min(tries, 32))
    work.out.append(SetTimer(task, work.attempts[task], delay_s))


def succeed(
    work: Work, task: int, stage: int, state: int, cause: Cause | None = None, subject: int = -1
) -> None:
    work.leave_queue(task)
    flags = work.flags[task]
    work.flags[task] = flags & ~(b.IN_WAVE | b.SKIPPING)
    work.state[task] = state
    if cause is not None:
        work.mark(task, state, cause, subject)
    if flags & b.IN_WAVE:
        leave_wave(work, stage)
    if work.erases[stage] and b.is_proof(state, flags):
        work.board.proven[stage] += 1
    work.ok[stage] += 1
    work.open[stage] -= 1
    work.open_total -= 1
    for step, child_stage in work.steps[stage]:
        work.meet_need(task + step, child_stage)
    nudge_means(work, task, stage)
    release_ends(work, task, stage)
    stage_moved(work, stage, task)


def end_badly(work: Work, task: int, state: int, cause: Cause | None, subject: int = -1) -> None:
    """FAILED, BLOCKED or CANCELLED, with what follows for others put on the worklist."""
    stage = task // work.machines
    work.leave_queue(task)
    flags = work.flags[task]
    work.state[task] = state
    work.open[stage] -= 1
    work.open_total -= 1
    if cause is not None:
        work.mark(task, state, cause, subject)
    if flags & b.IN_WAVE:
        leave_wave(work, stage)
        flags &= ~b.IN_WAVE
        if state != b.CANCELLED:
            flags |= b.WAVE_FAILED
            work.board.wave_failures[stage] += 1
            halt_if_due(work, stage)
    work.flags[task] = flags & ~b.SKIPPING
    for step, child_stage in work.steps[stage]:
        if work.always[child_stage]:
            work.meet_need(task + step, child_stage)
        elif work.state[task + step] in b.UNSTARTED:
            work.doomed.append((task + step, Cause.NEED, task))
    nudge_means(work, task, stage)
    stage_moved(work, stage, task)


def fall(work: Work) -> None:
    """Block what can no longer run; each blocked task may doom others."""
    doomed = work.doomed
    while doomed:
        task, cause, subject = doomed.pop()
        if work.state[task] not in b.UNSTARTED:
            continue
        stage = task // work.machines
        if not work.board.unresolved[stage] and not work.always[stage]:
            end_badly(work, task, b.BLOCKED, cause, subject)


def on_timer(work: Work, event: TimerFired) -> None:
    task, attempt = event
    if work.state[task] != b.BACKOFF or attempt != work.attempts[task]:
        return
    stage = task // work.machines
    probing = work.flags[task] & b.PROBING
    if work.topology.means[stage] and not probing:
        retry_end(work, task)
    elif (work.unmet[task] or work.gate[stage]) and not probing:
        work.state[task] = b.WAITING  # what it needs was opened again meanwhile
        doom_if_blocked(work, task, stage)
    else:
        work.state[task] = b.READY
        work.ready.append(task)
