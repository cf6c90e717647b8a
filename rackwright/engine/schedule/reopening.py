"""What an operator's retry or skip opens again.

Works on a board's states and leaves its counters recounted. Decides nothing else.
"""

from collections.abc import Iterable

from rackwright.engine.schedule import board as b
from rackwright.engine.schedule.board import Board
from rackwright.engine.schedule.events import Cause

Mark = tuple[int, int, Cause, int]
_ATTEMPT_FLAGS = b.PROBING | b.PROBED | b.IN_WAVE | b.WAVE_FAILED | b.SKIPPING | b.STARTED
_BAD = (b.FAILED, b.BLOCKED, b.CANCELLED)


def reopen(board: Board, failed: Iterable[int]) -> list[Mark]:
    """Open ``failed`` tasks again and their means, elections that came to nothing, blocked tasks
    whose cause is gone, and what was concluded over re-opened tasks once they had ended.

    Returns the marks to journal: (task, WAITING, cause, subject).
    """
    board.passed[:] = bytes(len(board.passed))
    opened: dict[int, None] = {}
    failed = list(failed)
    for task in (*failed, *_reopen_elections(board, retried=bool(failed))):
        _open(board, opened, task)
        _open_means(board, opened, task)
    _unblock(board, opened)
    _open_conclusions(board, opened)
    board.recount()
    return [(task, b.WAITING, Cause.RETRY, -1) for task in opened]


def _reopen_elections(board: Board, *, retried: bool) -> list[int]:
    """Elections that came to nothing are open again: those that were answered with "nobody" by a
    retry only. Returns the tasks which failed with them, on whichever machine."""
    machines = board.topology.machine_count
    found: list[int] = []
    for group, leader in enumerate(board.leader):
        if leader != b.VOID:
            continue
        tasks = [
            task
            for s in board.topology.picked[group]
            for task in range(s * machines, (s + 1) * machines)
            if board.state[task] == b.FAILED
        ]
        if retried or not tasks:
            board.leader[group] = b.PENDING
            found.extend(tasks)
    return found


def _open(board: Board, opened: dict[int, None], task: int) -> None:
    board.state[task] = b.WAITING
    board.flags[task] &= ~_ATTEMPT_FLAGS
    board.tries[task] = 0
    opened[task] = None


def _open_means(board: Board, opened: dict[int, None], end: int) -> None:
    machines = board.topology.machine_count
    stage = end // machines
    for means in board.topology.means[stage]:
        task = end + (means - stage) * machines
        if board.state[task] in (b.SATISFIED, b.CHANGED):
            _open(board, opened, task)


def _unblock(board: Board, opened: dict[int, None]) -> None:
    """Take every block away, then put back, earlier stages first, those whose cause stands."""
    machines = board.topology.machine_count
    flags = {task: board.flags[task] for task in tasks_in(board, b.BLOCKED)}
    for task in flags:
        board.state[task] = b.WAITING
        board.flags[task] &= ~_ATTEMPT_FLAGS
    board.recount()
    stage, stays = -1, False
    for task in flags:  # ascending: stage by stage, in topological order
        if task // machines != stage:
            stage = task // machines
            stays = (
                board.is_halting(stage)
                or board.rejection(stage) >= 0
                or any(board.edge_status(e)[1] for e in board.topology.incoming[stage])
                or _is_leaderless(board, stage)
            )
        blocked = stays or _is_blocked_on_its_machine(board, task, stage)
        if blocked and not board.unresolved[stage]:
            board.state[task] = b.BLOCKED
            board.flags[task] = flags[task]
            board.open[stage] -= 1
        else:
            _open(board, opened, task)


def _is_leaderless(board: Board, stage: int) -> bool:
    shape = board.topology.stages[stage]
    return shape.pick != "all" and board.leader[shape.group] == b.VOID


def _is_blocked_on_its_machine(board: Board, task: int, stage: int) -> bool:
    """By a need; or, for a means, by an end that failed and was not opened."""
    machines = board.topology.machine_count
    needs, ends = board.topology.needs[stage], board.topology.ends[stage]
    return any(board.state[task + (n - stage) * machines] in _BAD for n in needs) or any(
        board.state[task + (e - stage) * machines] == b.FAILED for e in ends
    )


def _open_conclusions(board: Board, opened: dict[int, None]) -> None:
    """In topological order, so that conclusions over conclusions follow."""
    topology = board.topology
    machines = topology.machine_count
    touched = {task // machines for task in opened}
    for s, shape in enumerate(topology.stages):
        settled = any(
            topology.edges[e].wait == "settled" and topology.edges[e].source in touched
            for e in topology.incoming[s]
        )
        for m in range(machines) if settled or shape.always else ():
            task = s * machines + m
            needs = topology.needs[s] if shape.always else ()
            mine = settled or any(p * machines + m in opened for p in needs)
            if mine and board.state[task] in (b.SATISFIED, b.CHANGED):
                _open(board, opened, task)
                touched.add(s)


def tasks_in(board: Board, state: int) -> list[int]:
    """Every task in a state, ascending."""
    found = []
    task = board.state.find(state)
    while task >= 0:
        found.append(task)
        task = board.state.find(state, task + 1)
    return found
