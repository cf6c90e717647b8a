"""A run in bounded size, for whoever watches it: counts by stage, latency histograms, the slowest
and the failing machines, and when it will end. As cheap at 70,000 machines as at seven.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from rackwright.api.timestamps import iso_utc, iso_utc_or_none
from rackwright.engine.plan.model import Plan
from rackwright.engine.run.eta import StageStanding, remaining
from rackwright.engine.schedule.events import ENDED, SUCCEEDED, TaskState
from rackwright.inventory.facade import Inventory
from rackwright.inventory.projection import BOUNDS_S, LastWord, StageSummary, Summary
from rackwright.inventory.values import RunView

TOP_MAX: Final = 100
FRESH_S: Final = 0.5  # many watchers cost what one does
FRAMES: Final = 4
_FAILING: Final = (TaskState.FAILED, TaskState.BACKOFF)
_NOTHING: Final = StageSummary({}, 0.0, 0.0, 0.0, (0,) * (len(BOUNDS_S) + 1))


@dataclass(frozen=True, slots=True)
class _Frame:
    """What of a run never changes."""

    plan: Plan
    machines: tuple[str, ...]
    totals: tuple[int, ...]  # tasks by stage, those of an elected machine counted once


class RunProgress:
    """One per owner. ``status_of`` names a run's status as the other views do."""

    def __init__(
        self,
        inventory: Inventory,
        plan_of: Callable[[RunView], Plan],
        status_of: Callable[[RunView], str],
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._inventory = inventory
        self._plan_of = plan_of
        self._status_of = status_of
        self._now = now
        self._frames: OrderedDict[str, _Frame] = OrderedDict()
        self._lock = asyncio.Lock()
        self._last: dict[tuple[str, int], tuple[float, dict[str, Any]]] = {}

    async def show(self, run_id: str, top: int) -> dict[str, Any]:
        """Raises NotFoundError. At most ``FRESH_S`` old while the run goes on."""
        head = self._inventory.run_head(run_id)
        status = self._status_of(head)
        async with self._lock:
            made_at, shown = self._last.get((run_id, top), (0.0, {}))
            if self._now() - made_at >= FRESH_S or shown.get("status") != status:
                shown = await asyncio.to_thread(self._made, head, status, top)
                if len(self._last) > FRAMES * 4:
                    self._last.clear()
                self._last[run_id, top] = (self._now(), shown)
        return shown

    def _made(self, head: RunView, status: str, top: int) -> dict[str, Any]:
        frame = self._frame(head)
        summary, words = self._inventory.run_summary(
            head.id, oldest=TaskState.RUNNING, newest=_FAILING, top=top
        )
        now = head.ended_at or self._now()
        stages = [summary.stages.get(s, _NOTHING) for s in range(len(frame.plan.stages))]
        counts = [_counts(stage, total) for stage, total in zip(stages, frame.totals, strict=True)]
        left = remaining(
            frame.plan, [_standing(s, c) for s, c in zip(stages, counts, strict=True)], now
        )
        goes_on = status == "running"
        return {
            "id": head.id,
            "status": status,
            "workflow": head.workflow,
            "cluster": head.cluster,
            "machines": len(frame.machines),
            "created": iso_utc(head.created_at),
            "ended": iso_utc_or_none(head.ended_at),
            "elapsed_s": round(now - head.created_at, 1),
            "eta_s": round(left.left_s, 1) if goes_on else None,
            "waits_for": list(left.path) if goes_on else [],
            "seq": summary.seq,
            "stages": [
                _stage(frame.plan.stages[s].name, stages[s], counts[s])
                for s in range(len(frame.plan.stages))
            ],
            "slowest": _slowest(frame, summary, now),
            "failing": _failing(frame, summary, words),
        }

    def _frame(self, head: RunView) -> _Frame:
        frame = self._frames.get(head.id)
        if frame is None:
            plan = self._plan_of(head)
            members = [0] * len(plan.stages)
            places = {stage.name: at for at, stage in enumerate(plan.stages)}
            for machine in plan.machines:
                for name in machine.stages:
                    members[places[name]] += 1
            totals = tuple(
                {"one": min(1, count), "rest": max(0, count - 1)}.get(stage.pick, count)
                for stage, count in zip(plan.stages, members, strict=True)
            )
            names = tuple(machine.name for machine in plan.machines)
            frame = self._frames[head.id] = _Frame(plan, names, totals)
        self._frames.move_to_end(head.id)
        while len(self._frames) > FRAMES:
            self._frames.popitem(last=False)
        return frame


def _counts(stage: StageSummary, total: int) -> dict[str, int]:
    """By name of the state; what no fact has told of waits."""
    counts = {TaskState(state).name.lower(): n for state, n in stage.counts.items()}
    untold = total - sum(counts.values())
    if untold > 0:
        counts["waiting"] = counts.get("waiting", 0) + untold
    return counts


def _standing(stage: StageSummary, counts: Mapping[str, int]) -> StageStanding:
    ended = sum(counts.get(state.name.lower(), 0) for state in ENDED)
    attempts = sum(stage.histogram)
    return StageStanding(
        left=sum(counts.values()) - ended,
        ended=ended,
        mean_s=stage.total_s / attempts if attempts else 0.0,
        started_at=stage.first_at,
        running=counts.get("running", 0),
    )


def _stage(name: str, stage: StageSummary, counts: Mapping[str, int]) -> dict[str, Any]:
    done = sum(counts.get(state.name.lower(), 0) for state in SUCCEEDED)
    return {
        "name": name,
        "total": sum(counts.values()),
        "done": done,
        "counts": dict(counts),
        "started": iso_utc_or_none(stage.first_at or None),
        "p50_s": quantile(stage.histogram, 0.5),
        "p99_s": quantile(stage.histogram, 0.99),
        "latency": {
            "bounds_s": list(BOUNDS_S),
            "counts": list(stage.histogram),
            "sum_s": round(stage.total_s, 3),
        },
    }


def quantile(histogram: tuple[int, ...], share: float) -> float:
    """Within its bucket by straight line; the last bucket's lower bound for what lies in it."""
    wanted = share * sum(histogram)
    below, floor_s = 0, 0.0
    for count, bound_s in zip(histogram, (*BOUNDS_S, BOUNDS_S[-1]), strict=True):
        if count and below + count >= wanted:
            return round(floor_s + (bound_s - floor_s) * (wanted - below) / count, 2)
        below += count
        floor_s = bound_s
    return 0.0


def _slowest(frame: _Frame, summary: Summary, now: float) -> list[dict[str, Any]]:
    return [
        {
            "machine": frame.machines[task.machine],
            "stage": frame.plan.stages[task.stage].name,
            "attempt": task.attempt,
            "running_s": round(max(0.0, now - since), 1),
        }
        for task, since in summary.oldest
    ]


def _failing(
    frame: _Frame, summary: Summary, words: Mapping[int, LastWord]
) -> list[dict[str, Any]]:
    return [
        {
            "machine": frame.machines[task.machine],
            "stage": frame.plan.stages[task.stage].name,
            "attempt": task.attempt,
            "state": TaskState(task.state).name.lower(),
            "error": words[task.seq].error if task.seq in words else "",
        }
        for task in summary.newest
    ]
