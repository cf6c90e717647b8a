"""Which ready tasks start: waves, limits, and the queues of those that were refused.

Limits and waves are *resources*. A ready task refused by one is parked in that resource's queue
and looked at again only when that one has room. When a task taken from one queue is refused by
another resource it moves there as the first queue's *delegate*: the first queue is looked at again
when the delegate leaves, so that no wake-up is lost; the number of delegates made in one go is
bounded, so that two full resources never shovel a whole queue to and fro.
"""

from collections import deque
from typing import Final

from rackwright.engine.schedule import board as b
from rackwright.engine.schedule.elections import try_elect
from rackwright.engine.schedule.endings import end_badly, fall, succeed
from rackwright.engine.schedule.events import AskApproval, Cause, Mode, Start
from rackwright.engine.schedule.work import Work

DELEGATES: Final = 16

_FULL = Mode.FULL
_PROBE = Mode.PROBE
_make = tuple.__new__


def drive(work: Work) -> None:
    """Until nothing more can start. Paused: nothing starts, nobody is elected."""
    while True:
        if work.ready:
            start_ready(work)
        elif work.doomed:
            fall(work)
        elif work.board.paused:
            return
        elif work.elections:
            try_elect(work, work.elections.popitem()[0])
        elif work.wake:
            drain(work, work.wake.popitem()[0])
        else:
            return


def start_ready(work: Work) -> None:
    ready = work.ready
    work.ready = []
    if work.board.paused:
        work.held.extend(ready)
        return
    state, attempts, plain, machines = work.state, work.attempts, work.plain, work.machines
    out = work.out.append
    for task in ready:
        if state[task] != b.READY:
            continue
        stage = task // machines
        if plain[stage]:
            state[task] = b.RUNNING
            attempt = attempts[task] + 1
            attempts[task] = attempt
            out(_make(Start, (task, attempt, _FULL)))
        else:
            launch(work, task, stage)


def launch(work: Work, task: int, stage: int) -> None:
    probing = work.flags[task] & b.PROBING
    if not probing and work.topology.ends[stage] and not is_means_due(work, task, stage):
        return
    refused = admit(work, task, stage)
    if refused >= 0:
        park(work, task, refused)


def admit(work: Work, task: int, stage: int) -> int:
    """Start the task; or the resource that refuses it, and nothing is taken."""
    board = work.board
    used, capacity = board.used, board.capacity
    flags = work.flags[task]
    probing = flags & b.PROBING
    wave = -1
    if not probing and (hold := held_by(work, task, stage)) >= 0:
        return hold
    if work.waved[stage] and not probing and not flags & b.IN_WAVE:
        wave = board.limit_count + stage
        if used[wave] >= capacity[wave]:
            return wave
    limits = work.topology.stages[stage].limits
    if limits is not None:
        held = limits[task % work.machines]
        for limit in held:
            if used[limit] >= capacity[limit]:
                return limit
        for limit in held:
            used[limit] += 1
    if wave >= 0:
        used[wave] += 1
        flags |= b.IN_WAVE
    work.flags[task] = flags if probing else flags | b.PROBED | b.STARTED
    work.leave_queue(task)
    work.state[task] = b.RUNNING
    attempt = work.attempts[task] + 1
    work.attempts[task] = attempt
    work.out.append(_make(Start, (task, attempt, _PROBE if probing else _FULL)))
    return -1


def held_by(work: Work, task: int, stage: int) -> int:
    """The first closed hold of a task, as a resource, or -1. Asks for its approval."""
    holds = work.topology.stages[stage].holds
    board = work.board
    for hold in holds[task % work.machines] if holds is not None else ():
        if board.holds[hold] != b.OPEN:
            if work.topology.holds[hold].kind == "approval" and hold not in work.asked:
                work.asked.add(hold)
                work.out.append(AskApproval(hold))
            return board.hold_base + hold
    return -1


def park(work: Work, task: int, resource: int) -> None:
    work.state[task] = b.PARKED
    work.parked[task] = resource
    queue = work.queues.get(resource)
    if queue is None:
        queue = work.queues[resource] = deque()
    queue.append(task)


def drain(work: Work, resource: int) -> None:
    queue = work.queues.get(resource)
    used, capacity = work.board.used, work.board.capacity
    delegates = 0
    while queue and used[resource] < capacity[resource] and delegates < DELEGATES:
        task = queue.popleft()
        if work.parked.get(task) != resource:
            continue
        refused = admit(work, task, task // work.machines)
        if refused >= 0:
            park(work, task, refused)
            work.delegate_of.setdefault(task, []).append(resource)
            delegates += 1
    if queue is not None and not queue:
        del work.queues[resource]


def is_means_due(work: Work, task: int, stage: int) -> bool:
    """Whether a ready means must run. If not, an end is being asked, or it has been settled.

    The ends are probed one after another; the first unsatisfied one decides.
    """
    state, flags, machines = work.state, work.flags, work.machines
    dead = -1
    for end in work.topology.ends[stage]:
        other = task + (end - stage) * machines
        now = state[other]
        if now == b.ABSENT or now in b.GOOD:
            continue
        if now in b.BAD:
            dead = other
        elif flags[other] & b.PROBED:
            return True
        else:
            state[task] = b.WAITING
            if not flags[other] & b.PROBING:
                work.leave_queue(other)
                flags[other] |= b.PROBING
                state[other] = b.READY
                work.ready.append(other)
            return False
    if dead >= 0:
        end_badly(work, task, b.BLOCKED, Cause.ENDS, dead)
    else:
        succeed(work, task, stage, b.SKIPPED, Cause.ENDS, task)
    return False
