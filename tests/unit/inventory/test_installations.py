from typing import Any

import pytest

from rackwright.inventory import installations, machines
from rackwright.inventory.errors import ConflictError
from rackwright.inventory.lifecycle import State
from rackwright.inventory.values import MachineView
from tests.unit.inventory.conftest import NOW, Store

Rack = tuple[Store, dict[str, str]]
DRIVE = {
    "serial": "D1",
    "wwn": "eui.1",
    "path": "/dev/nvme0n1",
    "model": "QEMU NVMe",
    "size_bytes": 4 << 30,
    "sector_bytes": 4096,
    "transport": "nvme",
    "rotational": False,
    "removable": False,
    "has_data": False,
    "signatures": [],
}
NIC = {"mac": "52:54:00:77:01:02", "name": "ens3", "driver": "virtio_net", "speed_mbps": 1000}
FACTS: dict[str, Any] = {
    "firmware": "uefi",
    "memory_bytes": 1 << 30,
    "cpu_count": 2,
    "vendor": "QEMU",
    "product": "Standard PC",
    "serial": "To be filled",
    "nics": [NIC],
    "drives": [DRIVE],
}
EVIDENCE = {"install_id": "i-1", "image_digest": "sha", "drive_serial": "D1", "os": "debian 12"}


def discover(store: Store, machine_id: str, **changes: object) -> MachineView:
    facts = {**FACTS, **changes}
    store.write(lambda c: installations.record_discovered(c, machine_id, facts, NOW))
    return store.read(lambda c: machines.get(c, machine_id))


def erase(store: Store, machine_id: str, install_id: str = "i-1", serial: str = "D1") -> None:
    store.write(lambda c: installations.record_erasing(c, machine_id, install_id, serial, NOW))


def install(store: Store, machine_id: str, **changes: object) -> None:
    evidence = {**EVIDENCE, **changes}
    store.write(lambda c: installations.record_installed(c, machine_id, evidence, NOW))


def view(store: Store, machine_id: str) -> MachineView:
    return store.read(lambda c: machines.get(c, machine_id))


def test_a_discovery_fills_what_no_operator_typed(rack: Rack) -> None:
    store, ids = rack
    found = discover(store, ids["n1"])
    assert (found.firmware, found.memory_bytes, found.cpu_count) == ("uefi", 1 << 30, 2)
    assert found.drives is not None
    assert (found.drives[0].serial, found.drives[0].sector_bytes) == ("D1", 4096)
    named = {nic.mac: nic.name for nic in found.nics}
    assert named == {"52:54:00:77:01:01": "", "52:54:00:77:01:02": "ens3"}
    assert found.facts == {"serial": "To be filled"}


def test_a_machine_with_blank_disks_is_available(rack: Rack) -> None:
    store, ids = rack
    assert discover(store, ids["n1"]).state == "available"


@pytest.mark.parametrize(
    "change",
    [{"has_data": True}, {"signatures": ["linux_raid_member"]}, {"has_data": None}],
)
def test_a_disk_that_holds_data_keeps_its_machine_discovered(
    rack: Rack, change: dict[str, object]
) -> None:
    store, ids = rack
    drive = {key: value for key, value in {**DRIVE, **change}.items() if value is not None}
    second = {**DRIVE, "serial": "D2"}
    assert discover(store, ids["n1"], drives=[second, drive]).state == "discovered"
    assert discover(store, ids["n1"], drives=[second, drive]).state == "discovered"
    store.write(lambda c: machines.release(c, ids["n1"], actor="ada", now=NOW))
    assert view(store, ids["n1"]).state == "available"
    assert discover(store, ids["n1"], drives=[second, drive]).state == "available"


def test_data_found_later_withholds_an_available_machine(rack: Rack) -> None:
    store, ids = rack
    discover(store, ids["n1"])
    assert discover(store, ids["n1"], drives=[{**DRIVE, "has_data": True}]).state == "discovered"


def test_drives_and_nics_that_are_gone_go(rack: Rack) -> None:
    store, ids = rack
    extra = {"mac": "52:54:00:77:01:99", "name": "usb0"}
    discover(store, ids["n1"], drives=[DRIVE, {**DRIVE, "serial": "D2"}], nics=[NIC, extra])
    found = discover(store, ids["n1"])
    assert found.drives is not None
    assert [drive.serial for drive in found.drives] == ["D1"]
    assert "52:54:00:77:01:99" not in {nic.mac for nic in found.nics}
    assert len(found.nics) == 2


def test_a_mac_of_another_machine_is_a_contradiction(rack: Rack) -> None:
    store, ids = rack
    with pytest.raises(ConflictError, match="which is machine"):
        discover(store, ids["n1"], nics=[{"mac": "52:54:00:77:02:01"}])
    assert view(store, ids["n1"]).state == "enrolled"


@pytest.mark.parametrize(
    "change",
    [{"drives": "none"}, {"drives": [1]}, {"firmware": "coreboot"}, {"memory_bytes": "much"}],
)
def test_facts_of_the_wrong_shape_are_refused(rack: Rack, change: dict[str, object]) -> None:
    store, ids = rack
    with pytest.raises(ConflictError):
        discover(store, ids["n1"], **change)


def test_hostile_facts_are_cut(rack: Rack) -> None:
    store, ids = rack
    deep: dict[str, object] = {}
    for _ in range(100):
        deep = {"x": deep}
    found = discover(store, ids["n1"], product="\x1b[31m" + "A" * 100_000, lldp=deep)
    assert len(found.product) == 256
    assert len(repr(found.facts)) < 2_000


def test_from_the_first_erasure_on_nothing_is_installed(rack: Rack) -> None:
    store, ids = rack
    discover(store, ids["n1"])
    erase(store, ids["n1"])
    assert view(store, ids["n1"]).installed is None
    install(store, ids["n1"])
    installed = view(store, ids["n1"]).installed
    assert installed is not None
    assert (installed.install_id, installed.generation, installed.os) == ("i-1", 1, "debian 12")
    erase(store, ids["n1"], "i-2")
    now = view(store, ids["n1"])
    assert (now.installed, now.generation) == (None, 2)


def test_a_repeated_attempt_stays_in_its_generation(rack: Rack) -> None:
    store, ids = rack
    discover(store, ids["n1"])
    erase(store, ids["n1"])
    erase(store, ids["n1"])
    assert view(store, ids["n1"]).generation == 1
    with pytest.raises(ConflictError, match="is of drive D1, not D2"):
        erase(store, ids["n1"], "i-1", "D2")


def test_a_verify_that_passes_again_changes_nothing(rack: Rack) -> None:
    store, ids = rack
    erase(store, ids["n1"])
    install(store, ids["n1"])
    before = view(store, ids["n1"])
    install(store, ids["n1"])
    assert view(store, ids["n1"]) == before


@pytest.mark.parametrize(
    "change", [{"install_id": "i-9"}, {"drive_serial": "D9"}, {"install_id": ""}]
)
def test_evidence_of_another_installation_is_refused(rack: Rack, change: dict[str, object]) -> None:
    store, ids = rack
    erase(store, ids["n1"])
    with pytest.raises(ConflictError):
        install(store, ids["n1"], **change)
    assert view(store, ids["n1"]).installed is None


def test_one_install_id_is_one_machines(rack: Rack) -> None:
    store, ids = rack
    erase(store, ids["n1"])
    with pytest.raises(ConflictError, match="of another machine"):
        erase(store, ids["n2"])


def test_data_that_we_wrote_does_not_withhold_but_a_release_does(rack: Rack) -> None:
    store, ids = rack
    held = [{**DRIVE, "has_data": True}]
    discover(store, ids["n1"])
    install(store, ids["n1"])
    assert discover(store, ids["n1"], drives=held).state == "available"

    def move(state: State, actor: str = "ada") -> None:
        store.write(
            lambda c: machines.set_state(c, ids["n1"], state, actor=actor, reason="", now=NOW)
        )

    for state in (State.ALLOCATED, State.ACTIVE):
        move(state, machines.ENGINE)
    move(State.RELEASING)
    move(State.DISCOVERED, machines.ENGINE)
    assert discover(store, ids["n1"], drives=held).state == "discovered"
