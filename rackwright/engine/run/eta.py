"""How long a run will still take, from what its own stages took so far: along the longest chain of
stages that are left. Pure. An estimate for people; nothing is decided by it.
"""

from collections.abc import Sequence
from typing import NamedTuple

from rackwright.engine.plan.model import Plan, PlannedStage


class StageStanding(NamedTuple):
    """``left``: tasks that have not ended, of them ``running``; ``ended``: those that have.
    ``mean_s``: of the attempts that ended, 0 for none. ``started_at``: 0 for a stage that has not
    begun."""

    left: int
    ended: int
    mean_s: float
    started_at: float
    running: int = 0


class Remaining(NamedTuple):
    """``path``: stages on the chain that the end waits for, first to last."""

    left_s: float
    path: tuple[str, ...]


def remaining(plan: Plan, standings: Sequence[StageStanding], now: float) -> Remaining:
    """``standings`` in the plan's order of stages, which is topological."""
    guess_s = plan.estimate_s / _depth(plan)
    ends: dict[str, tuple[float, str]] = {}
    for stage, standing in zip(plan.stages, standings, strict=True):
        each_s = standing.mean_s or guess_s
        own_s = _own_s(stage, standing, each_s, now)
        end_s, before = own_s, ""
        for need in stage.needs:
            waited_s = ends[need.stage][0] if need.stage in ends else 0.0
            # a need of the same machine: when its last machine comes, the others are done here
            after_s = each_s if need.wait == "same" and stage.waves is None else own_s
            if standing.left and waited_s and waited_s + after_s > end_s:
                end_s, before = waited_s + after_s, need.stage
        ends[stage.name] = (end_s, before)
    last = max(ends, key=lambda name: ends[name][0], default="")
    if not last or not ends[last][0]:
        return Remaining(0.0, ())
    path = [last]
    while ends[path[-1]][1]:
        path.append(ends[path[-1]][1])
    return Remaining(ends[last][0], tuple(reversed(path)))


def _own_s(stage: PlannedStage, standing: StageStanding, each_s: float, now: float) -> float:
    """Of the stage alone, were all that it needs there."""
    if not standing.left:
        return 0.0
    if standing.started_at and standing.ended:
        passed_s = max(0.0, now - standing.started_at)
        pace_s = standing.left * passed_s / standing.ended
        if not standing.running:
            return pace_s
        # The first to end say little of a pace: those beside them take as long again at most.
        rounds = -(-standing.left // standing.running)
        return min(pace_s, rounds * max(each_s, passed_s))
    width = (stage.waves.max_parallel if stage.waves else 0) or standing.left
    rounds = -(-standing.left // width)
    if stage.waves and stage.waves.canary:
        rounds += 1
    passed_s = max(0.0, now - standing.started_at) if standing.started_at else 0.0
    return max(0.1 * each_s, each_s * rounds - passed_s)


def _depth(plan: Plan) -> int:
    depths: dict[str, int] = {}
    for stage in plan.stages:
        depths[stage.name] = 1 + max((depths.get(n.stage, 0) for n in stage.needs), default=0)
    return max(depths.values(), default=1)
