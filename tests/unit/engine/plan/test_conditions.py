"""``when``: decided when the plan is made, shown, and covered by the fingerprint."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from rackwright.engine.content.errors import ContentError
from rackwright.engine.errors import OperatorError
from rackwright.engine.machine import Machine, Origin
from rackwright.engine.plan.codec import plan_from_json, plan_to_json
from rackwright.engine.plan.fingerprint import plan_fingerprint
from rackwright.engine.plan.model import Plan
from rackwright.engine.plan.selection import NeedsDiscoveryError
from rackwright.engine.plan.show import summarise
from rackwright.engine.schedule.events import (
    Elect,
    Elected,
    Ended,
    Finish,
    Result,
    RunStatus,
    Start,
)
from rackwright.engine.schedule.scheduler import Scheduler
from rackwright.engine.schedule.topology import Topology
from tests.unit.engine.plan.rack import CASES, library, machine, plan_of

SWARM = (CASES / "base" / "workflows" / "swarm.yaml").read_text()


def conditional(folder: Path, when: str, machines: list[Machine], use: str = "runtime") -> Plan:
    path = folder / "workflows" / "swarm.yaml"
    path.parent.mkdir(exist_ok=True)
    first = f"  {use}:\n"
    path.write_text(SWARM.replace(first, f"{first}    when: {json.dumps(when)}\n"))
    return plan_of(machines, content=library(folder))


def rack(**changes: object) -> list[Machine]:
    first, *rest = (machine(i) for i in range(1, 4))
    return [replace(first, **changes), *rest]  # type: ignore[arg-type]


def test_a_machine_for_which_it_is_false_has_no_such_task(tmp_path: Path) -> None:
    plan = conditional(tmp_path, "machine.labels.role != 'manager'", rack())
    stages = {m.name: m.stages for m in plan.machines}
    assert "runtime" not in stages["n1"]
    assert "runtime" in stages["n2"]
    (row, *_) = next(t.rows for t in summarise(plan).tables if t.title == "Machines")
    assert "not applicable: when machine.labels.role != 'manager': runtime" in row[3]


def test_the_run_goes_round_what_is_left_out(tmp_path: Path) -> None:
    plan = conditional(tmp_path, "machine.labels.role != 'manager'", rack())
    scheduler = Scheduler(topology := Topology.from_plan(plan))
    runtime = [s.name for s in plan.stages].index("runtime")
    started: list[int] = []
    ended: list[RunStatus] = []
    while not ended:
        for command in scheduler.take():
            if isinstance(command, Start):
                started.append(command.task)
                scheduler.feed(Ended(command.task, command.attempt, Result.SATISFIED))
            elif isinstance(command, Finish):
                ended.append(command.status)
            elif isinstance(command, Elect):
                scheduler.feed(_elected(command))
    assert ended == [RunStatus.SUCCEEDED]
    assert topology.task(runtime, 0) not in started
    assert topology.task(runtime, 1) in started


def _elected(command: object) -> Elected:
    assert isinstance(command, Elect)
    return Elected(command.group, command.candidates[0])


def test_a_destructive_stage_left_out_erases_nothing(tmp_path: Path) -> None:
    plan = conditional(tmp_path, "machine.name != 'n2'", rack(), use="install")
    names = {m.id: m.name for m in plan.machines}
    assert sorted(names[e.machine_id] for e in plan.erasures) == ["n1", "n3"]
    second = next(m for m in plan.machines if m.name == "n2")
    assert second.expected["netboot"] == "not applicable"  # its one end is not


def test_a_fact_that_no_ramdisk_reported_asks_for_discovery(tmp_path: Path) -> None:
    machines = rack(drives=None)
    with pytest.raises(NeedsDiscoveryError) as caught:
        conditional(tmp_path, "machine.memory_gib >= 64", machines)
    assert caught.value.machines == ("n1",)
    with pytest.raises(NeedsDiscoveryError):
        conditional(tmp_path, "facts.architecture == 'x86_64'", machines)


def test_only_what_is_read_must_be_known(tmp_path: Path) -> None:
    machines = rack(drives=None, origin=Origin.EXISTING, bmc=None)
    text = "machine.origin == 'netboot' and machine.memory_gib != null"
    plan = conditional(tmp_path, text, machines)
    assert "runtime" not in next(m for m in plan.machines if m.name == "n1").stages
    with pytest.raises(ContentError, match="no ramdisk reports it"):
        conditional(tmp_path, "machine.memory_gib != null", machines)


def test_facts_decide_where_they_are_known(tmp_path: Path) -> None:
    machines = rack(memory_bytes=64 * 2**30, facts={"architecture": "x86_64"})
    for text, expected in (
        ("machine.memory_gib == 64", True),
        ("machine.architecture == 'x86_64'", True),
        ("facts.architecture == 'aarch64'", False),
        ("machine.firmware == 'uefi' and machine.machine_class == 'small'", True),
    ):
        plan = conditional(tmp_path, text, machines)
        assert ("runtime" in plan.machines[0].stages) is expected, text


def test_a_change_of_what_was_read_makes_the_plan_stale(tmp_path: Path) -> None:
    machines = rack(memory_bytes=64 * 2**30)
    plan = conditional(
        tmp_path, "machine.memory_gib != null and machine.memory_gib >= 32", machines
    )

    def now(first: Machine) -> str:
        known = {str(m.id): m for m in (first, *machines[1:])}
        return plan_fingerprint(plan, known.__getitem__, members={}, cluster_id="")

    assert now(machines[0]) == plan.fingerprint
    assert now(replace(machines[0], cpu_count=99)) == plan.fingerprint
    assert now(replace(machines[0], memory_bytes=2**30)) != plan.fingerprint


def test_a_plan_with_conditions_survives_its_file(tmp_path: Path) -> None:
    plan = conditional(tmp_path, "machine.labels['x.y/z'] == 'a'", rack())
    again = plan_from_json(json.loads(json.dumps(plan_to_json(plan))))
    assert again == plan
    assert again.facts_used == (("machine", "labels", "x.y/z"),)


def test_a_plan_without_them_is_what_it_was() -> None:
    document = plan_to_json(plan_of(rack()))
    assert "facts_used" not in document
    assert all("when" not in stage for stage in document["stages"])


def test_two_erasing_stages_must_exclude_each_other(tmp_path: Path) -> None:
    path = tmp_path / "workflows" / "swarm.yaml"
    path.parent.mkdir()
    second = '  other: {use: os/image, on: all, needs: [netboot], when: "%s"}\n  runtime:\n'
    for when, fits in (("machine.name == 'n2'", False), ("false", True)):
        path.write_text(SWARM.replace("  runtime:\n", second % when))
        if fits:
            assert len(plan_of(rack(), content=library(tmp_path)).erasures) == 3
        else:
            with pytest.raises(OperatorError, match="would erase the same machine"):
                plan_of(rack(), content=library(tmp_path))
