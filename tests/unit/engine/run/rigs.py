"""Runs on simulated machines in virtual time."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from rackwright.engine.executors.simulated import Faults, Latency, SimulatedExecutor, Strikes
from rackwright.engine.executors.simulated_world import World
from rackwright.engine.plan.model import Plan
from rackwright.engine.run.clock import VirtualClock
from rackwright.engine.run.memory_journal import MemoryJournal
from rackwright.engine.run.ports import Attempt, Executor, Fact, Outcome, RunView
from rackwright.engine.run.runner import Runner
from rackwright.engine.run.turn import Question
from rackwright.engine.schedule.events import Result, RunStatus

Order = tuple[Question, str, str]


@dataclass
class Rig:
    """One world and one journal; controllers come and go."""

    plan: Plan
    faults: Faults = field(default_factory=Faults)
    seed: int = 7
    world: World = field(default_factory=World)
    journal: MemoryJournal = field(default_factory=MemoryJournal)
    clock: VirtualClock = field(default_factory=VirtualClock)
    strikes: Strikes | None = None
    slow: float = 1.0  # times the usual latency
    snapshot_facts: int = 7  # so that nearly each restart begins at a snapshot

    def executor(self, view: RunView) -> Executor:
        return SimulatedExecutor(
            self.plan,
            view,
            self.clock,
            self.world,
            seed=self.seed,
            faults=self.faults,
            latency=Latency(1.0 * self.slow, 5.0 * self.slow),
            strikes=self.strikes,
        )

    def runner(self, *, first_orders: Iterable[Order] = (), epoch: int | None = None) -> Runner:
        snapshot, facts = self.journal.past()
        return Runner(
            self.plan,
            self.journal,
            self.executor,
            self.clock,
            self.journal.epoch if epoch is None else epoch,
            facts,
            first_orders=first_orders,
            snapshot=snapshot,
            snapshot_facts=self.snapshot_facts,
        )

    def run(self, *, first_orders: Iterable[Order] = ()) -> RunStatus:
        async def main() -> RunStatus:
            async with asyncio.timeout(60):  # virtual time: only a run that hangs takes as long
                return await self.runner(first_orders=first_orders).run()

        return asyncio.run(main())

    def task(self, stage: str, machine: int) -> int:
        index = [s.name for s in self.plan.stages].index(stage)
        return index * len(self.plan.machines) + machine

    def after_prefix(self, length: int, applied: Sequence[Fact] = ()) -> "Rig":
        """As if the controller had died after ``length`` facts; ``applied`` says which attempts
        got as far as changing the machine."""
        world, journal = World(), MemoryJournal()
        journal.facts = self.journal.facts[:length]
        for fact in journal.facts:
            if fact.kind == "ended" and fact.status == Result.CHANGED:
                world.apply(fact.stage * len(self.plan.machines) + fact.machine, fact.attempt)
        for fact in applied:
            task = fact.stage * len(self.plan.machines) + fact.machine
            if not world.is_applied(task):
                world.apply(task, fact.attempt)
        return Rig(self.plan, self.faults, self.seed, world, journal)


def in_flight(facts: Sequence[Fact]) -> list[Fact]:
    """Attempts that were issued and have no outcome."""
    found: dict[tuple[int, int], Fact] = {}
    for fact in facts:
        if fact.kind == "issued":
            found[fact.stage, fact.machine] = fact
        elif fact.kind == "ended":
            found.pop((fact.stage, fact.machine), None)
    return list(found.values())


class Scripted:
    """An executor that does what the test says, when the test says it."""

    def __init__(self, view: RunView) -> None:
        self.view = view
        self.started: list[Attempt] = []
        self.cancelled: list[tuple[int, int]] = []
        self.asked: list[tuple[int, int, tuple[int, ...]]] = []
        self.settled: list[int] = []
        self.closed = False
        self.on_start: Callable[[Attempt], None] = lambda attempt: None
        self.on_cancel: Callable[[int, int], None] = lambda task, attempt: None

    def start(self, attempts: Sequence[Attempt]) -> None:
        self.started.extend(attempts)
        for attempt in attempts:
            self.on_start(attempt)

    def cancel(self, task: int, attempt: int) -> None:
        self.cancelled.append((task, attempt))
        self.on_cancel(task, attempt)

    def elect(self, group: int, stage: int, candidates: Sequence[int]) -> None:
        self.asked.append((group, stage, tuple(candidates)))

    def stage_settled(self, stage: int) -> None:
        self.settled.append(stage)

    async def close(self) -> None:
        self.closed = True

    def end(
        self,
        task: int,
        attempt: int = 1,
        result: Result = Result.CHANGED,
        outputs: Mapping[str, object] | None = None,
    ) -> None:
        self.view.ended(Outcome(task, attempt, result, b'{"ok":true}', outputs))


async def turns(count: int = 30) -> None:
    """Let the runner go on until it waits again."""
    for _ in range(count):
        await asyncio.sleep(0)
