"""Where a scheduler stands, as plain bytes and numbers: what a snapshot keeps of it.

A ``Restoration`` begun from a standing goes on as if it had folded all facts up to there. Queued
tasks count as waiting, a pending election as not asked for: a restart asks again.
"""

from dataclasses import dataclass, field

from rackwright.engine.schedule import board as b
from rackwright.engine.schedule.board import Board
from rackwright.engine.schedule.events import Cause
from rackwright.engine.schedule.scheduler import Scheduler

_BYTES = ("state", "flags", "tries", "halted", "holds", "denied", "passed")
_UNQUEUED = bytes(b.WAITING if s in (b.READY, b.PARKED) else s for s in range(256))


@dataclass(frozen=True, slots=True)
class Standing:
    """``columns`` by name: one byte or (attempts) four for each task, stage or edge. ``causes``:
    task -> (Cause, subject)."""

    columns: dict[str, bytes]
    capacity: list[int]
    leader: list[int]
    cancelled: bool
    paused: bool
    finished: bool
    causes: dict[int, tuple[Cause, int]]
    shared: list[tuple[int, int, int]] = field(default_factory=list)
    """A shard's: resource, granted, owed."""


def standing(scheduler: Scheduler) -> Standing:
    board = scheduler.board
    return Standing(
        columns={
            "state": bytes(board.state.translate(_UNQUEUED)),
            "flags": bytes(board.flags),
            "tries": bytes(board.tries),
            "attempts": board.attempts.tobytes(),
            "halted": bytes(board.halted),
            "holds": bytes(board.holds),
            "denied": bytes(board.denied),
            "passed": bytes(a | c for a, c in zip(board.passed, board.edge_met, strict=True)),
        },
        capacity=board.capacity[: board.limit_count],
        leader=[b.PENDING if group == b.ELECTING else group for group in board.leader],
        cancelled=board.cancelled,
        paused=board.paused,
        finished=board.finished,
        causes=dict(scheduler.causes),
        shared=[(r, n, board.owed[r]) for r, n in board.granted.items()],
    )


def stand(board: Board, found: Standing) -> None:
    """Put a fresh board there. Raises ValueError where the sizes are of another topology."""
    if not board.holds:  # as in snapshots from before there were holds
        found.columns.setdefault("holds", b"")
    found.columns.setdefault("denied", bytes(len(board.denied)))
    for name in _BYTES:
        column: bytearray = getattr(board, name)
        if len(found.columns[name]) != len(column):
            raise ValueError(f"a snapshot of another size: {name}")
        column[:] = found.columns[name]
    attempts = found.columns["attempts"]
    if len(attempts) != 4 * len(board.attempts):
        raise ValueError("a snapshot of another size: attempts")
    del board.attempts[:]
    board.attempts.frombytes(attempts)
    if len(found.leader) != len(board.leader) or len(found.capacity) != board.limit_count:
        raise ValueError("a snapshot of another plan")
    board.capacity[: board.limit_count] = found.capacity
    board.leader[:] = found.leader
    for resource, granted, owed in found.shared:
        board.granted[resource], board.owed[resource] = granted, owed
    board.cancelled, board.paused = found.cancelled, found.paused
    board.finished = found.finished
