"""Limits that adapt themselves: within bounds, journaled, taken up again after a restart."""

import itertools
import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rackwright.engine.executors.simulated import Faults
from rackwright.engine.plan.inputs import LimitConfig, parse_limits
from rackwright.engine.plan.model import Plan, Retries
from rackwright.engine.run.adaptive import Aimd
from rackwright.engine.run.restore import restore
from rackwright.engine.schedule.events import RunStatus
from rackwright.engine.schedule.topology import Topology
from tests.unit.engine.run.plans import plan, stage
from tests.unit.engine.run.rigs import Rig


def test_pressure_halves_once_and_good_ends_add_one() -> None:
    rule = Aimd(2, 16)
    assert rule.ended(True, 16, used=15) == 8
    for left in range(15):  # what had started before: the same trouble
        assert rule.ended(True, 8, used=left) == 8
    capacity = 8
    for _ in range(8):
        capacity = rule.ended(False, capacity, used=7)
    assert capacity == 9
    assert rule.ended(True, 3, used=0) == 2
    assert rule.ended(True, 2, used=1) == 2


def test_what_an_operator_sets_outside_the_bounds_stays() -> None:
    rule = Aimd(2, 16)
    for capacity in (0, 1, 17, 100):
        assert rule.ended(True, capacity, used=0) == capacity
        assert rule.ended(False, capacity, used=0) == capacity


@given(
    st.integers(1, 8),
    st.integers(0, 30),
    st.lists(st.tuples(st.booleans(), st.integers(0, 40)), max_size=200),
)
@settings(max_examples=200, deadline=None, derandomize=True, database=None)
def test_no_history_leads_out_of_the_bounds(
    low: int, more: int, ends: list[tuple[bool, int]]
) -> None:
    rule = Aimd(low, low + more)
    capacity = low + more // 2
    for pressed, used in ends:
        capacity = rule.ended(pressed, capacity, min(used, capacity))
        assert low <= capacity <= low + more


def shared(machines: int = 40) -> Plan:
    held = dict.fromkeys(range(machines), ("image_server",))
    the_plan = plan(
        [stage("install", limits=("image_server",), retries=Retries(9, 1.0))],
        machines,
        limits={"image_server": 16},
        machine_limits=held,
    )
    return replace(the_plan, adaptive={"image_server": (2, 16)})


def changes(rig: Rig) -> list[tuple[int, str]]:
    facts = [fact for fact in rig.journal.facts if fact.kind == "limit"]
    return [(fact.status, json.loads(fact.payload)["by"]) for fact in facts]


def test_a_run_backs_off_and_comes_back() -> None:
    rig = Rig(shared(200), Faults(unknown=0.1), seed=2)
    assert rig.run() is RunStatus.SUCCEEDED
    told = changes(rig)
    assert {by for _, by in told} == {"adaptive"}
    sizes = [16, *(size for size, _ in told)]
    assert any(after < before for before, after in itertools.pairwise(sizes))
    assert any(after == before + 1 for before, after in itertools.pairwise(sizes))
    assert all(2 <= size <= 16 for size in sizes)


def test_a_run_without_pressure_keeps_its_limit() -> None:
    rig = Rig(shared(), Faults(fail=0.2), seed=2)  # a failure is no pressure
    rig.run()
    assert changes(rig) == []


def test_a_restart_goes_on_with_the_limit_as_it_was() -> None:
    rig = Rig(shared(), Faults(unknown=0.15), seed=2)
    rig.run()
    facts = rig.journal.facts
    last = 16
    for length, fact in enumerate(facts, 1):
        if fact.kind == "limit":
            last = fact.status
            topology = Topology.from_plan(rig.plan)
            board = restore(rig.plan, topology, facts[:length]).scheduler.board
            assert board.capacity[0] == last


def test_limits_as_an_operator_writes_them() -> None:
    found = parse_limits("bmc=2, rack=20,image_server=4..64,rack:r7=3,site:lab=1..5")
    assert [found.capacity(n) for n in ("bmc:x", "rack:r1", "rack:r7")] == [2, 20, 3]
    assert (found.capacity("image_server"), found.bounds("image_server")) == (16, (4, 64))
    assert (found.capacity("site:lab"), found.bounds("site:lab")) == (1, (1, 5))
    assert found.bounds("rack:r7") is None
    assert parse_limits("") == LimitConfig(named={}, adaptive={})


@pytest.mark.parametrize(
    "text", ["bmc", "bmc=x", "disk=3", "bmc=-1", "image_server=5..", "rack=9..3", "rack=0..3", "=3"]
)
def test_what_is_no_limit_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no limit|neither N nor|cannot adapt"):
        parse_limits(text)
