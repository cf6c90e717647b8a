"""What the engine knows of a machine: plain frozen values, handed in by whoever owns the inventory.

These are decisions' inputs, never credentials.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NewType

MachineId = NewType("MachineId", str)
RunId = NewType("RunId", str)


class Firmware(StrEnum):
    BIOS = "bios"
    UEFI = "uefi"


class Origin(StrEnum):
    """How a machine's operating system comes about."""

    NETBOOT = "netboot"  # we power it, boot it from the network and install it
    EXISTING = "existing"  # it came with an OS; we hold an SSH address, a user and its host key


@dataclass(frozen=True, slots=True)
class Nic:
    mac: str  # lower case, colons
    name: str = ""  # as the ramdisk saw it
    driver: str = ""
    speed_mbps: int | None = None


@dataclass(frozen=True, slots=True)
class Drive:
    """A drive as a ramdisk reported it, never as an operator typed it."""

    serial: str
    wwn: str  # "" if the drive has none
    path: str  # /dev/... at the time of discovery: a hint, never an identity
    model: str
    size_bytes: int
    sector_bytes: int  # logical sector size
    transport: str  # nvme, virtio, sata, sas, usb, iscsi, fc, ...
    rotational: bool
    removable: bool
    has_data: bool  # a signature of any kind: partition table, filesystem, md, LVM
    signatures: tuple[str, ...] = ()  # what was found, e.g. ("dos", "linux_raid_member")


@dataclass(frozen=True, slots=True)
class Bmc:
    """A BMC endpoint without its credentials; ``endpoint`` keys its queue and its limit."""

    endpoint: str
    protocol: str  # redfish, ipmi, manual, none
    address: str


@dataclass(frozen=True, slots=True)
class Installed:
    """The record of an installation of ours whose verify passed."""

    install_id: str
    image_digest: str
    drive_serial: str
    generation: int  # counts installations of this machine by us, from 1
    os: str  # e.g. "debian 12"


@dataclass(frozen=True, slots=True)
class Machine:
    id: MachineId
    name: str
    site: str
    rack: str
    machine_class: str
    labels: Mapping[str, str]
    state: str  # a lifecycle state of the inventory
    origin: Origin
    firmware: Firmware | None  # None: not known before discovery
    pxe_mac: str
    management_address: str  # CIDR; static address of the installed OS ("" if DHCP-less unknown)
    cluster_address: str  # plain address used by the orchestrator
    gateway: str
    dns: tuple[str, ...]
    bmc: Bmc | None
    nics: tuple[Nic, ...]
    drives: tuple[Drive, ...] | None  # None: no ramdisk has reported yet
    installed: Installed | None
    protected: bool = False
    product: str = ""
    uuid: str = ""  # SMBIOS system UUID as enrolled or reported; "" where it is a placeholder
    serial: str = ""  # SMBIOS system serial, likewise
    memory_bytes: int | None = None
    cpu_count: int | None = None
    console: str = "ttyS0,115200n8"
    boot_deadline_s: float = 1200.0
    facts: Mapping[str, object] = field(default_factory=dict)
