"""Machines for a simulation, and the cluster spec that takes them all.

Everything follows from the number of a machine, so that the same fleet is always the same.
"""

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

from rackwright.engine.content.workflow import WorkflowSpec
from rackwright.engine.machine import Bmc, Drive, Firmware, Machine, MachineId, Nic, Origin
from rackwright.engine.plan.canonical import digest

IN_A_RACK = 40
RACKS_IN_A_ROW = 20
CLASSES = ("small", "large", "gpu")  # every eighth is large, every twentieth has accelerators
_KINDS = ("virtio", "nvme", "sata")
_GATEWAY = "10.255.255.254"
_DNS = (_GATEWAY,)
_NO_FACTS: Mapping[str, object] = MappingProxyType({})
_Shared = dict[tuple[int, str, int], tuple[str, Mapping[str, str]]]


def fleet(count: int, pools: Mapping[str, int]) -> list[Machine]:
    """``pools``: how many machines are labelled ``role=POOL``, in order; the last takes the rest.

    Labels besides: row, and generation of the hardware (g1 to g3).
    """
    roles = _roles(count, pools)
    shared: _Shared = {}
    return [_machine(number, next(roles), shared) for number in range(1, count + 1)]


def _roles(count: int, pools: Mapping[str, int]) -> Iterator[str]:
    last = ""
    for last, size in pools.items():
        for _ in range(size):
            yield last
    for _ in range(count):
        yield last


def _machine(number: int, role: str, shared: _Shared) -> Machine:
    """``shared``: (rack, labels) that many machines have in common."""
    rack = (number - 1) // IN_A_RACK + 1
    common = (rack, role, number % 3 + 1)
    if common not in shared:
        row = f"row{(rack - 1) // RACKS_IN_A_ROW + 1}"
        shared[common] = (
            f"r{rack}",
            {"role": role, "row": row, "generation": f"g{common[2]}"},
        )
    rack_name, labels = shared[common]
    a, b, c, d = number >> 24 & 255, number >> 16 & 255, number >> 8 & 255, number & 255
    mac = f"02:00:{a:02x}:{b:02x}:{c:02x}:{d:02x}"
    address = f"10.{b}.{c}.{d}"
    bmc = f"bmc-{number}"
    return Machine(
        id=MachineId(f"m-{number:012x}"),
        name=f"n{number}",
        site="simulated",
        rack=rack_name,
        machine_class="gpu" if number % 20 == 0 else "large" if number % 8 == 0 else "small",
        labels=labels,
        state="available",
        origin=Origin.NETBOOT,
        firmware=Firmware.BIOS if number % 10 == 0 else Firmware.UEFI,
        pxe_mac=mac,
        management_address=f"{address}/8",
        cluster_address=address,
        gateway=_GATEWAY,
        dns=_DNS,
        bmc=Bmc(bmc, "ipmi" if number % 4 == 0 else "redfish", bmc),
        nics=(Nic(mac),),
        drives=(_drive(number),),
        installed=None,
        facts=_NO_FACTS,
    )


def _drive(number: int) -> Drive:
    return Drive(
        serial=f"SIM-{number}",
        wwn="",
        path="/dev/sda",
        model="SIMULATED",
        size_bytes=480 * 10**9,
        sector_bytes=512,
        transport=_KINDS[number % len(_KINDS)],
        rotational=False,
        removable=False,
        has_data=False,
    )


def pool_sizes(workflow: WorkflowSpec, count: int) -> dict[str, int]:
    """How a fleet is divided: five machines for a pool that votes (three, one of small fleets),
    the others share the rest."""
    voting = [p for g in workflow.groups.values() if g.quorum for p in g.pools]
    every = list(dict.fromkeys(p for g in workflow.groups.values() for p in g.pools))
    voters = 5 if count >= 50 else 3 if count >= 6 else 1
    rest = [pool for pool in every if pool not in voting]
    sizes = dict.fromkeys(dict.fromkeys(voting), voters)
    left = max(0, count - sum(sizes.values()))
    for place, pool in enumerate(rest):
        sizes[pool] = left // len(rest) + (place < left % len(rest))
    if not rest and voting:
        sizes[voting[-1]] += left
    return sizes


def spec_text(workflow: str, sizes: Mapping[str, int], params: Sequence[str] = ()) -> str:
    """A cluster spec in YAML that takes every machine by its label."""
    pools = [
        f'  {pool}: {{count: {size}, selector: "role={pool}"}}' for pool, size in sizes.items()
    ]
    return "\n".join(["cluster: simulated", f"workflow: {workflow}", "pools:", *pools, *params, ""])


class EveryArtifact(Mapping[str, str]):
    """Artifacts that are taken as built: no image is needed to simulate."""

    def __getitem__(self, reference: str) -> str:
        return digest({"simulated": reference})

    def __contains__(self, reference: object) -> bool:
        return isinstance(reference, str)

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0
