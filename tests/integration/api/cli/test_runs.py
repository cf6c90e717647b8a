"""Runs by the command line, from a spec to the end and back again."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.api.controller import (
    Controller,
    plan_of,
    start,
    until,
    until_status,
)


@pytest.fixture
def alone(controller: Controller) -> Controller:
    """Machines are enrolled; each call is its own owner."""
    controller.enrol()
    return controller


@pytest.fixture
def rack(controller: Controller) -> Iterator[Controller]:
    """Machines are enrolled, and an owner lives."""
    with controller.owner():
        controller.enrol()
        yield controller


def test_apply_runs_to_the_end_and_a_second_apply_changes_nothing(alone: Controller) -> None:
    first = alone.ok("cluster", "apply", alone.spec(), "--yes", "-o", "json")
    assert first.json["status"] == "succeeded"
    assert (first.json["counts"]["changed"], first.json["counts"]["satisfied"]) == (4, 0)
    assert sorted(p.name for p in alone.world.iterdir()) == ["a.make", "a.seal", "b.make", "b.seal"]
    second = alone.ok("cluster", "apply", alone.spec(), "--yes", "-o", "json")
    assert (second.json["counts"]["changed"], second.json["counts"]["satisfied"]) == (0, 4)


def test_what_a_run_did_is_listed_shown_and_deleted(rack: Controller) -> None:
    rack.ok("cluster", "apply", rack.spec(), "--yes")
    (listed,) = rack.ok("run", "list", "-o", "json").json
    assert (listed["status"], listed["cluster"]) == ("succeeded", "c")
    assert listed["created"].endswith("Z")
    run = listed["id"]
    shown = rack.ok("run", "show", "-o", "json").json
    assert [m["name"] for m in shown["machines"]] == ["a", "b"]
    tasks = rack.ok("run", "tasks", run, "--machine", "b", "-o", "json").json
    assert [(t["stage"], t["evidence"]) for t in tasks] == [
        ("make", {"made": True}),
        ("seal", {"made": True}),
    ]
    assert rack.ok("run", "watch", run).code == 0
    events = rack.ok("events", "--run", run, "-o", "json").json
    assert events[-1]["kind"] == "finished"
    refused = rack.run("run", "delete", run)
    assert refused.code == 2
    assert "--yes" in refused.err
    rack.ok("run", "delete", run, "--yes")
    assert rack.ok("run", "list", "-o", "json").json == []
    assert rack.ok("cluster", "show", "c", "-o", "json").json["members"] == {
        "a": "workers",
        "b": "workers",
    }


def test_a_failed_machine_degrades_the_run_and_a_retry_takes_it_up(rack: Controller) -> None:
    reason = rack.fail("b")
    failed = rack.run("cluster", "apply", rack.spec(), "--yes")
    assert failed.code == 3
    assert "b failed in make" in failed.err
    assert "rackwright run resume" in failed.err
    reason.unlink()
    again = rack.ok("run", "retry", "--machine", "b")
    assert "succeeded" in again.err
    assert (rack.world / "b.seal").exists()


def test_resume_takes_up_failures(rack: Controller) -> None:
    reason = rack.fail("a")
    assert rack.run("cluster", "apply", rack.spec(), "--yes").code == 3
    reason.unlink()
    assert rack.ok("run", "resume", "-o", "json").json["status"] == "succeeded"
    over = rack.run("run", "resume")
    assert over.code == 2
    assert "nothing to resume" in over.err


def test_a_run_that_its_owner_left_is_interrupted_and_resumes(alone: Controller) -> None:
    alone.hold()
    with alone.owner() as client:
        run = start(client, plan_of(client, alone.spec()))
        until(lambda: bool(client.get(f"/v1/runs/{run}")["stages"][0]["counts"].get("running")))
    assert alone.ok("run", "list", "-o", "json").json[0]["status"] == "interrupted"
    alone.go_on()
    resumed = alone.ok("run", "resume", run, "-o", "json").json
    assert resumed["status"] == "succeeded"


def test_pause_starts_nothing_more_until_it_is_lifted(rack: Controller) -> None:
    rack.hold()
    with rack.client() as client:
        run = start(client, plan_of(client, rack.spec()))
        until(lambda: bool(client.get(f"/v1/runs/{run}")["stages"][0]["counts"].get("running")))
        assert "paused" in rack.ok("run", "pause").err
        rack.go_on()
        until(lambda: client.get(f"/v1/runs/{run}")["counts"]["changed"] == 2)
        assert client.get(f"/v1/runs/{run}")["counts"]["changed"] == 2
        assert not list(rack.world.glob("*.seal"))
        rack.ok("run", "pause", "--off")
        until_status(client, run, "succeeded")


def test_cancel_ends_what_runs(rack: Controller) -> None:
    rack.hold()
    with rack.client() as client:
        run = start(client, plan_of(client, rack.spec()))
        until(lambda: bool(client.get(f"/v1/runs/{run}")["stages"][0]["counts"].get("running")))
        assert rack.run("run", "cancel").code == 2
        rack.ok("run", "cancel", "--yes")
        final = until_status(client, run, "failed", "cancelled", "degraded")
        assert final["counts"]["changed"] == 0
        assert rack.ok("machine", "show", "a", "-o", "json").json["run"] == ""


def test_skip_counts_a_failed_task_as_done_with_its_reason(rack: Controller) -> None:
    rack.fail("b")
    rack.hold()
    with rack.client() as client:
        run = start(client, plan_of(client, rack.spec()))
        until(lambda: client.get(f"/v1/runs/{run}")["counts"]["failed"] == 1)
        rack.ok("run", "skip", "b", "make", "--reason", "done by hand")
        rack.go_on()
        until_status(client, run, "succeeded", "degraded")
        rows = client.get(f"/v1/runs/{run}/tasks")["items"]
    states = {(row["machine"], row["stage"]): row["state"] for row in rows}
    assert states["b", "make"] == "skipped"


ASKING = """\
groups: {{workers: {{from: pools.workers}}}}
stages:
  make: {{use: test/steps#make, on: all, params: {{dir: {world}}}}}
  seal:
    {{use: test/steps#seal, on: all, params: {{dir: {world}}}, needs: [make], approve: seal it?}}
"""


def asking(rack: Controller) -> Path:
    path = rack.content / "workflows" / "asking.yaml"
    path.write_text(ASKING.format(world=rack.world))
    return rack.spec(workflow="asking")


def why(rack: Controller, machine: str, stage: str) -> str:
    rows = rack.ok("run", "explain", machine, "-o", "json").json
    return str(next(row["why"] for row in rows if row["stage"] == stage))


def test_a_stage_waits_for_an_operator_who_may_refuse_and_be_asked_again(rack: Controller) -> None:
    with rack.client() as client:
        run = start(client, plan_of(client, asking(rack)))
        until(lambda: "waits for approval: seal it?" in why(rack, "a", "seal"))
        assert rack.run("run", "approve", "make").code == 2
        rack.ok("run", "reject", "seal", "--reason", "too early")
        until_status(client, run, "failed")
        assert "the approval of seal was refused" in why(rack, "a", "seal")
        client.post(f"/v1/runs/{run}/retry", {"machine": ""})
        until(lambda: "waits for approval: seal it?" in why(rack, "a", "seal"))
        rack.ok("run", "approve", "seal", "--reason", "now")
        until_status(client, run, "succeeded")
    told = [e for e in rack.ok("events", "-o", "json").json if e["kind"] == "approval"]
    assert [e["status"] for e in told] == ["asked", "refused", "asked", "approved"]
    actions = [row["action"] for row in rack.ok("audit", "-o", "json").json]
    assert {"run.approve", "run.reject", "run.retry"} <= set(actions)


def test_skip_takes_up_what_a_failure_blocked_in_a_run_that_has_ended(rack: Controller) -> None:
    rack.fail("b")
    assert rack.run("cluster", "apply", rack.spec(), "--yes").code == 3
    (rack.world / "fail-b").unlink()
    with rack.client() as client:
        run = client.get("/v1/runs")["items"][0]["id"]
        rack.ok("run", "skip", "b", "make", "--reason", "done by hand")
        until_status(client, run, "succeeded")
    assert (rack.world / "b.seal").exists()
    assert "run.skip" in [row["action"] for row in rack.ok("audit", "-o", "json").json]


def test_a_stale_plan_is_refused(rack: Controller) -> None:
    plan = rack.home / "plan.json"
    rack.ok("cluster", "plan", rack.spec(), "--out", plan)
    rack.ok("cluster", "apply", rack.spec(), "--yes")
    stale = rack.run("cluster", "apply", plan)
    assert stale.code == 2
    assert "hint:" in stale.err
    assert len(rack.ok("run", "list", "-o", "json").json) == 1


def test_a_plan_file_is_its_own_acceptance_and_a_tampered_one_is_refused(rack: Controller) -> None:
    plan = rack.home / "plan.json"
    rack.ok("cluster", "plan", rack.spec(), "--out", plan)
    document = json.loads(plan.read_text())
    document["machines"][0]["name"] = "somebody-else"
    tampered = rack.file("tampered.json", json.dumps(document))
    refused = rack.run("cluster", "apply", tampered)
    assert refused.code == 2
    assert "digest" in refused.err
    assert "Traceback" not in refused.err
    rack.ok("cluster", "apply", plan)


@pytest.mark.parametrize("text", ["{", "[]", '{"machines": 1}', '{"digest": 1}', '{"digest": "x"}'])
def test_a_file_that_is_no_plan_is_refused(rack: Controller, text: str) -> None:
    refused = rack.run("cluster", "apply", rack.file("plan.json", text))
    assert refused.code == 2
    assert refused.err.startswith("error: ")
    assert "internal error" not in refused.err


def test_without_a_terminal_nothing_is_applied_unless_accepted(rack: Controller) -> None:
    refused = rack.run("cluster", "apply", rack.spec())
    assert refused.code == 2
    assert "--yes" in refused.err
    assert rack.ok("run", "list", "-o", "json").json == []
    assert not list(rack.world.iterdir())


def test_events_follow_a_run_by_lines(rack: Controller) -> None:
    rack.ok("cluster", "apply", rack.spec(), "--yes")
    lines = rack.ok("events").out.splitlines()
    assert any(line.endswith("run succeeded") for line in lines)


def test_a_run_that_is_not_there_is_told_so(rack: Controller) -> None:
    for command in ("show", "tasks", "resume", "pause", "retry", "watch"):
        done = rack.run("run", command, "r-nothing")
        assert done.code == 2, (command, done)
        assert "r-nothing" in done.err
    assert rack.run("run", "cancel", "r-nothing", "--yes").code == 2
    assert rack.run("run", "delete", "r-nothing", "--yes").code == 2
    assert rack.run("run", "skip", "a", "make", "--reason", "x", "--run", "r-nothing").code == 2


def test_no_run_yet_is_told_with_a_hint(rack: Controller) -> None:
    done = rack.run("run", "show")
    assert (done.code, done.out) == (2, "")
    assert "cluster apply" in done.err


def test_a_plan_is_listed_and_shown_by_the_beginning_of_its_digest(rack: Controller) -> None:
    made = rack.ok("cluster", "plan", rack.spec(), "-o", "json").json
    (listed,) = rack.ok("plan", "list", "-o", "json").json
    assert listed["digest"] == made["digest"]
    assert rack.ok("plan", "show", made["digest"][:12], "-o", "json").json["plan"] == made["plan"]
    assert made["digest"] in rack.ok("plan", "show", made["digest"][:12]).out
    assert rack.run("plan", "show", "ffff").code == 2


def test_the_plans_table_folds_content_by_role(rack: Controller) -> None:
    shown = rack.ok("cluster", "plan", rack.spec()).out
    assert "roles/test/steps " in shown
    assert "check.sh" not in shown
    assert all(line == line.rstrip() for line in shown.splitlines())


def test_help_names_the_exit_codes(tmp_path: Path, rack: Controller) -> None:
    assert "3 the run ended" in " ".join(rack.ok("--help").out.split())
