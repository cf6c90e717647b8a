"""Random topologies for the scheduler's property tests, by seed."""

import random

from rackwright.engine.errors import OperatorError
from rackwright.engine.schedule.topology import Barrier, Hold, Pick, StageShape, Topology, Wait

WAITS: tuple[Wait, ...] = ("all", "settled", "count", "percent")


def topology(rng: random.Random, *, predictable: bool = False) -> Topology:
    """Up to 6 machines x 7 stages with everything the scheduler knows. ``predictable``: nothing
    whose result depends on the order in which attempts end (halting waves, ends with needs of
    their own, two stages that could ask for the same election)."""
    while True:
        try:
            return _Draw(rng, predictable).topology()
        except OperatorError:
            continue  # elections that wait for each other


class _Draw:
    def __init__(self, rng: random.Random, predictable: bool) -> None:
        self.rng = rng
        self.predictable = predictable
        self.machines = rng.randint(1, 6)
        self.count = rng.randint(1, 7)
        self.groups = rng.randint(0, 2)
        self.members = [self._mask(0.7) for _ in range(self.groups)]
        self.capacities = [rng.randint(1, 3) for _ in range(rng.randint(0, 3))]
        self.holds: list[Hold] = [Hold("window")] * rng.randint(0, 2)
        self.elects: set[int] = set()
        self.ends: set[int] = set()
        self.shapes: list[StageShape] = []

    def _mask(self, share: float) -> bytes:
        return bytes(self.rng.random() < share for _ in range(self.machines))

    def topology(self) -> Topology:
        means_to = self._means()
        for s in range(self.count):
            self.shapes.append(self._shape(s, means_to.get(s, ())))
        return Topology(
            self.machines,
            self.shapes,
            capacities=self.capacities,
            group_count=self.groups,
            holds=self.holds,
        )

    def _means(self) -> dict[int, tuple[int, ...]]:
        found: dict[int, tuple[int, ...]] = {}
        for s in range(self.count - 1):
            later = [e for e in range(s + 1, self.count) if not self.predictable or e not in found]
            if s in self.ends and self.predictable:
                continue
            if later and self.rng.random() < 0.3:
                ends = self.rng.sample(later, min(len(later), self.rng.randint(1, 2)))
                if self.predictable and self.ends & set(ends):
                    continue
                found[s] = tuple(ends)
                self.ends.update(ends)
        return found

    def _shape(self, s: int, means_to: tuple[int, ...]) -> StageShape:
        rng = self.rng
        bare_end = self.predictable and s in self.ends
        group, pick = self._pick(s, means_to)
        earlier = range(s)
        needs = () if bare_end else tuple(n for n in earlier if rng.random() < 0.35)
        barriers = (
            () if bare_end else tuple(self._barrier(n) for n in earlier if rng.random() < 0.2)
        )
        waves = rng.random() < 0.4
        always = not means_to and s not in self.ends and rng.random() < 0.15
        return StageShape(
            name=f"s{s}",
            participants=self.members[group] if group >= 0 else self._mask(0.85),
            needs=needs,
            barriers=barriers,
            means_to=means_to,
            canary=0 if self.predictable or not waves else rng.randint(0, 2),
            max_parallel=rng.randint(0, 3) if waves else 0,
            halt_at_failures=0 if self.predictable or not waves else rng.randint(0, 2),
            retries=rng.randint(0, 2),
            backoff_s=1.0,
            always=always,
            destructive=waves and rng.random() < 0.5,
            group=group,
            pick=pick,
            limits=self._limits(),
            holds=self._holds(s, always),
        )

    def _holds(self, s: int, always: bool) -> list[tuple[int, ...]] | None:
        """Windows of some machines; an approval of the stage on all."""
        windows = [h for h in range(len(self.holds)) if self.holds[h].kind == "window"]
        if self.rng.random() < 0.7:
            return None
        own: tuple[int, ...] = ()
        if not always and self.rng.random() < 0.5:
            own = (len(self.holds),)
            self.holds.append(Hold("approval", s))
        return [
            (*own, *(h for h in windows if self.rng.random() < 0.5)) for _ in range(self.machines)
        ]

    def _pick(self, s: int, means_to: tuple[int, ...]) -> tuple[int, Pick]:
        if not self.groups or s in self.ends or self.rng.random() < 0.6:
            return -1, "all"
        if self.predictable and means_to:
            return -1, "all"
        group = self.rng.randrange(self.groups)
        pick: Pick = self.rng.choice(("one", "rest"))
        if self.predictable:
            if group in self.elects:
                return -1, "all"
            self.elects.add(group)
        return group, pick

    def _barrier(self, stage: int) -> Barrier:
        wait = self.rng.choice(WAITS)
        amount = self.rng.randint(1, 100) if wait == "percent" else self.rng.randint(1, 3)
        return Barrier(stage, wait, amount)

    def _limits(self) -> list[tuple[int, ...]] | None:
        if not self.capacities or self.rng.random() < 0.5:
            return None
        limits = range(len(self.capacities))
        return [tuple(i for i in limits if self.rng.random() < 0.5) for _ in range(self.machines)]
