"""Adaptive limits: additive increase, multiplicative decrease, as TCP does it.

An attempt that ended under pressure (unreachable, busy, timed out) halves every adaptive limit that
its task held; as many good ends in a row as the limit has places add one. After a halving the ends
of what had started before it say nothing more: they are the same trouble. Counts alone, no clock,
so that a simulation with the same seed adapts the same way. A capacity that an operator sets
outside the bounds stays as it is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from rackwright.engine.plan.model import Plan


class Adapted(NamedTuple):
    limit: int
    capacity: int
    reason: str


@dataclass(slots=True)
class Aimd:
    """One limit between ``low`` and ``high``."""

    low: int
    high: int
    good: int = 0  # good ends since the last change
    deaf: int = 0  # ends still to come of what started before the last halving

    def ended(self, pressed: bool, capacity: int, used: int) -> int:
        """The capacity from now on. ``used``: places taken now, the ended one not counted."""
        if self.deaf:
            self.deaf -= 1
            return capacity
        if not self.low <= capacity <= self.high:
            return capacity
        if pressed:
            self.good = 0
            halved = max(self.low, capacity // 2)
            if halved < capacity:
                self.deaf = used
            return halved
        self.good += 1
        if self.good >= capacity and capacity < self.high:
            self.good = 0
            return capacity + 1
        return capacity


class Adaptive:
    """The adaptive limits of a run."""

    def __init__(self, plan: Plan) -> None:
        names = list(plan.limits)
        self._rules: Mapping[int, Aimd] = {
            names.index(name): Aimd(low, high)
            for name, (low, high) in plan.adaptive.items()
            if name in plan.limits
        }

    def ended(
        self, held: Sequence[int], pressed: bool, capacity: Sequence[int], used: Sequence[int]
    ) -> list[Adapted]:
        """What changes after an attempt ended whose task held the limits ``held``."""
        found = []
        for limit in held:
            rule = self._rules.get(limit)
            if rule is None:
                continue
            new = rule.ended(pressed, capacity[limit], used[limit])
            if new != capacity[limit]:
                reason = "an attempt ended under pressure" if pressed else "all went well"
                found.append(Adapted(limit, new, reason))
        return found
