"""A live owner whose disk refuses: reads work, writes are refused clearly, nothing that was
acknowledged is lost, and it recovers: by itself, or after the restart that it asks for."""

from typing import Any

import pytest

from rackwright.api.cli.client import ApiError, Client
from tests.integration.api.controller import (
    HOST_KEY,
    Controller,
    plan_of,
    start,
    until,
    until_status,
)
from tests.integration.api.disk_faults import FLUSHES, WRITES, failing
from tests.integration.api.serving import served

MORE = f"""\
machines:
- {{name: c, labels: {{role: y}}, ssh: {{address: 192.0.2.3, user: root, host_key: {HOST_KEY}}}}}
"""


def events(client: Client) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.get("/v1/events/list", limit=5000)["items"]
    return found


def half_a_run(controller: Controller, client: Client) -> str:
    """A run whose attempts are under way and wait."""
    controller.enrol()
    controller.hold()
    run = start(client, plan_of(client, controller.spec()))
    until(lambda: sum(event["kind"] == "issued" for event in events(client)) == 2)
    return run


def reads_work(controller: Controller, run: str) -> None:
    for command in (("machine", "list"), ("run", "show", run), ("run", "tasks", run), ("events",)):
        controller.ok(*command)


def enrolment_is_refused(controller: Controller, client: Client, status: int, *told: str) -> None:
    """Both ways: by the API's status, and by the command's exit code and words."""
    with pytest.raises(ApiError) as refused:
        client.post("/v1/machines/enrol", {"format": "yaml", "text": MORE})
    assert refused.value.status == status
    done = controller.run("machine", "enrol", controller.file("more.yaml", MORE))
    assert done.code == 1
    for words in told:
        assert words in done.err
    assert "hint:" in done.err


@pytest.mark.parametrize(
    ("error", "status", "told"), [("ENOSPC", 507, "is full"), ("EIO", 503, "IOERR_WRITE")]
)
def test_an_owner_whose_writes_are_refused_goes_on_once_they_work(
    controller: Controller, error: str, status: int, told: str
) -> None:
    with served(controller) as pid, controller.client() as client:
        run = half_a_run(controller, client)
        before = events(client)
        with failing(pid, controller.data, WRITES, error):
            enrolment_is_refused(controller, client, status, told, "without a restart")
            controller.go_on()
            until_status(client, run, "interrupted")  # its commit failed: it does nothing more
            reads_work(controller, run)
            assert events(client) == before
        controller.ok("machine", "enrol", controller.file("more.yaml", MORE))
        controller.ok("run", "resume", run)
        after = events(client)
        assert after[: len(before)] == before
        done = [(e["stage"], e["machine"]) for e in after if e["kind"] == "ended"]
        assert len(done) == len(set(done)) == 4


def test_an_owner_whose_fsync_failed_trusts_nothing_until_it_is_restarted(
    controller: Controller,
) -> None:
    with served(controller) as pid, controller.client() as client:
        run = half_a_run(controller, client)
        before = events(client)
        with failing(pid, controller.data, FLUSHES, "EIO"):
            with pytest.raises(ApiError, match="whether this one was kept shows after a restart"):
                client.post("/v1/machines/enrol", {"format": "yaml", "text": MORE})
            enrolment_is_refused(controller, client, 503, "IOERR_FSYNC", "nothing was written")
        enrolment_is_refused(controller, client, 503, "IOERR_FSYNC", "restart")  # for good
        controller.go_on()
        until_status(client, run, "interrupted")
        reads_work(controller, run)
    with served(controller), controller.client() as client:
        names = [machine["name"] for machine in client.get("/v1/machines")["items"]]
        assert names in (["a", "b"], ["a", "b", "c"])  # all of the write, or nothing of it
        controller.ok("run", "resume", run)
        after = events(client)
        assert after[: len(before)] == before
        done = [(e["stage"], e["machine"]) for e in after if e["kind"] == "ended"]
        assert len(done) == len(set(done)) == 4
