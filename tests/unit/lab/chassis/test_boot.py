"""Which devices a boot tries, and what is left of an override afterwards."""

from rackwright.lab import rackfile
from rackwright.lab.chassis import boot
from rackwright.lab.chassis.boot import BootSettings, Device, Override
from rackwright.lab.spec import Firmware

PXE_ONCE = BootSettings(override=Override(Device.PXE, mode=Firmware.UEFI))


def test_setup_order_holds_without_override() -> None:
    assert boot.boot_order(BootSettings()) == (Device.DISK, Device.PXE)


def test_override_comes_first_and_the_rest_stays() -> None:
    assert boot.boot_order(PXE_ONCE) == (Device.PXE, Device.DISK)


def test_one_time_override_is_spent_by_one_boot() -> None:
    spent = boot.after_boot(PXE_ONCE)
    assert spent.override == Override(Device.NONE, mode=Firmware.UEFI)
    assert boot.boot_order(spent) == (Device.DISK, Device.PXE)


def test_persistent_override_stays() -> None:
    settings = BootSettings(override=Override(Device.PXE, is_persistent=True))
    assert boot.after_boot(settings) == settings


def test_settings_survive_json() -> None:
    settings = BootSettings((Device.PXE, Device.DISK), Override(Device.DISK, True, Firmware.UEFI))
    assert boot.from_json(boot.to_json(settings)) == settings


def test_bios_passes_over_a_disk_without_boot_signature() -> None:
    n1 = rackfile.load(None).machines[0]
    assert boot.disk_order(n1, lambda serial: serial == "RW-N1-A") == ("RW-N1-A", "RW-N1-B")


def test_bios_takes_the_first_bootable_disk_of_its_setup() -> None:
    n1 = rackfile.load(None).machines[0]
    assert boot.disk_order(n1, lambda _serial: True) == ("RW-N1-B", "RW-N1-A")


def test_uefi_tries_disks_as_set_up() -> None:
    n2 = rackfile.load(None).machines[1]
    assert boot.disk_order(n2, lambda _serial: False) == ("RW-N2-A",)
