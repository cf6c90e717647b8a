import itertools

import pytest

from rackwright.inventory.errors import TransitionError
from rackwright.inventory.lifecycle import TRANSITIONS, State, mermaid, transition


def test_what_is_not_in_the_table_raises() -> None:
    for source, target in itertools.product(State, State):
        if (source, target) in TRANSITIONS:
            assert transition("m", source, target, by_operator=True).action
        else:
            with pytest.raises(TransitionError, match=f"is {source} and cannot become {target}"):
                transition("m", source, target, by_operator=True)


@pytest.mark.parametrize(
    "target", [State.AVAILABLE, State.ACTIVE, State.ALLOCATED, State.RELEASING]
)
def test_a_failed_machine_never_returns_by_itself(target: State) -> None:
    with pytest.raises(TransitionError):
        transition("m", State.FAILED, target, by_operator=False)


def test_release_cleans_before_available() -> None:
    assert (State.RELEASING, State.AVAILABLE) not in TRANSITIONS
    assert (State.ACTIVE, State.AVAILABLE) not in TRANSITIONS


def test_every_state_has_a_way_in_and_a_way_out() -> None:
    assert {source for source, _ in TRANSITIONS} == set(State)
    assert {target for _, target in TRANSITIONS} == set(State)


def test_a_quarantined_machine_is_cleared_by_an_operator_alone() -> None:
    with pytest.raises(TransitionError, match="only an operator"):
        transition("m", State.QUARANTINED, State.ENROLLED, by_operator=False)


def test_the_diagram_shows_each_transition_once() -> None:
    lines = mermaid().splitlines()
    assert lines[0] == "stateDiagram-v2"
    assert "    failed --> releasing: release (operator)" in lines
    assert len(lines) == len(TRANSITIONS) + 3
