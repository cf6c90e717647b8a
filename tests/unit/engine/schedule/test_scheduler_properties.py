"""Random graphs, machines and operators against the oracle."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from rackwright.engine.schedule.events import Marked, RetryAsked, TaskState
from rackwright.engine.schedule.explanation import explain
from tests.unit.engine.schedule.machines import FatedRig, Rig
from tests.unit.engine.schedule.oracle import predict
from tests.unit.engine.schedule.shapes import topology

SEEDS = st.integers(0, 2**48)
OFTEN = settings(max_examples=300, deadline=None, derandomize=True, database=None)


@given(SEEDS)
@OFTEN
def test_no_rule_is_broken_and_every_run_ends(seed: int) -> None:
    rng = random.Random(seed)
    Rig(topology(rng), rng).run()


@given(SEEDS)
@OFTEN
def test_a_run_ends_as_the_specification_says(seed: int) -> None:
    rng = random.Random(seed)
    shape = topology(rng, predictable=True)
    rig = FatedRig(shape, rng)
    rig.run()
    told = {
        divmod(t, shape.machine_count): rig.scheduler.state(t)
        for t in range(shape.task_count)
        if rig.scheduler.state(t) != TaskState.ABSENT
    }
    expected = predict(shape, rig.fate, rig.choose)
    absent = {k for k in expected if k not in told}
    assert told == {k: v for k, v in expected.items() if k not in absent}
    assert told == rig.oracle.state


@given(SEEDS)
@OFTEN
def test_a_retry_after_the_end_leads_to_an_end(seed: int) -> None:
    rng = random.Random(seed)
    rig = Rig(topology(rng), rng, operators=False)
    rig.run()
    rig.oracle.reopen()
    failed = {k for k, state in rig.oracle.state.items() if state == TaskState.FAILED}
    told = len(rig.history)
    rig.feed(RetryAsked(-1))
    rig.take()
    opened = {
        rig.oracle.key(x.task)
        for x in rig.history[told:]
        if isinstance(x, Marked) and x.state == TaskState.WAITING
    }
    assert failed <= opened
    if TaskState.WAITING in rig.oracle.state.values() or rig.under_way:
        rig.run()


@given(SEEDS)
@OFTEN
def test_every_open_task_has_an_explanation(seed: int) -> None:
    rng = random.Random(seed)
    rig = Rig(topology(rng), rng)
    rig.take()
    for _ in range(40):
        if rig.oracle.finished is not None:
            return
        rig.step()
        rig.take()
        for task in range(rig.topology.task_count):
            if rig.scheduler.state(task) not in (
                TaskState.ABSENT,
                TaskState.SATISFIED,
                TaskState.CHANGED,
                TaskState.FAILED,
                TaskState.CANCELLED,
            ):
                assert explain(rig.scheduler, task), rig.scheduler.state(task)
