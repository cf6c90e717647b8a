from pathlib import Path

from rackwright.engine.machine import Origin
from rackwright.engine.plan.show import Summary, duration_text, summarise
from tests.unit.engine.plan.rack import CASES, drive, library, machine, plan_of


def table(summary: Summary, title: str) -> list[tuple[str, ...]]:
    return list(next(t.rows for t in summary.tables if t.title == title))


def test_a_summary_says_what_an_operator_must_know() -> None:
    held = drive("D2", model="INTEL X", wwn="0x5", has_data=True, signatures=("gpt", "ext4"))
    machines = [
        machine(1),
        machine(2, drives=(held,)),
        machine(3, origin=Origin.EXISTING, drives=None, bmc=None),
    ]
    summary = summarise(plan_of(machines))
    facts = dict(summary.facts)
    assert facts["disks to be erased"] == "2"
    assert facts["reboots"] == "4"
    assert table(summary, "Disks to be erased")[1] == (
        *("n2", "D2", "0x5", "INTEL X", "10.7 GB", "gpt, ext4", "not installed", "2"),
    )
    assert table(summary, "Machines")[2] == (
        "n3",
        "workers",
        "pool workers: 2 of selector role!=manager; available",
        "not applicable: netboot, install; check: runtime, join-worker (it came with an OS)",
        "0",
    )
    stages = {row[0]: row for row in table(summary, "Stages")}
    assert stages["install"][4:6] == ("canary 1, 1 at a time, halt at 2 failures", "disk")
    assert stages["join-worker"][3] == "runtime, all of init"
    assert stages["proof"][2:4] == ("managers.one", "join-worker settled")
    assert ("image/debian-12", "a" * 64) in table(summary, "Artifacts")
    assert summary.warnings == ("1 of the disks to be erased hold data",)
    assert any(row[:2] == ("workflows/swarm.yaml", "base") for row in table(summary, "Content"))


def test_waves_none_stands_out(tmp_path: Path) -> None:
    text = (CASES / "base/workflows/swarm.yaml").read_text()
    (tmp_path / "workflows").mkdir()
    (tmp_path / "workflows/swarm.yaml").write_text(
        text.replace("{canary: 1, max_parallel: 10%, halt_at_failures: 5%}", "none", 1)
    )
    summary = summarise(plan_of([machine(i) for i in range(1, 4)], content=library(tmp_path)))
    assert next(r for r in table(summary, "Stages") if r[0] == "install")[4] == "none, as written"
    assert summary.warnings[0].startswith("stage install erases disks without waves")


def test_durations_are_for_people() -> None:
    assert [duration_text(s) for s in (5, 65, 3600, 7260)] == [
        *("5 s", "1 min 5 s", "1 h 0 min", "2 h 1 min"),
    ]
