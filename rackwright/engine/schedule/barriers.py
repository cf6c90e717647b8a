"""Barriers between stages, and the waves of a stage: what an end moves beyond its own machine.

A barrier is a counter. Once met it stays met, until an operator's retry re-opens what it counted.
Ends nothing itself: what can no longer run goes to the worklist ``doomed``.
"""

from rackwright.engine.schedule import board as b
from rackwright.engine.schedule.events import Cause, StageSettled
from rackwright.engine.schedule.work import Work


def stage_moved(work: Work, stage: int, task: int) -> None:
    """A task of the stage ended: barriers, its wave's canaries, elections, settling."""
    board = work.board
    if work.watched[stage]:
        check_edges(work, stage)
        for trigger in work.watchers[stage]:
            other = task + (trigger - stage) * work.machines
            if board.unresolved[trigger] and work.state[other] != b.ABSENT:
                board.unsettled[trigger] -= 1
                if not board.unsettled[trigger]:
                    work.elections[work.topology.stages[trigger].group] = None
        if work.waved[stage]:
            resize_wave(work, stage)
    if not work.open[stage]:
        work.out.append(StageSettled(stage))


def check_edges(work: Work, stage: int) -> None:
    for edge in work.topology.outgoing[stage]:
        if not work.board.edge_met[edge]:
            check_edge(work, edge)


def check_edge(work: Work, index: int) -> None:
    board = work.board
    target = work.topology.edges[index].target
    met, dead = board.edge_status(index)
    if met:
        board.edge_met[index] = 1
        board.gate[target] -= 1
        if board.edge_dead[index]:
            board.edge_dead[index] = 0
            board.dead[target] -= 1
        open_gate(work, target)
    elif dead and not board.edge_dead[index]:
        board.edge_dead[index] = 1
        board.dead[target] += 1
        if board.unresolved[target]:
            work.elections[work.topology.stages[target].group] = None
        else:
            doom_stage(work, target, Cause.BARRIER, work.topology.edges[index].source)


def open_gate(work: Work, stage: int) -> None:
    board = work.board
    if board.unresolved[stage]:
        if board.gate[stage] == 1:
            work.elections[work.topology.stages[stage].group] = None
        return
    if board.gate[stage]:
        return
    state, unmet = work.state, work.unmet
    for task in work.tasks(stage):
        if not unmet[task] and state[task] == b.WAITING:
            state[task] = b.READY
            work.ready.append(task)


def doom_stage(work: Work, stage: int, cause: Cause, subject: int) -> None:
    """No task of the stage that waits can ever run; a halted wave spares those it let in."""
    if not work.open[stage] or work.always[stage]:
        return
    spared = b.STARTED if cause == Cause.WAVE else 0
    work.doomed.extend(
        (task, cause, subject)
        for task in work.tasks(stage)
        if work.state[task] in b.UNSTARTED and not work.flags[task] & spared
    )


def halt_if_due(work: Work, stage: int) -> None:
    if work.topology.stages[stage].shared:
        resize_wave(work, stage)
    if not work.board.halted[stage] and work.board.is_halting(stage):
        work.board.halted[stage] = 1
        doom_stage(work, stage, Cause.WAVE, stage)


def leave_wave(work: Work, stage: int) -> None:
    resource = work.board.limit_count + stage
    work.board.used[resource] -= 1
    if resource in work.queues:
        work.wake[resource] = None
    if work.topology.stages[stage].shared:
        resize_wave(work, stage)


def resize_wave(work: Work, stage: int) -> None:
    resource = work.board.limit_count + stage
    work.board.capacity[resource] = work.board.wave_capacity(stage)
    if work.board.owed:
        for shared in (resource, work.board.budget_base + stage):
            if work.board.owed.get(shared):
                work.give_back(shared)
    if resource in work.queues:
        work.wake[resource] = None


def blocker(work: Work, task: int, stage: int) -> tuple[Cause, int] | None:
    """Why an unstarted task can never run, if so."""
    if work.always[stage]:
        return None
    machines = work.machines
    for need in work.topology.needs[stage]:
        other = task + (need - stage) * machines
        if work.state[other] in b.BAD:
            return Cause.NEED, other
    if work.board.dead[stage]:
        edges = work.topology.incoming[stage]
        edge = next(e for e in edges if work.board.edge_dead[e])
        return Cause.BARRIER, work.topology.edges[edge].source
    if work.board.halted[stage] and not work.flags[task] & b.STARTED:
        return Cause.WAVE, stage
    hold = work.board.rejection(stage)
    return (Cause.APPROVAL, hold) if hold >= 0 else None
