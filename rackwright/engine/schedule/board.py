"""The state of every task, in arrays; and the counters that follow from it.

Owns the arrays and ``recount``, which derives every counter from the task states alone: a restore
or an operator's retry sets states and recounts, the hot path keeps the counters by small steps.
Decides nothing. Hot-path file: arrays, bytes and plain ints instead of objects.
"""

from array import array
from typing import Final

from rackwright.engine.schedule.events import Result, TaskState
from rackwright.engine.schedule.topology import UNLIMITED, Topology

ABSENT: Final = int(TaskState.ABSENT)
WAITING: Final = int(TaskState.WAITING)
READY: Final = int(TaskState.READY)
PARKED: Final = int(TaskState.PARKED)
RUNNING: Final = int(TaskState.RUNNING)
BACKOFF: Final = int(TaskState.BACKOFF)
SATISFIED: Final = int(TaskState.SATISFIED)
CHANGED: Final = int(TaskState.CHANGED)
SKIPPED: Final = int(TaskState.SKIPPED)
FAILED: Final = int(TaskState.FAILED)
BLOCKED: Final = int(TaskState.BLOCKED)
CANCELLED: Final = int(TaskState.CANCELLED)
UNSTARTED: Final = frozenset({WAITING, READY, PARKED, BACKOFF})
QUEUED: Final = frozenset({READY, PARKED})
BAD: Final = frozenset({FAILED, BLOCKED, CANCELLED})
GOOD: Final = frozenset({SATISFIED, CHANGED, SKIPPED})

# flags of a task
PROBING: Final = 1  # its current or next attempt is a PROBE
PROBED: Final = 2  # its check said unsatisfied, or it ran in full: not probed again
IN_WAVE: Final = 4  # it holds a place in its stage's wave, from its first full start to its end
WAVE_FAILED: Final = 8  # it ended badly while in the wave
SKIPPING: Final = 16  # an operator skipped it while it ran
STARTED: Final = 32  # it ran in full since it was last opened: a halting wave lets it go on

# what a hold has come to
CLOSED: Final = 0  # a window; an approval that nobody has given yet
OPEN: Final = 1
REJECTED: Final = 2

# what a group's election has come to, beside the index of the elected machine
PENDING: Final = -1
ELECTING: Final = -2
VOID: Final = -3  # nobody can be elected; only a retry re-opens it

# results as plain ints: a member of an enum is looked up anew for each use of it
_SATISFIED: Final = int(Result.SATISFIED)
_CHANGED: Final = int(Result.CHANGED)
_UNSATISFIED: Final = int(Result.UNSATISFIED)
_UNKNOWN: Final = int(Result.UNKNOWN)
_CANCELLED: Final = int(Result.CANCELLED)

_STATES = range(256)
# 1 where a need is still unmet; for a normal dependent, and for one that runs always
_UNMET_SUCCESS: Final = bytes(s in (1, 2, 3, 4, 5, 9, 10, 11) for s in _STATES)
_UNMET_END: Final = bytes(1 <= s <= 5 for s in _STATES)


def ended(state: int) -> bool:
    return state >= SATISFIED


def succeeded(state: int) -> bool:
    return SATISFIED <= state <= SKIPPED


def is_proof(state: int, flags: int) -> bool:
    """Whether a task succeeded by a full attempt, as opposed to a probe or a skip."""
    return SATISFIED <= state <= CHANGED and bool(flags & STARTED)


def plausible(result: int, flags: int, *, cancel_wanted: bool) -> int:
    """A ``Result`` that fits what was asked: a probe changes nothing, a full attempt is never just
    unsatisfied, and nothing is cancelled that nobody cancelled."""
    if flags & PROBING:
        if result == _CHANGED:
            return _SATISFIED
    elif result == _UNSATISFIED:
        return _UNKNOWN
    if result == _CANCELLED and not cancel_wanted and not flags & SKIPPING:
        return _UNKNOWN
    return result


class Board:
    """Arrays over tasks (stage-major), lists over stages, edges, limits and groups.

    Resources are the limits, one wave per stage (``limit_count + stage``), and the holds (from
    ``hold_base``): a hold is a resource of which nothing is taken, with room or without. Behind
    them a shard's budgets of failures (from ``budget_base``), for which the wave's queue waits.
    """

    def __init__(self, topology: Topology) -> None:
        self.topology = topology
        stages = len(topology.stages)
        self.limit_count = len(topology.capacities)
        self.state = bytearray(b"".join(s.participants for s in topology.stages))
        self.unmet = bytearray(topology.task_count)
        self.flags = bytearray(topology.task_count)
        self.tries = bytearray(topology.task_count)  # retries used since it was last opened
        self.attempts = array("I", bytes(4 * topology.task_count))
        self.total = [0] * stages  # participants
        self.open = [0] * stages  # participants that have not ended
        self.ok = [0] * stages  # participants that succeeded
        self.proven = [0] * stages  # of destructive ones: participants that succeeded in full
        self.gate = [0] * stages  # barriers not met, plus one while an election is pending
        self.dead = [0] * stages  # barriers that can no longer be met
        self.wave_failures = [0] * stages
        self.halted = bytearray(stages)
        self.edge_met = bytearray(len(topology.edges))
        self.edge_dead = bytearray(len(topology.edges))
        self.hold_base = self.limit_count + stages
        self.holds = bytearray(len(topology.holds))
        self.used = [0] * (self.hold_base + len(self.holds))
        self.capacity = [*topology.capacities, *([UNLIMITED] * stages), *([0] * len(self.holds))]
        self.budget_base = self.hold_base + len(self.holds)
        self.granted = dict.fromkeys(topology.shared_resources, 0)  # and not given back
        self.owed = dict.fromkeys(topology.shared_resources, 0)  # recalled, and still in use
        self.denied = bytearray(stages)  # of a shared stage: there is no more budget
        for limit in topology.shared_limits:
            self.capacity[limit] = 0
        self.leader = [PENDING] * topology.group_count
        self.electing_stage = [-1] * topology.group_count
        self.unresolved = bytearray(stages)  # 1 while the stage's election is pending
        self.unsettled = [0] * stages  # of a trigger: needs of its candidates not ended yet
        self.passed = bytearray(len(topology.edges))  # restored: met before something re-opened
        self.cancelled = False
        self.paused = False
        self.finished = False

    def recount(self, *, restored: bool = False) -> None:
        """Derive every counter from states, flags and leaders. Queued tasks count as waiting.

        ``restored``: which waves halted is known already, and not to be decided again.
        """
        topology = self.topology
        for s, shape in enumerate(topology.stages):
            row = self._row(s).replace(b"\x02", b"\x01").replace(b"\x03", b"\x01")
            self.state[s * topology.machine_count : (s + 1) * topology.machine_count] = row
            self.total[s] = topology.machine_count - row.count(ABSENT)
            self.ok[s] = sum(map(row.count, (SATISFIED, CHANGED, SKIPPED)))
            bad = sum(map(row.count, (FAILED, BLOCKED, CANCELLED)))
            self.open[s] = self.total[s] - self.ok[s] - bad
            elected = shape.pick == "all" or self.leader[shape.group] not in (PENDING, ELECTING)
            self.unresolved[s] = not elected
        for s in range(len(topology.stages)):
            self._recount_unmet(s)
        self._recount_edges()
        self._recount_waves(restored=restored)
        self._recount_limits()
        for hold, now in enumerate(self.holds):
            self.set_hold(hold, now)
        for stages in topology.triggers:
            for s in stages:
                self.unsettled[s] = sum(
                    1
                    for p in topology.needs[s]
                    for mine, need in zip(self._row(s), self._row(p), strict=True)
                    if mine and WAITING <= need <= BACKOFF
                )

    def _row(self, stage: int) -> bytearray:
        count = self.topology.machine_count
        return self.state[stage * count : (stage + 1) * count]

    def _recount_unmet(self, stage: int) -> None:
        """Sums the needs' bytes as two long integers: no byte overflows, there are <= 255."""
        count = self.topology.machine_count
        table = _UNMET_END if self.topology.stages[stage].always else _UNMET_SUCCESS
        total = sum(
            int.from_bytes(self._row(p).translate(table), "little")
            for p in self.topology.needs[stage]
        )
        self.unmet[stage * count : (stage + 1) * count] = total.to_bytes(count, "little")

    def _recount_edges(self) -> None:
        topology = self.topology
        self.gate[:] = [int(u) for u in self.unresolved]
        self.dead[:] = [0] * len(topology.stages)
        for i, edge in enumerate(topology.edges):
            met, dead = self.edge_status(i)
            if self.passed[i]:
                met, dead = True, False
            self.edge_met[i] = met
            self.edge_dead[i] = dead
            self.gate[edge.target] += not met
            self.dead[edge.target] += dead

    def edge_status(self, index: int) -> tuple[bool, bool]:
        """Whether a barrier is met by the counts as they are, and whether it never can be: not
        said of a stage whose participants an election will still name."""
        edge = self.topology.edges[index]
        s = edge.source
        if edge.wait == "settled":
            return self.open[s] == 0, False
        required = edge.required(self.total[s])
        dead = not self.unresolved[s] and self.ok[s] + self.open[s] < required
        return self.ok[s] >= required, dead

    def _recount_waves(self, *, restored: bool) -> None:
        count = self.topology.machine_count
        for s, shape in enumerate(self.topology.stages):
            if not shape.has_waves:
                continue
            flags = self.flags[s * count : (s + 1) * count]
            if shape.destructive:
                self.proven[s] = sum(map(is_proof, self._row(s), flags))
            self.used[self.limit_count + s] = sum(1 for f in flags if f & IN_WAVE)
            self.wave_failures[s] = sum(1 for f in flags if f & WAVE_FAILED)
            self.capacity[self.limit_count + s] = self.wave_capacity(s)
            if not restored:
                self.halted[s] = self.is_halting(s)

    def canaries(self, stage: int) -> int:
        """How many machines have shown that the stage works."""
        is_destructive = self.topology.stages[stage].destructive
        return self.proven[stage] if is_destructive else self.ok[stage]

    def wave_capacity(self, stage: int) -> int:
        """How many may be in the wave at once: while canaries are out, only they."""
        shape = self.topology.stages[stage]
        if shape.shared:
            width = self.granted[self.limit_count + stage]
            budget = self.granted.get(self.budget_base + stage, UNLIMITED)  # always: none
            return max(0, min(width, budget - self.wave_failures[stage]))
        most = shape.max_parallel or UNLIMITED
        missing = shape.canary - self.canaries(stage)
        return min(most, missing) if missing > 0 else most

    def is_halting(self, stage: int) -> bool:
        shape = self.topology.stages[stage]
        failures = self.wave_failures[stage]
        if shape.shared:
            budget = self.granted.get(self.budget_base + stage, UNLIMITED)
            return bool(self.denied[stage]) and failures >= budget
        if not failures or shape.always:
            return False
        limit = shape.halt_at_failures
        return self.canaries(stage) < shape.canary or bool(limit and failures >= limit)

    def grant(self, resource: int, amount: int) -> None:
        """Counts a grant, or with a negative amount what was given back."""
        self.granted[resource] += amount
        if resource >= self.budget_base:
            if amount >= 0:
                self.denied[resource - self.budget_base] = not amount
        elif resource < self.limit_count:
            self.capacity[resource] += amount

    def taken(self, resource: int) -> int:
        """How much of a shared resource is in use: of a budget what was spent, and what is under
        way."""
        if resource >= self.budget_base:
            stage = resource - self.budget_base
            return self.wave_failures[stage] + self.used[self.limit_count + stage]
        return self.used[resource]

    def queue_of(self, resource: int) -> int:
        """Where tasks wait that lack a shared resource: for a budget its stage's wave."""
        if resource >= self.budget_base:
            return resource - self.budget_base + self.limit_count
        return resource

    def is_denied(self, resource: int) -> bool:
        return resource >= self.budget_base and bool(self.denied[resource - self.budget_base])

    def is_idle(self, resource: int, open_total: int) -> bool:
        """Nothing here will use it any more: its stage has settled, or everything has."""
        if resource < self.limit_count:
            return not open_total
        return not self.open[self.queue_of(resource) - self.limit_count]

    def set_hold(self, hold: int, now: int) -> None:
        self.holds[hold] = now
        self.capacity[self.hold_base + hold] = UNLIMITED if now == OPEN else 0

    def ask_again(self, asked: set[int]) -> None:
        """Approvals that were refused are open questions again."""
        for hold, now in enumerate(self.holds):
            if now == REJECTED:
                self.holds[hold] = CLOSED
                asked.discard(hold)

    def rejection(self, stage: int) -> int:
        """The stage's own approval that was refused; -1 for none."""
        if REJECTED in self.holds:
            for hold, (_, held) in enumerate(self.topology.holds):
                if held == stage and self.holds[hold] == REJECTED:
                    return hold
        return -1

    def _recount_limits(self) -> None:
        self.used[: self.limit_count] = [0] * self.limit_count
        for s, shape in enumerate(self.topology.stages):
            if shape.limits is None:
                continue
            row = self._row(s)
            machine = row.find(RUNNING)
            while machine >= 0:
                for limit in shape.limits[machine]:
                    self.used[limit] += 1
                machine = row.find(RUNNING, machine + 1)
