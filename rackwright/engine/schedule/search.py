"""All work of a run found by looking at everything once; the other rooms move by small steps."""

from rackwright.engine.schedule import board as b
from rackwright.engine.schedule.barriers import open_gate
from rackwright.engine.schedule.endings import end_badly, fall
from rackwright.engine.schedule.events import Cause, StageSettled
from rackwright.engine.schedule.means import doom_if_blocked, is_probe_wanted
from rackwright.engine.schedule.work import Work


def find_work(work: Work, *, announce: bool) -> None:
    """Look at everything once: at the start, after a restore and after a re-opening.

    ``announce``: tell again of the stages that have settled; a dead controller may have known
    and not acted on it.
    """
    work.ready.clear()
    work.held.clear()
    work.wake.clear()
    work.doomed.clear()
    work.parked.clear()
    work.delegate_of.clear()
    work.queues.clear()
    work.open_total = sum(work.open)
    for stage in range(len(work.topology.stages)):
        forget_queued_probes(work, stage)
    for stage in range(len(work.topology.stages)):
        if announce and work.board.total[stage] and not work.open[stage]:
            work.out.append(StageSettled(stage))
        if not work.board.unresolved[stage]:
            find_work_in(work, stage)
    fall(work)
    work.elections.update((g, None) for g in range(work.topology.group_count))


def forget_queued_probes(work: Work, stage: int) -> None:
    """A probe that was wanted and not started is asked for again by its means, if at all."""
    if work.topology.means[stage]:
        for task in work.tasks(stage):
            if work.flags[task] & b.PROBING:
                now = work.state[task]
                if now == b.BACKOFF and not is_probe_wanted(work, task, stage):
                    work.state[task] = now = b.WAITING
                    work.mark(task, b.WAITING, Cause.END, task)
                if now == b.WAITING:
                    work.flags[task] &= ~b.PROBING


def find_work_in(work: Work, stage: int) -> None:
    if not work.open[stage]:
        return
    cancelled = work.board.cancelled and not work.always[stage]
    board = work.board
    suspect = (
        cancelled
        or board.dead[stage]
        or board.halted[stage]
        or board.rejection(stage) >= 0
        or any(board.ok[p] + board.open[p] < board.total[p] for p in work.topology.needs[stage])
    )
    if suspect:
        for task in work.tasks(stage):
            if work.state[task] in b.UNSTARTED:
                if cancelled:
                    end_badly(work, task, b.CANCELLED, Cause.CANCEL)
                else:
                    doom_if_blocked(work, task, stage)
    open_gate(work, stage)
