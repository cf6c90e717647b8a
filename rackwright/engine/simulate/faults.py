"""Fault rules against a plan's tasks: which rule strikes which attempt, decided by dice alone.

What strikes follows from (seed, rule, task, attempt, virtual time), never from the order in which
attempts are made.
"""

from collections.abc import Callable, Sequence

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
        self._seed = seed
        self._machines = len(plan.machines)
        self._rules = [
            (
                number,
                rule,
                _stages_of(rule, plan, problems),
                _machines_of(rule, planned, select, problems),
            )
            for number, rule in enumerate(rules)
        ]
        problems.check()

    def strike(self, task: int, attempt: int, mode: int, at_s: float) -> Strike | None:
        """The first rule that strikes decides."""
        stage, machine = divmod(task, self._machines)
        for number, rule, stages, machines in self._rules:
            if not (stages[stage] and machines[machine]) or at_s < rule.from_s:
                continue
            if rule.until_s is not None and at_s >= rule.until_s:
                continue
            if rule.attempts and attempt > rule.attempts:
                continue
            if rule.kind is Kind.FLAP and not attempt % 2:
                continue
            if rule.probability < 1 and dice(self._seed, task, 0, 16 + number) >= rule.probability:
                continue
            return _strike(rule, mode)
        return None

    def hit(self, plan: Plan, rule_index: int) -> int:
        """How many tasks a rule may strike, time left aside."""
        number, rule, stages, machines = self._rules[rule_index]
        members = [frozenset(machine.stages) for machine in plan.machines]
        return sum(
            1
            for s, stage in enumerate(plan.stages)
            if stages[s]
            for m in range(self._machines)
            if machines[m]
            and stage.name in members[m]
            and dice(self._seed, s * self._machines + m, 0, 16 + number) < rule.probability
        )


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
