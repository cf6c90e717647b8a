"""What follows a discovery with a target: its supplement is made once, and started where nothing in
it waits for an operator.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol

import structlog

from rackwright.api.owner.plans import PlanService
from rackwright.api.owner.run_view import is_over
from rackwright.engine.errors import EngineError, OperatorError
from rackwright.engine.plan.model import Plan
from rackwright.engine.schedule.events import RunStatus
from rackwright.inventory.errors import InventoryError
from rackwright.inventory.facade import Inventory
from rackwright.inventory.values import RunView

log = structlog.get_logger(__name__)
RUNS: Final = 500  # newest runs that are looked through
RECENT_S: Final = 3600.0  # a discovery that ended longer ago is not followed by itself any more
_GOOD: Final = (RunStatus.SUCCEEDED, RunStatus.DEGRADED)


class Start(Protocol):
    def __call__(self, digest: str, *, accepted: str) -> Awaitable[dict[str, Any]]: ...


class Supplements:
    """``start`` begins a run of a plan, as ``RunService.start`` does."""

    def __init__(
        self,
        inventory: Inventory,
        plans: PlanService,
        start: Start,
        *,
        actor: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._inventory = inventory
        self._plans = plans
        self._start = start
        self._actor = actor
        self._clock = clock
        self._one_at_a_time = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    async def make(self, digest: str) -> dict[str, Any]:
        """Of a discovery that has ended. Raises what planning and starting raise."""
        parent = self._plans.get(digest)
        runs = [run for run in self._inventory.runs(limit=RUNS) if run.plan_digest == parent.digest]
        if not any(_has_found(run) for run in runs):
            raise OperatorError(
                f"the discovery of plan {parent.digest[:12]} has not ended well",
                hint="apply it, and wait for its end",
            )
        async with self._one_at_a_time:
            plan, why = await self._plans.supplement(parent)
            run = self._run_of(plan)
            if not run and not why:
                run = str((await self._start(plan.digest, accepted=plan.digest))["id"])
                await self._audit("plan.supplemented", plan.digest, parent=digest, run=run)
        return {"digest": plan.digest, "waits_for_acceptance": why, "run": run}

    def follow(self, parent: Plan, status: RunStatus) -> None:
        """After a run of ``parent``: in the background, as far as it goes."""
        if parent.target is not None and status in _GOOD:
            task = asyncio.create_task(self._follow(parent), name=f"after {parent.digest[:12]}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def follow_left(self) -> None:
        """Discoveries that ended a while ago under another controller, and nothing followed."""
        for run in self._inventory.runs(limit=50):
            recent = run.ended_at is not None and run.ended_at > self._clock() - RECENT_S
            if recent and run.kind == "discover" and _has_found(run):
                self.follow(self._plans.get(run.plan_digest), RunStatus(run.status))

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _follow(self, parent: Plan) -> None:
        try:
            await self.make(parent.digest)
        except (EngineError, InventoryError) as error:
            log.warning("plan.not_supplemented", plan=parent.digest, error=str(error))
            await self._audit("plan.not_supplemented", parent.digest, error=str(error))

    def _run_of(self, plan: Plan) -> str:
        runs = self._inventory.runs(limit=RUNS)
        return next((run.id for run in runs if run.plan_digest == plan.digest), "")

    async def _audit(self, action: str, subject: str, **detail: str) -> None:
        await self._inventory.record_audit(
            actor=self._actor, action=action, subject=subject, detail=detail
        )


def _has_found(run: RunView) -> bool:
    return is_over(run) and RunStatus(run.status) in _GOOD
