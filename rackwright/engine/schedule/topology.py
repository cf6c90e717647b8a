"""The shape of a run: machines x stages as numbers, and the edges between stages.

Owns the translation of a ``Plan`` into what the scheduler reads. Immutable once made. A task is
``stage * machine_count + machine``; stages are in topological order. Never holds task state.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from typing import Literal, NamedTuple

from rackwright.engine.errors import OperatorError
from rackwright.engine.plan.model import Plan, PlannedMachine, PlannedStage

Wait = Literal["all", "settled", "count", "percent"]
Pick = Literal["all", "one", "rest"]

UNLIMITED = 1 << 60
BACKOFF_CAP_S = 300.0


class Barrier(NamedTuple):
    """Wait for a set of machines of another stage."""

    stage: int
    wait: Wait
    amount: int = 0  # successes for "count", per cent for "percent"


class Hold(NamedTuple):
    """What may keep ready tasks from starting: a maintenance window, or an approval (of ``stage``,
    and of the means to it). Its index is its identity."""

    kind: Literal["window", "approval"]
    stage: int = -1


class Edge(NamedTuple):
    """A barrier seen from both sides; its index is its identity."""

    source: int
    target: int
    wait: Wait
    amount: int

    def required(self, participants: int) -> int:
        """How many successes meet it. Percentages round up, at least 1; nobody: nothing."""
        if not participants:
            return 0
        if self.wait == "count":
            return self.amount
        if self.wait == "percent":
            return max(1, -(-participants * self.amount // 100))
        return participants


@dataclass(frozen=True, slots=True)
class StageShape:
    """One stage in numbers. ``participants`` has one byte per machine, 1 where it takes part."""

    name: str
    participants: bytes
    needs: tuple[int, ...] = ()  # same-machine
    barriers: tuple[Barrier, ...] = ()
    means_to: tuple[int, ...] = ()
    canary: int = 0
    max_parallel: int = 0  # 0: unlimited
    halt_at_failures: int = 0  # 0: never halts
    retries: int = 0
    backoff_s: float = 10.0
    always: bool = False
    destructive: bool = False  # then only a full run is a canary, never a satisfied probe
    shared: bool = False  # wave and budget of failures are granted from outside: a shard's stage
    group: int = -1
    pick: Pick = "all"
    limits: Sequence[tuple[int, ...]] | None = None  # per machine, the limits its task holds
    holds: Sequence[tuple[int, ...]] | None = None  # per machine, what a full attempt waits for

    @property
    def has_waves(self) -> bool:
        return bool(self.canary or self.max_parallel or self.halt_at_failures or self.shared)


class Topology:
    """What the scheduler needs to know, precomputed.

    Raises OperatorError for a shape that could not end: needs out of order, elections that wait
    for each other, a means to an elected stage.
    """

    def __init__(
        self,
        machine_count: int,
        stages: Sequence[StageShape],
        *,
        capacities: Sequence[int] = (),
        group_count: int = 0,
        holds: Sequence[Hold] = (),
        shared_limits: Sequence[int] = (),
    ) -> None:
        self.machine_count = machine_count
        self.holds = tuple(holds)
        self.stages = tuple(stages)
        self.capacities = tuple(capacities)
        self.group_count = group_count
        count = len(self.stages)
        waves = [len(self.capacities) + s for s, x in enumerate(self.stages) if x.shared]
        beyond = count + len(self.holds)  # from a stage's wave to its budget
        self.shared_limits = tuple(shared_limits)
        budgets = [w + beyond for w in waves if not self.stages[w - len(self.capacities)].always]
        self.shared_resources = (*self.shared_limits, *waves, *budgets)
        self.task_count = machine_count * count
        self.ends = tuple(self._ends_of(s) for s in range(count))
        self.means: tuple[tuple[int, ...], ...] = tuple(
            tuple(x for x in range(count) if s in self.ends[x]) for s in range(count)
        )
        self.needs = tuple(
            tuple(dict.fromkeys((*shape.needs, *self.means[s])))
            for s, shape in enumerate(self.stages)
        )
        self.edges = tuple(
            Edge(b.stage, s, "settled" if shape.always else b.wait, b.amount)
            for s, shape in enumerate(self.stages)
            for b in dict.fromkeys(shape.barriers)
        )
        self._check()
        self.outgoing = self._edge_lists("source")
        self.incoming = self._edge_lists("target")
        self.dependents = self._dependents()
        self.picked = tuple(
            tuple(s for s, x in enumerate(self.stages) if x.pick != "all" and x.group == g)
            for g in range(group_count)
        )
        self.triggers = tuple(self._triggers(g) for g in range(group_count))
        self._check_elections()

    def _ends_of(self, stage: int) -> tuple[int, ...]:
        """The ends of a means; a means to a means stands for that one's own ends."""
        found: dict[int, None] = {}
        stack = list(reversed(self.stages[stage].means_to))
        while stack:
            end = stack.pop()
            if end <= stage:
                raise OperatorError(
                    f"stage {self.stages[stage].name} is a means to the earlier stage "
                    f"{self.stages[end].name}",
                    hint="a means comes before its ends",
                )
            further = self.stages[end].means_to
            if further:
                stack.extend(reversed(further))
            else:
                found[end] = None
        return tuple(found)

    def _check(self) -> None:
        for s, shape in enumerate(self.stages):
            if any(n >= s for n in self.needs[s]) or any(b.stage >= s for b in shape.barriers):
                raise OperatorError(
                    f"stage {shape.name} needs a stage that does not come before it",
                    hint="stages of a plan are in topological order",
                )
            if shape.always and any(h.stage == s for h in self.holds):
                raise OperatorError(
                    f"stage {shape.name} runs always, and waits for an approval",
                    hint="what must run after a failure too cannot be refused",
                )
            if shape.shared and (shape.canary or shape.max_parallel or shape.halt_at_failures):
                raise OperatorError(
                    f"stage {shape.name} is shared, and has brakes of its own",
                    hint="whoever grants its wave lets the canaries go first",
                )
            if len(self.needs[s]) > 255:
                raise OperatorError(f"stage {shape.name} has more than 255 needs")
            if shape.pick != "all" and self.means[s]:
                raise OperatorError(
                    f"stage {shape.name} is the end of a means and chosen by election",
                    hint="means_to names stages on all machines of a group",
                )

    def _edge_lists(self, side: Literal["source", "target"]) -> tuple[tuple[int, ...], ...]:
        return tuple(
            tuple(i for i, e in enumerate(self.edges) if getattr(e, side) == s)
            for s in range(len(self.stages))
        )

    def _dependents(self) -> tuple[tuple[int, ...], ...]:
        return tuple(
            tuple(c for c in range(len(self.stages)) if s in self.needs[c])
            for s in range(len(self.stages))
        )

    def _ancestors(self, stage: int) -> set[int]:
        seen: set[int] = set()
        stack = [stage]
        while stack:
            s = stack.pop()
            for p in (*self.needs[s], *(self.edges[e].source for e in self.incoming[s])):
                if p not in seen:
                    seen.add(p)
                    stack.append(p)
        return seen

    def _triggers(self, group: int) -> tuple[int, ...]:
        """The stages that may ask for the election: ``.one`` before ``.rest``, and none that waits
        for a stage which itself needs the answer."""
        picked = set(self.picked[group])
        roots = [s for s in self.picked[group] if not picked & self._ancestors(s)]
        ones = tuple(s for s in roots if self.stages[s].pick == "one")
        return ones or tuple(roots)

    def _check_elections(self) -> None:
        graph = {
            s: {*self.needs[s], *(self.edges[e].source for e in self.incoming[s])}
            for s in range(len(self.stages))
        }
        for g in range(self.group_count):
            for s in self.picked[g]:
                for trigger in self.triggers[g]:
                    if trigger != s:
                        graph[s] |= graph[trigger]
        try:
            TopologicalSorter(graph).prepare()
        except CycleError as error:
            names = " -> ".join(self.stages[s].name for s in error.args[1])
            raise OperatorError(
                f"elections wait for each other: {names}",
                hint="let one group's first .one stage need no elected stage of the other",
            ) from error

    def task(self, stage: int, machine: int) -> int:
        return stage * self.machine_count + machine

    def stage_of(self, task: int) -> int:
        return task // self.machine_count

    def machine_of(self, task: int) -> int:
        return task % self.machine_count

    @classmethod
    def from_plan(cls, plan: Plan, *, is_shard: bool = False) -> "Topology":
        """Groups are numbered as in ``plan.groups``; "all" comes after them. ``is_shard``: limits,
        waves and budgets of failures are granted from outside."""
        return _PlanReader(plan, is_shard).topology()


def plan_holds(plan: Plan) -> tuple[Hold, ...]:
    """Windows as in ``plan.windows``, then approvals in the order of their stages."""
    return (
        *(Hold("window") for _ in plan.windows),
        *(Hold("approval", i) for i, stage in enumerate(plan.stages) if stage.approve),
    )


@dataclass
class _PlanReader:
    plan: Plan
    is_shard: bool = False
    limit_rows: dict[object, list[tuple[int, ...]]] = field(default_factory=dict)
    hold_rows: dict[tuple[tuple[int, ...], bool], list[tuple[int, ...]]] = field(
        default_factory=dict
    )
    kinds: dict[str, list[int]] = field(init=False)  # kind of limit -> the limits' numbers

    def __post_init__(self) -> None:
        self.kinds = {}
        for number, name in enumerate(self.plan.limits):
            self.kinds.setdefault(name.partition(":")[0], []).append(number)

    def topology(self) -> Topology:
        plan = self.plan
        index = {stage.name: i for i, stage in enumerate(plan.stages)}
        groups = {name: i for i, name in enumerate((*plan.groups, "all"))}
        alike: dict[tuple[str, ...], int] = {}  # machines with the same stages
        members = [alike.setdefault(m.stages, len(alike)) for m in plan.machines]
        concerned = [frozenset(names) for names in alike]
        return Topology(
            len(plan.machines),
            [self._shape(s, index, groups, members, concerned) for s in plan.stages],
            capacities=tuple(plan.limits.values()),
            group_count=len(groups),
            holds=plan_holds(plan),
            shared_limits=range(len(plan.limits)) if self.is_shard else (),
        )

    def _shape(
        self,
        stage: PlannedStage,
        index: Mapping[str, int],
        groups: Mapping[str, int],
        members: Sequence[int],
        concerned: Sequence[frozenset[str]],
    ) -> StageShape:
        waves = None if self.is_shard else stage.waves
        takes_part = [stage.name in names for names in concerned]
        try:
            return StageShape(
                name=stage.name,
                participants=bytes(map(takes_part.__getitem__, members)),
                needs=tuple(index[n.stage] for n in stage.needs if n.wait == "same"),
                barriers=tuple(
                    Barrier(index[n.stage], n.wait, n.amount)
                    for n in stage.needs
                    if n.wait != "same"
                ),
                means_to=tuple(index[name] for name in stage.means_to),
                canary=waves.canary if waves else 0,
                max_parallel=waves.max_parallel if waves else 0,
                halt_at_failures=waves.halt_at_failures if waves else 0,
                retries=stage.retries.max,
                backoff_s=stage.retries.backoff_s,
                always=stage.always,
                destructive=stage.destructive is not None,
                shared=self.is_shard and stage.waves is not None,
                group=groups[stage.group],
                pick=stage.pick,
                limits=self._limits(stage),
                holds=self._holds(stage, index),
            )
        except KeyError as error:
            raise OperatorError(
                f"stage {stage.name} names {error.args[0]!r}, which the plan does not have",
                stage=stage.name,
            ) from error

    def _holds(self, stage: PlannedStage, index: Mapping[str, int]) -> list[tuple[int, ...]] | None:
        """A stage's own, and those of the stages that it is a means to: a machine is not rebooted
        for an installation that may not begin. Rows are shared between equal stages."""
        holds = plan_holds(self.plan)
        if not holds:
            return None
        windows = {name: i for i, name in enumerate(self.plan.windows)}
        served, stack = {stage.name: stage}, [stage]
        while stack:
            for name in stack.pop().means_to:
                if name not in served:
                    served[name] = self.plan.stages[index[name]]
                    stack.append(served[name])
        approvals = {hold.stage: i for i, hold in enumerate(holds) if hold.stage >= 0}
        own = {windows[name] for one in served.values() for name in one.windows}
        own |= {approvals[index[n]] for n, one in served.items() if one.approve}
        erases = any(one.destructive is not None for one in served.values())
        key = (tuple(sorted(own)), erases)
        if key not in self.hold_rows:
            of_machine = {
                names: tuple(sorted(own | {windows[n] for n in names})) if erases else key[0]
                for names in {m.windows for m in self.plan.machines}
            }
            self.hold_rows[key] = [of_machine[m.windows] for m in self.plan.machines]
        return self.hold_rows[key] if any(self.hold_rows[key]) else None

    def _limits(self, stage: PlannedStage) -> list[tuple[int, ...]] | None:
        """A stage draws on kinds, a machine names its own of each: "bmc" and "bmc:10.0.0.7". Rows
        are shared between stages that hold the same limits."""
        held = sorted(kind for kind in set(stage.limits) if kind in self.kinds)
        own = (f"executor:{stage.executor}", f"stage:{stage.name}")
        mine = tuple(i for i, name in enumerate(self.plan.limits) if name in own)
        if not mine and not held:
            return None
        key = (*held, *mine)
        rows = self.limit_rows.get(key)
        if rows is None:
            names = list(self.plan.limits)
            number = {names[i]: i for kind in held for i in self.kinds[kind]}
            rows = [_machine_limits(m, number, mine) for m in self.plan.machines]
            self.limit_rows[key] = rows
        return rows if any(rows) else None


def _machine_limits(
    machine: PlannedMachine, number: Mapping[str, int], always: tuple[int, ...]
) -> tuple[int, ...]:
    return tuple(sorted({*always, *(number[n] for n in machine.limits if n in number)}))
