"""The inventory's values into the engine's and into the boot service's. Field by field, no I/O."""

from ipaddress import IPv4Address, IPv4Network

from rackwright.api.boot.ports import Leave, NotArmed
from rackwright.api.dnsmasq.config import DhcpMode, Segment
from rackwright.engine.drivers.power.base import Credentials
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
from rackwright.inventory.values import BmcCredentials, DriveView, MachineView, SegmentView


def machine_of(view: MachineView) -> Machine:
    return Machine(
        id=MachineId(view.id),
        name=view.name,
        site=view.site,
        rack=view.rack,
        machine_class=view.machine_class,
        labels=view.labels,
        state=view.state,
        origin=Origin(view.origin),
        firmware=Firmware(view.firmware) if view.firmware else None,
        pxe_mac=view.pxe_mac,
        management_address=view.management_address,
        cluster_address=view.cluster_address,
        gateway=view.gateway,
        dns=view.dns,
        bmc=Bmc(view.bmc.endpoint, view.bmc.protocol, view.bmc.address) if view.bmc else None,
        nics=tuple(Nic(nic.mac, nic.name, nic.driver, nic.speed_mbps) for nic in view.nics),
        drives=None if view.drives is None else tuple(map(_drive, view.drives)),
        installed=_installed(view),
        protected=view.protected,
        product=view.product,
        uuid=view.uuid,
        serial=view.serial,
        memory_bytes=view.memory_bytes,
        cpu_count=view.cpu_count,
        console=view.console,
        boot_deadline_s=view.boot_deadline_s,
        facts=view.facts,
    )


def credentials_of(found: BmcCredentials) -> Credentials:
    return Credentials(
        address=found.address,
        username=found.username,
        password=found.password,
        system=found.system,
        certificate_pem=found.certificate_pem,
        cipher_suite=found.cipher_suite,
        quirks=found.quirks or None,
    )


def segment_of(view: SegmentView, boot_port: int) -> Segment:
    """Raises ValueError for addresses that are none; enrolment has checked them."""
    lease_range = None
    if view.dhcp_first and view.dhcp_last:
        lease_range = (IPv4Address(view.dhcp_first), IPv4Address(view.dhcp_last))
    return Segment(
        name=view.name,
        interface=view.interface,
        subnet=IPv4Network(view.subnet),
        boot_server=IPv4Address(view.boot_server),
        mode=DhcpMode(view.dhcp),
        dhcp_range=lease_range,
        gateway=IPv4Address(view.gateway) if view.gateway else None,
        dns=tuple(map(IPv4Address, view.dns)),
        ntp=tuple(map(IPv4Address, view.ntp)),
        mtu_bytes=view.mtu_bytes,
        boot_port=boot_port,
    )


def _drive(view: DriveView) -> Drive:
    return Drive(
        serial=view.serial,
        wwn=view.wwn,
        path=view.path,
        model=view.model,
        size_bytes=view.size_bytes,
        sector_bytes=view.sector_bytes,
        transport=view.transport,
        rotational=view.rotational,
        removable=view.removable,
        has_data=view.has_data,
        signatures=view.signatures,
    )


def _installed(view: MachineView) -> Installed | None:
    found = view.installed
    if found is None:
        return None
    return Installed(
        install_id=found.install_id,
        image_digest=found.image_digest,
        drive_serial=found.drive_serial,
        generation=found.generation,
        os=found.os,
    )


_LEAVE: dict[str, Leave] = {
    "exit": "exit",
    "sanboot": "sanboot",
    "bios": "sanboot",
    "uefi": "exit",
}


def not_armed_of(view: MachineView) -> NotArmed:
    """How it leaves the network boot: as its enrolment says, else by the firmware that it has."""
    told = _LEAVE.get(view.leave_netboot)
    return NotArmed(view.id, told or _LEAVE.get(view.firmware or "", "auto"), view.bios_disk)
