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
from rackwright.engine.plan.model import Plan
from rackwright.engine.run import words
from rackwright.engine.run.ports import Fact
from rackwright.engine.run.report import RunReport, report
from rackwright.engine.run.restore import restore
from rackwright.engine.schedule.events import TaskState
from rackwright.engine.schedule.explanation import explain
from rackwright.engine.schedule.topology import Topology
from rackwright.inventory.facade import Inventory


class ReportService:
    def __init__(self, inventory: Inventory, plans: PlanService, runs: RunService) -> None:
        self._inventory = inventory
        self._plans = plans
        self._runs = runs

    async def of_run(self, run_id: str) -> dict[str, Any]:
        """Makespan, critical path, where time went, failures by cause; of any run."""
        plan = self._plan_of(run_id)
        journal = self._inventory.journal(run_id, fact=Fact)
        told = await asyncio.to_thread(lambda: report(plan, journal.each()))
        return {"run": run_id, **report_view(told)}

    async def explain(self, run_id: str, machine: str) -> list[dict[str, str]]:
        """What each of a machine's tasks came to or waits for, and why; of any run."""
        plan = self._plan_of(run_id)
        if not any(machine in (m.id, m.name) for m in plan.machines):
            raise OperatorError(f"run {run_id} has no machine {machine!r}", machine=machine)
        if self._runs.is_live(run_id):
            at = next(i for i, m in enumerate(plan.machines) if machine in (m.id, m.name))
            tasks = {t.stage_name: t for t in self._inventory.tasks(run_id, machine=at)}
            return [
                {
                    "stage": row["stage"],
                    "state": TaskState(tasks[row["stage"]].state).name.lower()
                    if row["stage"] in tasks
                    else "waiting",
                    "why": row["why"],
                }
                for row in self._runs.explain(run_id, machine)
            ]
        return await asyncio.to_thread(self._explain_past, run_id, plan, machine)

    def _explain_past(self, run_id: str, plan: Plan, machine: str) -> list[dict[str, str]]:
        snapshot, facts = self._inventory.journal(run_id, fact=Fact).past()
        topology = Topology.from_plan(plan)
        scheduler = restore(plan, topology, facts, snapshot).scheduler
        at = next(i for i, m in enumerate(plan.machines) if machine in (m.id, m.name))
        errors = {t.stage: t.error for t in self._inventory.tasks(run_id, machine=at)}
        rows = []
        for number, stage in enumerate(plan.stages):
            if stage.name not in plan.machines[at].stages:
                continue
            task = topology.task(number, at)
            why = "; ".join(words.reason(plan, r) for r in explain(scheduler, task))
            state = scheduler.state(task).name.lower()
            rows.append({"stage": stage.name, "state": state, "why": why or errors.get(number, "")})
        return rows

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
