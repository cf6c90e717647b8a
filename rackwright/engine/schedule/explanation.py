"""What a task waits for, or why it ended as it did. Reads a scheduler, changes nothing."""

from enum import StrEnum
from typing import NamedTuple

from rackwright.engine.schedule import board as b
from rackwright.engine.schedule.events import Cause
from rackwright.engine.schedule.scheduler import Scheduler


class Why(StrEnum):
    NEED = "need"  # stage: the need on the same machine
    BARRIER = "barrier"  # stage: whose machines it waits for; have and required: successes or ends
    ELECTION = "election"  # have: the group
    ENDS = "ends"  # a means: stage is the end being asked
    WAVE = "wave"  # have and required: in the wave, its size now
    LIMIT = "limit"  # have and required: used, capacity; stage: the limit's index
    WINDOW = "window"  # stage: the hold's index
    APPROVAL = "approval"  # stage: the hold's index
    TIMER = "timer"  # have and required: retries used, allowed
    RUNNING = "running"  # have: attempt
    PAUSED = "paused"
    CAUSE = "cause"  # ended without an outcome of its own: cause and subject


class Reason(NamedTuple):
    why: Why
    stage: int = -1
    have: int = -1
    required: int = -1
    cause: Cause | None = None


def explain(scheduler: Scheduler, task: int) -> tuple[Reason, ...]:
    """Empty for a task that succeeded by its own attempt or does not concern the machine."""
    state = scheduler.board.state[task]
    stage = scheduler.topology.stage_of(task)
    if state == b.RUNNING:
        return (Reason(Why.RUNNING, have=scheduler.board.attempts[task]),)
    if state == b.BACKOFF:
        retries = scheduler.topology.stages[stage].retries
        return (Reason(Why.TIMER, have=scheduler.board.tries[task], required=retries),)
    if b.ended(state):
        cause = scheduler.causes.get(task)
        if cause is None or state in (b.SATISFIED, b.CHANGED):
            return ()
        return (Reason(Why.CAUSE, have=cause[1], cause=cause[0]),)
    paused = (Reason(Why.PAUSED),) if scheduler.board.paused else ()
    if state == b.PARKED:
        return (_parked(scheduler, task), *paused)
    return (*_waits(scheduler, task, stage), *paused) if state == b.WAITING else paused


def _waits(scheduler: Scheduler, task: int, stage: int) -> list[Reason]:
    board, topology = scheduler.board, scheduler.topology
    machines = topology.machine_count
    needed = b.ended if topology.stages[stage].always else b.succeeded
    found = [
        Reason(Why.NEED, stage=need)
        for need in topology.needs[stage]
        if (now := board.state[task + (need - stage) * machines]) and not needed(now)
    ]
    for index in topology.incoming[stage]:
        if not board.edge_met[index]:
            edge = topology.edges[index]
            total, open_ = board.total[edge.source], board.open[edge.source]
            settled = edge.wait == "settled"
            have = total - open_ if settled else board.ok[edge.source]
            required = total if settled else edge.required(total)
            found.append(Reason(Why.BARRIER, stage=edge.source, have=have, required=required))
    if board.unresolved[stage]:
        found.append(Reason(Why.ELECTION, have=topology.stages[stage].group))
    if not found and topology.ends[stage]:
        asked = [
            end
            for end in topology.ends[stage]
            if b.READY <= board.state[task + (end - stage) * machines] <= b.BACKOFF
        ]
        found.extend(Reason(Why.ENDS, stage=end) for end in asked)
    return found


def _parked(scheduler: Scheduler, task: int) -> Reason:
    board = scheduler.board
    resource = scheduler.parked_on(task)
    if resource >= board.hold_base:
        hold = resource - board.hold_base
        kind = scheduler.topology.holds[hold].kind
        return Reason(Why.WINDOW if kind == "window" else Why.APPROVAL, stage=hold)
    wave = resource >= board.limit_count
    return Reason(
        Why.WAVE if wave else Why.LIMIT,
        stage=resource - board.limit_count if wave else resource,
        have=board.used[resource],
        required=board.capacity[resource],
    )
