"""A machine's QEMU command line. Pure: no file is read, nothing is started.

QEMU runs in the machine's directory and connects to the chassis' sockets there (``qmp.sock``,
``serial.sock``), so that no byte of either is lost at the start.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rackwright.lab.chassis.boot import Device
from rackwright.lab.spec import DiskSpec, DiskType, Firmware, MachineSpec

BINARY = "qemu-system-x86_64"
QMP_SOCKET = "qmp.sock"
SERIAL_SOCKET = "serial.sock"
# Under emulation every feature is paid for: what Debian and container runtimes use, no more.
_CPU = {"kvm": "host", "tcg": "qemu64,+ssse3,+sse4.1,+sse4.2,+popcnt,+cx16,+aes,+pclmulqdq,+rdrand"}
_ACCEL = {"kvm": "kvm", "tcg": "tcg,thread=multi"}


@dataclass(frozen=True, slots=True)
class Files:
    """Absolute paths of what a machine is made of."""

    directory: Path
    firmware_code: Path | None  # UEFI only
    firmware_vars: Path | None

    def disk(self, serial: str) -> Path:
        return self.directory / "disks" / f"{serial}.raw"


def command(
    machine: MachineSpec,
    *,
    rack: str,
    files: Files,
    accel: str,
    order: Sequence[Device],
    disk_order: Sequence[str],
) -> list[str]:
    """The argument vector that boots ``machine`` once, in the given order."""
    index = boot_indexes(machine, order, disk_order)
    argv = [BINARY, "-name", f"rw-{rack}/{machine.name}", "-uuid", machine.uuid]
    # graphics=off makes SeaBIOS and option ROMs speak on the serial line
    argv += ["-machine", "q35,graphics=off", "-accel", _ACCEL[accel], "-cpu", _CPU[accel]]
    # With room for one CPU alone, software emulation leaves a guest's memory barriers out, though
    # devices run in a thread of their own: doorbells are lost, and I/O hangs (decision 0007).
    argv += ["-smp", f"{machine.vcpus},maxcpus={max(2, machine.vcpus)}"]
    argv += ["-m", str(machine.memory_mib), "-rtc", "base=utc"]
    argv += ["-nodefaults", "-no-user-config", "-display", "none", "-vga", "none"]
    smbios = f"manufacturer=Rackwright,product=Virtual server,serial={_escaped(machine.serial)}"
    argv += ["-smbios", f"type=1,{smbios}"]
    # A guest's reset ends this QEMU; the chassis starts the next boot with the order then due.
    argv += ["-action", "reboot=shutdown,shutdown=poweroff", "-boot", "menu=off,strict=on"]
    argv += ["-chardev", f"socket,id=qmp,path={QMP_SOCKET}", "-mon", "chardev=qmp,mode=control"]
    argv += ["-chardev", f"socket,id=serial,path={SERIAL_SOCKET}", "-serial", "chardev:serial"]
    argv += ["-device", "virtio-rng-pci"]
    argv += _firmware(machine, files)
    for number, disk in enumerate(machine.disks):
        argv += _disk(disk, f"disk{number}", files, index)
    for number, nic in enumerate(machine.nics):
        netdev = f"nic{number}"
        argv += ["-netdev", f"tap,id={netdev},ifname={nic.tap},script=no,downscript=no"]
        device = f"virtio-net-pci,netdev={netdev},mac={nic.mac}"
        if not nic.pxe or machine.firmware is Firmware.UEFI:
            device += ",romfile="  # no option ROM: UEFI brings its own driver
        argv += ["-device", device + index.get(nic.mac, "")]
    return argv


def boot_indexes(
    machine: MachineSpec, order: Sequence[Device], disk_order: Sequence[str]
) -> Mapping[str, str]:
    """The ``,bootindex=N`` of each bootable device, keyed by disk serial or MAC."""
    keys: list[str] = []
    for device in order:
        if device is Device.PXE:
            keys += [nic.mac for nic in machine.nics if nic.pxe]
        elif device is Device.DISK:
            keys += disk_order
    return {key: f",bootindex={position}" for position, key in enumerate(keys, 1)}


def _firmware(machine: MachineSpec, files: Files) -> list[str]:
    if machine.firmware is Firmware.BIOS or not files.firmware_code or not files.firmware_vars:
        return []
    code, variables = _escaped(str(files.firmware_code)), _escaped(str(files.firmware_vars))
    return [
        *("-drive", f"if=pflash,format=raw,unit=0,readonly=on,file={code}"),
        *("-drive", f"if=pflash,format=raw,unit=1,file={variables}"),
        # As in most servers' setup: nothing here answers on IPv6, and each try takes a minute.
        *("-fw_cfg", "name=opt/org.tianocore/IPv6PXESupport,string=no"),
    ]


def _disk(disk: DiskSpec, drive: str, files: Files, index: Mapping[str, str]) -> list[str]:
    path = _escaped(str(files.disk(disk.serial)))
    # cache=unsafe: a flush costs nothing, and the host's page cache survives a killed QEMU
    backend = f"if=none,id={drive},format=raw,file={path},cache=unsafe"
    argv = ["-drive", backend + ",discard=unmap,detect-zeroes=unmap"]
    common = f"drive={drive},serial={disk.serial}{index.get(disk.serial, '')}"
    common += f",logical_block_size={disk.sector_bytes},physical_block_size={disk.sector_bytes}"
    match disk.type:
        case DiskType.VIRTIO:
            return [*argv, "-device", f"virtio-blk-pci,{common}"]
        case DiskType.NVME:
            return [*argv, "-device", f"nvme,{common}"]
        case DiskType.SCSI:
            controller = f"{drive}-scsi"
            return [
                *(*argv, "-device", f"virtio-scsi-pci,id={controller}"),
                *("-device", f"scsi-hd,bus={controller}.0,{common}"),
            ]


def _escaped(value: str) -> str:
    """A value inside QEMU's key=value lists: a comma is doubled (QEMU's manual, "keyval")."""
    return value.replace(",", ",,")
