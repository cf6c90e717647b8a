"""Runs as the API gives them: states by name, stages with counts, machines and their place."""

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any, Protocol

from rackwright.api.owner.plans import PlanService
from rackwright.api.timestamps import iso_utc, iso_utc_or_none
from rackwright.engine.plan.model import Plan
from rackwright.engine.run.runner import Runner
from rackwright.engine.schedule.events import RunStatus, TaskState
from rackwright.inventory.facade import Inventory
from rackwright.inventory.projection import TaskState as TaskInState
from rackwright.inventory.values import RunView, TaskView

TOLD = 2000  # tasks whose errors are shown
_TELLING = (TaskState.FAILED, TaskState.BLOCKED, TaskState.CANCELLED, TaskState.BACKOFF)
COUNTED = ("changed", "satisfied", "skipped", "failed", "blocked", "cancelled")


class Live(Protocol):
    @property
    def runner(self) -> Runner: ...


def is_over(view: RunView) -> bool:
    """Has the run ended? One that its controller left has not."""
    return view.ended_at is not None


class RunViews:
    """``live``: the runs that this owner drives, by id."""

    def __init__(self, inventory: Inventory, plans: PlanService, live: Mapping[str, Live]) -> None:
        self._inventory = inventory
        self._plans = plans
        self._live = live

    def page(self, limit: int) -> list[dict[str, Any]]:
        return [self._head(view) for view in self._inventory.runs(limit=limit)]

    def show(self, run_id: str) -> dict[str, Any]:
        view = self._inventory.run(run_id)
        plan = self._plans.get(view.plan_digest)
        tasks = self._inventory.task_states(run_id)
        states = Counter(_state(task) for task in tasks)
        told = self._inventory.tasks(run_id, states=_TELLING, limit=TOLD)
        errors = {(task.stage, task.machine): task.error for task in told}
        return {
            **self._head(view),
            "counts": {name: states.get(name, 0) for name in COUNTED},
            "stages": _stages(plan, tasks),
            "machines": _machines(plan, tasks, errors),
            "failures": [_failure(task) for task in told if task.state == TaskState.FAILED],
        }

    def outcome(self, run_id: str) -> dict[str, Any]:
        """As ``show``, without what grows with the number of machines."""
        view = self._inventory.run_head(run_id)
        summary, _ = self._inventory.run_summary(run_id, oldest=0, newest=(), top=0)
        counts: Counter[str] = Counter()
        for stage in summary.stages.values():
            counts.update({TaskState(state).name.lower(): n for state, n in stage.counts.items()})
        failed = self._inventory.tasks(run_id, states=(TaskState.FAILED,), limit=TOLD)
        return {
            **self._head(view),
            "counts": {name: counts.get(name, 0) for name in COUNTED},
            "failures": [_failure(task) for task in failed],
        }

    def tasks(self, run_id: str) -> list[dict[str, Any]]:
        view = self._inventory.run(run_id)
        count = len(view.machines) * len(view.stages)
        return [
            {
                "machine": task.machine_name,
                "stage": task.stage_name,
                "state": _state(task),
                "attempt": task.attempt,
                "error": task.error,
                "evidence": _json(task.evidence),
                "at": iso_utc(task.updated_at),
            }
            for task in self._inventory.tasks(run_id, limit=max(count, 1))
        ]

    def _head(self, view: RunView) -> dict[str, Any]:
        return {
            "id": view.id,
            "status": self.status_of(view),
            "kind": view.kind,
            "workflow": view.workflow,
            "cluster": view.cluster,
            "plan_digest": view.plan_digest,
            "created": iso_utc(view.created_at),
            "ended": iso_utc_or_none(view.ended_at),
        }

    def status_of(self, view: RunView) -> str:
        """By name; "interrupted" for one that nobody drives and that has not ended."""
        status = RunStatus(view.status)
        if is_over(view):
            return status.name.lower()
        if view.id not in self._live:
            return "interrupted"
        # The last task has ended, and its machines are being released: not over yet.
        return "paused" if status is RunStatus.PAUSED else "running"


def _failure(task: TaskView) -> dict[str, Any]:
    return {
        "machine": task.machine_name,
        "stage": task.stage_name,
        "attempt": task.attempt,
        "error": task.error,
        "console": task.console,
    }


def _stages(plan: Plan, tasks: list[TaskInState]) -> list[dict[str, Any]]:
    counts: list[Counter[str]] = [Counter() for _ in plan.stages]
    for task in tasks:
        counts[task.stage][_state(task)] += 1
    for machine in plan.machines:
        for index, stage in enumerate(plan.stages):
            if stage.name in machine.stages and stage.pick == "all":
                counts[index]["total"] += 1
    rows = []
    for index, stage in enumerate(plan.stages):
        seen = sum(number for name, number in counts[index].items() if name != "total")
        waiting = max(0, counts[index].pop("total", 0) - seen)
        if waiting:
            counts[index]["waiting"] += waiting
        rows.append({"name": stage.name, "counts": dict(counts[index])})
    return rows


def _machines(
    plan: Plan, tasks: list[TaskInState], errors: Mapping[tuple[int, int], str]
) -> list[dict[str, Any]]:
    """Where each machine is: its first running or failed task, else its last."""
    rank = {"running": 0, "backoff": 1, "failed": 2, "blocked": 3}
    best: dict[int, TaskInState] = {}
    for task in tasks:
        seen = best.get(task.machine)
        if seen is None or (rank.get(_state(task), 9), -task.stage) < (
            rank.get(_state(seen), 9),
            -seen.stage,
        ):
            best[task.machine] = task
    rows = []
    for index, machine in enumerate(plan.machines):
        now = best.get(index)
        rows.append(
            {
                "id": machine.id,
                "name": machine.name,
                "stage": plan.stages[now.stage].name if now else "",
                "state": _state(now) if now else "waiting",
                "attempt": now.attempt if now else 0,
                "error": errors.get((now.stage, now.machine), "") if now else "",
            }
        )
    return rows


def _state(task: TaskView | TaskInState) -> str:
    return TaskState(task.state).name.lower()


def _json(raw: bytes) -> Any:
    try:
        return json.loads(raw) if raw else None
    except ValueError:
        return None
