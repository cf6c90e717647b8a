"""The brakes on destruction, each by the order in which things happened."""

from dataclasses import replace

import pytest

from rackwright.engine.errors import UnreachableError
from rackwright.engine.executors.scope import Journaled
from rackwright.engine.executors.shell.base import Completed
from rackwright.engine.machine import Origin
from rackwright.engine.plan.model import Erasure
from rackwright.engine.schedule.events import Mode, Result
from tests.unit.engine.executors import fakes
from tests.unit.engine.executors.fake_machines import OK, UNSATISFIED, Rack

INSTALL = fakes.stage("install", destructive="disk", reboots="disk", apply_in="ramdisk")
FRESH = fakes.machine("m-1", origin=Origin.NETBOOT, bmc=fakes.BMC)
DONE = replace(FRESH, installed=fakes.INSTALLED)


def in_ramdisk(**rack: object) -> Rack:
    """A machine that was netbooted and waits to be installed; its OS comes up after a reboot."""
    made = Rack(INSTALL, FRESH, erasures=(fakes.erasure("m-1"),), **rack)  # type: ignore[arg-type]
    ramdisk = made.system("ramdisk", "boot-ramdisk")

    def reboot() -> None:
        made.gone("ramdisk")
        made.system("os", "boot-os").check = OK

    ramdisk.on_reboot = reboot
    return made


def test_intent_and_record_come_before_the_first_write() -> None:
    rack = in_ramdisk()
    outcome = rack.run()
    assert outcome.result is Result.CHANGED, outcome.error
    assert rack.order == [
        "intend erase",
        "record_erasing",
        "apply",
        "disarm",
        "reboot",
        "verify",
        "record_installed",
    ]
    assert b'"boot_id_before":"boot-ramdisk"' in outcome.evidence
    assert b'"boot_id_after":"boot-os"' in outcome.evidence


def test_a_machine_never_installed_is_answered_from_the_record() -> None:
    rack = Rack(INSTALL, FRESH, erasures=(fakes.erasure("m-1"),))
    assert rack.run(fakes.attempt(0, mode=Mode.PROBE)).result is Result.UNSATISFIED
    assert rack.order == []


def test_a_planned_reinstall_is_unsatisfied_by_the_plan() -> None:
    rack = Rack(INSTALL, DONE, erasures=(fakes.erasure("m-1", generation=2),))
    assert rack.run(fakes.attempt(0, mode=Mode.PROBE)).result is Result.UNSATISFIED


@pytest.mark.parametrize("erasures", [(), (fakes.erasure("m-1"),)])
def test_an_installed_machine_whose_check_says_otherwise_is_drift(
    erasures: tuple[Erasure, ...],
) -> None:
    rack = Rack(INSTALL, DONE, erasures=erasures)
    rack.system("os", "b")
    rack.system("ramdisk", "r")
    outcome = rack.run()
    assert outcome.result is Result.REFUSED
    assert "drift" in outcome.error
    assert rack.order == ["check"]


def test_an_installed_machine_that_does_not_answer_is_unknown() -> None:
    rack = Rack(INSTALL, DONE)
    rack.system("ramdisk", "r")
    assert rack.run().result is Result.UNKNOWN
    assert rack.order == []


def test_an_installed_machine_is_verified_and_left_alone() -> None:
    rack = Rack(INSTALL, DONE)
    rack.system("os", "b").check = OK
    assert rack.run().result is Result.SATISFIED
    assert rack.order == ["check", "verify"]


def test_the_plans_erasures_are_counted() -> None:
    rack = in_ramdisk(earlier_erasures=2)
    outcome = rack.run()
    assert outcome.result is Result.REFUSED
    assert "accepts 2 erasures" in outcome.error
    assert rack.order == ["intend erase"]


def test_a_protected_machine_is_never_erased() -> None:
    rack = in_ramdisk()
    rack.directory.machines["m-1"] = replace(FRESH, protected=True)
    outcome = rack.run()
    assert outcome.result is Result.REFUSED
    assert "protected" in outcome.error
    assert rack.order == []


def test_a_resumed_attempt_attaches_to_the_write_that_goes_on() -> None:
    rack = in_ramdisk()
    rack.reach.systems["m-1", "ramdisk"].steps[1] = "alive"  # type: ignore[union-attr]
    assert rack.run(fakes.attempt(0, resumed=True)).result is Result.CHANGED
    assert "apply" not in rack.order
    assert "intend erase" not in rack.order


def test_nothing_is_erased_while_an_earlier_attempt_lives() -> None:
    rack = in_ramdisk()
    rack.reach.systems["m-1", "ramdisk"].steps[1] = "alive"  # type: ignore[union-attr]
    assert rack.run(fakes.attempt(0, 2)).result is Result.CHANGED
    assert "apply" not in rack.order


def test_a_resume_finds_the_new_os_and_does_not_erase_again() -> None:
    rack = Rack(INSTALL, FRESH, erasures=(fakes.erasure("m-1"),))
    rack.system("os", "b").check = OK
    assert rack.run(fakes.attempt(0, resumed=True)).result is Result.CHANGED
    assert rack.order == ["disarm", "check", "verify", "record_installed"]


def test_a_resume_that_finds_nothing_fails_and_the_next_attempt_counts() -> None:
    rack = Rack(INSTALL, FRESH, erasures=(fakes.erasure("m-1"),))
    outcome = rack.run(fakes.attempt(0, resumed=True))
    assert outcome.result is Result.FAILED
    assert "unknown" in outcome.error
    assert "apply" not in rack.order


def test_an_intent_whose_write_never_started_is_not_counted_twice() -> None:
    journaled = Journaled(erase_attempts={0: {1: "boot-ramdisk"}})
    rack = in_ramdisk(earlier_erasures=2, journaled=journaled)
    assert rack.run(fakes.attempt(0, resumed=True)).result is Result.CHANGED
    assert "intend erase" not in rack.order


def test_an_intent_of_another_boot_is_counted() -> None:
    journaled = Journaled(erase_attempts={0: {1: "an-earlier-boot"}})
    rack = in_ramdisk(earlier_erasures=2, journaled=journaled)
    assert rack.run(fakes.attempt(0, resumed=True)).result is Result.REFUSED


def test_a_failed_write_tells_the_machines_last_words() -> None:
    rack = in_ramdisk()
    rack.reach.systems["m-1", "ramdisk"].apply_status = 5  # type: ignore[union-attr]
    outcome = rack.run()
    assert outcome.result is Result.FAILED
    assert "exited with 5: oops" in outcome.error
    assert "write error" in outcome.console


def test_a_machine_that_dies_in_mid_write_fails_at_once_when_its_bmc_says_off() -> None:
    rack = in_ramdisk()
    rack.reach.systems["m-1", "ramdisk"].apply_status = None  # type: ignore[union-attr]
    outcome = rack.run()
    assert outcome.result is Result.FAILED
    assert "went off in the middle of apply" in outcome.error


def test_the_next_attempt_boots_the_ramdisk_again_and_erases_again() -> None:
    journaled = Journaled(erase_attempts={0: {1: "boot-ramdisk"}})
    rack = Rack(
        INSTALL,
        FRESH,
        erasures=(fakes.erasure("m-1"),),
        earlier_erasures=1,
        journaled=journaled,
        booted=True,
    )

    def boots() -> None:
        ramdisk = rack.system("ramdisk", "boot-2")
        ramdisk.on_reboot = lambda: setattr(rack.system("os", "boot-os"), "check", OK)

    rack.netboot.on_arm = boots
    outcome = rack.run(fakes.attempt(0, 2))
    assert outcome.result is Result.CHANGED, outcome.error
    assert rack.order == [
        "disarm",
        "intend power",
        "arm",
        "power_on",
        "intend erase",
        "record_erasing",
        "apply",
        "disarm",
        "reboot",
        "verify",
        "record_installed",
    ]


def test_an_os_that_fails_its_verify_is_not_recorded_as_installed() -> None:
    rack = in_ramdisk()

    def reboot() -> None:
        rack.gone("ramdisk")
        rack.system("os", "boot-os").verify = Completed(1, b"", b"wrong disk\n")

    rack.reach.systems["m-1", "ramdisk"].on_reboot = reboot  # type: ignore[union-attr]
    outcome = rack.run()
    assert outcome.result is Result.FAILED
    assert "wrong disk" in outcome.error
    assert "record_installed" not in rack.order


def test_a_machine_that_came_with_an_os_is_not_installed() -> None:
    rack = Rack(INSTALL, fakes.machine("m-1", origin=Origin.EXISTING))
    assert rack.run().result is Result.UNKNOWN
    rack = Rack(INSTALL, fakes.machine("m-1", origin=Origin.EXISTING))
    rack.system("os", "b").check = UNSATISFIED
    outcome = rack.run()
    assert outcome.result is Result.SATISFIED
    assert b"not_applicable" in outcome.evidence
    assert rack.order == []


def test_unreachable_is_no_reason_to_erase() -> None:
    rack = Rack(INSTALL, FRESH, erasures=(fakes.erasure("m-1"),))
    rack.reach.systems["m-1", "ramdisk"] = UnreachableError("gone")
    assert rack.run().result is Result.UNKNOWN
    assert rack.order == []
