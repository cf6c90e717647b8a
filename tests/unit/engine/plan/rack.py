"""Machines and documents that the plan tests share."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rackwright.engine.content.library import Library
from rackwright.engine.machine import (
    Bmc,
    Drive,
    Firmware,
    Installed,
    Machine,
    MachineId,
    Nic,
    Origin,
)
from rackwright.engine.plan.compile import compile_plan
from rackwright.engine.plan.model import Plan
from rackwright.engine.plan.spec import parse_spec

CASES = Path(__file__).parents[3] / "cases" / "content"
ARTIFACTS = {
    "image/debian-12": "a" * 64,
    "ramdisk": "b" * 64,
    "bundle/docker-debian-12": "c" * 64,
    "workload/busybox": "d" * 64,
}
SPEC = """\
cluster: demo
workflow: swarm
pools:
  managers: {count: 1, selector: "role=manager"}
  workers: {count: 2, selector: "role!=manager"}
params:
  orchestrator/swarm: {advertise_network: 10.77.0.0/24}
"""


def drive(serial: str, **changes: Any) -> Drive:
    base = Drive(
        serial=serial,
        wwn="",
        path="/dev/vda",
        model="QEMU HARDDISK",
        size_bytes=10 * 2**30,
        sector_bytes=512,
        transport="virtio",
        rotational=False,
        removable=False,
        has_data=False,
    )
    return replace(base, **changes)


def machine(number: int, **changes: Any) -> Machine:
    base = Machine(
        id=MachineId(f"m-{number:012x}"),
        name=f"n{number}",
        site="lab",
        rack="r1",
        machine_class="small",
        labels={"role": "manager" if number == 1 else "worker"},
        state="available",
        origin=Origin.NETBOOT,
        firmware=Firmware.UEFI,
        pxe_mac=f"52:54:00:00:00:{number % 256:02x}",
        management_address=f"10.77.0.{number % 256}/24",
        cluster_address=f"10.77.0.{number % 256}",
        gateway="10.77.0.1",
        dns=("10.77.0.1",),
        bmc=Bmc(f"bmc-{number}", "redfish", f"10.77.1.{number % 256}"),
        nics=(Nic(f"52:54:00:00:00:{number % 256:02x}"),),
        drives=(drive(f"RW-N{number}-A"),),
        installed=None,
    )
    return replace(base, **changes)


def installed(number: int, **changes: Any) -> Machine:
    record = Installed("0" * 16, "a" * 64, f"RW-N{number}-A", 1, "debian 12")
    return machine(number, **{"installed": record, "state": "active", **changes})


def select(selector: str, candidate: Machine) -> bool:
    """``key=value`` and ``key!=value``, joined by commas; name is a key too."""
    values = {**candidate.labels, "name": candidate.name}
    for term in filter(None, selector.split(",")):
        key, separator, wanted = term.partition("!=" if "!=" in term else "=")
        if not separator:
            raise ValueError(f"no = in {term}")
        if (values.get(key) == wanted) is ("!=" in term):
            return False
    return True


def library(*layers: Path) -> Library:
    return Library((CASES / "base", *layers))


def plan_of(
    machines: Sequence[Machine], spec: str = SPEC, content: Library | None = None, **changes: Any
) -> Plan:
    given: Mapping[str, Any] = {
        "library": content or library(),
        "spec": parse_spec(spec, "spec.yaml"),
        "machines": machines,
        "select": select,
        "artifacts": ARTIFACTS,
        **changes,
    }
    return compile_plan(**given)
