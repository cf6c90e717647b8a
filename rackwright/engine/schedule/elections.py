"""One of a group, chosen at run time: when to ask, and what the answer settles."""

from rackwright.engine.schedule import board as b
from rackwright.engine.schedule.barriers import check_edges, open_gate, resize_wave
from rackwright.engine.schedule.endings import end_badly, fall
from rackwright.engine.schedule.events import Cause, Elect, Elected, StageSettled
from rackwright.engine.schedule.means import doom_if_blocked
from rackwright.engine.schedule.work import Work


def try_elect(work: Work, group: int) -> None:
    """Ask once every candidate's needs have ended and the barriers are met; give up when no
    stage that could ask ever will."""
    board = work.board
    if board.leader[group] != b.PENDING or not work.topology.picked[group]:
        return
    hopeless = True
    for stage in work.topology.triggers[group]:
        if not board.unsettled[stage] and board.gate[stage] == 1:
            candidates = tuple(
                t % work.machines
                for t in work.tasks(stage)
                if work.state[t] == b.WAITING and not work.unmet[t]
            )
            if candidates:
                board.leader[group] = b.ELECTING
                board.electing_stage[group] = stage
                work.out.append(Elect(group, stage, candidates))
                return
        elif not board.dead[stage]:
            hopeless = False
    if hopeless:
        void_election(work, group, -1)


def void_election(work: Work, group: int, failed_stage: int) -> None:
    work.board.leader[group] = b.VOID
    for stage in work.topology.picked[group]:
        work.board.unresolved[stage] = 0
        work.gate[stage] -= 1
        state = b.FAILED if stage == failed_stage else b.BLOCKED
        for task in work.tasks(stage):
            if work.state[task] in b.UNSTARTED:
                end_badly(work, task, state, Cause.ELECTION, group)
        check_edges(work, stage)
    fall(work)


def on_elected(work: Work, event: Elected) -> None:
    group, machine = event
    board = work.board
    if board.leader[group] != b.ELECTING:
        return
    stage = board.electing_stage[group]
    if not 0 <= machine < work.machines or work.state[work.topology.task(stage, machine)] not in (
        b.WAITING,
        b.SKIPPED,
    ):
        void_election(work, group, stage)
        return
    board.leader[group] = machine
    for stage in work.topology.picked[group]:
        wants_leader = work.topology.stages[stage].pick == "one"
        for task in work.tasks(stage):
            if (task % work.machines == machine) != wants_leader:
                make_absent(work, task, stage)
        board.unresolved[stage] = 0
        work.gate[stage] -= 1
    for stage in work.topology.picked[group]:
        settle_membership(work, stage)
    fall(work)


def settle_membership(work: Work, stage: int) -> None:
    """An elected stage knows its participants: what counts them is looked at again."""
    check_edges(work, stage)
    if work.waved[stage]:
        resize_wave(work, stage)
    if work.board.total[stage] and not work.open[stage]:
        work.out.append(StageSettled(stage))
    for task in work.tasks(stage):
        if work.state[task] == b.WAITING:
            doom_if_blocked(work, task, stage)
    open_gate(work, stage)


def make_absent(work: Work, task: int, stage: int) -> None:
    if work.state[task] != b.WAITING:
        return
    work.state[task] = b.ABSENT
    work.board.total[stage] -= 1
    work.open[stage] -= 1
    work.open_total -= 1
    for trigger in work.watchers[stage]:
        other = task + (trigger - stage) * work.machines
        if work.board.unresolved[trigger] and work.state[other] != b.ABSENT:
            work.board.unsettled[trigger] -= 1
            if not work.board.unsettled[trigger]:
                work.elections[work.topology.stages[trigger].group] = None
    for step, child_stage in work.steps[stage]:
        work.meet_need(task + step, child_stage)
