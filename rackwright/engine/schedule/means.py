"""Means and their ends: who is asked, who waits for the answer, what a retry opens again.

A means runs only where an end says that it is unsatisfied; the ends are asked one after another by
probes. Ends nothing itself: what can no longer run goes to the worklist ``doomed``.
"""

from rackwright.engine.schedule import board as b
from rackwright.engine.schedule.barriers import blocker, resize_wave
from rackwright.engine.schedule.events import Cause
from rackwright.engine.schedule.work import Work


def is_probe_wanted(work: Work, task: int, stage: int) -> bool:
    """Whether a means still waits for the answer."""
    return any(
        work.state[task + (means - stage) * work.machines] in (b.WAITING, b.READY, b.BACKOFF)
        for means in work.topology.means[stage]
    )


def stop_probing(work: Work, task: int, stage: int, *, unanswered: bool) -> None:
    """A probe is over and the task waits again: what happened meanwhile counts now."""
    work.leave_queue(task)
    work.flags[task] &= ~b.PROBING
    work.tries[task] = 0
    work.state[task] = b.WAITING
    if unanswered:
        work.mark(task, b.WAITING, Cause.END, task)
    if doom_if_blocked(work, task, stage):
        return
    if not work.unmet[task] and not work.gate[stage]:
        work.state[task] = b.READY
        work.ready.append(task)
    nudge_means(work, task, stage)


def nudge_means(work: Work, task: int, stage: int) -> None:
    """An end was answered for or ended: its means look again whether they are due."""
    for means in work.topology.means[stage]:
        other = task + (means - stage) * work.machines
        now = work.state[other]
        waits = now == b.WAITING and not work.unmet[other] and not work.gate[means]
        if waits or now == b.PARKED:
            work.leave_queue(other)
            work.state[other] = b.READY
            work.ready.append(other)


def release_ends(work: Work, task: int, stage: int) -> None:
    """A means ended while its ends were being asked (an operator skipped it): probes that
    nobody waits for and that do not run yet are dropped."""
    for end in work.topology.ends[stage]:
        other = task + (end - stage) * work.machines
        queued = work.state[other] in (b.READY, b.PARKED, b.BACKOFF)
        if queued and work.flags[other] & b.PROBING and not is_probe_wanted(work, other, end):
            stop_probing(work, other, end, unanswered=True)


def retry_end(work: Work, task: int) -> None:
    """A full attempt's backoff is over: through the means again, then the next attempt."""
    if work.state[task] != b.BACKOFF:
        return
    stage = task // work.machines
    opened = [
        other
        for means in work.topology.means[stage]
        if work.state[other := task + (means - stage) * work.machines] in (b.SATISFIED, b.CHANGED)
    ]
    if opened and any(is_in_use(work, means) for means in opened):
        work.deferred.setdefault(task % work.machines, []).append(task)
        return
    for means in opened:
        reopen_means(work, means, task)
    if work.unmet[task] or work.gate[stage]:
        work.state[task] = b.WAITING
        work.mark(task, b.WAITING, Cause.END, task)
        doom_if_blocked(work, task, stage)
    else:
        work.state[task] = b.READY
        work.ready.append(task)


def doom_if_blocked(work: Work, task: int, stage: int) -> bool:
    """Whether it was; an unstarted task that can never run goes to the worklist."""
    found = blocker(work, task, stage)
    if found is not None:
        work.doomed.append((task, *found))
    return found is not None


def is_in_use(work: Work, means: int) -> bool:
    """Whether something on the machine runs on what this means provides."""
    stage = means // work.machines
    return any(work.state[means + step] == b.RUNNING for step, _ in work.steps[stage])


def reopen_means(work: Work, means: int, end: int) -> None:
    stage = means // work.machines
    if work.erases[stage] and b.is_proof(work.state[means], work.flags[means]):
        work.board.proven[stage] -= 1
    work.state[means] = b.WAITING
    work.tries[means] = 0
    work.ok[stage] -= 1
    work.open[stage] += 1
    work.open_total += 1
    work.mark(means, b.WAITING, Cause.MEANS, end)
    if work.waved[stage]:
        resize_wave(work, stage)
    for step, _ in work.steps[stage]:
        child = means + step
        work.unmet[child] += 1
        if work.state[child] in b.QUEUED and not work.flags[child] & b.PROBING:
            work.leave_queue(child)
            work.state[child] = b.WAITING
    for trigger in work.watchers[stage]:
        other = means + (trigger - stage) * work.machines
        if work.board.unresolved[trigger] and work.state[other] != b.ABSENT:
            work.board.unsettled[trigger] += 1
    if not work.unmet[means] and not work.gate[stage]:
        work.state[means] = b.READY
        work.ready.append(means)
