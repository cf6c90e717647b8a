"""What a machine boots from: the firmware's setup order and the BMC's override. Pure.

One power-on or reset is one boot; a one-time override is spent by it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from rackwright.lab.spec import Firmware, MachineSpec


class Device(StrEnum):
    """A boot device as both BMC protocols can name it."""

    NONE = "none"
    PXE = "pxe"
    DISK = "disk"


@dataclass(frozen=True, slots=True)
class Override:
    """The BMC's boot override; ``mode`` is what the client asked for, and is read back to it."""

    device: Device = Device.NONE
    is_persistent: bool = False
    mode: Firmware = Firmware.BIOS


@dataclass(frozen=True, slots=True)
class BootSettings:
    """``order`` is the setup's own, used when no override says otherwise."""

    order: tuple[Device, ...] = (Device.DISK, Device.PXE)
    override: Override = Override()


def boot_order(settings: BootSettings) -> tuple[Device, ...]:
    """The devices in the order in which this boot tries them."""
    first = settings.override.device
    if first is Device.NONE:
        return settings.order
    return (first, *(device for device in settings.order if device is not first))


def after_boot(settings: BootSettings) -> BootSettings:
    """The settings once a boot has begun: a one-time override is gone."""
    if settings.override.is_persistent or settings.override.device is Device.NONE:
        return settings
    return replace(settings, override=replace(settings.override, device=Device.NONE))


def disk_order(machine: MachineSpec, is_bootable: Callable[[str], bool]) -> tuple[str, ...]:
    """Serials of the disks in the order in which the firmware tries them.

    A UEFI firmware tries every disk in turn. SeaBIOS tries only one disk; like the setup of many
    servers, ours passes over a disk that has no boot signature.
    """
    if machine.firmware is Firmware.UEFI:
        return machine.disk_order
    return tuple(sorted(machine.disk_order, key=lambda serial: not is_bootable(serial)))


def to_json(settings: BootSettings) -> dict[str, Any]:
    override = settings.override
    return {
        "order": list(settings.order),
        "device": override.device,
        "is_persistent": override.is_persistent,
        "mode": override.mode,
    }


def from_json(data: Mapping[str, Any]) -> BootSettings:
    return BootSettings(
        order=tuple(Device(device) for device in data["order"]),
        override=Override(
            Device(data["device"]), bool(data["is_persistent"]), Firmware(data["mode"])
        ),
    )
