"""What a script's template may name: plain values only, never a secret."""

from collections.abc import Mapping
from dataclasses import asdict

from rackwright.engine.errors import OperatorError
from rackwright.engine.executors.scope import Scope, StageOutputs, Subject
from rackwright.engine.machine import Machine
from rackwright.engine.plan.model import Plan


def context(
    scope: Scope, subject: Subject, attempt: int, *, files: Mapping[str, str], installing: bool
) -> dict[str, object]:
    """All but ``outputs``, which few name and which may be large: see ``outputs_values``.

    ``files``: name -> path on the machine. ``installing`` adds ``ssh``: the keys that the
    operating system about to be written is reached and trusted by."""
    machine = scope.machine(subject)
    erasure = scope.erasure(machine.id)
    values: dict[str, object] = {
        "params": dict(subject.stage.params),
        "machine": machine_values(machine, _address(scope, machine)),
        "erase": asdict(erasure) if erasure else None,
        "installed": asdict(machine.installed) if machine.installed else None,
        "cluster": {"name": scope.plan.cluster, "id": scope.cluster_id()},
        "run": {"id": scope.run_id},
        "stage": subject.stage.name,
        "attempt": attempt,
        "files": dict(files),
        "artifacts": {name: dict(about) for name, about in scope.artifacts(machine.id).items()},
        "controller": dict(scope.controller(machine.id)),
    }
    if installing:
        values["ssh"] = {
            "authorized_key": scope.directory.authorized_key(),
            "host_certificate": scope.directory.long_host_certificate(machine.id),
        }
    return values


def machine_values(machine: Machine, address: str) -> dict[str, object]:
    """``address`` is the plain management address."""
    return {
        "id": str(machine.id),
        "name": machine.name,
        "labels": dict(machine.labels),
        "firmware": machine.firmware.value if machine.firmware else "",
        "pxe_mac": machine.pxe_mac,
        "management_address": machine.management_address,
        "address": address,
        "cluster_address": machine.cluster_address,
        "gateway": machine.gateway,
        "dns": list(machine.dns),
        "console": machine.console,
        "drives": [asdict(drive) for drive in machine.drives or ()],
        "product": machine.product,
        "uuid": machine.uuid,
        "serial": machine.serial,
    }


def outputs_values(plan: Plan, outputs: StageOutputs) -> dict[str, dict[str, object]]:
    """stage -> {name: value} where one machine gave them, and ``by_machine`` always."""
    values: dict[str, dict[str, object]] = {}
    for stage in plan.stages:
        by_machine = outputs.get(stage.name)
        if not by_machine:
            continue
        shown: dict[str, object] = {
            "by_machine": {machine: dict(given) for machine, given in by_machine.items()}
        }
        if stage.pick == "one" or len(by_machine) == 1:
            shown.update(next(iter(by_machine.values())))
        values[stage.name] = shown
    return values


def _address(scope: Scope, machine: Machine) -> str:
    if machine.management_address:
        return machine.management_address.partition("/")[0]
    try:
        return scope.directory.os_target(machine.id).address
    except OperatorError:
        return ""
