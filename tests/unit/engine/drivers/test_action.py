"""Sending once: every way an answer can go, against every way the state can go."""

import asyncio
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rackwright.engine.drivers.action import Action, PowerChange
from rackwright.engine.drivers.faults import (
    BusyError,
    NotSentError,
    RefusedError,
    UnansweredError,
)
from rackwright.engine.drivers.power.base import ActionUnconfirmedError, PowerState
from rackwright.engine.drivers.timing import Timing
from rackwright.engine.errors import EngineError, MachineError
from tests.unit.engine.drivers.clock import FakeClock

ANSWERS: dict[str, tuple[bool, EngineError | None]] = {  # applied?, what the driver hears
    "accepted": (True, None),
    "busy": (False, BusyError("busy")),
    "not sent": (False, NotSentError("no connection")),
    "refused": (False, RefusedError("no")),
    "lost after": (True, UnansweredError("silence")),
    "lost before": (False, UnansweredError("silence")),
}


class FakeMachine:
    """A machine whose state shows ``lag_s`` late, and whose answers follow a script."""

    name = "bmc"

    def __init__(self, clock: FakeClock, on: bool, answers: list[str], lag_s: float = 0.0) -> None:
        self._clock = clock
        self._lag_s = lag_s
        self._answers = answers
        self._history = [(-1e9, on)]
        self.applied: list[Action] = []
        self.sent: list[Action] = []
        self.has_traces = True
        self.restarts = True

    def turned_on_by_someone(self) -> None:
        self._history.append((self._clock.now(), True))

    async def read(self) -> PowerState:
        seen_at = self._clock.now() - self._lag_s
        on = [state for at, state in self._history if at <= seen_at][-1]
        return PowerState.ON if on else PowerState.OFF

    async def send(self, action: Action) -> None:
        self.sent.append(action)
        applied, error = ANSWERS[self._answers.pop(0) if self._answers else "accepted"]
        if applied:
            self.applied.append(action)
            self._history.append((self._clock.now(), action != Action.OFF))
        if error is not None:
            raise error

    async def traces(self) -> tuple[object, ...]:
        return (len(self.applied),) if self.has_traces else ()

    async def can_restart(self) -> bool:
        return self.restarts


def _run(machine: FakeMachine, clock: FakeClock, act: Callable[[PowerChange], object]) -> None:
    async def scenario() -> None:
        pending = act(PowerChange(machine, clock, Timing()))
        assert asyncio.iscoroutine(pending)
        await pending

    asyncio.run(scenario())


@pytest.mark.parametrize("action", [Action.ON, Action.OFF])
def test_state_that_is_right_already_sends_nothing(action: Action) -> None:
    clock = FakeClock()
    machine = FakeMachine(clock, action == Action.ON, [])
    _run(machine, clock, lambda change: change.reach(action))
    assert machine.sent == []


def test_lost_answer_under_a_lagging_state_is_waited_out() -> None:
    clock = FakeClock()
    machine = FakeMachine(clock, False, ["lost after"], lag_s=30)
    _run(machine, clock, lambda change: change.reach(Action.ON))
    assert machine.sent == [Action.ON]


def test_lost_action_is_reported_and_never_repeated() -> None:
    clock = FakeClock()
    machine = FakeMachine(clock, False, ["lost before"])
    with pytest.raises(ActionUnconfirmedError):
        _run(machine, clock, lambda change: change.reach(Action.ON))
    assert machine.sent == [Action.ON]


def test_restart_of_what_is_off_powers_it_on() -> None:
    clock = FakeClock()
    machine = FakeMachine(clock, False, [])
    _run(machine, clock, lambda change: change.restart())
    assert machine.sent == [Action.ON]


def test_restart_without_that_action_is_off_and_on() -> None:
    clock = FakeClock()
    machine = FakeMachine(clock, True, [])
    machine.restarts = False
    _run(machine, clock, lambda change: change.restart())
    assert machine.sent == [Action.OFF, Action.ON]


def test_unanswered_restart_is_seen_by_its_traces() -> None:
    clock = FakeClock()
    machine = FakeMachine(clock, True, ["lost after"])
    _run(machine, clock, lambda change: change.restart())
    assert machine.sent == [Action.RESTART]


def test_unanswered_restart_without_traces_is_reported() -> None:
    clock = FakeClock()
    machine = FakeMachine(clock, True, ["lost after"])
    machine.has_traces = False
    with pytest.raises(ActionUnconfirmedError):
        _run(machine, clock, lambda change: change.restart())
    assert machine.sent == [Action.RESTART]


def test_refusal_of_what_is_so_already_is_success() -> None:
    clock = FakeClock()
    machine = FakeMachine(clock, False, ["refused"], lag_s=5.0)
    machine.turned_on_by_someone()
    _run(machine, clock, lambda change: change.reach(Action.ON))
    assert machine.sent == [Action.ON]
    assert machine.applied == []


def test_state_that_never_follows_is_an_error_within_the_deadline() -> None:
    clock = FakeClock()
    machine = FakeMachine(clock, False, [], lag_s=1e6)
    began = clock.now()
    with pytest.raises(MachineError):
        _run(machine, clock, lambda change: change.reach(Action.ON))
    assert machine.sent == [Action.ON]
    assert clock.now() - began <= Timing().action_deadline_s + Timing().poll_max_s


@settings(max_examples=300, deadline=None)
@given(
    on=st.booleans(),
    action=st.sampled_from(list(Action)),
    answers=st.lists(st.sampled_from(list(ANSWERS)), max_size=6),
    lag_s=st.sampled_from([0.0, 5.0, 40.0]),
    has_traces=st.booleans(),
    restarts=st.booleans(),
)
def test_nothing_is_sent_after_what_may_have_been_applied(
    on: bool,
    action: Action,
    answers: list[str],
    lag_s: float,
    has_traces: bool,
    restarts: bool,
) -> None:
    clock = FakeClock()
    machine = FakeMachine(clock, on, list(answers), lag_s)
    machine.has_traces = has_traces
    machine.restarts = restarts
    try:
        if action == Action.RESTART:
            _run(machine, clock, lambda change: change.restart())
        else:
            _run(machine, clock, lambda change: change.reach(action))
        failed = False
    except EngineError:
        failed = True
    heard = [*answers, *(["accepted"] * len(machine.sent))][: len(machine.sent)]
    for kind in Action:
        of_kind = [answer for sent, answer in zip(machine.sent, heard, strict=True) if sent == kind]
        may_have_acted = [answer for answer in of_kind if answer not in ("busy", "not sent")]
        assert len(may_have_acted) <= 1, (machine.sent, heard)
        if may_have_acted:
            assert of_kind[-1] == may_have_acted[0]
    if not failed:
        wanted = PowerState.OFF if action == Action.OFF else PowerState.ON
        assert asyncio.run(machine.read()) == wanted
