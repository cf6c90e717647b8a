"""The planned stages: brakes resolved against their machines, and how long it all may take."""

from collections.abc import Mapping, Sequence

from rackwright.engine.plan.inputs import Inputs
from rackwright.engine.plan.model import Need, PlannedStage, Waves
from rackwright.engine.plan.resolve import Resolved, ResolvedStage
from rackwright.engine.plan.waves import resolve_waves
from rackwright.engine.plan.windows import stage_windows, window_names

_CHECK_S = 3.0
_METAL_S = 180.0
_OS_S = 20.0


def tasks_of(one: ResolvedStage, machines: int) -> int:
    """How many of a stage's machines will really run it."""
    match one.stage.pick:
        case "one":
            return min(1, machines)
        case "rest":
            return max(0, machines - 1)
        case "all":
            return machines


def planned_stages(
    given: Inputs, resolved: Resolved, counts: Mapping[str, int]
) -> tuple[PlannedStage, ...]:
    """All stages in topological order; ``counts``: machines that each concerns."""
    from_spec = given.spec.waves if given.spec is not None else {}
    held = stage_windows(given, resolved)
    stages = []
    for name, one in resolved.stages.items():
        waves, waves_from = resolve_waves(
            one.stage.waves,
            from_spec.get(name),
            is_destructive=one.destructive is not None,
            machines=tasks_of(one, counts[name]),
        )
        stages.append(_stage(one, waves, waves_from, window_names(one, held)))
    return tuple(stages)


def _stage(
    one: ResolvedStage, waves: Waves | None, waves_from: str, windows: tuple[str, ...]
) -> PlannedStage:
    stage, spec = one.stage, one.spec
    kinds = [] if spec.executor == "local" else ["rack", "site"]
    if spec.executor == "netboot" or spec.reboots is not None:
        kinds.append("bmc")
    if one.destructive is not None:
        kinds.append("image_server")
    if spec.executor == "ansible":
        kinds.append("ansible")
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
        windows=windows,
        approve=stage.approve.text if stage.approve is not None else "",
        approve_deadline_s=stage.approve.deadline_s if stage.approve is not None else 0.0,
        when=stage.when.text if stage.when is not None else "",
    )


def estimate_s(
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
