"""Runs: begun in one transaction, driven here, settled when they end, resumed after a crash."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from rackwright.api.dnsmasq.errors import DnsmasqError
from rackwright.api.owner.artifacts import ArtifactStore
from rackwright.api.owner.boot import BootService
from rackwright.api.owner.directory import InventoryDirectory
from rackwright.api.owner.journaled import journaled
from rackwright.api.owner.plans import PlanService
from rackwright.api.owner.run_progress import RunProgress
from rackwright.api.owner.run_view import RunViews, is_over
from rackwright.api.owner.supplements import Supplements
from rackwright.api.wiring.certificates import CertificateAuthority
from rackwright.engine.content.render import Renderer
from rackwright.engine.drivers.factory import PowerDrivers
from rackwright.engine.errors import EngineError, OperatorError
from rackwright.engine.executors.ansible import installed
from rackwright.engine.executors.scope import Scope
from rackwright.engine.fence import Fence
from rackwright.engine.images.artifact import Artifact
from rackwright.engine.plan.codec import plan_to_json
from rackwright.engine.plan.model import Plan
from rackwright.engine.run.clock import SystemClock
from rackwright.engine.run.explained import Explained
from rackwright.engine.run.ports import Executor, Fact, RunView
from rackwright.engine.run.runner import Runner
from rackwright.engine.schedule.events import SUCCEEDED, RunStatus, TaskState
from rackwright.inventory.errors import InventoryError
from rackwright.inventory.facade import Inventory
from rackwright.inventory.runs import NewRun
from rackwright.inventory.values import RunView as RunRecord

log = structlog.get_logger(__name__)
OPERATOR = "operator"
APPLY_AGAIN = "apply the spec again: what is done already is found so"


Order = Callable[[Runner], Coroutine[Any, Any, None]]


class NotAcceptedError(OperatorError):
    """The plan erases disks and was not accepted."""


@dataclass(frozen=True, slots=True)
class _Live:
    runner: Runner
    plan: Plan
    task: "asyncio.Task[None]"


class RunService:
    """One per owner: the runs that it drives, and what it knows of the others."""

    def __init__(
        self,
        inventory: Inventory,
        plans: PlanService,
        artifacts: ArtifactStore,
        authority: CertificateAuthority,
        drivers: PowerDrivers,
        boot: BootService,
        *,
        fence: Fence,
        local_root: Path,
    ) -> None:
        self._inventory = inventory
        self._plans = plans
        self._artifacts = artifacts
        self._authority = authority
        self._drivers = drivers
        self._boot = boot
        self._fence = fence
        self._local_root = local_root
        self._renderer = Renderer()
        self._live: dict[str, _Live] = {}
        self._supplements = Supplements(inventory, plans, self.start, actor=OPERATOR)
        self._views = RunViews(inventory, plans, self._live)
        self._progress = RunProgress(inventory, self._plan_of, self._views.status_of)

    # looking --------------------------------------------------------------------------------------

    def page(self, limit: int) -> list[dict[str, Any]]:
        return self._views.page(limit)

    def show(self, run_id: str, *, machines: bool = True) -> dict[str, Any]:
        """Without ``machines``: what does not grow with their number."""
        return self._views.show(run_id) if machines else self._views.outcome(run_id)

    async def progress(self, run_id: str, top: int) -> dict[str, Any]:
        """In bounded size; see ``run_progress``."""
        return await self._progress.show(run_id, top)

    def tasks(self, run_id: str) -> list[dict[str, Any]]:
        return self._views.tasks(run_id)

    def require(self, run_id: str) -> None:
        """Raises NotFoundError."""
        self._inventory.run_head(run_id)

    def status(self, run_id: str) -> str:
        """By name; "interrupted" for one that nobody drives and that has not ended."""
        return self._views.status_of(self._inventory.run_head(run_id))

    def is_live(self, run_id: str) -> bool:
        """Does this owner drive the run now?"""
        return run_id in self._live

    def explain(self, run_id: str, at: int) -> list[Explained]:
        """Every task of the live run's machine with index ``at``."""
        return self._running(run_id).explain_machine(at)

    # acting ---------------------------------------------------------------------------------------

    async def start(self, digest: str, *, accepted: str) -> dict[str, Any]:
        """Raises StalePlanError, ReservedError, NotAcceptedError."""
        record = self._plans.record(digest)
        plan = self._plans.get(record.digest)
        if plan.erasures and accepted != plan.digest:
            raise NotAcceptedError(
                f"plan {plan.digest[:12]} erases {len(plan.erasures)} disk(s) and was not accepted",
                hint="look at the plan, then accept it: --yes, or apply the plan file",
            )
        for stage in plan.stages:
            if stage.executor == "ansible":
                installed.require(stage.name)
        artifacts = self._artifacts.of_plan(plan.artifacts)
        if plan.kind == "cluster":
            spec = {"params": plan_to_json(plan)["cluster_params"]}
            await self._inventory.save_cluster(plan.cluster, workflow=plan.workflow, spec=spec)
        begun = await self._inventory.begin_run(
            NewRun(
                plan=record,
                machine_ids=[machine.id for machine in plan.machines],
                stages=[stage.name for stage in plan.stages],
                actor=OPERATOR,
                fingerprint=self._plans.fingerprint_of(plan),
            )
        )
        await self._drive(begun.id, plan, artifacts, None)
        return await self._outcome(begun.id)

    async def resume(self, run_id: str) -> dict[str, Any]:
        """Drive on a run that its controller left; retry the failures of one that has ended."""
        if run_id not in self._live:
            is_retry = is_over(self._inventory.run(run_id))
            await self._take_up(run_id, _retry("", "") if is_retry else None)
        return await self._outcome(run_id)

    async def cancel(self, run_id: str, reason: str = "") -> dict[str, Any]:
        await self._give(run_id, lambda runner: runner.cancel(by=OPERATOR, reason=reason))
        return await self._audited(run_id, "cancel", {"reason": reason})

    async def pause(self, run_id: str, *, paused: bool, reason: str = "") -> dict[str, Any]:
        await self._give(run_id, lambda runner: runner.pause(paused, by=OPERATOR, reason=reason))
        action = "pause" if paused else "unpause"
        return await self._audited(run_id, action, {"reason": reason})

    async def retry(self, run_id: str, machine: str, reason: str = "") -> dict[str, Any]:
        """Failed tasks again, in a live run or one that has ended."""
        await self._give(run_id, _retry(machine, reason), reopens=True)
        return await self._audited(run_id, "retry", {"machine": machine, "reason": reason})

    async def skip(self, run_id: str, machine: str, stage: str, reason: str) -> dict[str, Any]:
        """Count a task as done. What it blocked goes on, in a run that has ended too."""
        await self._give(
            run_id,
            lambda runner: runner.skip(stage, machine, by=OPERATOR, reason=reason),
            reopens=True,
        )
        detail = {"machine": machine, "stage": stage, "reason": reason}
        return await self._audited(run_id, "skip", detail)

    async def decide(
        self, run_id: str, stage: str, *, approved: bool, reason: str
    ) -> dict[str, Any]:
        """Answer an approval. Raises OperatorError where none is waited for, or it was answered."""
        await self._give(
            run_id, lambda runner: runner.decide(stage, approved, by=OPERATOR, reason=reason)
        )
        action = "approve" if approved else "reject"
        return await self._audited(run_id, action, {"stage": stage, "reason": reason})

    async def set_limit(self, run_id: str, name: str, capacity: int, reason: str) -> dict[str, Any]:
        """Raises OperatorError for a limit that the run does not have."""
        await self._give(
            run_id, lambda runner: runner.set_limit(name, capacity, by=OPERATOR, reason=reason)
        )
        detail = {"limit": name, "capacity": capacity, "reason": reason}
        return await self._audited(run_id, "limit", detail)

    async def _audited(self, run_id: str, action: str, detail: dict[str, Any]) -> dict[str, Any]:
        await self._inventory.record_audit(
            actor=OPERATOR, action=f"run.{action}", subject=run_id, detail=detail
        )
        return await self._outcome(run_id)

    async def _outcome(self, run_id: str) -> dict[str, Any]:
        """What an order answers with: nothing that grows with the machines, and in a thread, since
        the counts of a large run take a while and the loop drives it meanwhile."""
        return await asyncio.to_thread(self.show, run_id, machines=False)

    async def supplement(self, digest: str) -> dict[str, Any]:
        """What follows a discovery that has ended; see ``Supplements``."""
        return await self._supplements.make(digest)

    async def delete(self, run_id: str) -> None:
        live = self._live.get(run_id)
        if live is not None and not is_over(self._inventory.run(run_id)):
            raise OperatorError(f"run {run_id} is under way", hint="cancel it first")
        if live is not None:
            await asyncio.wait([live.task])  # its end is recorded; it is putting things away
        await self._inventory.delete_run(run_id, actor=OPERATOR)

    async def resume_left(self) -> list[str]:
        """Take up every run that an earlier controller left unfinished."""
        left = [view.id for view in self._inventory.unfinished_runs() if view.id not in self._live]
        taken = []
        for run_id in left:
            try:
                await self.resume(run_id)
            except (EngineError, InventoryError, DnsmasqError) as error:
                log.error("run.not_resumed", run=run_id, error=str(error))
            else:
                taken.append(run_id)
        self._supplements.follow_left()
        return taken

    async def close(self) -> None:
        """Stop driving, as a crash would; the journal stays ahead of what was done."""
        tasks = [live.task for live in self._live.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._supplements.close()
        await self._renderer.close()

    # driving --------------------------------------------------------------------------------------

    async def _drive(
        self, run_id: str, plan: Plan, artifacts: Mapping[str, Artifact], first: Order | None
    ) -> None:
        try:
            await self._boot.serve_for([machine.id for machine in plan.machines])
        except BaseException:
            # Nothing was driven: the run ends here, its machines are free, resume may try again.
            await self._inventory.finish_run(run_id, status=int(RunStatus.FAILED))
            raise
        journal = self._inventory.journal(run_id, fact=Fact)
        snapshot, facts = journal.past()
        runner = Runner(
            plan,
            journal,
            lambda view: self._executor(run_id, plan, artifacts, view),
            SystemClock(),
            self._inventory.epoch,
            facts,
            snapshot=snapshot,
            may_act=self._inventory.may_act,
        )
        asked = asyncio.ensure_future(first(runner)) if first is not None else None
        await asyncio.sleep(0)  # the order is in before the run begins
        task = asyncio.create_task(self._to_the_end(run_id, plan, runner), name=f"run {run_id}")
        self._live[run_id] = _Live(runner, plan, task)
        if asked is not None:
            await asked

    async def _to_the_end(self, run_id: str, plan: Plan, runner: Runner) -> None:
        try:
            status = await runner.run()
            await self._settle(run_id, plan, status)
            self._supplements.follow(plan, status)
        except (EngineError, InventoryError) as error:
            log.error("run.stopped", run=run_id, error=str(error))
        finally:
            self._live.pop(run_id, None)

    async def _settle(self, run_id: str, plan: Plan, status: RunStatus) -> None:
        """Record who succeeded; members join the cluster, or leave; every machine is released."""
        good, bad = self._by_outcome(run_id, plan)
        if plan.kind == "leave":
            for machine_id in self._plans.leavers(plan, good):
                await self._inventory.leave_cluster(plan.cluster, machine_id)
        for machine in plan.machines:
            if plan.kind == "cluster" and machine.id in good:
                pool = machine.pools[0] if machine.pools else ""
                await self._inventory.join_cluster(plan.cluster, machine.id, pool=pool)
        await self._inventory.finish_run(run_id, status=int(status), succeeded=good, failed=bad)

    def _by_outcome(self, run_id: str, plan: Plan) -> tuple[set[str], set[str]]:
        bad: set[str] = set()
        not_done: set[str] = set()
        for task in self._inventory.task_states(run_id):
            machine_id = plan.machines[task.machine].id
            state = TaskState(task.state)
            if state is TaskState.FAILED:
                bad.add(machine_id)
            elif state not in SUCCEEDED and state is not TaskState.ABSENT:
                not_done.add(machine_id)
        every = {machine.id for machine in plan.machines}
        return every - bad - not_done, bad

    def _executor(
        self, run_id: str, plan: Plan, artifacts: Mapping[str, Artifact], view: RunView
    ) -> Executor:
        # Here, since executors bring SSH with them, and a controller at rest reaches nothing.
        from rackwright.engine.executors.dispatch import executor_of

        directory = InventoryDirectory(self._inventory, self._authority, self._drivers, artifacts)
        library = self._plans.library_of(plan.digest)
        booted = {str(intent.detail.get("machine")) for intent in view.intents("power")}
        scope = Scope(
            plan=plan,
            run_id=run_id,
            owner_epoch=self._inventory.epoch,
            directory=directory,
            netboot=self._boot,
            sink=view,
            render=self._renderer.render,
            script_text=lambda role, path: library.file(f"roles/{role}/{path}").data.decode(),
            role_files=lambda role: {
                file.path.removeprefix(f"roles/{role}/"): file.data
                for file in library.role_files(role)
            },
            outputs=view.outputs,
            leader=view.leader,
            artifacts=lambda machine_id: self._boot.artifacts_for(machine_id, artifacts),
            controller=self._boot.controller_for,
            booted=lambda machine_id: machine_id in booted,
            journaled=journaled(view),
            fence=self._fence,
        )
        return executor_of(scope, local_root=str(self._local_root))

    def _plan_of(self, view: RunRecord) -> Plan:
        """A large plan is read once: a run that we drive has it."""
        live = self._live.get(view.id)
        return live.plan if live is not None else self._plans.get(view.plan_digest)

    def _running(self, run_id: str) -> Runner:
        live = self._live.get(run_id)
        if live is None:
            view = self._inventory.run(run_id)
            state = "has ended" if is_over(view) else "is not being driven"
            match RunStatus(view.status):
                case RunStatus.SUCCEEDED:
                    hint = ""
                case RunStatus.CANCELLED:
                    hint = APPLY_AGAIN
                case _:
                    hint = f"take it up again: rackwright run resume {run_id}"
            raise OperatorError(f"run {run_id} {state}", hint=hint)
        return live.runner

    async def _give(self, run_id: str, order: Order, *, reopens: bool = False) -> None:
        """An order, whatever the run is doing: one that its controller left is taken up with it.
        One that has ended only takes what ``reopens`` it."""
        live = self._live.get(run_id)
        if live is not None:
            await order(live.runner)
        elif reopens or not is_over(self._inventory.run(run_id)):
            await self._take_up(run_id, order)
        else:
            self._running(run_id)

    async def _take_up(self, run_id: str, first: Order | None) -> None:
        """Drive a run that nobody drives; ``first`` is in before anything starts."""
        view = self._inventory.run(run_id)
        if view.status == RunStatus.SUCCEEDED:
            raise OperatorError(f"run {run_id} has succeeded: there is nothing to resume")
        if view.status == RunStatus.CANCELLED and is_over(view):
            raise OperatorError(f"run {run_id} was cancelled for good", hint=APPLY_AGAIN)
        plan = self._plans.get(view.plan_digest)
        artifacts = self._artifacts.of_plan(plan.artifacts)
        await self._inventory.resume_run(run_id, actor=OPERATOR)
        await self._drive(run_id, plan, artifacts, first)


def _retry(machine: str, reason: str) -> Order:
    return lambda runner: runner.retry(machine, by=OPERATOR, reason=reason)
