"""A scheduler's working state: the board, the commands to give, and the worklists.

Owned by one ``Scheduler`` and handed to the rooms that decide: endings, barriers, means,
elections, starting, orders, search. Holds small steps that all of them take, and decides nothing.
Hot-path file: arrays and plain ints; the board's arrays have a name here too, which saves a lookup.
"""

from collections import deque

from rackwright.engine.schedule import board as b
from rackwright.engine.schedule.board import Board
from rackwright.engine.schedule.events import Cause, Command, Marked, Returned, TaskState
from rackwright.engine.schedule.topology import Topology


class Work:
    """``out``: commands not taken yet. Everything else is said where it is set."""

    __slots__ = (
        *("always", "asked", "attempts", "board", "causes", "deferred", "delegate_of", "doomed"),
        *("elections", "erases", "flags", "gate", "held", "machines", "ok", "open", "open_total"),
        *("out", "parked", "plain", "queues", "ready", "state", "steps", "topology", "tries"),
        *("unmet", "wake", "wanted", "watched", "watchers", "waved"),
    )

    def __init__(self, topology: Topology, board: Board) -> None:
        self.topology = topology
        self.board = board
        self.machines = topology.machine_count or 1
        self.out: list[Command] = []
        self.ready: list[int] = []
        self.held: list[int] = []  # ready, but the run is paused
        self.wake: dict[int, None] = {}  # resources with room and a queue
        self.doomed: list[tuple[int, Cause, int]] = []
        self.elections: dict[int, None] = {}  # groups whose election may be possible now
        self.queues: dict[int, deque[int]] = {}  # resource -> tasks parked on it; no empty ones
        self.parked: dict[int, int] = {}  # task -> the resource it is parked on
        self.delegate_of: dict[int, list[int]] = {}  # task -> queues that wait for it to leave
        self.deferred: dict[int, list[int]] = {}  # machine -> ends that wait to re-open a means
        self.asked: set[int] = set()  # approvals that were asked for
        self.wanted: set[int] = set()  # shared resources of which more was asked for
        self.causes: dict[int, tuple[Cause, int]] = {}
        self.state, self.unmet, self.flags = board.state, board.unmet, board.flags
        self.attempts, self.tries = board.attempts, board.tries
        self.open, self.ok, self.gate = board.open, board.ok, board.gate
        self.open_total = sum(board.open)
        self._know_stages()

    def _know_stages(self) -> None:
        """What is known per stage for good."""
        topology = self.topology
        machines = topology.machine_count
        shapes = topology.stages
        stages = range(len(shapes))
        self.always = tuple(x.always for x in shapes)
        self.steps = tuple(
            tuple(((c - s) * machines, c) for c in topology.dependents[s]) for s in stages
        )
        self.erases = tuple(x.destructive for x in shapes)
        self.waved = tuple(x.has_waves for x in shapes)
        self.watchers: tuple[tuple[int, ...], ...] = tuple(
            tuple(t for ts in topology.triggers for t in ts if s in topology.needs[t])
            for s in stages
        )
        # nothing but states and counters moves when such a task starts or succeeds
        self.plain = tuple(
            shapes[s].limits is None
            and shapes[s].holds is None
            and not self.waved[s]
            and not topology.ends[s]
            and not topology.means[s]
            and not any(topology.ends[n] for n in topology.needs[s])
            for s in stages
        )
        self.watched = tuple(
            bool(topology.outgoing[s] or self.watchers[s] or shapes[s].canary) for s in stages
        )

    def mark(self, task: int, state: int, cause: Cause, subject: int) -> None:
        self.causes[task] = (cause, subject)
        self.out.append(Marked(task, TaskState(state), cause, subject))

    def meet_need(self, task: int, stage: int) -> None:
        self.unmet[task] -= 1
        if not self.unmet[task] and not self.gate[stage] and self.state[task] == b.WAITING:
            self.state[task] = b.READY
            self.ready.append(task)

    def tasks(self, stage: int) -> range:
        return range(stage * self.topology.machine_count, (stage + 1) * self.topology.machine_count)

    def leave_queue(self, task: int) -> None:
        """Its entry in the queue becomes stale; queues that waited for it are looked at again."""
        if self.parked.pop(task, None) is not None:
            for resource in self.delegate_of.pop(task, ()):
                self.wake[resource] = None

    def give_back(self, resource: int, *, is_owed: bool = True) -> None:
        """Of what is owed, as much as is free; or, not owed, all that is free."""
        board = self.board
        free = board.granted[resource] - board.taken(resource)
        if is_owed:
            free = min(free, board.owed[resource])
        if free <= 0:
            return
        board.owed[resource] = max(0, board.owed[resource] - free)
        board.granted[resource] -= free
        if resource < board.limit_count:
            board.capacity[resource] -= free
        else:
            wave = board.queue_of(resource)
            board.capacity[wave] = board.wave_capacity(wave - board.limit_count)
        self.out.append(Returned(resource, free))

    def release_limits(self, task: int, stage: int) -> None:
        limits = self.topology.stages[stage].limits
        if limits is not None:
            used, queues, owed = self.board.used, self.queues, self.board.owed
            for limit in limits[task % self.machines]:
                used[limit] -= 1
                if limit in queues:
                    self.wake[limit] = None
                if limit in owed:
                    self.give_back(limit)
