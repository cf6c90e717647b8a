"""Every prefix of a run's journal is a place where its controller may have died."""

import random
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rackwright.engine.errors import EngineError
from rackwright.engine.executors.simulated import Faults
from rackwright.engine.run.ports import Fact
from rackwright.engine.run.restore import restore
from rackwright.engine.schedule.events import Mode, Result, RunStatus
from rackwright.engine.schedule.topology import Topology
from tests.unit.engine.run.plans import plan, stage, swarm
from tests.unit.engine.run.rigs import Order, Rig, in_flight

FAULTY = Faults(fail=0.1, unknown=0.1, duplicate=0.3)


def finished_tasks(facts: list[Fact], machines: int) -> set[int]:
    """Tasks whose last word is a success, and which were not opened again."""
    done: set[int] = set()
    for fact in facts:
        task = fact.stage * machines + fact.machine
        if fact.kind == "ended" and fact.status in (Result.SATISFIED, Result.CHANGED):
            done.add(task)
        elif fact.kind == "marked":
            done.discard(task)
    return done


@pytest.mark.parametrize("got_to", ["never started", "running", "done"])
def test_from_every_prefix_the_run_ends_and_repeats_nothing(got_to: str) -> None:
    whole = Rig(swarm(3), FAULTY, seed=11)
    assert whole.run() in (RunStatus.SUCCEEDED, RunStatus.DEGRADED)
    for length in range(len(whole.journal.facts) + 1):
        resume_from(whole, length, got_to)


@given(st.integers(0, 2**32))
@settings(max_examples=25, deadline=None, derandomize=True, database=None)
def test_from_a_random_prefix_of_a_random_run(seed: int) -> None:
    rng = random.Random(seed)
    whole = Rig(swarm(rng.randint(1, 5)), FAULTY, seed=seed)
    whole.run()
    got_to = rng.choice(["never started", "running", "done"])
    resume_from(whole, rng.randrange(len(whole.journal.facts) + 1), got_to)


def resume_from(whole: Rig, length: int, got_to: str, first_orders: Sequence[Order] = ()) -> None:
    """ "running": half of what was under way had changed its machine without saying so."""
    machines = len(whole.plan.machines)
    under_way = [f for f in in_flight(whole.journal.facts[:length]) if f.status == Mode.FULL]
    applied = {"never started": [], "running": under_way[::2], "done": under_way}[got_to]
    rig = whole.after_prefix(length, applied)
    rig.faults = Faults()
    finished = finished_tasks(rig.journal.facts, machines)
    before = {task: rig.world.applies(task) for task in finished}
    rig.run(first_orders=first_orders)
    new = rig.journal.facts[length:]
    for fact in new:
        task = fact.stage * machines + fact.machine
        if fact.kind == "marked":
            finished.discard(task)
        repeated = fact.kind == "issued" and fact.status == Mode.FULL and task in finished
        assert not repeated, f"{fact} repeats a finished task"
    assert rig.journal.facts[-1].kind == "finished"
    assert {task: rig.world.applies(task) for task in before} == before
    assert max(map(rig.world.applies, range(machines * len(whole.plan.stages)))) <= 1


def test_a_journal_of_another_plan_is_refused() -> None:
    rig = Rig(swarm(4))
    rig.run()
    other = plan([stage("a")], machines=1)
    with pytest.raises(EngineError, match="does not fit"):
        restore(other, Topology.from_plan(other), rig.journal.facts)


def test_an_unknown_fact_is_refused() -> None:
    other = plan([stage("a")], machines=1)
    with pytest.raises(EngineError, match="unknown kind"):
        restore(other, Topology.from_plan(other), [Fact("dreamt", 0, 0, 1, 0, b"{}")])
