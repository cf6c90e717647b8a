"""The IPMI driver against BMCs that misbehave, and against its own abandonment."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from rackwright.engine.drivers.console import ConsoleTail
from rackwright.engine.drivers.factory import PowerDrivers
from rackwright.engine.drivers.power.base import (
    ActionUnconfirmedError,
    BootDevice,
    ConsoleDriver,
    Credentials,
    PowerDriver,
    PowerState,
)
from rackwright.engine.drivers.timing import Timing
from rackwright.engine.errors import EngineError, MachineError, OperatorError, UnreachableError
from rackwright.engine.machine import Firmware
from tests.conformance.bmc_peers import QUICK, HostileIpmi, IpmiSim
from tests.conformance.power_scenarios import Scenario, attempt

HARSH = replace(
    QUICK, request_timeout_s=3.0, action_answer_s=1.0, unanswered_s=2.0, poll_max_s=0.3, busy_s=0.1
)


def run(
    credentials: Credentials,
    scenario: Scenario,
    timing: Timing = HARSH,
) -> EngineError | None:
    error = asyncio.run(attempt("ipmi", credentials, scenario, timing))
    assert "c4n4ry" not in f"{error} {error!r}"
    return error


@pytest.mark.parametrize("fault", ["busy", "drop-answer", "unsure", "lag"])
def test_power_follows_and_each_action_is_sent_once(tmp_path: Path, fault: str) -> None:
    async def scenario(driver: PowerDriver) -> None:
        await driver.power_on()
        await driver.power_on()
        await driver.power_off()
        assert await driver.power_state() == PowerState.OFF

    with HostileIpmi(tmp_path, fault) as bmc:
        assert run(bmc.credentials, scenario) is None
        assert bmc.actions == ["on", "off"]


def test_slow_bmc_is_waited_for(tmp_path: Path) -> None:
    async def scenario(driver: PowerDriver) -> None:
        assert await driver.power_state() == PowerState.OFF

    with HostileIpmi(tmp_path, "slow") as bmc:
        assert run(bmc.credentials, scenario) is None


def test_busy_bmc_did_nothing_and_is_asked_again(tmp_path: Path) -> None:
    async def scenario(driver: PowerDriver) -> None:
        await driver.power_on()

    with HostileIpmi(tmp_path, "busy-action") as bmc:
        assert run(bmc.credentials, scenario) is None
        assert bmc.actions == ["on", "on"]


def test_refused_reset_becomes_off_and_on(tmp_path: Path) -> None:
    async def scenario(driver: PowerDriver) -> None:
        await driver.power_on()
        await driver.reset()

    with HostileIpmi(tmp_path, "no-reset") as bmc:
        assert run(bmc.credentials, scenario) is None
        assert bmc.actions == ["on", "reset", "off", "on"]


def test_unanswered_reset_is_seen_by_the_boot_override_that_it_consumed(tmp_path: Path) -> None:
    async def scenario(driver: PowerDriver) -> None:
        await driver.power_on()
        await driver.set_boot_once(BootDevice.PXE, Firmware.UEFI)
        await driver.reset()

    with HostileIpmi(tmp_path, "unsure") as bmc:
        assert run(bmc.credentials, scenario) is None
        assert bmc.actions == ["on", "reset"]


def test_unanswered_reset_without_a_trace_is_reported_and_not_repeated(tmp_path: Path) -> None:
    async def scenario(driver: PowerDriver) -> None:
        await driver.power_on()
        await driver.reset()

    with HostileIpmi(tmp_path, "drop-answer") as bmc:
        assert isinstance(run(bmc.credentials, scenario), ActionUnconfirmedError)
        assert bmc.actions == ["on", "reset"]


@pytest.mark.parametrize("fault", ["busy", "device-only", "keep-refused"])
@pytest.mark.parametrize("firmware", list(Firmware))
def test_boot_device_is_set_and_read_back(tmp_path: Path, fault: str, firmware: Firmware) -> None:
    async def scenario(driver: PowerDriver) -> None:
        for device in (BootDevice.PXE, BootDevice.DISK):
            await driver.set_boot_once(device, firmware)
            assert await driver.boot_once() == device

    with HostileIpmi(tmp_path, fault) as bmc:
        assert run(bmc.credentials, scenario) is None


@pytest.mark.parametrize("fault", ["boot-refused", "boot-ignored", "mode-ignored"])
def test_boot_device_that_is_not_set_is_an_error(tmp_path: Path, fault: str) -> None:
    async def scenario(driver: PowerDriver) -> None:
        await driver.set_boot_once(BootDevice.PXE, Firmware.UEFI)

    with HostileIpmi(tmp_path, fault) as bmc:
        assert isinstance(run(bmc.credentials, scenario), MachineError)
        if fault == "mode-ignored":
            quirk = {"boot_flags": "no-mode"}
            assert run(replace(bmc.credentials, quirks=quirk), scenario) is None


def test_refused_cipher_suite_says_what_to_set(tmp_path: Path) -> None:
    async def scenario(driver: PowerDriver) -> None:
        await driver.power_on()

    sim = IpmiSim(tmp_path)
    try:
        error = run(replace(sim.credentials, cipher_suite=17), scenario)
        assert isinstance(error, OperatorError)
        assert "cipher_suite: 3" in error.hint
        assert sim.sets() == []
    finally:
        sim.stop()


def test_silent_address_is_unreachable() -> None:
    async def scenario(driver: PowerDriver) -> None:
        await driver.power_state()

    nobody = Credentials("127.0.0.1:9", "admin", "c4n4ry-p@ss", cipher_suite=3)
    assert isinstance(run(nobody, scenario, replace(HARSH, read_deadline_s=3.0)), UnreachableError)


def test_cancelled_call_leaves_no_child(tmp_path: Path) -> None:
    async def whole() -> None:
        drivers = PowerDrivers(timing=HARSH)
        driver = drivers.open("ipmi", bmc.credentials)
        for after_s in (0.0, 0.01, 0.05, 0.2):
            task = asyncio.create_task(driver.power_on())
            await asyncio.sleep(after_s)
            task.cancel()
            await asyncio.wait({task})
            assert _children(bmc.credentials.address) == []
        await drivers.close()

    with HostileIpmi(tmp_path, "drop-answer") as bmc:
        asyncio.run(whole())
        assert len(bmc.actions) <= 1


def test_password_is_in_no_argv_and_no_environment(tmp_path: Path) -> None:
    async def whole() -> None:
        drivers = PowerDrivers(timing=HARSH)
        task = asyncio.create_task(drivers.open("ipmi", bmc.credentials).power_state())
        seen = 0
        while not task.done():
            for process in _children(bmc.credentials.address):
                for name in ("cmdline", "environ"):
                    with suppress(OSError):
                        content = (process / name).read_bytes()
                        seen += bool(content)
                        assert b"c4n4ry" not in content
            await asyncio.sleep(0.01)
        assert seen
        await task
        await drivers.close()

    with HostileIpmi(tmp_path, "slow") as bmc:
        asyncio.run(whole())


def test_console_is_followed_taken_over_and_given_back(tmp_path: Path) -> None:
    async def until(is_so: Callable[[], bool]) -> None:
        async with asyncio.timeout(15):
            while not is_so():  # noqa: ASYNC110 - what is waited for is another task's deque
                await asyncio.sleep(0.05)

    async def whole() -> None:
        drivers = PowerDrivers(timing=HARSH)
        driver = drivers.open("ipmi", sim.credentials)
        assert isinstance(driver, ConsoleDriver)
        async with ConsoleTail(driver, keep=3, quiet_s=3.0, timing=HARSH) as tail:
            await until(lambda: tail.is_following)
            await asyncio.to_thread(sim.console.write, "one\r\n\x1b[1mtwo\x1b[0m\r\nthree\r\n")
            await until(lambda: "three" in tail.lines)
            await asyncio.to_thread(sim.console.write, "four\r\nlogin: ")
            await until(lambda: "login: " in tail.lines)
            assert tail.lines == ("three", "four", "login: ")
            async with driver.console() as taken:  # another session takes it over
                await asyncio.to_thread(sim.console.write, "five\r\n")
                assert await anext(taken) == "five"
            await until(lambda: tail.is_following and bool(tail.error))
            await asyncio.to_thread(sim.console.write, "six\r\n")
            await until(lambda: tail.lines[-1] == "six")
        assert _children(sim.credentials.address) == []
        await drivers.close()

    sim = IpmiSim(tmp_path)
    try:
        before = sim.sessions()
        asyncio.run(whole())
        assert sim.sessions() == before
    finally:
        sim.stop()


def _children(address: str) -> list[Path]:
    """Processes of ipmitool that talk to ``address``, as /proc shows them."""
    port = address.rsplit(":", 1)[1].encode()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            argv = (process / "cmdline").read_bytes().split(b"\0")
            if argv[0].endswith(b"ipmitool") and port in argv:
                found.append(process)
    return found
