"""Plans: compiled from the inventory as it is now, stored by digest, with their content copied."""

import json
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from rackwright.api.owner.artifacts import ArtifactStore
from rackwright.api.owner.convert import machine_of
from rackwright.api.owner.leaving import leave_spec, leavers
from rackwright.api.owner.plan_view import plan_view
from rackwright.api.timestamps import iso_utc
from rackwright.engine.content.errors import Problems
from rackwright.engine.content.library import Library, Root
from rackwright.engine.content.workflow import parse_workflow
from rackwright.engine.errors import OperatorError
from rackwright.engine.machine import Machine
from rackwright.engine.plan.codec import plan_document, plan_from_json
from rackwright.engine.plan.compile import compile_plan
from rackwright.engine.plan.conditions import check_conditions
from rackwright.engine.plan.fingerprint import plan_fingerprint
from rackwright.engine.plan.inputs import LimitConfig
from rackwright.engine.plan.model import Plan, Target
from rackwright.engine.plan.resolve import resolve
from rackwright.engine.plan.selection import NeedsDiscoveryError
from rackwright.engine.plan.spec import parse_spec
from rackwright.engine.plan.supplement import (
    rule_text,
    supplement_of,
    why_unaccepted,
    with_target,
)
from rackwright.inventory import selectors
from rackwright.inventory.errors import SelectorError
from rackwright.inventory.facade import Inventory
from rackwright.inventory.plans import PlanRecord
from rackwright.inventory.runs import Snapshot
from rackwright.inventory.values import MachineView

SUPPLEMENTS = 200  # newest plans among which a supplement is looked for
DISCOVERABLE = ("enrolled", "discovered", "available", "failed")


class PlanService:
    """``content_root`` keeps a copy of each plan's content, by digest."""

    def __init__(
        self,
        inventory: Inventory,
        artifacts: ArtifactStore,
        *,
        content: Sequence[Path],
        content_root: Path,
        limits: LimitConfig | None = None,
        site_windows: Mapping[str, tuple[str, ...]] | None = None,
    ) -> None:
        self._inventory = inventory
        self._limits = limits or LimitConfig()
        self._site_windows = site_windows or {}
        self._artifacts = artifacts
        self._content = tuple(content)
        self._content_root = content_root

    async def cluster(
        self, text: str, filename: str, reinstall: Sequence[str], *, dynamic: bool = False
    ) -> dict[str, Any]:
        """Raises ContentErrors, NeedsDiscoveryError, and OperatorError for what may not be done.

        ``dynamic``: where disks are not known yet, a discovery whose target the spec is.
        """
        library = self.library()
        try:
            plan = self._compiled(library, text, filename, reinstall)
        except NeedsDiscoveryError as error:
            if not dynamic:
                raise
            return await self._discovery_for(text, filename, error.machines)
        return await self._keep(library, plan)

    async def _discovery_for(
        self, text: str, filename: str, names: Sequence[str]
    ) -> dict[str, Any]:
        spec = parse_spec(text, filename)
        target = Target(text, filename, spec.cluster, rule_text(spec.accept))
        library = self.library()
        plan = with_target(self._discovery(library, names, ""), target)
        return await self._keep(library, plan)

    async def supplement(self, parent: Plan) -> tuple[Plan, str]:
        """What follows a discovery that has ended: compiled once, kept, and why an operator must
        accept it ("" where the parent's rule covers it). Raises what ``cluster`` raises."""
        if parent.target is None:
            raise OperatorError(f"nothing follows plan {parent.digest[:12]}")
        text, filename = parent.target.spec, parent.target.filename
        plan = self._supplement_of(parent)
        if plan is None:
            library = self.library()
            plan = supplement_of(self._compiled(library, text, filename, ()), parent)
            await self._keep(library, plan)
        views = self._inventory.machines(limit=None)
        machines = {view.id: machine_of(view) for view in views}
        why = why_unaccepted(
            plan,
            parse_spec(text, filename).accept,
            lambda machine_id: machines[machine_id],
            _selection(views),
        )
        return plan, why

    def _supplement_of(self, parent: Plan) -> Plan | None:
        """The one that was made already. Documents are large: only those in question are read."""
        since = self.record(parent.digest).created_at
        cluster = parent.target.cluster if parent.target is not None else ""
        for record in self._inventory.plans(SUPPLEMENTS):
            if record.cluster == cluster and record.created_at >= since:
                plan = self.get(record.digest)
                if plan.parent == parent.digest:
                    return plan
        return None

    def _compiled(
        self, library: Library, text: str, filename: str, reinstall: Sequence[str]
    ) -> Plan:
        spec = parse_spec(text, filename)
        views = self._inventory.machines(limit=None)
        members = dict(_members(self._inventory, spec.cluster))
        return compile_plan(
            library=library,
            spec=spec,
            machines=[machine_of(view) for view in views],
            select=_selection(views),
            artifacts=self._artifacts.digests(),
            limits=self._limits,
            site_windows=self._site_windows,
            cluster_id=self._inventory.cluster_id(spec.cluster),
            members=members,
            reinstall=frozenset(reinstall),
        )

    async def leave(
        self, cluster: str, names: Sequence[str], dead: Sequence[str]
    ) -> dict[str, Any]:
        """A plan that takes members out of a cluster. ``dead``: those that answer no more, which
        the others forget. Raises NotFoundError, OperatorError, ContentErrors."""
        text = leave_spec(self._inventory, self.library(), cluster, names, dead)
        return await self.cluster(text, f"members of {cluster}", ())

    def leavers(self, plan: Plan, good: Collection[str]) -> list[str]:
        """Machine ids that a plan takes out of its cluster, of those whose tasks are done, and
        the dead that the others have forgotten."""
        library = self.library_of(plan.digest)
        return leavers(self._inventory, library.workflow(plan.workflow), plan, good)

    async def discover(self, names: Sequence[str], selector: str) -> dict[str, Any]:
        """A plan that boots machines into the ramdisk and reads their hardware."""
        library = self.library()
        return await self._keep(library, self._discovery(library, names, selector))

    def _discovery(self, library: Library, names: Sequence[str], selector: str) -> Plan:
        if names:
            views = [self._inventory.machine(name) for name in names]
        else:
            views = self._inventory.machines(selector=selector, states=DISCOVERABLE, limit=None)
        views = [view for view in views if view.origin == "netboot"]
        if not views:
            raise OperatorError(
                "no machine to discover",
                hint="enrol machines first, or name them; see `rackwright machine list`",
            )
        return compile_plan(
            library=library,
            workflow="discover",
            machines=[machine_of(view) for view in views],
            select=_selection(views),
            artifacts=self._artifacts.digests(),
            limits=self._limits,
            site_windows=self._site_windows,
        )

    async def take_in(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """Store a plan file. Raises OperatorError if it was altered, or its content is gone."""
        plan = plan_from_json(document)
        library = self.library_of(plan.digest) if self._has_copy(plan.digest) else self.library()
        return await self._keep(library, plan)

    def page(self, limit: int) -> list[dict[str, Any]]:
        return [
            {
                "digest": record.digest,
                "kind": record.kind,
                "workflow": record.workflow,
                "cluster": record.cluster,
                "created": iso_utc(record.created_at),
            }
            for record in self._inventory.plans(limit)
        ]

    def show(self, digest: str) -> dict[str, Any]:
        return plan_view(self.get(digest))

    def get(self, digest: str) -> Plan:
        """By digest or the beginning of it."""
        return plan_from_json(json.loads(self._inventory.plan(digest).document))

    def record(self, digest: str) -> PlanRecord:
        return self._inventory.plan(digest)

    def library_of(self, digest: str) -> Library:
        """The plan's own copy of its content. Raises OperatorError if it is gone."""
        if not self._has_copy(digest):
            raise OperatorError(
                f"the content of plan {digest[:12]} is no longer kept", hint="make a new plan"
            )
        return Library([Root(self._content_root / digest, "plan", f"plan {digest[:12]}")])

    def fingerprint_of(self, plan: Plan) -> Callable[[Snapshot], str]:
        """Computes the plan's fingerprint from what the inventory holds inside a transaction."""

        def compute(now: Snapshot) -> str:
            views = now.machines([machine.id for machine in plan.machines])
            machines = {view.id: machine_of(view) for view in views}
            clusters = {cluster.name: cluster for cluster in now.clusters()}
            cluster = clusters.get(plan.cluster)
            return plan_fingerprint(
                plan,
                lambda machine_id: machines[machine_id],
                members=dict(cluster.members) if cluster else {},
                cluster_id=now.cluster_id(plan.cluster) if plan.cluster else "",
            )

        return compute

    def workflow_names(self) -> tuple[str, ...]:
        return self.library().workflow_names()

    def check_workflow(self, name: str, text: str = "", shown: str = "") -> dict[str, Any]:
        """The workflow's stages, with every role, param and template checked, and the params that
        a cluster spec must still give. ``text``: a workflow in place of the library's of that
        name, which mistakes call ``shown``.

        Raises ContentErrors.
        """
        library = self.library()
        found = parse_workflow(name, text.encode(), shown) if shown else library.workflow(name)
        resolved = resolve(library, found, None)
        problems = Problems()
        check_conditions(resolved, problems)
        problems.check()
        wanting = sorted(
            {(one.role.name, name) for one in resolved.stages.values() for name in one.wanting}
        )
        stages = [
            {
                "name": stage.name,
                "role": f"{stage.role}#{stage.role_stage}" if stage.role_stage else stage.role,
                "on": stage.group if stage.pick == "all" else f"{stage.group}.{stage.pick}",
                "needs": [need.stage for need in stage.needs],
            }
            for stage in found.stages.values()
        ]
        return {
            "name": name,
            "groups": list(found.groups),
            "stages": stages,
            "spec_params": [{"role": role, "param": param} for role, param in wanting],
        }

    def library(self) -> Library:
        """Content as it is now."""
        return Library.over_packaged(self._content)

    def _has_copy(self, digest: str) -> bool:
        return (self._content_root / digest).is_dir()

    async def _keep(self, library: Library, plan: Plan) -> dict[str, Any]:
        if not self._has_copy(plan.digest):
            self._content_root.mkdir(parents=True, exist_ok=True)
            partial = self._content_root / f".{plan.digest}"
            library.freeze(partial, plan.content)
            partial.rename(self._content_root / plan.digest)
        await self._inventory.save_plan(
            PlanRecord(
                digest=plan.digest,
                kind=plan.kind,
                workflow=plan.workflow,
                cluster=plan.cluster,
                fingerprint=plan.fingerprint,
                document=plan_document(plan),
                created_at=time.time(),
            )
        )
        return plan_view(plan)


def _members(inventory: Inventory, cluster: str) -> tuple[tuple[str, str], ...]:
    known = {view.name: view for view in inventory.clusters()}
    return known[cluster].members if cluster in known else ()


def _selection(views: Sequence[MachineView]) -> Callable[[str, Machine], bool]:
    """The inventory's selectors for the engine; each selector is parsed once."""
    labels = {view.id: view.selectable() for view in views}
    parsed: dict[str, selectors.Selector] = {}

    def select(text: str, machine: Machine) -> bool:
        if text not in parsed:
            try:
                parsed[text] = selectors.parse(text)
            except SelectorError as error:
                raise ValueError(str(error)) from error
        return selectors.matches(parsed[text], labels[str(machine.id)])

    return select
