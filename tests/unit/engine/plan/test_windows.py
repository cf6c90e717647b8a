"""Windows and approvals: whose count, what the plan shows, and what the scheduler is told."""

import json
from pathlib import Path

from rackwright.engine.plan.codec import plan_from_json, plan_to_json
from rackwright.engine.plan.model import Plan
from rackwright.engine.plan.show import summarise
from rackwright.engine.schedule.topology import Hold, Topology
from tests.unit.engine.plan.rack import CASES, SPEC, library, machine, plan_of

SWARM = (CASES / "base" / "workflows" / "swarm.yaml").read_text()
NIGHT = "Sat 01:00-05:00 UTC"


def held(folder: Path, install: str = "", top: str = "", spec: str = "", **changes: object) -> Plan:
    path = folder / "workflows" / "swarm.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(top + SWARM.replace("  install:\n", f"  install:\n{install}"))
    return plan_of([machine(i) for i in range(1, 4)], SPEC + spec, library(folder), **changes)


def windows(plan: Plan, name: str) -> tuple[str, ...]:
    return next(s.windows for s in plan.stages if s.name == name)


def test_a_workflow_holds_everything_that_erases(tmp_path: Path) -> None:
    plan = held(tmp_path, top=f"windows: {{destructive: {NIGHT}}}\n")
    assert plan.windows == {"destructive": (NIGHT,)}
    assert windows(plan, "install") == ("destructive",)
    assert windows(plan, "runtime") == ()


def test_a_spec_counts_before_the_workflow_and_a_stage_before_all_that_erase(
    tmp_path: Path,
) -> None:
    top = f"windows: {{destructive: {NIGHT}}}\n"
    plan = held(
        tmp_path, top=top, spec="windows: {install: [daily 02:00-03:00, Sun 00:00-00:00]}\n"
    )
    assert plan.windows == {"stage:install": ("daily 02:00-03:00", "Sun 00:00-00:00")}
    plan = held(tmp_path, top=top, spec="windows: {destructive: daily 02:00-03:00}\n")
    assert plan.windows == {"destructive": ("daily 02:00-03:00",)}
    plan = held(tmp_path, install=f"    window: {NIGHT}\n")
    assert plan.windows == {"stage:install": (NIGHT,)}


def test_a_site_holds_its_machines_besides(tmp_path: Path) -> None:
    top = "windows: {destructive: daily 02:00-03:00}\n"
    plan = held(tmp_path, top=top, site_windows={"lab": (NIGHT,), "elsewhere": (NIGHT,)})
    assert plan.windows == {"destructive": ("daily 02:00-03:00",), "site:lab": (NIGHT,)}
    topology = Topology.from_plan(plan)
    names = [s.name for s in plan.stages]
    for name in ("netboot", "install"):  # the means to what erases waits too
        assert topology.stages[names.index(name)].holds == [(0, 1)] * 3
    assert topology.stages[names.index("runtime")].holds is None


def test_an_approval_is_shown_and_holds_the_means_too(tmp_path: Path) -> None:
    plan = held(tmp_path, install='    approve: {text: "wipe the lab?", deadline: 4h}\n')
    topology = Topology.from_plan(plan)
    names = [s.name for s in plan.stages]
    assert topology.holds == (Hold("approval", names.index("install")),)
    assert topology.stages[names.index("netboot")].holds == [(0,)] * 3
    rows = next(t.rows for t in summarise(plan).tables if t.title == "Stages")
    row = next(r for r in rows if r[0] == "install")
    assert row[6] == "approval: wipe the lab? (refused after 4 h 0 min)"


def test_windows_are_shown_with_what_they_hold(tmp_path: Path) -> None:
    plan = held(tmp_path, top=f"windows: {{destructive: {NIGHT}}}\n")
    rows = next(t.rows for t in summarise(plan).tables if t.title == "Windows")
    assert rows == (("destructive", NIGHT, "install, and the means to it"),)


def test_they_survive_the_plan_file_and_change_its_digest(tmp_path: Path) -> None:
    plain = held(tmp_path)
    plan = held(
        tmp_path,
        install=f"    window: {NIGHT}\n    approve: sure?\n",
        site_windows={"lab": (NIGHT,)},
    )
    again = plan_from_json(json.loads(json.dumps(plan_to_json(plan))))
    assert again == plan
    assert plan.digest != plain.digest
