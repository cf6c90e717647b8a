"""What a virtual rack is made of: frozen values, and their JSON for the chassis processes.

They hold no credentials. Sizes are bytes unless the name says otherwise.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any


class Firmware(StrEnum):
    BIOS = "bios"
    UEFI = "uefi"


class Protocol(StrEnum):
    """What a BMC speaks. A Redfish BMC has IPMI beside it, for serial-over-LAN."""

    IPMI = "ipmi"
    REDFISH = "redfish"


class DiskType(StrEnum):
    VIRTIO = "virtio"
    SCSI = "scsi"
    NVME = "nvme"


class Content(StrEnum):
    """What a disk holds when the rack comes up."""

    BLANK = "blank"
    OLD_OS = "old-os"  # a bootable system, an md member and an LVM physical volume


@dataclass(frozen=True, slots=True)
class NetworkSpec:
    """A bridge in the rack's namespace; ``address`` (CIDR) is the namespace's own on it, or ""."""

    name: str
    bridge: str
    address: str = ""


@dataclass(frozen=True, slots=True)
class NicSpec:
    mac: str  # lower case, colons
    network: str
    pxe: bool = False
    tap: str = ""  # interface name in the namespace


@dataclass(frozen=True, slots=True)
class DiskSpec:
    serial: str
    type: DiskType
    size_bytes: int
    sector_bytes: int = 512
    content: Content = Content.BLANK


@dataclass(frozen=True, slots=True)
class BmcSpec:
    protocol: Protocol
    address: str  # plain IPv4 address
    username: str = "admin"


@dataclass(frozen=True, slots=True)
class MachineSpec:
    name: str
    firmware: Firmware
    bmc: BmcSpec
    nics: tuple[NicSpec, ...]
    disks: tuple[DiskSpec, ...]
    uuid: str
    serial: str
    vcpus: int = 1
    memory_mib: int = 2048
    powered_on: bool = False
    # order in which the firmware's setup tries disks, by serial
    disk_order: tuple[str, ...] = ()
    # what an operator would enrol beside the addresses
    site: str = "lab"
    rack: str = "r1"
    machine_class: str = "small"
    labels: Mapping[str, str] = field(default_factory=dict)
    address: str = ""  # CIDR, static address of the OS to come


@dataclass(frozen=True, slots=True)
class SegmentSpec:
    """The provisioning segment as enrolment tells it; DHCP itself is the product's."""

    name: str
    network: str
    dhcp_first: str
    dhcp_last: str


@dataclass(frozen=True, slots=True)
class RackSpec:
    name: str
    networks: tuple[NetworkSpec, ...]
    management: NetworkSpec  # where the BMCs' addresses live
    segment: SegmentSpec
    machines: tuple[MachineSpec, ...]
    accel: str = "auto"  # auto, kvm or tcg
    source: str = ""  # the file it was read from

    @property
    def namespace(self) -> str:
        return f"rw-{self.name}"


def to_json(value: RackSpec | MachineSpec) -> dict[str, Any]:
    """Plain containers for ``json.dumps``."""
    return asdict(value)


def machine_from_json(data: Mapping[str, Any]) -> MachineSpec:
    """The inverse of ``to_json`` for a machine."""
    values = dict(data)
    values["firmware"] = Firmware(values["firmware"])
    bmc = dict(values["bmc"])
    values["bmc"] = BmcSpec(**{**bmc, "protocol": Protocol(bmc["protocol"])})
    values["nics"] = tuple(NicSpec(**nic) for nic in values["nics"])
    values["disks"] = tuple(
        DiskSpec(**{**disk, "type": DiskType(disk["type"]), "content": Content(disk["content"])})
        for disk in values["disks"]
    )
    values["disk_order"] = tuple(values["disk_order"])
    return MachineSpec(**values)


def rack_from_json(data: Mapping[str, Any]) -> RackSpec:
    """The inverse of ``to_json`` for a rack."""
    values = dict(data)
    values["networks"] = tuple(NetworkSpec(**network) for network in values["networks"])
    values["management"] = NetworkSpec(**values["management"])
    values["segment"] = SegmentSpec(**values["segment"])
    values["machines"] = tuple(machine_from_json(machine) for machine in values["machines"])
    return RackSpec(**values)
