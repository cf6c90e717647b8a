"""Drives a scheduler with random machines, operators and accidents, under the oracle's eyes."""

import random
from collections import Counter

from rackwright.engine.schedule.events import (
    CancelAsked,
    Command,
    Decided,
    Elect,
    Elected,
    Ended,
    Event,
    HoldChanged,
    LimitChanged,
    Mode,
    PauseAsked,
    Result,
    RetryAsked,
    SetTimer,
    SkipAsked,
    Start,
    TimerFired,
)
from rackwright.engine.schedule.scheduler import Scheduler
from rackwright.engine.schedule.topology import Topology
from tests.unit.engine.schedule.oracle import Key, Oracle

FULL_RESULTS = (
    [Result.CHANGED] * 10
    + [Result.SATISFIED] * 3
    + [Result.FAILED] * 3
    + [Result.UNKNOWN, Result.REFUSED, Result.CANCELLED, Result.UNSATISFIED]
)
PROBE_RESULTS = [Result.UNSATISFIED] * 3 + [Result.SATISFIED] * 3 + [Result.UNKNOWN, Result.REFUSED]
STEPS = 4000


class Rig:
    """One scheduler and everything that is outside it."""

    def __init__(self, topology: Topology, rng: random.Random, *, operators: bool = True) -> None:
        self.topology = topology
        self.rng = rng
        self.operators = operators
        self.oracle = Oracle(topology)
        self.scheduler = Scheduler(topology)
        self.history: list[Event | Command] = []
        self.journal: list[Event | Command] = []  # as a runner writes it
        self.under_way: list[Start] = []
        self.timers: list[TimerFired] = []
        self.elects: list[Elect] = []
        self.past: list[Event] = []
        self.fulls: Counter[Key] = Counter()
        self.orders = 0

    def feed(self, event: Event) -> None:
        """Outcomes and timers go in batches; before anything else the oracle hears all."""
        if not isinstance(event, Ended | TimerFired):
            self.take()
            if self.oracle.finished is not None:
                return
        self.history.append(event)
        if self.is_accepted(event):
            self.journal.append(event)
        self.oracle.told(event)
        self.scheduler.feed(event)

    def is_accepted(self, event: Event) -> bool:
        """A runner drops what is late or repeated before it journals."""
        if isinstance(event, Ended):
            start = self.oracle.running.get(self.oracle.key(event.task))
            return start is not None and start.attempt == event.attempt
        if isinstance(event, Elected):
            return event.group in self.oracle.electing
        return not isinstance(event, TimerFired)

    def take(self) -> None:
        commands = self.scheduler.take()
        self.history.extend(commands)
        self.journal.extend(commands)
        self.oracle.heard(commands)
        for command in commands:
            if isinstance(command, Start):
                self.under_way.append(command)
                if command.mode == Mode.FULL:
                    self.fulls[self.oracle.key(command.task)] += 1
            elif isinstance(command, SetTimer):
                self.timers.append(TimerFired(command.task, command.attempt))
            elif isinstance(command, Elect):
                self.elects.append(command)

    def run(self) -> None:
        """To the end of the run. Raises AssertionError when it does not end."""
        self.take()
        for _ in range(STEPS):
            if self.oracle.finished is not None:
                return
            self.step()
        raise AssertionError("the run does not end")

    def step(self) -> None:
        self.feed_one()
        if self.rng.random() < 0.8:
            self.take()

    def feed_one(self) -> None:
        rng = self.rng
        if self.operators and self.orders < 16 and rng.random() < 0.08:
            self.orders += 1
            self.feed(self.order())
            return
        if self.past and rng.random() < 0.1:
            self.feed(rng.choice(self.past))  # twice, or late
            return
        kinds = [k for k in (self.under_way, self.timers, self.elects) if k]
        if not kinds:
            if self.oracle.paused:
                self.feed(PauseAsked(False))
            elif self.operators:
                limits = range(len(self.topology.capacities))
                for limit in limits:
                    self.feed(LimitChanged(limit, 2))
            for hold, found in enumerate(self.topology.holds):
                yes = not self.operators or rng.random() < 0.7
                self.feed(HoldChanged(hold, True) if found.kind == "window" else Decided(hold, yes))
            self.take()
            return
        source = rng.choice(kinds)
        item = source.pop(rng.randrange(len(source)))
        event: Event
        if isinstance(item, Start):
            event = Ended(item.task, item.attempt, self.result(item))
        elif isinstance(item, Elect):
            event = Elected(item.group, self.choose(item.group, list(item.candidates)))
        else:
            event = item
        self.past.append(event)
        self.feed(event)

    def result(self, start: Start) -> Result:
        return self.rng.choice(PROBE_RESULTS if start.mode == Mode.PROBE else FULL_RESULTS)

    def choose(self, group: int, candidates: list[int]) -> int:
        return self.rng.choice([*candidates, *candidates, -1])

    def order(self) -> Event:
        rng = self.rng
        task = rng.randrange(self.topology.task_count)
        orders: list[Event] = [
            PauseAsked(True),
            PauseAsked(False),
            RetryAsked(-1),
            RetryAsked(rng.randrange(self.topology.machine_count)),
            SkipAsked(task),
            SkipAsked(task),
        ]
        if rng.random() < 0.2:
            orders.append(CancelAsked())
        if self.topology.capacities:
            limit = rng.randrange(len(self.topology.capacities))
            orders.append(LimitChanged(limit, rng.randint(0, 3)))
        for hold, found in enumerate(self.topology.holds):
            yes = rng.random() < 0.6
            orders.append(HoldChanged(hold, yes) if found.kind == "window" else Decided(hold, yes))
        return rng.choice(orders)


class FatedRig(Rig):
    """Every task has its fate; attempts before it may fail as often as the retries allow."""

    def __init__(self, topology: Topology, rng: random.Random) -> None:
        super().__init__(topology, rng, operators=False)
        kinds = [Result.CHANGED] * 5 + [Result.SATISFIED] * 3
        kinds += [Result.FAILED, Result.UNKNOWN, Result.REFUSED]
        self.fates = [rng.choice(kinds) for _ in range(topology.task_count)]
        self.bumps = [
            rng.randint(0, topology.stages[t // topology.machine_count].retries)
            for t in range(topology.task_count)
        ]
        self.choices = [rng.random() for _ in range(topology.group_count)]

    def fate(self, key: Key) -> Result:
        return self.fates[self.topology.task(*key)]

    def result(self, start: Start) -> Result:
        fate = self.fates[start.task]
        if start.mode == Mode.PROBE:
            changes = fate in (Result.CHANGED, Result.FAILED)
            return Result.UNSATISFIED if changes else fate
        if self.fulls[self.oracle.key(start.task)] <= self.bumps[start.task]:
            return Result.FAILED if fate != Result.REFUSED else fate
        return fate

    def choose(self, group: int, candidates: list[int]) -> int:
        spot = int(self.choices[group] * (len(candidates) + 1))
        return candidates[spot] if spot < len(candidates) else -1
