"""Compiles a workflow, a spec and an inventory into a frozen Plan. Touches nothing.

Cost is proportional to machines + stages: machines of one pool in one condition share one profile
(their groups, stages and expectations), which is worked out once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from rackwright.engine.content.errors import Problems, near
from rackwright.engine.content.library import Library
from rackwright.engine.content.workflow import ALL
from rackwright.engine.content.yaml_source import plain
from rackwright.engine.errors import OperatorError
from rackwright.engine.machine import Machine, Origin
from rackwright.engine.plan.canonical import digest
from rackwright.engine.plan.codec import plan_digest
from rackwright.engine.plan.disks import DiskError, Select, choose_drive
from rackwright.engine.plan.fingerprint import fingerprint, labels_in
from rackwright.engine.plan.model import Erasure, Need, Plan, PlannedMachine, PlannedStage, Waves
from rackwright.engine.plan.resolve import Resolved, ResolvedStage, resolve
from rackwright.engine.plan.selection import (
    Chosen,
    NeedsDiscoveryError,
    Pick,
    in_order,
    select_machines,
)
from rackwright.engine.plan.spec import ClusterSpec
from rackwright.engine.plan.waves import resolve_waves

Condition = Literal["install", "installed", "existing", "discover"]
_CHECK_S = 3.0
_METAL_S = 180.0
_OS_S = 20.0


@dataclass(frozen=True, slots=True)
class LimitConfig:
    """Capacities by kind; 0 is no limit. ``named`` overrides one limit, such as ``rack:r7``."""

    bmc: int = 1
    rack: int = 0
    site: int = 0
    image_server: int = 16
    named: Mapping[str, int] | None = None

    def capacity(self, name: str) -> int:
        """0 if the limit has no bound."""
        if self.named is not None and name in self.named:
            return self.named[name]
        kind = name.partition(":")[0].replace("-", "_")
        return {
            "bmc": self.bmc,
            "rack": self.rack,
            "site": self.site,
            "image_server": self.image_server,
        }[kind]


@dataclass(frozen=True, slots=True)
class _Profile:
    """What all machines of one pool in one condition share."""

    groups: tuple[str, ...]
    stages: tuple[str, ...]
    expected: Mapping[str, str]
    reboots: int
    touches_power: bool


@dataclass(frozen=True, slots=True)
class _Inputs:
    library: Library
    spec: ClusterSpec | None
    machines: Sequence[Machine]
    select: Select
    artifacts: Mapping[str, str]
    cluster_id: str
    members: Mapping[str, str]
    reinstall: frozenset[str]
    limits: LimitConfig


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
) -> Plan:
    """The plan for ``spec``; or, without one, ``workflow`` on exactly ``machines`` (discovery).

    ``select(selector, machine)`` may raise ValueError or OperatorError for a selector that does
    not parse. ``artifacts``: reference -> digest of those that are built. ``members``: machine id
    -> pool (or "") of this cluster's machines. ``reinstall``: names.

    Raises ContentError(s) for content and spec, NeedsDiscoveryError where no ramdisk has reported
    yet, DiskError, and OperatorError for what may not be done.
    """
    given = _Inputs(
        library=library,
        spec=spec,
        machines=machines,
        select=select,
        artifacts=artifacts,
        cluster_id=cluster_id,
        members=members or {},
        reinstall=reinstall,
        limits=limits or LimitConfig(),
    )
    name = spec.workflow if spec is not None else workflow
    found = library.workflow(name, spec.workflow_mark if spec is not None else None)
    resolved = resolve(library, found, spec)
    _check_destruction(resolved)
    if spec is None and found.groups:
        raise OperatorError(
            f"workflow {name} has groups, and no cluster spec says who is in them",
            hint="use `rackwright cluster plan SPEC`",
        )
    if spec is not None:
        _check_selectors(given, spec)
    return _assemble(given, resolved, _choose(given, resolved))


# choosing machines ------------------------------------------------------------------------------


def _choose(given: _Inputs, resolved: Resolved) -> tuple[Chosen, ...]:
    if given.spec is None:
        return tuple(Chosen(m, "", "asked for by name") for m in in_order(given.machines))
    chosen = select_machines(
        Pick(
            given.spec,
            given.machines,
            given.members,
            given.select,
            lambda m: _condition(given, resolved, m) == "install",
        )
    )
    names = [c.machine.name for c in chosen]
    for name in sorted(given.reinstall - set(names)):
        raise OperatorError(
            f"machine {name[:60]} is to be reinstalled and is not in the plan",
            hint=near(name, names),
        )
    return chosen


def _condition(given: _Inputs, resolved: Resolved, machine: Machine) -> Condition:
    if machine.origin is Origin.EXISTING:
        return "existing"
    if given.spec is None:
        return "discover"
    is_missing = machine.installed is None or machine.name in given.reinstall
    is_erasing = any(s.destructive for s in resolved.stages.values())
    return "install" if is_missing and is_erasing else "installed"


def _check_selectors(given: _Inputs, spec: ClusterSpec) -> None:
    """A selector that does not parse is the spec's mistake, at its line."""
    problems = Problems()
    asked = [(p.selector, p.selector_mark) for p in spec.pools.values()]
    asked += [(r.selector, r.mark or spec.mark) for r in spec.disks]
    for selector, mark in asked:
        try:
            for machine in given.machines[:1]:
                given.select(selector, machine)
        except (ValueError, OperatorError) as error:
            problems.add(mark, f"the selector '{selector[:80]}' cannot be read: {error}")
    problems.check()


def _check_destruction(resolved: Resolved) -> None:
    """One stage at most may erase a machine, and it writes one image at most."""
    problems = Problems()
    seen: list[tuple[frozenset[str] | None, str]] = []
    for name, one in resolved.stages.items():
        if one.destructive is None:
            continue
        if sum(r.startswith("image/") for r in one.references) > 1:
            problems.add(one.stage.mark, f"stage {name} would write several images")
        group = resolved.workflow.groups.get(one.stage.group)
        pools = frozenset(group.pools) if group is not None else None
        for other, other_name in seen:
            if pools is None or other is None or pools & other:
                problems.add(
                    one.stage.mark, f"stages {other_name} and {name} would erase the same machines"
                )
        seen.append((pools, name))
    problems.check()


# what is expected -------------------------------------------------------------------------------


def _profile(given: _Inputs, resolved: Resolved, pool: str, condition: Condition) -> _Profile:
    groups = tuple(g.name for g in resolved.workflow.groups.values() if pool in g.pools)
    mine = [n for n, s in resolved.stages.items() if s.stage.group in (ALL, *groups)]
    expected: dict[str, str] = {}
    for name in reversed(mine):  # ends before their means
        one = resolved.stages[name]
        ends = [expected[end] for end, _ in one.stage.means_to if end in expected]
        expected[name] = _expected(one, condition, ends, given.cluster_id)
    does = [resolved.stages[n] for n in mine if expected[n] == "apply"]
    return _Profile(
        groups=groups,
        stages=tuple(n for n in mine if expected[n] != "not applicable"),
        expected={name: expected[name] for name in mine},
        reboots=sum((s.spec.executor == "netboot") + (s.spec.reboots is not None) for s in does),
        touches_power=any(
            resolved.stages[n].spec.executor == "netboot" and expected[n] in ("apply", "check")
            for n in mine
        ),
    )


def _expected(
    one: ResolvedStage, condition: Condition, ends: Sequence[str], cluster_id: str
) -> str:
    if condition == "existing" and one.is_metal:
        return "not applicable"
    if ends and set(ends) <= {"not applicable"}:
        return "not applicable"
    if ends:
        if set(ends) <= {"satisfied", "not applicable"}:
            return "satisfied"
        return "apply" if "apply" in ends else "check"
    if condition == "discover":
        return "apply"
    if one.destructive is not None:
        return "apply" if condition == "install" else "satisfied"
    if one.spec.cluster_scoped and cluster_id:
        return "satisfied"
    return "apply" if condition == "install" and one.stage.pick == "all" else "check"


# assembling -------------------------------------------------------------------------------------


def _assemble(given: _Inputs, resolved: Resolved, chosen: Sequence[Chosen]) -> Plan:
    profiles: dict[tuple[str, Condition], _Profile] = {}
    planned: list[PlannedMachine] = []
    erasures: list[Erasure] = []
    counts = dict.fromkeys(resolved.stages, 0)
    busy = dict.fromkeys(resolved.stages, 0)
    problems = Problems()
    blind = [
        c.machine
        for c in chosen
        if c.machine.drives is None and _condition(given, resolved, c.machine) == "install"
    ]
    if blind:
        raise NeedsDiscoveryError(blind)
    disk_errors: list[DiskError] = []
    for one in chosen:
        condition = _condition(given, resolved, one.machine)
        key = (one.pool, condition)
        if key not in profiles:
            profiles[key] = _profile(given, resolved, *key)
        profile = profiles[key]
        if one.machine.protected and profile.touches_power:
            raise OperatorError(
                f"machine {one.machine.name} is protected and would be powered",
                hint="leave it out, or take the protection off first",
                machine=one.machine.name,
            )
        for stage in profile.stages:
            counts[stage] += 1
            busy[stage] += profile.expected[stage] == "apply"
        planned.append(_machine(given, one, profile))
        if condition == "install":
            try:
                erasures += _erasures(given, resolved, one.machine, profile)
            except DiskError as error:
                disk_errors.append(error)
    if disk_errors:
        raise _together(disk_errors)
    _check_counts(resolved, counts, problems)
    used = _artifacts(given, resolved, counts, problems)
    problems.check()
    _check_quorum(given, resolved, {c.machine.id for c in chosen}, erasures)
    stages = _stages(given, resolved, counts)
    return _plan(given, resolved, chosen, planned, stages, erasures, used, _estimate(
        resolved, stages, counts, busy
    ))  # fmt: skip


def _plan(
    given: _Inputs,
    resolved: Resolved,
    chosen: Sequence[Chosen],
    planned: Sequence[PlannedMachine],
    stages: Sequence[PlannedStage],
    erasures: Sequence[Erasure],
    artifacts: Mapping[str, str],
    estimate_s: float,
) -> Plan:
    content = _content(given.library, resolved)
    machines = [c.machine for c in chosen]
    labels = _labels(given, resolved, machines)
    limit_names = {name for m in planned for name in m.limits}
    plan = Plan(
        digest="",
        kind="discover" if given.spec is None else "cluster",
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
        ),
        estimate_s=estimate_s,
        labels_used=labels,
        cluster_id=given.cluster_id,
    )
    return replace(plan, digest=plan_digest(plan))


def _machine(given: _Inputs, one: Chosen, profile: _Profile) -> PlannedMachine:
    machine = one.machine
    limits = []
    if machine.bmc is not None and machine.bmc.protocol != "none":
        limits.append(f"bmc:{machine.bmc.endpoint}")
    limits += [f"{k}:{v}" for k, v in (("rack", machine.rack), ("site", machine.site)) if v]
    limits.append("image-server")
    return PlannedMachine(
        id=str(machine.id),
        name=machine.name,
        pools=(one.pool,) if one.pool else (),
        why=one.why,
        origin=machine.origin.value,
        groups=profile.groups,
        stages=profile.stages,
        expected=profile.expected,
        reboots=profile.reboots,
        limits=tuple(name for name in limits if given.limits.capacity(name) > 0),
    )


def _erasures(
    given: _Inputs, resolved: Resolved, machine: Machine, profile: _Profile
) -> list[Erasure]:
    """At most one: ``_check_destruction`` saw to that."""
    found = []
    for name in profile.stages:
        one = resolved.stages[name]
        if one.destructive is None or profile.expected[name] != "apply":
            continue
        drive = choose_drive(machine, given.spec.disks if given.spec else (), given.select)
        image = next((r for r in one.references if r.startswith("image/")), "")
        image_digest = given.artifacts.get(image, "")
        generation = machine.installed.generation + 1 if machine.installed else 1
        retries = one.stage.retries or one.spec.retries
        found.append(
            Erasure(
                machine_id=str(machine.id),
                drive_serial=drive.serial,
                drive_wwn=drive.wwn,
                drive_model=drive.model,
                size_bytes=drive.size_bytes,
                sector_bytes=drive.sector_bytes,
                signatures=tuple(drive.signatures),
                install_id=install_id(machine.id, image_digest, drive.serial, generation),
                generation=generation,
                attempts=1 + retries.max,
                reason="reinstall requested" if machine.installed else "not installed",
                image_digest=image_digest,
            )
        )
    return found


def install_id(machine_id: str, image_digest: str, drive_serial: str, generation: int) -> str:
    """Names one installation: 16 hex digits, the same for the same four values."""
    return digest([machine_id, image_digest, drive_serial, generation])[:16]


def _together(errors: Sequence[DiskError]) -> DiskError:
    """One error that names every machine whose drive is not clear (at most ten)."""
    if len(errors) == 1:
        return errors[0]
    first = errors[0]
    more = "\n".join(e.message for e in errors[1:10])
    first.message = f"{first.message}\n{more}"
    return first


def _check_counts(resolved: Resolved, counts: Mapping[str, int], problems: Problems) -> None:
    """Barriers that can never open, and elections without candidates."""
    for name, one in resolved.stages.items():
        if one.stage.pick == "one" and counts[name] == 0 and not one.is_metal:
            problems.add(
                one.stage.on_mark,
                f"stage {name} is on {one.stage.group}.one, and that group is empty",
                "give its pools at least one machine",
            )
        for need in one.stage.needs:
            there = _tasks(resolved.stages[need.stage], counts[need.stage])
            if need.wait == "count" and need.amount > there:
                problems.add(
                    need.mark,
                    f"stage {name} can never start: it waits for {need.amount} machines of "
                    f"{need.stage}, which has {there}",
                    "wait: all, or a percentage",
                )


def _tasks(one: ResolvedStage, machines: int) -> int:
    match one.stage.pick:
        case "one":
            return min(1, machines)
        case "rest":
            return max(0, machines - 1)
        case "all":
            return machines


def _artifacts(
    given: _Inputs, resolved: Resolved, counts: Mapping[str, int], problems: Problems
) -> Mapping[str, str]:
    """Those that stages with machines use; one that is not built is a mistake."""
    used: dict[str, str] = {}
    for name, one in resolved.stages.items():
        for reference in one.references if counts[name] else ():
            if reference in given.artifacts:
                used[reference] = given.artifacts[reference]
            else:
                problems.add(
                    one.stage.use_mark,
                    f"stage {name} uses the artifact {reference}, which is not built",
                    f"run `rackwright image build {reference.removeprefix('image/')}`",
                )
    return dict(sorted(used.items()))


def _check_quorum(
    given: _Inputs, resolved: Resolved, chosen: set[str], erasures: Sequence[Erasure]
) -> None:
    """Reinstalling voters must leave a majority of those that serve now."""
    if not given.cluster_id:
        return
    erased = {e.machine_id for e in erasures}
    for group in resolved.workflow.groups.values():
        if not group.quorum:
            continue
        voters = [
            m
            for m in given.machines
            if given.members.get(m.id, "") in group.pools
            and m.state not in ("available", "allocated")
        ]
        stay = [m for m in voters if m.id in chosen and m.id not in erased]
        lost = [m.name for m in in_order(voters) if m.id in erased]
        if lost and len(stay) * 2 <= len(voters):
            raise OperatorError(
                f"reinstalling {', '.join(lost)} would leave {len(stay)} of {len(voters)} "
                f"{group.name} in cluster {given.spec.cluster if given.spec else ''}: "
                "the quorum would be lost",
                hint="add members to the group first, or reinstall fewer at a time",
            )


def _labels(given: _Inputs, resolved: Resolved, machines: Sequence[Machine]) -> tuple[str, ...]:
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


def _stages(
    given: _Inputs, resolved: Resolved, counts: Mapping[str, int]
) -> tuple[PlannedStage, ...]:
    from_spec = given.spec.waves if given.spec is not None else {}
    stages = []
    for name, one in resolved.stages.items():
        waves, waves_from = resolve_waves(
            one.stage.waves,
            from_spec.get(name),
            is_destructive=one.destructive is not None,
            machines=_tasks(one, counts[name]),
        )
        stages.append(_stage(one, waves, waves_from))
    return tuple(stages)


def _stage(one: ResolvedStage, waves: Waves | None, waves_from: str) -> PlannedStage:
    stage, spec = one.stage, one.spec
    kinds = ["rack", "site"]
    if spec.executor == "netboot":
        kinds.append("bmc")
    if one.is_metal:
        kinds.append("image-server")
    return PlannedStage(
        name=stage.name,
        role=one.role.name,
        role_stage=spec.name,
        executor=spec.executor,
        group=stage.group,
        pick=stage.pick,
        needs=tuple(Need(n.stage, n.wait, n.amount) for n in stage.needs),
        means_to=tuple(end for end, _ in stage.means_to),
        waves=waves,
        retries=stage.retries or spec.retries,
        timeout_s=stage.timeout_s or spec.timeout_s,
        destructive=one.destructive,
        always=stage.always,
        cluster_scoped=spec.cluster_scoped,
        reboots=spec.reboots,
        apply_in=spec.apply_in,
        scripts=one.scripts,
        secrets=spec.secrets,
        outputs=tuple(spec.outputs),
        files=one.files,
        params=one.params,
        waves_from=waves_from,
        limits=tuple(sorted(kinds)),
        artifacts=one.artifacts,
    )


def _estimate(
    resolved: Resolved,
    stages: Sequence[PlannedStage],
    counts: Mapping[str, int],
    busy: Mapping[str, int],
) -> float:
    """Seconds along the critical path, with as many rounds as the waves force."""
    seconds = {}
    for stage in stages:
        one = resolved.stages[stage.name]
        each = one.spec.estimate_s or (_METAL_S if one.is_metal else _OS_S)
        count = busy[stage.name]
        if not count:
            is_unsure = stage.pick != "all"
            seconds[stage.name] = (each if is_unsure else _CHECK_S) if counts[stage.name] else 0.0
            continue
        seconds[stage.name] = each * _rounds(stage.waves, count)
    return round(resolved.graph.critical_path(seconds)[1], 1)


def _rounds(waves: Waves | None, count: int) -> int:
    if waves is None:
        return 1
    canary = min(waves.canary, count)
    left = count - canary
    width = waves.max_parallel or max(left, 1)
    return (1 if canary else 0) + -(-left // width)
