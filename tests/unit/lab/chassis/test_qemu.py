"""The command line that one boot of a machine is."""

import itertools
from pathlib import Path

import pytest

from rackwright.lab import rackfile
from rackwright.lab.chassis import qemu
from rackwright.lab.chassis.boot import Device
from rackwright.lab.spec import MachineSpec

DIRECTORY = Path("/lab/machines/n")
UEFI = qemu.Files(DIRECTORY, Path("/ovmf/code.fd"), DIRECTORY / "vars.fd")
BIOS = qemu.Files(DIRECTORY, None, None)


def machine(name: str) -> MachineSpec:
    return next(m for m in rackfile.load(None).machines if m.name == name)


def devices(
    spec: MachineSpec, files: qemu.Files, order: tuple[Device, ...], accel: str = "tcg"
) -> list[str]:
    argv = qemu.command(
        spec, rack="lab", files=files, accel=accel, order=order, disk_order=spec.disk_order
    )
    return [value for option, value in itertools.pairwise(argv) if option == "-device"]


def test_bios_machine_boots_the_disk_of_its_setup_first() -> None:
    found = devices(machine("n1"), BIOS, (Device.DISK, Device.PXE))
    disks = [device for device in found if device.startswith("virtio-blk")]
    assert "serial=RW-N1-A,bootindex=2" in disks[0]
    assert "serial=RW-N1-B,bootindex=1" in disks[1]
    nics = [device for device in found if device.startswith("virtio-net")]
    assert nics[0].endswith("mac=52:54:00:77:01:01,romfile=")
    assert nics[1].endswith("mac=52:54:00:77:01:02,bootindex=3")


def test_pxe_first_puts_the_pxe_nic_before_every_disk() -> None:
    found = devices(machine("n1"), BIOS, (Device.PXE, Device.DISK))
    assert any(device.endswith(":01:02,bootindex=1") for device in found)
    assert any("serial=RW-N1-B,bootindex=2" in device for device in found)


def test_uefi_nic_has_no_option_rom() -> None:
    found = devices(machine("n2"), UEFI, (Device.DISK, Device.PXE))
    assert any("romfile=,bootindex=2" in device for device in found)


def test_nvme_disk_has_4096_byte_sectors() -> None:
    found = devices(machine("n2"), UEFI, (Device.DISK,))
    nvme = next(device for device in found if device.startswith("nvme,"))
    assert "serial=RW-N2-A,bootindex=1" in nvme
    assert "logical_block_size=4096,physical_block_size=4096" in nvme


def test_there_is_room_for_a_second_cpu() -> None:
    """Else software emulation leaves out the guest's memory barriers, and I/O hangs."""
    argv = qemu.command(
        machine("n2"), rack="lab", files=UEFI, accel="tcg", order=(Device.DISK,), disk_order=()
    )
    assert argv[argv.index("-smp") + 1] == "1,maxcpus=2"


def test_scsi_disk_hangs_on_its_own_controller() -> None:
    found = devices(machine("n3"), UEFI, (Device.DISK,))
    assert "virtio-scsi-pci,id=disk0-scsi" in found
    assert any(device.startswith("scsi-hd,bus=disk0-scsi.0,") for device in found)


@pytest.mark.parametrize(("accel", "expected"), [("tcg", "tcg,thread=multi"), ("kvm", "kvm")])
def test_acceleration_is_as_probed(accel: str, expected: str) -> None:
    spec = machine("n3")
    argv = qemu.command(
        spec, rack="lab", files=UEFI, accel=accel, order=(), disk_order=spec.disk_order
    )
    assert argv[argv.index("-accel") + 1] == expected


def test_commas_in_paths_are_doubled() -> None:
    files = qemu.Files(Path("/a,b"), None, None)
    spec = machine("n1")
    argv = qemu.command(spec, rack="lab", files=files, accel="tcg", order=(), disk_order=())
    assert any("file=/a,,b/disks/RW-N1-A.raw" in argument for argument in argv)


def test_machine_is_known_by_uuid_and_serial() -> None:
    spec = machine("n1")
    argv = qemu.command(spec, rack="lab", files=BIOS, accel="tcg", order=(), disk_order=())
    assert argv[argv.index("-uuid") + 1] == spec.uuid
    assert argv[argv.index("-smbios") + 1].endswith(f"serial={spec.serial}")
