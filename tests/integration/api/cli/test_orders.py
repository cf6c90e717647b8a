"""What an operator asks of a run, and what a run answers: reasons, explanations, refusals."""

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import typer

from rackwright.api.cli.client import Client, connect
from rackwright.api.cli.execute import finish
from rackwright.api.cli.session import run_guarded
from rackwright.api.owner.thread import OwnerThread
from tests.integration.api.controller import Controller, plan_of, start, until, until_status

ASKING = """\
groups: {{workers: {{from: pools.workers}}}}
stages:
  make: {{use: test/steps#make, on: all, params: {{dir: {world}}}, when: "machine.name == 'a'"}}
  seal:
    {{use: test/steps#seal, on: all, params: {{dir: {world}}}, needs: [make], approve: seal it?}}
"""


@pytest.fixture
def rack(controller: Controller) -> Iterator[Controller]:
    """Machines are enrolled, and an owner lives."""
    with controller.owner():
        controller.enrol()
        yield controller


def asking(rack: Controller) -> Path:
    path = rack.content / "workflows" / "asking.yaml"
    path.write_text(ASKING.format(world=rack.world))
    return rack.spec(workflow="asking")


def held(client: Client, rack: Controller) -> str:
    """A run whose first tasks wait for the file ``hold``."""
    rack.hold()
    run = start(client, plan_of(client, rack.spec()))
    until(lambda: bool(client.get(f"/v1/runs/{run}")["stages"][0]["counts"].get("running")))
    return run


def why(rack: Controller, machine: str) -> dict[str, tuple[str, str]]:
    rows = rack.ok("run", "explain", machine, "-o", "json").json
    return {row["stage"]: (row["state"], row["why"]) for row in rows}


def test_a_failure_is_explained_while_the_run_goes_on_and_after(rack: Controller) -> None:
    rack.fail("b")
    rack.hold()
    with rack.client() as client:
        run = start(client, plan_of(client, rack.spec()))
        until(lambda: client.get(f"/v1/runs/{run}")["counts"]["failed"] == 1)
        live = why(rack, "b")
        assert live["make"][0] == "failed"
        assert "no luck" in live["make"][1]
        assert live["seal"] == ("blocked", "make did not succeed on this machine")
        rack.go_on()
        until_status(client, run, "degraded")
    assert why(rack, "b") == live


def test_a_stage_that_does_not_concern_a_machine_is_explained(rack: Controller) -> None:
    with rack.client() as client:
        run = start(client, plan_of(client, asking(rack)))
        until(lambda: client.get(f"/v1/runs/{run}")["counts"]["changed"] == 1)
        assert why(rack, "b")["make"] == ("not applicable", "when machine.name == 'a'")
        assert list(why(rack, "b")) == ["make", "seal"]
        rack.ok("run", "cancel", "--yes")


def test_a_refusal_is_explained_with_who_and_why(rack: Controller) -> None:
    with rack.client() as client:
        run = start(client, plan_of(client, asking(rack)))
        rack.ok("run", "reject", "seal", "--reason", "wrong rack")
        until_status(client, run, "failed", "degraded")
    told = "the approval of seal was refused by operator: wrong rack"
    assert why(rack, "a")["seal"] == ("blocked", told)


def test_a_paused_run_says_so_beside_what_else_is_waited_for(rack: Controller) -> None:
    with rack.client() as client:
        run = start(client, plan_of(client, asking(rack)))
        until(lambda: client.get(f"/v1/runs/{run}")["counts"]["changed"] == 1)
        rack.ok("run", "pause")
        waits = why(rack, "a")["seal"][1]
        assert "waits for approval" in waits
        assert "the run is paused" in waits
        rack.ok("run", "cancel", "--yes")


def test_reasons_stand_in_the_audit_and_in_the_events(rack: Controller) -> None:
    with rack.client() as client:
        run = held(client, rack)
        rack.ok("run", "pause", "--reason", "lunch")
        rack.ok("run", "pause", "--off", "--reason", "back")
        client.post(f"/v1/runs/{run}/retry", {"reason": "rack is right"})
        rack.ok("run", "skip", "b", "seal", "--reason", "by hand")
        rack.ok("run", "cancel", "--yes", "--reason", "wrong rack")
        until_status(client, run, "cancelled")
        rows = rack.ok("audit", run, "-o", "json").json
    told = {row["action"]: row["detail"].get("reason") for row in rows}
    assert told["run.pause"] == "lunch"
    assert told["run.unpause"] == "back"
    assert told["run.cancel"] == "wrong rack"
    assert told["run.retry"] == "rack is right"
    lines = rack.ok("events", "--run", run).out
    assert "operator: pause: lunch" in lines
    assert "operator: skip b seal: by hand" in lines
    assert "operator: cancel: wrong rack" in lines


def test_a_cancelled_run_says_that_nothing_takes_it_up(rack: Controller) -> None:
    with rack.client() as client:
        run = held(client, rack)
        rack.ok("run", "cancel", "--yes")
        until_status(client, run, "cancelled")
    for order in ("resume", "retry", "pause"):
        refused = rack.run("run", order)
        assert refused.code == 2, order
        assert "apply the spec again" in refused.err
    rack.go_on()
    assert rack.ok("cluster", "apply", rack.spec(), "--yes")


def test_orders_answer_without_what_grows_with_the_machines(rack: Controller) -> None:
    with rack.client() as client:
        run = held(client, rack)
        answers: list[dict[str, Any]] = [
            client.post(f"/v1/runs/{run}/pause", {"paused": True}),
            client.post(f"/v1/runs/{run}/resume"),
            client.post(f"/v1/runs/{run}/cancel"),
        ]
        until_status(client, run, "cancelled")
    for answer in answers:
        assert answer["id"] == run
        assert "machines" not in answer
        assert "counts" in answer


def left(controller: Controller) -> str:
    """A run that failed on machine b, and no owner."""
    controller.enrol()
    reason = controller.fail("b")
    assert controller.run("cluster", "apply", controller.spec(), "--yes").code == 3
    reason.unlink()
    return str(controller.ok("run", "list", "-o", "json").json[0]["id"])


def test_without_an_owner_a_skip_drives_what_it_opened_to_the_end(controller: Controller) -> None:
    left(controller)
    done = controller.ok("run", "skip", "b", "make", "--reason", "by hand")
    assert "succeeded" in done.err
    assert controller.ok("run", "list", "-o", "json").json[0]["status"] == "succeeded"


def test_without_an_owner_a_cancelled_run_comes_to_its_end(controller: Controller) -> None:
    controller.enrol()
    with controller.owner() as client:
        run = held(client, controller)
    assert controller.ok("run", "cancel", "--yes", run)
    assert controller.ok("run", "list", "-o", "json").json[0]["status"] == "cancelled"
    assert controller.ok("machine", "show", "a", "-o", "json").json["run"] == ""


def test_without_an_owner_an_approval_is_followed_by_its_stage(controller: Controller) -> None:
    controller.enrol()
    with controller.owner() as client:
        run = start(client, plan_of(client, asking(controller)))
        until(lambda: client.get(f"/v1/runs/{run}")["counts"]["changed"] == 1)
    assert "nobody drives it" in controller.ok("run", "pause").err
    paused = controller.ok("run", "list", "-o", "json").json[0]["status"]
    assert paused == "interrupted"
    assert controller.ok("run", "report", "-o", "json").json["status"] == "interrupted"
    _, waits = why(controller, "a")["seal"]
    assert waits.startswith(f"nobody drives the run (rackwright run resume {run}); ")
    assert "the run is paused" in waits
    assert why(controller, "a")["make"] == ("changed", "")
    with controller.owner() as client:
        client.post(f"/v1/runs/{run}/pause", {"paused": False})
    assert "succeeded" in controller.ok("run", "approve", "seal").err


def test_hints_fit_what_was_asked(rack: Controller) -> None:
    rack.ok("cluster", "apply", rack.spec(), "--yes")
    for args in (("run", "cancel"), ("machine", "forget", "a")):
        refused = rack.run(*args)
        assert refused.code == 2
        assert "--yes" in refused.err
        assert "plan file" not in refused.err
    ended = rack.run("run", "pause")
    assert (ended.code, "resume" in ended.err) == (2, False)


def test_streams_end_in_order_when_the_owner_stops(controller: Controller) -> None:
    with contextlib.ExitStack() as clients:
        with OwnerThread(controller.settings):
            client = clients.enter_context(connect(controller.settings))
            controller.enrol()
            run = held(client, controller)
            streams = [client.events(f"/v1/runs/{run}/events"), client.events("/v1/events")]
            for one in streams:
                assert next(one)["seq"]
        for one in streams:  # cut off, they would raise
            assert all(event["seq"] for event in one)


def test_a_stream_that_ends_before_its_run_is_told_as_the_controllers_end() -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        if request.url.path.endswith("/events"):
            return httpx2.Response(200, text="")
        body = {"status": "running", "machines": 2, "counts": {}, "failures": []}
        return httpx2.Response(200, json=body)

    with httpx2.Client(transport=httpx2.MockTransport(answer), base_url="http://x") as http:
        err = io.StringIO()
        with contextlib.redirect_stderr(err), pytest.raises(typer.Exit):
            finish(Client(http), "r-1")
    assert "went away before run r-1 ended" in err.getvalue()


def test_an_owner_that_ends_before_it_is_asked_is_told() -> None:
    def refuse(request: httpx2.Request) -> httpx2.Response:
        raise httpx2.ConnectError("refused", request=request)

    def command() -> None:
        with httpx2.Client(transport=httpx2.MockTransport(refuse), base_url="http://x") as http:
            Client(http).get("/v1/runs")

    err = io.StringIO()
    with contextlib.redirect_stderr(err):
        assert run_guarded(command) == 1
    assert "give the command again" in err.getvalue()


def test_whoever_follows_is_told_that_the_controller_went_away() -> None:
    def gone(request: httpx2.Request) -> httpx2.Response:
        raise httpx2.ReadError("cut off", request=request)

    with httpx2.Client(transport=httpx2.MockTransport(gone), base_url="http://x") as http:
        err = io.StringIO()
        with contextlib.redirect_stderr(err), pytest.raises(typer.Exit) as ended:
            finish(Client(http), "r-1")
    assert ended.value.exit_code == 1
    assert "the controller went away" in err.getvalue()
    assert "rackwright run resume r-1" in err.getvalue()
