"""What an operator may ask of a run that is driven: checked here, taken by the next turn."""

from abc import ABC, abstractmethod

from rackwright.engine.errors import OperatorError
from rackwright.engine.run.course import Course
from rackwright.engine.run.explained import Explained, explain_machine
from rackwright.engine.run.turn import Question
from rackwright.engine.schedule import board as b
from rackwright.engine.schedule.events import (
    CancelAsked,
    Decided,
    Granted,
    LimitChanged,
    PauseAsked,
    Recalled,
    RetryAsked,
    SkipAsked,
)
from rackwright.engine.schedule.explanation import Reason, explain


class Operated(ABC):
    """A run as its operator sees it. Every call comes from the runner's event loop."""

    def __init__(self, course: Course) -> None:
        self._course = course

    @abstractmethod
    async def _submit(self, event: Question, by: str, reason: str) -> None:
        """Resolves when the order is durable."""

    async def ask(self, event: Question, *, by: str = "", reason: str = "") -> None:
        """Resolves when the order is durable. May be called before ``run``.

        Raises OperatorError for an order that does not fit the run.
        """
        self._check(event)
        await self._submit(event, by, reason)

    async def cancel(self, *, by: str = "", reason: str = "") -> None:
        """Unstarted tasks end, what runs is told to stop, ``always`` stages still run."""
        await self.ask(CancelAsked(), by=by, reason=reason)

    async def pause(self, paused: bool, *, by: str = "", reason: str = "") -> None:
        await self.ask(PauseAsked(paused), by=by, reason=reason)

    async def retry(self, machine_id: str = "", *, by: str = "", reason: str = "") -> None:
        """Failed tasks again; of one machine where it is named."""
        machine = self._course.machine_index(machine_id) if machine_id else -1
        await self.ask(RetryAsked(machine), by=by, reason=reason)

    async def skip(self, stage: str, machine_id: str, *, by: str, reason: str) -> None:
        """Count one task as succeeded. The reason is kept."""
        if not reason:
            raise OperatorError("a skip needs a reason", stage=stage, machine=machine_id)
        await self.ask(SkipAsked(self._course.task(stage, machine_id)), by=by, reason=reason)

    async def set_limit(self, name: str, capacity: int, *, by: str = "", reason: str = "") -> None:
        limits = self._course.limits
        if name not in limits:
            known = ", ".join(limits) or "none"
            raise OperatorError(f"the run has no limit {name!r}", hint=f"limits: {known}")
        await self.ask(LimitChanged(limits.index(name), capacity), by=by, reason=reason)

    async def decide(self, stage: str, approved: bool, *, by: str, reason: str = "") -> None:
        """Answer the approval that a stage waits for, or will. Raises OperatorError where there is
        none, it was answered, or a refusal gives no reason."""
        hold = self._course.holds.hold_of(stage)
        if not approved and not reason:
            raise OperatorError("a refusal needs a reason", stage=stage)
        now = self._course.board.holds[hold]
        if now != b.CLOSED:
            word = "approved" if now == b.OPEN else "refused"
            raise OperatorError(
                f"stage {stage} was {word} already",
                hint="" if word == "approved" else "retry the run: it asks again",
                stage=stage,
            )
        await self.ask(Decided(hold, approved), by=by, reason=reason)

    def explain(self, stage: str, machine_id: str) -> tuple[Reason, ...]:
        """What one task waits for, or why it ended so; see ``words.reason`` for the text."""
        return explain(self._course.scheduler, self._course.task(stage, machine_id))

    def explain_machine(self, at: int) -> list[Explained]:
        """All tasks of the machine with index ``at``."""
        course = self._course
        return explain_machine(course.plan, course.scheduler, course.holds, at)

    def _check(self, event: Question) -> None:
        course = self._course
        match event:
            case LimitChanged(limit, capacity):
                if not 0 <= limit < len(course.limits) or capacity < 0:
                    raise OperatorError(f"a limit's capacity is 0 or more, not {capacity}")
            case RetryAsked() if course.board.cancelled:
                raise OperatorError("the run is cancelled", hint="apply the spec again")
            case RetryAsked(machine):
                if not -1 <= machine < course.topology.machine_count:
                    raise OperatorError(f"there is no machine {machine}")
            case SkipAsked(task):
                if not 0 <= task < course.topology.task_count:
                    raise OperatorError(f"there is no task {task}")
            case Granted(resource, amount) | Recalled(resource, amount):
                if resource not in course.topology.shared_resources or amount < 0:
                    raise OperatorError(f"{resource} is not shared, or {amount} is no amount")
            case Decided(hold):
                if hold not in course.holds.approvals():
                    raise OperatorError(f"there is no approval {hold}")
            case _:
                pass
