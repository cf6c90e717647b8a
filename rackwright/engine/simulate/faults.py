"""Fault rules against a plan's tasks: which rule strikes which attempt, decided by dice alone.

What strikes follows from (seed, rule, task, attempt, virtual time), never from the order in which
attempts are made.
"""

from collections.abc import Callable, Sequence
from math import inf
from typing import NamedTuple

from rackwright.engine.content.errors import Problems, near
from rackwright.engine.executors.simulated import Strike, dice
from rackwright.engine.machine import Machine
from rackwright.engine.plan.model import Plan
from rackwright.engine.schedule.events import Mode, Result
from rackwright.engine.simulate.fault_file import Kind, Rule

Select = Callable[[str, Machine], bool]

_RESULTS = {
    Kind.FAIL: Result.FAILED,
    Kind.FLAP: Result.FAILED,
    Kind.UNKNOWN: Result.UNKNOWN,
    Kind.BMC_BUSY: Result.UNKNOWN,
    Kind.OUTAGE: Result.UNKNOWN,
    Kind.REFUSE: Result.REFUSED,
}
_WORDS = {
    Kind.BMC_BUSY: "the BMC is busy",
    Kind.OUTAGE: "the machine cannot be reached",
}


class _Striker(NamedTuple):
    """A rule in one stage. ``unlucky``: one byte a machine, 1 where the dice say so."""

    rule: Rule
    unlucky: bytes
    until_s: float
    attempts: float
    is_flap: bool


class FaultRules:
    """``strike`` is asked at the end of every attempt."""

    def __init__(
        self,
        rules: Sequence[Rule],
        plan: Plan,
        machines: Sequence[Machine],
        select: Select,
        seed: int,
    ) -> None:
        """Raises ContentErrors for stages, machines and selectors that name nothing."""
        problems = Problems()
        by_id = {str(machine.id): machine for machine in machines}
        planned = [by_id[machine.id] for machine in plan.machines]
        found = [
            (_stages_of(rule, plan, problems), _machines_of(rule, planned, select, problems))
            for rule in rules
        ]
        problems.check()
        self._machines = len(plan.machines)
        self._by_stage: list[list[_Striker]] = [[] for _ in plan.stages]
        hits = []
        for number, (rule, (stages, meant)) in enumerate(zip(rules, found, strict=True)):
            hits.append(0)
            for stage in (s for s, is_wanted in enumerate(stages) if is_wanted):
                taking_part = _taking_part(plan, stage, meant)
                unlucky = _unlucky(rule, taking_part, stage, seed, 16 + number)
                hits[number] += sum(unlucky)
                self._by_stage[stage].append(_striker(rule, unlucky))
        self.hits = tuple(hits)
        """For each rule how many tasks it may strike, time left aside."""

    def strike(self, task: int, attempt: int, mode: int, at_s: float) -> Strike | None:
        """The first rule that strikes decides."""
        stage, machine = divmod(task, self._machines)
        for rule, unlucky, until_s, attempts, is_flap in self._by_stage[stage]:
            if not unlucky[machine] or attempt > attempts or not rule.from_s <= at_s < until_s:
                continue
            if not is_flap or attempt % 2:
                return _strike(rule, mode)
        return None


def _strike(rule: Rule, mode: int) -> Strike:
    match rule.kind:
        case Kind.HANG:
            return Strike(None, rule.cause, is_silent=True)
        case Kind.LOST_EVENT:
            return Strike(None, rule.cause, is_silent=True, is_done=True)
        case Kind.DUPLICATE_EVENT:
            return Strike(None, rule.cause, is_repeated=True)
        case Kind.WRONG_ANSWER:
            wrong = Result.CHANGED if mode == Mode.PROBE else Result.UNSATISFIED
            return Strike(wrong, rule.cause)
        case _:
            words = _WORDS.get(rule.kind)
            return Strike(_RESULTS[rule.kind], f"{words}: {rule.cause}" if words else rule.cause)


def _striker(rule: Rule, unlucky: bytes) -> _Striker:
    until_s = inf if rule.until_s is None else rule.until_s
    return _Striker(rule, unlucky, until_s, rule.attempts or inf, rule.kind is Kind.FLAP)


def _taking_part(plan: Plan, stage: int, machines: bytes) -> bytes:
    """Of ``machines`` those that have the stage; machines share their tuples of stages."""
    name = plan.stages[stage].name
    has_it: dict[int, bool] = {}
    for machine in plan.machines:
        if id(machine.stages) not in has_it:
            has_it[id(machine.stages)] = name in machine.stages
    of_all = (has_it[id(machine.stages)] for machine in plan.machines)
    return bytes(meant and has for meant, has in zip(machines, of_all, strict=True))


def _unlucky(rule: Rule, machines: bytes, stage: int, seed: int, throw: int) -> bytes:
    if rule.probability >= 1:
        return machines
    first, share = stage * len(machines), rule.probability
    return bytes(
        meant and dice(seed, first + machine, 0, throw) < share
        for machine, meant in enumerate(machines)
    )


def _stages_of(rule: Rule, plan: Plan, problems: Problems) -> bytes:
    names = [stage.name for stage in plan.stages]
    for name, mark in rule.stages:
        if name not in names:
            problems.add(mark, f"the plan has no stage '{name[:60]}'", near(name, names))
    wanted = {name for name, _ in rule.stages} or set(names)
    out_of_band = rule.kind is Kind.BMC_BUSY
    return bytes(
        stage.name in wanted and (not out_of_band or stage.executor == "netboot")
        for stage in plan.stages
    )


def _machines_of(
    rule: Rule, planned: Sequence[Machine], select: Select, problems: Problems
) -> bytes:
    named = {name for name, _ in rule.machines}
    known = {machine.name for machine in planned} if named else set()
    for name, mark in rule.machines:
        if name not in known:
            problems.add(mark, f"the plan has no machine '{name[:60]}'")
    try:
        return bytes(
            (not named or machine.name in named)
            and (not rule.selector or select(rule.selector, machine))
            for machine in planned
        )
    except ValueError as error:
        problems.add(rule.selector_mark or rule.mark, str(error))
        return bytes(len(planned))
