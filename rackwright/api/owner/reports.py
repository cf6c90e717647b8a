"""What is worked out from journals, plans and workflows on demand: in a thread, since a large run
takes seconds.
"""

import asyncio
from dataclasses import asdict
from typing import Any, Literal

from rackwright.api.owner.plans import PlanService
from rackwright.api.owner.runs import RunService
from rackwright.api.timestamps import iso_utc_or_none
from rackwright.engine.content.errors import Problems
from rackwright.engine.errors import OperatorError
from rackwright.engine.plan.diff import plan_diff
from rackwright.engine.plan.draw import draw
from rackwright.engine.plan.graph import stage_graph
from rackwright.engine.plan.model import NOT_APPLICABLE, Plan, PlannedMachine
from rackwright.engine.run.explained import Explained, explain_machine
from rackwright.engine.run.ports import Fact
from rackwright.engine.run.report import RunReport, report
from rackwright.engine.run.restore import restore
from rackwright.engine.schedule.events import SUCCEEDED, TaskState
from rackwright.engine.schedule.topology import Topology
from rackwright.inventory.facade import Inventory
from rackwright.inventory.values import TaskView


class ReportService:
    def __init__(self, inventory: Inventory, plans: PlanService, runs: RunService) -> None:
        self._inventory = inventory
        self._plans = plans
        self._runs = runs

    async def of_run(self, run_id: str) -> dict[str, Any]:
        """Makespan, critical path, where time went, failures by cause; of any run."""
        plan = self._plan_of(run_id)
        journal = self._inventory.journal(run_id, fact=Fact)
        told = await asyncio.to_thread(lambda: report(plan, journal.each(), *journal.standing()))
        return {"run": run_id, **report_view(told), "status": self._runs.status(run_id)}

    async def explain(self, run_id: str, machine: str) -> list[dict[str, str]]:
        """What each of a machine's tasks came to or waits for, and why; of any run."""
        plan = self._plan_of(run_id)
        if not any(machine in (m.id, m.name) for m in plan.machines):
            raise OperatorError(f"run {run_id} has no machine {machine!r}", machine=machine)
        at = next(i for i, m in enumerate(plan.machines) if machine in (m.id, m.name))
        if self._runs.is_live(run_id):
            found = self._runs.explain(run_id, at)
        else:
            found = await asyncio.to_thread(self._past, run_id, plan, at)
        tasks = {t.stage_name: t for t in self._inventory.tasks(run_id, machine=at)}
        is_left = self._runs.status(run_id) == "interrupted"
        left = f"nobody drives the run (rackwright run resume {run_id})" if is_left else ""
        rows = [_explained(told, tasks.get(told.stage), left) for told in found]
        left_out = _left_out(plan, plan.machines[at])
        order = {stage.name: number for number, stage in enumerate(plan.stages)}
        return sorted((*rows, *left_out), key=lambda row: order[row["stage"]])

    def _past(self, run_id: str, plan: Plan, at: int) -> list[Explained]:
        snapshot, facts = self._inventory.journal(run_id, fact=Fact).past()
        restored = restore(plan, Topology.from_plan(plan), facts, snapshot)
        return explain_machine(plan, restored.scheduler, restored.holds, at)

    def diff(self, old: str, new: str) -> list[dict[str, str]]:
        """What differs between two plans, by digest or the beginning of it."""
        rows = plan_diff(self._plans.get(old), self._plans.get(new))
        return [{"what": what, "old": before, "new": after} for what, before, after in rows]

    def graph(self, workflow: str, style: Literal["text", "mermaid", "svg"]) -> str:
        """Raises ContentErrors for a workflow whose stages have no order."""
        found = self._plans.library().workflow(workflow)
        problems = Problems()
        graph = stage_graph(found, problems)
        problems.check()
        if graph is None:
            raise OperatorError(f"workflow {workflow} has no order")
        return draw(found, graph, style)

    def _plan_of(self, run_id: str) -> Plan:
        return self._plans.get(self._inventory.run(run_id).plan_digest)


_OVER = frozenset((*SUCCEEDED, TaskState.FAILED, TaskState.BLOCKED, TaskState.CANCELLED))


def _explained(told: Explained, task: TaskView | None, left: str) -> dict[str, str]:
    """A failure speaks for itself; what else a task came to is the scheduler's to tell. ``left``:
    said first of what has not ended."""
    why = "; ".join(told.why)
    if left and told.state not in _OVER:
        why = f"{left}; {why}" if why else left
    error = task.error if task is not None else ""
    match told.state:
        case TaskState.FAILED:
            why = error or why
        case TaskState.BACKOFF if error:
            why = f"{why}, after: {error}"
        case _:
            why = why or error
    return {"stage": told.stage, "state": told.state.name.lower(), "why": why}


def _left_out(plan: Plan, machine: PlannedMachine) -> list[dict[str, str]]:
    """Stages that the plan found not to concern the machine, and why."""
    rows = []
    for stage in plan.stages:
        word = machine.expected.get(stage.name, "")
        if word not in NOT_APPLICABLE:
            continue
        if word == NOT_APPLICABLE[1]:
            why = f"when {stage.when}"
        elif machine.origin == "existing":
            why = "it came with an OS"
        else:
            why = "what it is a means to does not concern this machine"
        rows.append({"stage": stage.name, "state": "not applicable", "why": why})
    return rows


def report_view(told: RunReport) -> dict[str, Any]:
    """A report as JSON: moments in ISO 8601, failures counted by cause."""
    return {
        "status": told.status.name.lower(),
        "started": iso_utc_or_none(told.started_at),
        "ended": iso_utc_or_none(told.ended_at),
        "makespan_s": round(told.wall_s, 3),
        "changed": told.changed,
        "critical_path": [asdict(step) for step in told.critical_path],
        "stages": [
            {
                **asdict(stage),
                "started_at": iso_utc_or_none(stage.started_at),
                "ended_at": iso_utc_or_none(stage.ended_at),
            }
            for stage in told.stages
        ],
        "failures": len(told.failures),
        "causes": [
            {"stage": stage, "error": error, "machines": count}
            for stage, error, count in told.causes
        ],
        "blocked": list(told.blocked),
    }
