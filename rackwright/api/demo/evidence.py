"""What the demo shows for every machine, taken from the run's tasks and the inventory's records.

Nothing here is known beforehand: a fact that no stage recorded is shown as missing.
"""

from collections.abc import Mapping, Sequence
from typing import Any

COLUMNS = (
    "machine",
    "bmc",
    "firmware",
    "disk_serial",
    "boot_id_before",
    "boot_id_after",
    "os",
    "runtime",
    "node_id_from_node",
    "node_id_from_manager",
    "nonce",
)


class MissingEvidenceError(Exception):
    """A machine that should be proved is not."""


def collect(
    machines: Sequence[Mapping[str, Any]], tasks: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """One row a machine. ``tasks`` are those of the cluster's run, ``machines`` the API's views."""
    by_machine: dict[str, dict[str, Mapping[str, Any]]] = {}
    for task in tasks:
        evidence = task.get("evidence")
        if isinstance(evidence, Mapping):
            by_machine.setdefault(str(task["machine"]), {})[str(task["stage"])] = evidence
    proofs = _proofs(tasks)
    return [_row(machine, by_machine.get(str(machine["name"]), {}), proofs) for machine in machines]


def problems(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """What the rows fail to prove; empty when every machine is proved.

    A row with ``installed`` true must show that its boot id changed.
    """
    found = []
    for row in rows:
        found += [f"{row['machine']}: no {name}" for name in COLUMNS if not row.get(name)]
        if row["node_id_from_node"] != row["node_id_from_manager"]:
            found.append(f"{row['machine']}: the node and the manager tell different node ids")
        if row["installed"] and row["boot_id_before"] == row["boot_id_after"]:
            found.append(f"{row['machine']}: boot id did not change")
    return found


def _row(
    machine: Mapping[str, Any],
    stages: Mapping[str, Mapping[str, Any]],
    proofs: Mapping[str, Mapping[str, Any]],
) -> dict[str, Any]:
    install = stages.get("install", {})
    installed = machine.get("installed") or {}
    joined: Mapping[str, Any] = {}
    for name in ("init", "join-manager", "join-worker"):
        joined = joined or stages.get(name, {})
    runtime = stages.get("runtime", {})
    proof = proofs.get(str(machine["name"]), {})
    return {
        "machine": machine["name"],
        "installed": "reboot" in install,
        "bmc": (machine.get("bmc") or {}).get("protocol"),
        "firmware": machine.get("firmware"),
        "disk_serial": install.get("drive_serial") or installed.get("drive_serial"),
        "boot_id_before": _before(install),
        "boot_id_after": install.get("boot_id"),
        "os": install.get("os_pretty_name") or install.get("os"),
        "runtime": " ".join(
            str(runtime[key]) for key in ("runtime", "version") if runtime.get(key)
        ),
        "node_id_from_node": joined.get("node_id"),
        "node_id_from_manager": proof.get("node_id"),
        "nonce": proof.get("nonce"),
    }


def _before(install: Mapping[str, Any]) -> object:
    """The boot that the install began in. Where nothing was installed nothing was rebooted."""
    reboot = install.get("reboot")
    if isinstance(reboot, Mapping):
        return reboot.get("boot_id_before")
    return install.get("boot_id")


def _proofs(tasks: Sequence[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    for task in tasks:
        evidence = task.get("evidence")
        if task["stage"] == "proof" and isinstance(evidence, Mapping):
            nodes = evidence.get("nodes") or []
            return {str(node["machine"]): node for node in nodes}
    return {}
