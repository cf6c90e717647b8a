"""What all machines of one pool in one condition share: groups, stages, expectations."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rackwright.engine.content.workflow import ALL
from rackwright.engine.plan.inputs import Condition, Inputs
from rackwright.engine.plan.resolve import Resolved, ResolvedStage


@dataclass(frozen=True, slots=True)
class Profile:
    """What all machines of one pool in one condition share."""

    groups: tuple[str, ...]
    stages: tuple[str, ...]
    expected: Mapping[str, str]
    reboots: int
    touches_power: bool
    erases: str  # the stage that erases its machines, "" if none does


def profile_of(given: Inputs, resolved: Resolved, pool: str, condition: Condition) -> Profile:
    """The profile of the machines of ``pool`` ("" without a spec) in ``condition``."""
    groups = tuple(g.name for g in resolved.workflow.groups.values() if pool in g.pools)
    mine = [n for n, s in resolved.stages.items() if s.stage.group in (ALL, *groups)]
    expected: dict[str, str] = {}
    for name in reversed(mine):  # ends before their means
        one = resolved.stages[name]
        ends = [expected[end] for end, _ in one.stage.means_to if end in expected]
        expected[name] = _expected(one, condition, ends, given.cluster_id)
    does = [resolved.stages[n] for n in mine if expected[n] == "apply"]
    return Profile(
        groups=groups,
        stages=tuple(n for n in mine if expected[n] != "not applicable"),
        expected={name: expected[name] for name in mine},
        reboots=sum((s.spec.executor == "netboot") + (s.spec.reboots is not None) for s in does),
        erases=next((s.stage.name for s in does if s.destructive is not None), ""),
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
