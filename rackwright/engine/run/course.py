"""How a run stands while it is driven: what the rooms of the runner share."""

from collections.abc import Iterable

from rackwright.engine.errors import OperatorError
from rackwright.engine.plan.model import Plan
from rackwright.engine.run.deadlines import Deadlines
from rackwright.engine.run.ports import Attempt, Clock, Fact
from rackwright.engine.run.restore import restore
from rackwright.engine.schedule import board as b
from rackwright.engine.schedule.events import RunStatus
from rackwright.engine.schedule.topology import Topology


class Course:
    """Restored from the run's past, and kept up by the runner. ``due``: task -> when its retry is,
    unix seconds; ``overdue``: (task, attempt, due) of retries that a dead controller had set."""

    def __init__(
        self,
        plan: Plan,
        clock: Clock,
        grace_s: float,
        past: tuple[bytes, Iterable[Fact]],
        *,
        is_shard: bool = False,
    ) -> None:
        snapshot, facts = past
        self.plan = plan
        self.clock = clock
        self.grace_s = grace_s
        self.deadlines = Deadlines(clock, grace_s)
        self.topology = Topology.from_plan(plan, is_shard=is_shard)
        self.machines = self.topology.machine_count or 1
        self.timeouts = tuple(stage.timeout_s for stage in plan.stages)
        self.limits = tuple(plan.limits)
        restored = restore(plan, self.topology, facts, snapshot)
        self.scheduler = restored.scheduler
        self.board = self.scheduler.board
        self.knowledge = restored.knowledge
        self.holds = restored.holds
        self.overdue = restored.timers
        self.due = {task: due for task, _, due in restored.timers}

    def is_in_flight(self, task: int, attempt: int) -> bool:
        return (
            0 <= task < self.topology.task_count
            and self.board.state[task] == b.RUNNING
            and self.board.attempts[task] == attempt
        )

    def is_unwanted(self, task: int) -> bool:
        """Under way, and cancelled or skipped since it began."""
        stage = self.plan.stages[task // self.machines]
        cancelled = self.board.cancelled and not stage.always
        return cancelled or bool(self.board.flags[task] & b.SKIPPING)

    def in_flight(self) -> list[Attempt]:
        """Attempts that a dead controller had under way."""
        return [
            Attempt(*start, self.timeouts[start.task // self.machines], True)
            for start in self.scheduler.in_flight()
        ]

    def status(self) -> RunStatus:
        """Of a run that has not ended."""
        return RunStatus.PAUSED if self.board.paused else RunStatus.RUNNING

    def machine_index(self, machine_id: str) -> int:
        """By id or name. Raises OperatorError."""
        for i, machine in enumerate(self.plan.machines):
            if machine_id in (machine.id, machine.name):
                return i
        raise OperatorError(f"the plan has no machine {machine_id!r}", machine=machine_id)

    def stage_index(self, name: str) -> int:
        """Raises OperatorError."""
        for i, stage in enumerate(self.plan.stages):
            if stage.name == name:
                return i
        raise OperatorError(f"the plan has no stage {name!r}", stage=name)

    def task(self, stage: str, machine_id: str) -> int:
        """Raises OperatorError."""
        return self.topology.task(self.stage_index(stage), self.machine_index(machine_id))
