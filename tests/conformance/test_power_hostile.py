"""Drivers against BMCs that misbehave: each fault by name, alone, and what must hold then.

Whatever the fault: an action that may have been applied is not sent again, what is said to be set
is set, no session stays open, and no message holds a credential.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from rackwright.engine.drivers.factory import PowerDrivers
from rackwright.engine.drivers.power.base import (
    ActionUnconfirmedError,
    BootDevice,
    PowerDriver,
    PowerState,
)
from rackwright.engine.drivers.timing import Timing
from rackwright.engine.errors import EngineError, MachineError, OperatorError, UnreachableError
from rackwright.engine.machine import Firmware
from tests.conformance.bmc_peers import QUICK, hostile
from tests.conformance.certificates import make_identity
from tests.conformance.hostile_redfish import HostileRedfish

HARSH = replace(QUICK, action_answer_s=0.7, unanswered_s=1.5, poll_s=0.1, poll_max_s=0.3)
Scenario = Callable[[PowerDriver], Awaitable[None]]


def run(
    bmc: HostileRedfish, scenario: Scenario, timing: Timing = HARSH, **credentials: object
) -> EngineError | None:
    """Run ``scenario`` on a driver of ``bmc``; its EngineError if it raised one."""

    async def whole() -> EngineError | None:
        drivers = PowerDrivers(timing=timing)
        driver = drivers.open("redfish", replace(bmc.credentials, **credentials))  # type: ignore[arg-type]
        try:
            await scenario(driver)
        except EngineError as error:
            return error
        finally:
            await drivers.close()
        return None

    error = asyncio.run(whole())
    assert not bmc.sessions
    assert bmc.most_at_once <= 1
    if error is not None:
        chain: BaseException | None = error
        while chain is not None:
            assert "c4n4ry" not in f"{chain} {chain!r}"
            chain = chain.__cause__ or chain.__context__
    return error


@pytest.mark.parametrize(
    "fault",
    [
        "slow",
        "busy",
        "sessions-full",
        "hang-after-apply",
        "cut-after-apply",
        "error-after-apply",
        "lag",
        "transition",
        "no-force-restart",
        "expiring",
        "foreign-location",
        "no-location",
        "no-sessions",
        "logout-busy",
        "drip",
    ],
)
def test_power_follows_and_each_action_is_sent_once(tmp_path: Path, fault: str) -> None:
    async def scenario(driver: PowerDriver) -> None:
        await driver.power_on()
        assert bmc.actions == ["On"]
        await driver.power_on()
        await driver.reset()
        await driver.power_off()
        assert await driver.power_state() == PowerState.OFF

    with hostile(tmp_path, fault) as bmc:
        assert run(bmc, scenario) is None
    restart = ["ForceOff", "On"] if fault == "no-force-restart" else ["ForceRestart"]
    assert bmc.actions == ["On", *restart, "ForceOff"]


def test_unanswered_action_under_a_lagging_state_is_sent_once(tmp_path: Path) -> None:
    async def scenario(driver: PowerDriver) -> None:
        await driver.power_on()
        await driver.power_off()

    with hostile(tmp_path, "lag", "cut-after-apply") as bmc:
        # long enough for a library below to try again by itself, if it could
        assert run(bmc, scenario, replace(HARSH, action_answer_s=10.0)) is None
    assert bmc.actions == ["On", "ForceOff"]


@pytest.mark.parametrize("fault", ["hang-after-apply", "cut-after-apply"])
def test_unanswered_restart_without_a_trace_is_reported_and_not_repeated(
    tmp_path: Path, fault: str
) -> None:
    async def scenario(driver: PowerDriver) -> None:
        await driver.reset()

    with hostile(tmp_path, fault, "no-trace") as bmc:
        bmc.systems["1"].power = "On"
        error = run(bmc, scenario)
    assert isinstance(error, ActionUnconfirmedError)
    assert bmc.actions == ["ForceRestart"]


def test_action_lost_before_it_was_applied_is_reported_and_not_repeated(tmp_path: Path) -> None:
    async def scenario(driver: PowerDriver) -> None:
        await driver.power_on()

    with hostile(tmp_path, "cut-before-apply") as bmc:
        error = run(bmc, scenario)
    assert isinstance(error, ActionUnconfirmedError)
    assert error.retryable
    assert bmc.actions == ["On"]


@pytest.mark.parametrize("fault", ["busy-action", "expired-action"])
def test_action_that_surely_did_nothing_is_sent_again(tmp_path: Path, fault: str) -> None:
    async def scenario(driver: PowerDriver) -> None:
        await driver.power_on()

    with hostile(tmp_path, fault) as bmc:
        assert run(bmc, scenario) is None
    assert bmc.actions == ["On", "On"]
    assert bmc.systems["1"].resets == 1


def test_restart_that_is_listed_and_refused_becomes_off_and_on(tmp_path: Path) -> None:
    async def scenario(driver: PowerDriver) -> None:
        await driver.reset()

    with hostile(tmp_path, "restart-lies") as bmc:
        bmc.systems["1"].power = "On"
        assert run(bmc, scenario) is None
    assert bmc.actions == ["ForceRestart", "ForceOff", "On"]


def test_graceful_shutdown_is_the_last_resort(tmp_path: Path) -> None:
    async def scenario(driver: PowerDriver) -> None:
        await driver.power_off()

    with hostile(tmp_path, "graceful-only") as bmc:
        bmc.systems["1"].power = "On"
        assert run(bmc, scenario) is None
    assert bmc.actions == ["GracefulShutdown"]


@pytest.mark.parametrize(
    "fault",
    [
        "busy",
        "mode-refused",
        "mode-needed",
        "etag",
        "etag-weak",
        "settings-only",
        "settings-empty",
        "boot-slow",
        "expiring",
    ],
)
@pytest.mark.parametrize("firmware", list(Firmware))
def test_boot_device_is_set_and_read_back(tmp_path: Path, fault: str, firmware: Firmware) -> None:
    async def scenario(driver: PowerDriver) -> None:
        await driver.set_boot_once(BootDevice.PXE, firmware)
        assert await driver.boot_once() == BootDevice.PXE

    with hostile(tmp_path, fault) as bmc:
        assert run(bmc, scenario) is None
        boot = bmc.systems["1"].boot | bmc.systems["1"].pending
    assert (boot["BootSourceOverrideTarget"], boot["BootSourceOverrideEnabled"]) == ("Pxe", "Once")
    wanted = "UEFI" if firmware == Firmware.UEFI else "Legacy"
    assert boot.get("BootSourceOverrideMode", wanted) == wanted


@pytest.mark.parametrize("fault", ["patch-refused", "boot-ignored", "mode-ignored"])
def test_boot_device_that_is_not_set_is_an_error(tmp_path: Path, fault: str) -> None:
    async def scenario(driver: PowerDriver) -> None:
        await driver.set_boot_once(BootDevice.PXE, Firmware.UEFI)

    with hostile(tmp_path, fault) as bmc:
        error = run(bmc, scenario)
    assert isinstance(error, MachineError)
    assert error.hint


@pytest.mark.parametrize("extra", ["echo", "garbage"])
def test_errors_say_what_failed_and_never_a_credential(
    tmp_path: Path, extra: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")

    async def boot(driver: PowerDriver) -> None:
        await driver.set_boot_once(BootDevice.PXE, Firmware.UEFI)

    async def state(driver: PowerDriver) -> None:
        await driver.power_state()

    with hostile(tmp_path, extra, "patch-refused") as bmc:
        assert isinstance(run(bmc, boot), MachineError)
        error = run(bmc, state, password="wr0ng-c4n4ry")
        assert bmc.logins == 2
    assert isinstance(error, OperatorError)
    assert "c4n4ry" not in caplog.text


def test_one_blade_of_several_is_chosen_or_listed(tmp_path: Path) -> None:
    async def scenario(driver: PowerDriver) -> None:
        await driver.power_on()

    with hostile(tmp_path, "blades") as bmc:
        error = run(bmc, scenario)
        assert isinstance(error, OperatorError)
        assert "1, 2" in str(error)
        assert isinstance(run(bmc, scenario, system="3"), OperatorError)
        for name in ("2", "/redfish/v1/Systems/2", "Blade 2"):
            assert run(bmc, scenario, system=name) is None
        assert (bmc.systems["1"].power, bmc.systems["2"].power) == ("Off", "On")
    assert bmc.actions == ["On"]


def test_blades_share_one_queue(tmp_path: Path) -> None:
    async def whole() -> None:
        drivers = PowerDrivers(timing=HARSH)
        one = drivers.open("redfish", replace(bmc.credentials, system="1"))
        two = drivers.open("redfish", replace(bmc.credentials, system="2"))
        await asyncio.gather(one.power_on(), two.power_on(), one.sensors(), two.boot_once())
        await drivers.close()

    with hostile(tmp_path, "blades") as bmc:
        asyncio.run(whole())
        assert bmc.most_at_once == 1
        assert not bmc.sessions


def test_session_whose_login_answer_was_lost_is_closed_and_no_other(tmp_path: Path) -> None:
    async def scenario(driver: PowerDriver) -> None:
        await driver.power_state()
        del bmc.sessions["older"]

    with hostile(tmp_path, "login-cut") as bmc:
        bmc.sessions["older"] = "someone else's"
        bmc.created["older"] = "2026-01-01T00:00:00+00:00"
        assert run(bmc, scenario) is None
        assert bmc.logins == 2


def test_another_certificate_than_the_pinned_one_is_refused(tmp_path: Path) -> None:
    async def scenario(driver: PowerDriver) -> None:
        await driver.power_state()

    other = make_identity(tmp_path, "other.invalid").pem
    with hostile(tmp_path) as bmc:
        for pinned in (other, ""):  # "": the system's authorities, who never heard of it
            error = run(bmc, scenario, certificate_pem=pinned)
            assert isinstance(error, UnreachableError)
            assert "TLS" in str(error)
        assert bmc.logins == 0


def test_pinned_certificate_is_trusted_though_expired(tmp_path: Path) -> None:
    async def scenario(driver: PowerDriver) -> None:
        await driver.power_on()

    with HostileRedfish(make_identity(tmp_path, expired=True)) as bmc:
        assert run(bmc, scenario) is None


@pytest.mark.parametrize("fault", ["", "slow", "hang-after-apply", "drip"])
def test_cancelled_call_logs_out(tmp_path: Path, fault: str) -> None:
    async def whole() -> None:
        drivers = PowerDrivers(timing=HARSH)
        driver = drivers.open("redfish", bmc.credentials)
        for after_s in (0.0, 0.02, 0.1, 0.5, 1.5):
            task = asyncio.create_task(driver.power_on())
            await asyncio.sleep(after_s)
            task.cancel()
            await asyncio.wait({task})
        await drivers.close()

    with hostile(tmp_path, *filter(None, [fault])) as bmc:
        asyncio.run(whole())
        assert not bmc.sessions
    assert len(bmc.actions) <= 1


def test_silent_bmc_is_unreachable_within_the_deadline(tmp_path: Path) -> None:
    async def scenario(driver: PowerDriver) -> None:
        await driver.power_state()

    with hostile(tmp_path) as bmc:
        error = run(bmc, scenario, address="127.0.0.1:1")
    assert isinstance(error, UnreachableError)
