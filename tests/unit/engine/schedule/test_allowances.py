"""K schedulers with granted allowances never exceed what one may, and every one of them ends."""

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rackwright.engine.errors import OperatorError
from rackwright.engine.schedule.allowances import Ledger
from rackwright.engine.schedule.events import (
    CancelAsked,
    Command,
    Ended,
    Event,
    Finish,
    Granted,
    Mode,
    PauseAsked,
    Recalled,
    Result,
    RetryAsked,
    Returned,
    SetTimer,
    SkipAsked,
    Start,
    TaskState,
    TimerFired,
    Wants,
)
from rackwright.engine.schedule.restoration import Restoration
from rackwright.engine.schedule.scheduler import Scheduler
from rackwright.engine.schedule.standing import standing
from rackwright.engine.schedule.topology import Barrier, StageShape, Topology

SEEDS = st.integers(0, 2**48)
MANY = settings(max_examples=250, deadline=None, derandomize=True, database=None)
RESULTS = [Result.CHANGED] * 8 + [Result.SATISFIED] * 2 + [Result.FAILED] * 4 + [Result.REFUSED]


def shard(rng: random.Random, stages: int, limits: int, shapes: random.Random) -> Topology:
    """All shards have the stages that ``shapes`` draws; machines are their own."""
    machines = rng.randint(1, 5)
    found = []
    for s in range(stages):
        held = tuple(i for i in range(limits) if shapes.random() < 0.5)
        barrier = s and shapes.random() < 0.3
        found.append(
            StageShape(
                name=f"s{s}",
                participants=bytes([1]) * machines,
                needs=(s - 1,) if s and shapes.random() < 0.7 else (),
                barriers=(Barrier(s - 1, "settled"),) if barrier else (),
                retries=shapes.randint(0, 1),
                shared=shapes.random() < 0.6,
                always=shapes.random() < 0.1,
                limits=[held] * machines if held else None,
            )
        )
    return Topology(machines, found, capacities=[0] * limits, shared_limits=range(limits))


class Fleet:
    """K shards, one ledger a shared thing, and messages between them that come when they come."""

    def __init__(self, seed: int) -> None:
        self.rng = rng = random.Random(seed)
        stages, limits = rng.randint(1, 4), rng.randint(0, 2)
        shapes = rng.randrange(2**32)
        count = rng.randint(1, 4)
        self.topologies = [shard(rng, stages, limits, random.Random(shapes)) for _ in range(count)]
        self.shards = [Scheduler(topology) for topology in self.topologies]
        self.journals: list[list[Event | Command]] = [[] for _ in self.shards]
        self.ledgers = {
            resource: Ledger(rng.randint(1, 5)) for resource in self.topologies[0].shared_resources
        }
        self.mail: list[tuple[int, Event | Wants | Returned]] = []
        self.wants: dict[tuple[int, int], int] = {}
        self.running: set[tuple[int, int]] = set()
        self.ended: set[int] = set()
        self.retried = 0

    def feed(self, k: int, event: Event) -> None:
        self.journals[k].append(event)
        self.shards[k].feed(event)

    def take(self, k: int) -> None:
        commands = self.shards[k].take()
        self.journals[k].extend(commands)
        for command in commands:
            match command:
                case Start(task, attempt, mode):
                    assert mode == Mode.FULL
                    self.running.add((k, task))
                    self.mail.append((k, Ended(task, attempt, self.rng.choice(RESULTS))))
                case SetTimer(task, attempt, _):
                    self.mail.append((k, TimerFired(task, attempt)))
                case Wants() | Returned():
                    self.mail.append((k, command))
                case Finish():
                    self.ended.add(k)
                case _:
                    pass
        self.check()

    def check(self) -> None:
        """Never more than one scheduler may, over all shards."""
        first = self.topologies[0]
        limits, stages = len(first.capacities), len(first.stages)
        used: Counter[int] = Counter()
        for k, task in self.running:
            stage = self.topologies[k].stage_of(task)
            if first.stages[stage].shared:
                used[limits + stage] += 1
            rows = self.topologies[k].stages[stage].limits
            used.update(rows[self.topologies[k].machine_of(task)] if rows else ())
        for stage in range(stages):
            if first.stages[stage].shared and not first.stages[stage].always:
                budget = limits + stages + stage
                used[budget] = sum(s.board.wave_failures[stage] for s in self.shards)
        for resource, ledger in self.ledgers.items():
            assert used[resource] <= ledger.total, f"{resource}: {used[resource]}"
            assert ledger.left >= 0
            for k, mine in enumerate(self.shards):
                assert mine.board.granted[resource] <= ledger.held.get(k, 0), "more than granted"

    def step(self) -> None:
        rng = self.rng
        if self.mail and rng.random() < 0.9:
            k, message = self.mail.pop(rng.randrange(len(self.mail)))
            self.deliver(k, message)
        elif rng.random() < 0.1:
            self.disturb(rng.randrange(len(self.shards)))
        elif not self.mail:
            self.unstick()
        self.answer()

    def deliver(self, k: int, message: Event | Wants | Returned) -> None:
        match message:
            case Wants(resource, amount):
                self.wants[resource, k] = amount
            case Returned(resource, amount):
                self.ledgers[resource].give_back(k, amount)
            case _:
                if isinstance(message, Ended):
                    self.running.discard((k, message.task))
                self.feed(k, message)
                self.take(k)

    def answer(self) -> None:
        for resource, k in list(self.wants):
            given = self.ledgers[resource].grant(k, self.rng.randint(1, self.wants[resource, k]))
            if given:
                del self.wants[resource, k]
                self.mail.append((k, Granted(resource, given)))

    def disturb(self, k: int) -> None:
        rng = self.rng
        resource = rng.choice([*self.ledgers, None])
        task = rng.randrange(self.topologies[k].task_count)
        orders: list[Event] = [PauseAsked(True), PauseAsked(False), SkipAsked(task)]
        if self.retried < 5:
            orders.append(RetryAsked(-1))
        if rng.random() < 0.05:
            orders.append(CancelAsked())
        if resource is not None:
            orders += [Recalled(resource, rng.randint(1, 3))] * 2
        event = rng.choice(orders)
        self.retried += isinstance(event, RetryAsked)
        if k not in self.ended:
            self.feed(k, event)
            self.take(k)

    def unstick(self) -> None:
        """Nothing moves: one shard that wants gets what the others do not use, or a no."""
        for k in range(len(self.shards)):
            if self.shards[k].board.paused:
                self.feed(k, PauseAsked(False))
                self.take(k)
        if not self.wants or self.mail:
            return
        resource, k = min(self.wants, key=lambda key: (key[1], key[0]))
        for other in range(len(self.shards)):
            held = self.ledgers[resource].held.get(other, 0)
            if other != k and held:
                self.feed(other, Recalled(resource, held))
                self.take(other)
        if not self.mail:
            del self.wants[resource, k]
            ledger = self.ledgers[resource]
            has_all = ledger.held.get(k, 0) == ledger.total
            assert has_all or resource >= self.shards[k].board.budget_base, "nobody uses it"
            self.mail.append((k, Granted(resource, 0)))

    def run(self) -> None:
        for k in range(len(self.shards)):
            self.take(k)
        for _ in range(20_000):
            if len(self.ended) == len(self.shards) and not self.mail:
                return
            self.step()
        raise AssertionError("the shards do not end")


@given(SEEDS)
@MANY
def test_shards_together_stay_within_what_there_is_and_all_end(seed: int) -> None:
    fleet = Fleet(seed)
    fleet.run()
    for resource, ledger in fleet.ledgers.items():
        for k, mine in enumerate(fleet.shards):
            board = mine.board
            spent = 0
            if resource >= board.budget_base:
                spent = board.wave_failures[resource - board.budget_base]
            assert ledger.held.get(k, 0) == spent, "what is not spent goes back"
    for mine in fleet.shards:
        for state in mine.board.state:
            assert state == TaskState.ABSENT or state >= TaskState.SATISFIED


@given(SEEDS)
@MANY
def test_a_restored_shard_has_the_allowances_of_the_one_that_died(seed: int) -> None:
    fleet = Fleet(seed)
    for k in range(len(fleet.shards)):
        fleet.take(k)
    for _ in range(fleet.rng.randrange(120)):
        fleet.step()
    for k, live in enumerate(fleet.shards):
        fleet.take(k)
        whole = Restoration(fleet.topologies[k])
        for item in fleet.journals[k]:
            whole.fold(item)
        restored = whole.scheduler()
        for again in (restored, Restoration(fleet.topologies[k], standing(live)).scheduler()):
            assert again.board.granted == live.board.granted
            assert again.board.owed == live.board.owed
            assert again.board.denied == live.board.denied
            assert again.board.capacity == live.board.capacity
            assert again.board.used == live.board.used


def test_a_ledger_gives_no_more_than_there_is_and_takes_no_more_than_it_gave() -> None:
    ledger = Ledger(3)
    assert [ledger.grant(0, 2), ledger.grant(1, 5), ledger.grant(2, 1)] == [2, 1, 0]
    with pytest.raises(ValueError, match="gives back 2 of 1"):
        ledger.give_back(1, 2)
    ledger.give_back(0, 1)
    assert (ledger.left, dict(ledger.held)) == (1, {0: 1, 1: 1, 2: 0})


def test_a_shared_stage_has_no_brakes_of_its_own() -> None:
    with pytest.raises(OperatorError, match="brakes of its own"):
        Topology(1, [StageShape("s", b"\x01", shared=True, max_parallel=2)])
    alone = Scheduler(Topology(1, [StageShape("s", b"\x01")], capacities=[1]))
    with pytest.raises(OperatorError, match="is not shared"):
        alone.feed(Granted(0, 1))
