from dataclasses import replace

from rackwright.engine.drivers.power.base import BootDevice, PowerState
from rackwright.engine.executors.boot import Boot
from rackwright.engine.fence import NoFence
from rackwright.engine.machine import Firmware, Origin
from rackwright.engine.schedule.events import Mode, Result
from tests.unit.engine.executors import fakes
from tests.unit.engine.executors.fake_machines import Rack

STAGE = fakes.stage("netboot", executor="netboot", kinds=())
MACHINE = fakes.machine("m-1", origin=Origin.NETBOOT, bmc=fakes.BMC)


def test_a_machine_that_is_off_is_armed_then_powered_on() -> None:
    rack = Rack(STAGE, MACHINE)
    rack.netboot.on_arm = lambda: setattr(rack, "_", rack.system("ramdisk", "boot-1"))
    outcome = rack.run(netboot=True)
    assert outcome.result is Result.CHANGED, outcome.error
    assert rack.order == ["intend power", "arm", "power_on"]
    assert rack.directory.powers["m-1"].boots == [(BootDevice.PXE, Firmware.UEFI)]
    assert outcome.evidence == b'{"address":"192.0.2.7","bmc":"redfish","boot_id":"boot-1"}'


def test_window_opens_when_no_earlier_power_on_can_follow_it() -> None:
    """A key from a boot that an earlier controller caused would make that of ours the second."""
    rack = Rack(STAGE, MACHINE)

    class Fence(NoFence):
        async def quiet(self) -> None:
            rack.order.append("quiet")

    boots_at_arm: list[int] = []

    def armed() -> None:
        boots_at_arm.append(len(rack.directory.powers["m-1"].boots))
        rack.system("ramdisk", "boot-1")

    rack.scope = replace(rack.scope, fence=Fence())
    rack.boot = Boot(rack.scope, rack.reach, rack.consoles)
    rack.netboot.on_arm = armed
    assert rack.run(netboot=True).result is Result.CHANGED
    assert rack.order == ["quiet", "intend power", "arm", "power_on"]
    assert boots_at_arm == [1]  # a BMC may take its time to set the boot device


def test_a_running_machine_is_reset() -> None:
    rack = Rack(STAGE, MACHINE)
    rack.directory.powers["m-1"].state = PowerState.ON
    rack.netboot.on_arm = lambda: setattr(rack, "_", rack.system("ramdisk", "boot-1"))
    assert rack.run(netboot=True).result is Result.CHANGED
    assert rack.order[-1] == "reset"


def test_a_ramdisk_that_answers_is_left_alone() -> None:
    rack = Rack(STAGE, MACHINE)
    rack.system("ramdisk", "boot-1")
    assert rack.run(netboot=True).result is Result.SATISFIED
    assert rack.order == []


def test_unknown_firmware_is_tried_in_turn() -> None:
    for number, first in ((1, Firmware.UEFI), (2, Firmware.BIOS)):
        rack = Rack(STAGE, replace(MACHINE, firmware=None))
        rack.netboot.on_arm = lambda rack=rack: setattr(rack, "_", rack.system("ramdisk", "b"))  # type: ignore[misc]
        assert rack.run(fakes.attempt(0, number), netboot=True).result is Result.CHANGED
        assert rack.directory.powers["m-1"].boots == [(BootDevice.PXE, first)]


def test_a_refused_boot_device_fails_before_power_is_touched() -> None:
    rack = Rack(STAGE, MACHINE)
    rack.directory.powers["m-1"].refuses = True
    assert rack.run(netboot=True).result is Result.FAILED
    assert "power_on" not in rack.order


def test_a_machine_that_does_not_report_fails_within_the_deadline() -> None:
    rack = Rack(STAGE, replace(MACHINE, boot_deadline_s=0.01))
    outcome = rack.run(netboot=True)
    assert outcome.result is Result.FAILED
    assert "did not report" in outcome.error


def test_a_protected_machine_is_not_powered() -> None:
    rack = Rack(STAGE, replace(MACHINE, protected=True))
    assert rack.run(netboot=True).result is Result.REFUSED
    assert rack.order == []


def test_a_machine_without_a_bmc_is_refused() -> None:
    rack = Rack(STAGE, replace(MACHINE, bmc=None))
    assert rack.run(netboot=True).result is Result.REFUSED


def test_a_machine_that_came_with_an_os_has_nothing_to_boot() -> None:
    rack = Rack(STAGE, fakes.machine("m-1", origin=Origin.EXISTING))
    outcome = rack.run(netboot=True)
    assert outcome.result is Result.SATISFIED
    assert b"not_applicable" in outcome.evidence


def test_a_probe_powers_nothing() -> None:
    rack = Rack(STAGE, MACHINE)
    assert rack.run(fakes.attempt(0, mode=Mode.PROBE), netboot=True).result is Result.UNSATISFIED
    assert rack.order == []
