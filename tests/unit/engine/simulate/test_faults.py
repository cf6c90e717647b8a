"""Faults on a run: exactly those that were injected, each explained."""

from dataclasses import replace

import pytest

from rackwright.engine.content.errors import ContentErrors
from rackwright.engine.machine import Machine
from rackwright.engine.run.report import RunReport, report
from rackwright.engine.schedule.events import Mode, Result, RunStatus
from rackwright.engine.simulate.fault_file import parse_faults
from rackwright.engine.simulate.faults import FaultRules
from rackwright.engine.simulate.fleet import fleet
from tests.unit.engine.run.plans import plan, stage
from tests.unit.engine.run.rigs import Rig

MACHINES = fleet(4, {"workers": 4})
OFTEN = {"retries": replace(stage("x").retries, max=2)}
PLAN = replace(
    plan([stage("power", executor="netboot", **OFTEN), stage("os", "power", **OFTEN)], 4),
    machines=tuple(
        replace(made, id=machine.id, name=machine.name)
        for made, machine in zip(
            plan([stage("power"), stage("os")], 4).machines, MACHINES, strict=True
        )
    ),
)


def select(selector: str, machine: Machine) -> bool:
    key, _, value = selector.partition("=")
    if not value:
        raise ValueError(f"'{selector}' is no selector")
    return {"name": machine.name, "rack": machine.rack}[key] == value


def rules(text: str, seed: int = 1) -> FaultRules:
    parsed = parse_faults("faults:\n" + text, "f.yaml")
    return FaultRules(parsed, PLAN, MACHINES, select, seed)


def run(text: str) -> tuple[RunStatus, RunReport]:
    rig = Rig(PLAN)
    rig.strikes = rules(text)
    status = rig.run()
    return status, report(PLAN, rig.journal.facts)


def test_only_the_named_fail_and_say_why() -> None:
    status, told = run("- {kind: refuse, stages: [os], selector: name=n2, note: a dead drive}\n")
    assert status == RunStatus.DEGRADED
    (failure,) = told.failures
    assert (failure.machine_name, failure.stage, failure.attempt) == ("n2", "os", 1)
    assert failure.error == "injected refuse: a dead drive (f.yaml:2)"


def test_a_fault_of_the_first_attempts_is_overcome_by_a_retry() -> None:
    status, told = run("- {kind: fail, stages: [os], attempts: 2}\n")
    assert status == RunStatus.SUCCEEDED
    assert told.stages[1].attempts == 4 * 3


@pytest.mark.parametrize("kind", ["hang", "lost_event"])
def test_what_is_never_heard_of_ends_by_its_deadline(kind: str) -> None:
    status, told = run(f"- {{kind: {kind}, stages: [os], machines: [n3]}}\n")
    assert status == RunStatus.DEGRADED
    assert [f.error for f in told.failures] == ["no outcome 90 s after its deadline of 60 s"]


def test_a_lost_event_was_done_all_the_same() -> None:
    status, told = run("- {kind: lost_event, stages: [os], machines: [n3], attempts: 1}\n")
    assert status == RunStatus.SUCCEEDED
    assert (told.stages[1].satisfied, told.stages[1].changed) == (1, 3)


@pytest.mark.parametrize("kind", ["duplicate_event", "flap", "wrong_answer"])
def test_what_only_irritates_changes_no_end(kind: str) -> None:
    attempts = "" if kind == "duplicate_event" else ", attempts: 1"
    assert run(f"- {{kind: {kind}{attempts}}}\n")[0] == RunStatus.SUCCEEDED


def test_a_busy_bmc_concerns_out_of_band_stages_alone() -> None:
    found = rules("- {kind: bmc_busy, at: 10s, for: 5s}\n")
    struck = found.strike(0, 1, Mode.FULL, 12.0)
    assert struck is not None
    assert struck.result == Result.UNKNOWN
    assert "the BMC is busy" in struck.cause
    assert found.strike(0, 1, Mode.FULL, 9.0) is None
    assert found.strike(0, 1, Mode.FULL, 15.0) is None
    assert found.strike(4, 1, Mode.FULL, 12.0) is None


def test_probability_decides_once_for_a_task_and_counts_before_the_run() -> None:
    found = rules("- {kind: fail, probability: 0.5}\n", seed=3)
    struck = [t for t in range(8) if found.strike(t, 1, Mode.FULL, 0.0)]
    assert struck == [t for t in range(8) if found.strike(t, 2, Mode.FULL, 9.0)]
    assert found.hits == (len(struck),)
    assert 0 < len(struck) < 8


def test_names_that_the_plan_does_not_have_are_mistakes() -> None:
    with pytest.raises(ContentErrors) as caught:
        rules("- {kind: fail, stages: [oss], machines: [n9]}\n- {kind: fail, selector: nope}\n")
    assert str(caught.value).splitlines() == [
        "f.yaml:2:25: the plan has no stage 'oss' (did you mean 'os'?)",
        "f.yaml:2:42: the plan has no machine 'n9'",
        "f.yaml:3:26: 'nope' is no selector",
    ]
