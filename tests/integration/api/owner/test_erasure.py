"""Erasing needs the operator's word: the plan's digest, or nothing happens."""

import asyncio
from collections.abc import Iterator

import pytest

from rackwright.api.cli.client import ApiError, Client
from rackwright.inventory.facade import Inventory
from tests.integration.api.controller import Controller, plan_of

RACK = """\
segments:
- {name: s, subnet: 192.0.2.0/24, boot_server: 192.0.2.1}
machines:
- name: m
  labels: {role: x}
  bmc: {protocol: none, address: 192.0.2.11}
  nics: [{mac: "52:54:00:00:00:01"}]
  segment: s
  address: 192.0.2.21/24
"""
DRIVE = {
    "serial": "D1", "wwn": "", "path": "/dev/vda", "model": "DISK", "size_bytes": 10 * 2**30,
    "sector_bytes": 512, "transport": "virtio", "rotational": False, "removable": False,
    "has_data": True, "signatures": ["ext4"],
}  # fmt: skip
FACTS = {
    "firmware": "uefi", "memory_bytes": 1 << 30, "cpu_count": 2, "vendor": "QEMU",
    "product": "PC", "nics": [{"mac": "52:54:00:00:00:01"}], "drives": [DRIVE],
}  # fmt: skip


@pytest.fixture
def client(controller: Controller) -> Iterator[Client]:
    """A machine whose ramdisk found data on its disk."""
    asyncio.run(_discovered(controller))
    with controller.owner() as client:
        yield client


async def _discovered(controller: Controller) -> None:
    inventory = Inventory.open(controller.data)
    try:
        await inventory.enrol(RACK, "rack.yaml", actor="tester")
        await inventory.record_discovered(inventory.machine("m").id, FACTS)
    finally:
        inventory.close()


def test_a_machine_with_data_is_released_by_naming_its_drives(
    controller: Controller, client: Client
) -> None:
    assert client.get("/v1/machines/m")["state"] == "discovered"
    with pytest.raises(ApiError, match="D1"):
        client.post("/v1/machines/m/release", {"accept": []})
    refused = controller.run("machine", "release", "m")
    assert refused.code == 2
    assert "D1" in refused.err
    controller.ok("machine", "release", "m", "--yes")
    assert client.get("/v1/machines/m")["state"] == "available"


def test_an_erasure_that_was_not_accepted_is_refused(
    controller: Controller, client: Client
) -> None:
    controller.ok("machine", "release", "m", "--yes")
    plan = plan_of(client, controller.spec(workflow="erasing", count=1))
    assert plan["show"]["erasures"] == 1
    for accept in ("", "yes", plan["digest"][:12]):
        with pytest.raises(ApiError, match="not accepted") as refused:
            client.post("/v1/runs", {"plan_digest": plan["digest"], "accept": accept})
        assert refused.value.status == 428
        assert refused.value.hint
    assert client.get("/v1/runs")["items"] == []
    assert client.get("/v1/machines/m")["run"] == ""


def test_the_command_shows_the_disk_and_refuses_without_acceptance(
    controller: Controller, client: Client
) -> None:
    controller.ok("machine", "release", "m", "--yes")
    spec = controller.spec(workflow="erasing", count=1)
    done = controller.run("cluster", "apply", spec)
    assert done.code == 2
    assert "D1" in done.out
    assert "10.7 GB" in done.out
    assert "--yes" in done.err
    assert controller.run("cluster", "plan", spec, "--detailed-exitcode").code == 2


def test_an_unknown_disk_asks_for_a_discovery_first(controller: Controller, client: Client) -> None:
    controller.ok(
        "machine", "enrol", controller.file("n.yaml", RACK.replace("name: m", "name: n")
        .replace("00:01", "00:02").replace("2.11", "2.12").replace("2.21", "2.22")),
    )  # fmt: skip
    spec = controller.spec(workflow="erasing", count=1, selector="name=n", cluster="d")
    done = controller.run("cluster", "plan", spec)
    assert done.code == 2
    assert "discover" in done.err


def test_a_segment_that_cannot_be_served_ends_the_run_and_frees_its_machine(
    controller: Controller, client: Client
) -> None:
    controller.ok("machine", "release", "m", "--yes")
    done = controller.run("cluster", "apply", controller.spec(workflow="erasing", count=1), "--yes")
    assert done.code == 2
    assert "cannot listen on 192.0.2.1" in done.err
    assert "hint:" in done.err
    assert client.get("/v1/machines/m")["run"] == ""
    assert client.get("/v1/runs")["items"][0]["status"] == "failed"
