"""The event stream through whatever ends a connection: nothing is lost, nothing comes twice."""

import itertools
import os
import signal
from typing import Any

from rackwright.api.cli.client import connect, is_live
from tests.integration.api.controller import Controller, plan_of, start, until, until_status
from tests.integration.api.serving import served


def read(controller: Controller, path: str, after: int, count: int) -> list[dict[str, Any]]:
    """Some events on a connection of their own, which is then cut in the middle of the stream."""
    with connect(controller.settings) as client:
        return list(itertools.islice(client.events(path, last_event_id=after), count))


def test_a_stream_goes_on_over_cut_connections_and_a_killed_owner(controller: Controller) -> None:
    got: list[dict[str, Any]] = []

    def more(path: str, count: int) -> None:
        got.extend(read(controller, path, got[-1]["seq"] if got else 0, count))

    with served(controller) as pid:
        with controller.client() as client:
            controller.enrol()
            controller.hold()
            run = start(client, plan_of(client, controller.spec()))
            path = f"/v1/runs/{run}/events"
            more(path, 1)
            more(path, 1)
        os.kill(pid, signal.SIGKILL)
        until(lambda: not is_live(controller.settings))
    with served(controller, "--resume"), controller.client() as client:
        until(lambda: client.get(f"/v1/runs/{run}")["status"] == "running")
        controller.go_on()
        more(path, 3)
        until_status(client, run, "succeeded")
        more(path, 1000)  # to the end of the run, which ends the stream
        every = client.get("/v1/events/list", run=run, limit=5000)["items"]
    assert got == every
    assert got[-1]["kind"] == "finished"
    assert len({event["seq"] for event in got}) == len(got)


def test_a_run_is_watched_in_bounded_size(controller: Controller) -> None:
    controller.enrol()
    controller.hold()
    with controller.owner() as client:
        run = start(client, plan_of(client, controller.spec()))
        until(lambda: len(client.get(f"/v1/runs/{run}/progress")["slowest"]) == 2)
        under_way = client.get(f"/v1/runs/{run}/progress", top=1)
        assert under_way["status"] == "running"
        assert [stage["counts"] for stage in under_way["stages"]] == [
            {"running": 2},
            {"waiting": 2},
        ]
        assert len(under_way["slowest"]) == 1
        assert under_way["eta_s"] > 0
        assert under_way["waits_for"] == ["make", "seal"]
        controller.fail("b")  # in this stage or in the next, as far as its apply has come
        controller.go_on()
        until_status(client, run, "degraded")
        over = client.get(f"/v1/runs/{run}/progress")
        whole = client.get(f"/v1/runs/{run}")
        outcome = client.get(f"/v1/runs/{run}", machines=False)
    assert outcome == {name: whole[name] for name in outcome}
    assert set(whole) - set(outcome) == {"machines", "stages"}
    make, seal = over["stages"]
    failed_in = next(s for s in (make, seal) if s["counts"].get("failed"))
    assert sum(stage["counts"].get("failed", 0) for stage in (make, seal)) == 1
    assert seal["done"] == 1
    assert seal["total"] == make["total"] == 2
    assert sum(make["latency"]["counts"]) == 2
    assert make["p99_s"] >= make["p50_s"] > 0
    assert over["eta_s"] is None
    assert over["slowest"] == []
    assert [(row["machine"], row["stage"]) for row in over["failing"]] == [("b", failed_in["name"])]
    assert "no luck" in over["failing"][0]["error"]
