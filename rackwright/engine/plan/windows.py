"""Which maintenance windows hold which stages and machines of a plan."""

from collections.abc import Mapping, Sequence

from rackwright.engine.content.workflow import DESTRUCTIVE
from rackwright.engine.plan.inputs import Inputs
from rackwright.engine.plan.model import PlannedMachine, PlannedStage
from rackwright.engine.plan.resolve import Resolved, ResolvedStage


def stage_windows(given: Inputs, resolved: Resolved) -> Mapping[str, tuple[str, ...]]:
    """Stage name or ``destructive`` -> texts. The spec's take the place of the workflow's."""
    own = {n: one.stage.windows for n, one in resolved.stages.items() if one.stage.windows}
    from_spec = given.spec.windows if given.spec is not None else {}
    return {**resolved.workflow.windows, **own, **from_spec}


def window_names(one: ResolvedStage, windows: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """A stage's own window counts before the one for everything that erases."""
    if one.stage.name in windows:
        return (f"stage:{one.stage.name}",)
    return (DESTRUCTIVE,) if one.destructive is not None and DESTRUCTIVE in windows else ()


def plan_windows(
    given: Inputs,
    windows: Mapping[str, tuple[str, ...]],
    stages: Sequence[PlannedStage],
    machines: Sequence[PlannedMachine],
) -> Mapping[str, tuple[str, ...]]:
    """Every window that the plan names, sorted by name."""
    named = {name for stage in stages for name in stage.windows}
    named |= {name for machine in machines for name in machine.windows}
    found = {}
    for name in sorted(named):
        kind, _, of = name.partition(":")
        found[name] = given.site_windows[of] if kind == "site" else windows[of or DESTRUCTIVE]
    return found
