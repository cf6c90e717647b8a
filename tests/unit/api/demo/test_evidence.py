"""What the demo shows is what was recorded; what was not is missing."""

from typing import Any

from rackwright.api.demo.evidence import COLUMNS, collect, problems

MACHINE = {"name": "n1", "bmc": {"protocol": "ipmi"}, "firmware": "uefi", "installed": None}


def task(stage: str, evidence: object) -> dict[str, Any]:
    return {"machine": "n1", "stage": stage, "evidence": evidence}


def tasks(*, before: str = "b1", after: str = "b2") -> list[dict[str, Any]]:
    reboot = {"boot_id_before": before, "boot_id_after": after}
    install = {"drive_serial": "D1", "boot_id": after, "os": "debian 12", "reboot": reboot}
    node = {"machine": "n1", "node_id": "node-1", "nonce": "n0"}
    return [
        task("install", install),
        task("runtime", {"runtime": "docker", "version": "20.10"}),
        task("init", {"node_id": "node-1"}),
        task("proof", {"nodes": [node]}),
    ]


def test_a_proved_machine_has_every_column() -> None:
    (row,) = collect([MACHINE], tasks())
    assert set(COLUMNS) <= set(row)
    assert (row["boot_id_before"], row["boot_id_after"]) == ("b1", "b2")
    assert row["runtime"] == "docker 20.10"
    assert problems([row]) == []


def test_a_machine_that_nothing_was_recorded_of_lacks_it() -> None:
    (row,) = collect([MACHINE], [task("install", None)])
    assert "n1: no nonce" in problems([row])
    assert "n1: no disk_serial" in problems([row])


def test_a_boot_id_that_did_not_change_proves_no_reboot() -> None:
    (row,) = collect([MACHINE], tasks(before="b2"))
    assert problems([row]) == ["n1: boot id did not change"]


def test_node_and_manager_must_tell_the_same() -> None:
    given = tasks()
    given[2]["evidence"] = {"node_id": "node-2"}
    (row,) = collect([MACHINE], given)
    assert problems([row]) == ["n1: the node and the manager tell different node ids"]


def test_a_machine_that_was_not_installed_anew_need_not_have_rebooted() -> None:
    given = tasks()
    given[0] = task("install", {"boot_id": "b2", "os": "debian 12"})
    (row,) = collect([{**MACHINE, "installed": {"drive_serial": "D9"}}], given)
    assert (row["disk_serial"], row["installed"]) == ("D9", False)
    assert problems([row]) == []
