"""Compiles a workflow, a spec and an inventory into a frozen Plan. Touches nothing.

Cost is proportional to machines + stages: machines of one pool in one condition share one profile
(their groups, stages and expectations), which is worked out once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from rackwright.engine.content.errors import Problems, near
from rackwright.engine.content.library import Library
from rackwright.engine.content.yaml_source import plain
from rackwright.engine.errors import OperatorError
from rackwright.engine.machine import Machine
from rackwright.engine.plan.canonical import digest
from rackwright.engine.plan.checks import (
    artifacts_of,
    check_counts,
    check_destruction,
    check_quorum,
    check_selectors,
)
from rackwright.engine.plan.codec import plan_digest
from rackwright.engine.plan.conditions import Conditions, check_conditions
from rackwright.engine.plan.disks import DiskError, Select
from rackwright.engine.plan.erasure import erasure_of, image_digest_of, together
from rackwright.engine.plan.fingerprint import fingerprint, labels_in
from rackwright.engine.plan.inputs import Condition, Inputs, LimitConfig, condition_of
from rackwright.engine.plan.model import Erasure, Plan, PlanKind, PlannedMachine, PlannedStage
from rackwright.engine.plan.profile import Profile, profile_of
from rackwright.engine.plan.resolve import Resolved, resolve
from rackwright.engine.plan.selection import (
    Chosen,
    NeedsDiscoveryError,
    Pick,
    in_order,
    select_machines,
)
from rackwright.engine.plan.spec import ClusterSpec
from rackwright.engine.plan.stages import estimate_s, planned_stages
from rackwright.engine.plan.windows import plan_windows, stage_windows

_ProfileKey = tuple[str, Condition, frozenset[str]]

__all__ = ["LimitConfig", "NeedsDiscoveryError", "compile_plan"]


def compile_plan(
    *,
    library: Library,
    machines: Sequence[Machine],
    select: Select,
    artifacts: Mapping[str, str],
    spec: ClusterSpec | None = None,
    workflow: str = "",
    cluster_id: str = "",
    members: Mapping[str, str] | None = None,
    reinstall: frozenset[str] = frozenset(),
    limits: LimitConfig | None = None,
    site_windows: Mapping[str, tuple[str, ...]] | None = None,
) -> Plan:
    """The plan for ``spec``; or, without one, ``workflow`` on exactly ``machines`` (discovery).

    ``select(selector, machine)`` may raise ValueError or OperatorError for a selector that does
    not parse. ``artifacts``: reference -> digest of those that are built. ``members``: machine id
    -> pool (or "") of this cluster's machines. ``reinstall``: names. ``site_windows``: site -> when
    its machines may be erased.

    Raises ContentError(s) for content and spec, NeedsDiscoveryError where no ramdisk has reported
    yet, DiskError, and OperatorError for what may not be done.
    """
    given = Inputs(
        library=library,
        spec=spec,
        machines=machines,
        select=select,
        artifacts=artifacts,
        cluster_id=cluster_id,
        members=members or {},
        reinstall=reinstall,
        limits=limits or LimitConfig(),
        site_windows=site_windows or {},
    )
    name = spec.workflow if spec is not None else workflow
    found = library.workflow(name, spec.workflow_mark if spec is not None else None)
    if spec is None and found.groups:
        raise OperatorError(
            f"workflow {name} has groups, and no cluster spec says who is in them",
            hint="use `rackwright cluster plan SPEC`",
        )
    resolved = resolve(library, found, spec)
    problems = Problems()
    check_conditions(resolved, problems)
    problems.check()
    check_destruction(resolved)
    if spec is not None:
        check_selectors(given, spec)
    return _assemble(given, resolved, _choose(given, resolved))


def _choose(given: Inputs, resolved: Resolved) -> tuple[Chosen, ...]:
    if given.spec is None:
        return tuple(Chosen(m, "", "asked for by name") for m in in_order(given.machines))
    chosen = select_machines(
        Pick(
            given.spec,
            given.machines,
            given.members,
            given.select,
            lambda m: condition_of(given, resolved, m) == "install",
            resolved.workflow.pools_that_leave(),
        )
    )
    names = [c.machine.name for c in chosen]
    for name in sorted(given.reinstall - set(names)):
        raise OperatorError(
            f"machine {name[:60]} is to be reinstalled and is not in the plan",
            hint=near(name, names),
        )
    return chosen


def _assemble(given: Inputs, resolved: Resolved, chosen: Sequence[Chosen]) -> Plan:
    profiles: dict[_ProfileKey, Profile] = {}
    members: dict[_ProfileKey, int] = {}
    conditions = Conditions(resolved)
    limits = _Limits(given, resolved)
    held = {site: (f"site:{site}",) for site in given.site_windows}
    unknown: list[Machine] = []
    planned: list[PlannedMachine] = []
    to_erase: list[tuple[Machine, str]] = []
    for one in chosen:
        try:
            left_out = conditions.left_out(one.machine)
        except NeedsDiscoveryError:
            unknown.append(one.machine)
            continue
        key = (one.pool, condition_of(given, resolved, one.machine), left_out)
        if key not in profiles:
            profiles[key] = profile_of(given, resolved, *key)
        profile = profiles[key]
        if one.machine.protected and profile.touches_power:
            raise OperatorError(
                f"machine {one.machine.name} is protected and would be powered",
                hint="leave it out, or take the protection off first",
                machine=one.machine.name,
            )
        members[key] = members.get(key, 0) + 1
        planned.append(
            _machine(one, profile, limits.of(one.machine), held.get(one.machine.site, ()))
        )
        if profile.erases:
            to_erase.append((one.machine, profile.erases))
    if unknown:
        raise NeedsDiscoveryError(unknown)
    erasures = _erasures(given, resolved, to_erase)
    counts = dict.fromkeys(resolved.stages, 0)
    busy = dict.fromkeys(resolved.stages, 0)
    for key, profile in profiles.items():
        for stage in profile.stages:
            counts[stage] += members[key]
            busy[stage] += members[key] * (profile.expected[stage] == "apply")
    problems = Problems()
    check_counts(resolved, counts, problems)
    used = artifacts_of(given, resolved, counts, problems)
    problems.check()
    check_quorum(given, resolved, {c.machine.id for c in chosen}, erasures)
    stages = planned_stages(given, resolved, counts)
    return _plan(
        given,
        resolved,
        chosen,
        planned=planned,
        stages=stages,
        erasures=erasures,
        artifacts=used,
        seconds=estimate_s(resolved, stages, counts, busy),
        facts_used=conditions.facts_used(),
    )


def _erasures(
    given: Inputs, resolved: Resolved, to_erase: Sequence[tuple[Machine, str]]
) -> list[Erasure]:
    blind = [machine for machine, _ in to_erase if machine.drives is None]
    if blind:
        raise NeedsDiscoveryError(blind)
    images = {
        stage: image_digest_of(given, resolved.stages[stage])
        for stage in {stage for _, stage in to_erase}
    }
    found: list[Erasure] = []
    unclear: list[DiskError] = []
    for machine, stage in to_erase:
        try:
            found.append(erasure_of(given, resolved.stages[stage], images[stage], machine))
        except DiskError as error:
            unclear.append(error)
    if unclear:
        raise together(unclear)
    return found


def _plan(
    given: Inputs,
    resolved: Resolved,
    chosen: Sequence[Chosen],
    *,
    planned: Sequence[PlannedMachine],
    stages: Sequence[PlannedStage],
    erasures: Sequence[Erasure],
    artifacts: Mapping[str, str],
    seconds: float,
    facts_used: tuple[tuple[str, ...], ...],
) -> Plan:
    content = _content(given.library, resolved)
    machines = [c.machine for c in chosen]
    labels = _labels(given, resolved, machines)
    limit_names = {name for m in planned for name in m.limits}
    plan = Plan(
        digest="",
        kind=_kind(given, resolved),
        workflow=resolved.workflow.name,
        cluster=given.spec.cluster if given.spec is not None else "",
        cluster_params={
            role: plain(node)
            for role, node in sorted((given.spec.params if given.spec else {}).items())
        },
        machines=tuple(planned),
        stages=tuple(stages),
        groups=tuple(resolved.workflow.groups),
        erasures=tuple(erasures),
        limits={name: given.limits.capacity(name) for name in sorted(limit_names)},
        content=content,
        content_digest=digest(dict(content)),
        artifacts=artifacts,
        fingerprint=fingerprint(
            machines,
            members=given.members,
            erased={e.machine_id for e in erasures},
            labels=labels,
            cluster_id=given.cluster_id,
            facts_used=facts_used,
        ),
        estimate_s=seconds,
        labels_used=labels,
        adaptive={
            name: bounds
            for name in sorted(limit_names)
            if (bounds := given.limits.bounds(name)) is not None
        },
        windows=plan_windows(given, stage_windows(given, resolved), stages, planned),
        facts_used=facts_used,
        cluster_id=given.cluster_id,
    )
    return replace(plan, digest=plan_digest(plan))


def _kind(given: Inputs, resolved: Resolved) -> PlanKind:
    if given.spec is None:
        return "discover"
    return "leave" if resolved.workflow.pools_that_leave() else "cluster"


class _Limits:
    """The limits that machines draw on; what a rack's machines share is made once."""

    def __init__(self, given: Inputs, resolved: Resolved) -> None:
        self._capacity = given.limits.capacity
        runs_ansible = any(s.spec.executor == "ansible" for s in resolved.stages.values())
        self._everyone = ("image_server", "ansible") if runs_ansible else ("image_server",)
        self._shared: dict[tuple[str, str], tuple[str, ...]] = {}

    def of(self, machine: Machine) -> tuple[str, ...]:
        place = (machine.rack, machine.site)
        shared = self._shared.get(place)
        if shared is None:
            named = [f"{k}:{v}" for k, v in zip(("rack", "site"), place, strict=True) if v]
            shared = self._shared[place] = self._bounded((*named, *self._everyone))
        if machine.bmc is None or machine.bmc.protocol == "none":
            return shared
        return (*self._bounded((f"bmc:{machine.bmc.endpoint}",)), *shared)

    def _bounded(self, names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(name for name in names if self._capacity(name) > 0)


def _machine(
    one: Chosen, profile: Profile, limits: tuple[str, ...], windows: tuple[str, ...]
) -> PlannedMachine:
    return PlannedMachine(
        id=str(one.machine.id),
        name=one.machine.name,
        pools=profile.pools,
        why=one.why,
        origin=one.machine.origin.value,
        groups=profile.groups,
        stages=profile.stages,
        expected=profile.expected,
        reboots=profile.reboots,
        limits=limits,
        windows=windows,
    )


def _labels(given: Inputs, resolved: Resolved, machines: Sequence[Machine]) -> tuple[str, ...]:
    if any(s.uses_labels for s in resolved.stages.values()):
        return ("*",)
    if given.spec is None:
        return ()
    selectors = [p.selector for p in given.spec.pools.values()]
    return labels_in([*selectors, *(r.selector for r in given.spec.disks)], machines)


def _content(library: Library, resolved: Resolved) -> Mapping[str, str]:
    workflow = library.file(f"workflows/{resolved.workflow.name}.yaml")
    content = {workflow.path: workflow.stamp}
    for role in sorted({s.role.name for s in resolved.stages.values()}):
        content.update((file.path, file.stamp) for file in library.role_files(role))
    return dict(sorted(content.items()))
