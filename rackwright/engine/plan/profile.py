"""What all machines of one pool in one condition share: groups, stages, expectations."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rackwright.engine.content.workflow import ALL
from rackwright.engine.errors import OperatorError
from rackwright.engine.plan.inputs import Condition, Inputs
from rackwright.engine.plan.model import NOT_APPLICABLE
from rackwright.engine.plan.resolve import Resolved, ResolvedStage


@dataclass(frozen=True, slots=True)
class Profile:
    """What all machines of one pool in one condition share."""

    pools: tuple[str, ...]
    groups: tuple[str, ...]
    stages: tuple[str, ...]
    expected: Mapping[str, str]
    reboots: int
    touches_power: bool
    erases: str  # the stage that erases its machines, "" if none does


def profile_of(
    given: Inputs,
    resolved: Resolved,
    pool: str,
    condition: Condition,
    left_out: frozenset[str] = frozenset(),
) -> Profile:
    """The profile of the machines of ``pool`` ("" without a spec) in ``condition``.

    ``left_out``: stages whose ``when`` is false for them.
    """
    groups = tuple(g.name for g in resolved.workflow.groups.values() if pool in g.pools)
    mine = [n for n, s in resolved.stages.items() if s.stage.group in (ALL, *groups)]
    expected: dict[str, str] = {}
    for name in reversed(mine):  # ends before their means
        one = resolved.stages[name]
        ends = [expected[end] for end, _ in one.stage.means_to if end in expected]
        expected[name] = (
            NOT_APPLICABLE[1]
            if name in left_out
            else _expected(one, condition, ends, given.cluster_id)
        )
    does = [resolved.stages[n] for n in mine if expected[n] == "apply"]
    erasing = [s for s in does if s.destructive is not None]
    if len(erasing) > 1:
        raise OperatorError(
            f"stages {erasing[0].stage.name} and {erasing[1].stage.name} would erase the same "
            "machine",
            hint="let their 'when' exclude each other",
        )
    return Profile(
        pools=(pool,) if pool else (),
        groups=groups,
        stages=tuple(n for n in mine if expected[n] not in NOT_APPLICABLE),
        expected={name: expected[name] for name in mine},
        reboots=sum((s.spec.executor == "netboot") + (s.spec.reboots is not None) for s in does),
        erases=erasing[0].stage.name if erasing else "",
        touches_power=any(
            resolved.stages[n].spec.executor == "netboot" and expected[n] in ("apply", "check")
            for n in mine
        ),
    )


def _expected(
    one: ResolvedStage, condition: Condition, ends: Sequence[str], cluster_id: str
) -> str:
    if condition == "existing" and one.is_metal:
        return NOT_APPLICABLE[0]
    if ends and set(ends) <= set(NOT_APPLICABLE):
        return NOT_APPLICABLE[0]
    if ends:
        if set(ends) <= {"satisfied", *NOT_APPLICABLE}:
            return "satisfied"
        return "apply" if "apply" in ends else "check"
    if condition == "discover":
        return "apply"
    if one.destructive is not None:
        return "apply" if condition == "install" else "satisfied"
    if one.spec.cluster_scoped and cluster_id:
        return "satisfied"
    return "apply" if condition == "install" and one.stage.pick == "all" else "check"
