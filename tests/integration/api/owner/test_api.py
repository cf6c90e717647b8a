"""The admin API over its socket: refusals with their status, and events as a stream."""

from collections.abc import Iterator

import pytest

from rackwright.api.cli.client import ApiError, Client
from tests.integration.api.controller import MACHINES, Controller, plan_of, start, until_status


@pytest.fixture
def client(controller: Controller) -> Iterator[Client]:
    with controller.owner() as client:
        controller.enrol()
        yield client


def status_of(error: pytest.ExceptionInfo[ApiError]) -> int:
    return error.value.status


def test_a_machine_is_reserved_by_one_run(controller: Controller, client: Client) -> None:
    controller.hold()
    plan = plan_of(client, controller.spec())
    run = start(client, plan)
    with pytest.raises(ApiError, match=run) as refused:
        start(client, plan)
    assert status_of(refused) == 409
    controller.go_on()
    until_status(client, run, "succeeded")


def test_a_stale_plan_is_a_conflict(controller: Controller, client: Client) -> None:
    plan = plan_of(client, controller.spec())
    until_status(client, start(client, plan), "succeeded")
    with pytest.raises(ApiError) as refused:
        start(client, plan)
    assert status_of(refused) == 409
    assert refused.value.hint


def test_what_is_not_there_is_404(client: Client) -> None:
    for path in (
        "/v1/machines/n9",
        "/v1/runs/r-9",
        "/v1/runs/r-9/tasks",
        "/v1/plans/ffff",
        "/v1/clusters/none",
    ):
        with pytest.raises(ApiError) as refused:
            client.get(path)
        assert status_of(refused) == 404, path
        assert refused.value.hint, path
    with pytest.raises(ApiError, match="r-9"):
        client.get("/v1/events/list", run="r-9")
    for path in ("/v1/runs/r-9/events", "/v1/events?run=r-9"):
        with pytest.raises(ApiError) as refused:
            next(client.events(path))
        assert status_of(refused) == 404


def test_a_run_under_way_is_not_deleted(controller: Controller, client: Client) -> None:
    controller.hold()
    run = start(client, plan_of(client, controller.spec()))
    with pytest.raises(ApiError, match="under way") as refused:
        client.delete(f"/v1/runs/{run}")
    assert status_of(refused) == 422
    controller.go_on()
    until_status(client, run, "succeeded")
    client.delete(f"/v1/runs/{run}")


def test_a_stream_goes_on_after_the_last_event_seen(controller: Controller, client: Client) -> None:
    run = start(client, plan_of(client, controller.spec()))
    every = list(client.events(f"/v1/runs/{run}/events"))
    assert every[-1]["kind"] == "finished"
    seqs = [event["seq"] for event in every]
    assert seqs == sorted(set(seqs))
    rest = list(client.events(f"/v1/runs/{run}/events", last_event_id=seqs[3]))
    assert [event["seq"] for event in rest] == seqs[4:]
    assert client.get("/v1/events/list", run=run)["items"] == every


def test_the_stream_of_all_runs_waits_for_what_comes(
    controller: Controller, client: Client
) -> None:
    last = client.get("/v1/events/list")["items"][-1]["seq"]
    stream = client.events("/v1/events", last_event_id=last)
    controller.ok("machine", "protect", "a")
    event = next(stream)
    assert event["seq"] > last
    assert event["at"].endswith("Z")


def test_events_outlive_the_history_of_their_run(controller: Controller, client: Client) -> None:
    run = start(client, plan_of(client, controller.spec()))
    until_status(client, run, "succeeded")
    client.delete(f"/v1/runs/{run}")
    events = client.get("/v1/events/list")["items"]
    assert any(event["kind"] == "machine.enrolled" for event in events)
    controller.ok("events")


def test_a_request_that_is_not_valid_is_told_without_its_input(client: Client) -> None:
    canary = "CANARY-7f3a"
    with pytest.raises(ApiError) as refused:
        client.post("/v1/machines/enrol", {"format": "json", "machines": canary})
    assert status_of(refused) == 422
    assert canary not in str(refused.value.detail)
    assert "machines" in str(refused.value.detail)


@pytest.mark.parametrize("last", ["-1", "x", str(2**70)])
def test_a_last_event_id_that_is_none_is_refused(
    controller: Controller, client: Client, last: str
) -> None:
    with pytest.raises(ApiError) as refused:
        next(client.events("/v1/events", last_event_id=last))  # type: ignore[arg-type]
    assert status_of(refused) == 422


def test_a_failing_spec_is_told_with_place_and_hint(controller: Controller) -> None:
    spec = controller.file("spec.yaml", controller.spec().read_text().replace("count", "cuont"))
    done = controller.run("cluster", "plan", spec)
    assert done.code == 2
    assert f"{spec}:3:" in done.err
    assert "did you mean 'count'?" in done.err


@pytest.mark.parametrize(
    ("file", "before", "after", "said"),
    [
        ("workflows/steps.yaml", "needs: [make]", "needs: [maek]", "workflows/steps.yaml:4:"),
        ("workflows/steps.yaml", "steps#make", "stpes#make", "workflows/steps.yaml:3:"),
        ("roles/test/steps/apply.sh", "params.dir", "params.dri", "apply.sh:1:"),
        ("roles/test/steps/role.yaml", "check: check.sh", "check: chekc.sh", "role.yaml:8:"),
    ],
)
def test_a_mistake_in_content_is_told_before_anything_is_touched(
    controller: Controller, file: str, before: str, after: str, said: str
) -> None:
    path = controller.content / file
    path.write_text(path.read_text().replace(before, after))
    with controller.owner():
        controller.enrol()
        done = controller.run("cluster", "apply", controller.spec(), "--yes")
        assert done.code == 2, done.err
        assert said in done.err
        assert "hint:" in done.err
        assert controller.run("workflow", "check", "steps").code == 2
        assert controller.ok("run", "list", "-o", "json").json == []


def test_enrolment_is_audited(controller: Controller, client: Client) -> None:
    controller.ok("machine", "enrol", controller.file("m.yaml", MACHINES))
    assert client.get("/v1/machines")["items"][0]["name"] == "a"
