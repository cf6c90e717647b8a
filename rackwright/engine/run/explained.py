"""What each task of one machine came to, or waits for, in words. Reads; decides nothing."""

from typing import NamedTuple

from rackwright.engine.plan.model import Plan
from rackwright.engine.run import words
from rackwright.engine.run.holds import Holds
from rackwright.engine.schedule.events import Cause, TaskState
from rackwright.engine.schedule.explanation import Reason, explain
from rackwright.engine.schedule.scheduler import Scheduler


class Explained(NamedTuple):
    """One task; ``why`` is empty where it came to its end by its own attempt."""

    stage: str
    state: TaskState
    why: tuple[str, ...]


def explain_machine(plan: Plan, scheduler: Scheduler, holds: Holds, at: int) -> list[Explained]:
    """The tasks of the machine with index ``at``, in the plan's order."""
    found = []
    for number, stage in enumerate(plan.stages):
        if stage.name in plan.machines[at].stages:
            task = scheduler.topology.task(number, at)
            why = tuple(_reason(plan, holds, one) for one in explain(scheduler, task))
            found.append(Explained(stage.name, scheduler.state(task), why))
    return found


def _reason(plan: Plan, holds: Holds, found: Reason) -> str:
    text = words.reason(plan, found)
    if found.cause is Cause.APPROVAL and (refused := holds.refused.get(found.have)):
        return f"{text} by {refused}"
    return text
