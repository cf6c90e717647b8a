"""The IPMI driver against a BMC of another vendor's manners, and a network that loses datagrams."""

import asyncio
from dataclasses import replace

import pytest

from rackwright.engine.drivers.factory import PowerDrivers
from rackwright.engine.drivers.power.base import (
    ActionUnconfirmedError,
    PowerDriver,
)
from rackwright.engine.drivers.timing import Timing
from rackwright.engine.errors import EngineError, MachineError, OperatorError, UnreachableError
from tests.conformance.power_scenarios import Scenario, attempt, netboot, on_off_on
from tests.conformance.vendor_ipmi import Manners, VendorIpmi

BRISK = Timing(
    request_timeout_s=3.0,
    action_answer_s=1.0,
    read_deadline_s=12.0,
    action_deadline_s=15.0,
    unanswered_s=2.0,
    lag_s=0.5,
    transition_s=1.0,
    poll_s=0.1,
    poll_max_s=0.3,
    grace_s=2.0,
    min_interval_s=0.0,
    busy_s=0.1,
    busy_max_s=0.5,
)
DATAGRAMS = range(13)  # of one ipmitool run: ten or eleven


def run(bmc: VendorIpmi, scenario: Scenario, timing: Timing = BRISK) -> EngineError | None:
    error = asyncio.run(attempt("ipmi", bmc.credentials, scenario, timing))
    assert bmc.settle() == 0
    assert bmc.most_sessions <= 1
    assert "c4n4ry" not in f"{error} {error!r}"
    return error


@pytest.mark.parametrize(
    "manners", [Manners(), Manners(lag_s=0.6), Manners(hides_control=True)], ids=repr
)
def test_power_follows_and_each_action_is_sent_once(manners: Manners) -> None:
    with VendorIpmi(manners) as bmc:
        assert run(bmc, on_off_on) is None
    assert bmc.actions == ["on", "off", "on"]


@pytest.mark.parametrize("code", [0xC3, 0xCE, 0xCF])
def test_action_that_the_bmc_is_not_sure_of_is_not_repeated(code: int) -> None:
    with VendorIpmi(Manners(control_code=code, is_control_done=True)) as bmc:
        assert run(bmc, on_off_on) is None
    assert bmc.actions == ["on", "off", "on"]


@pytest.mark.parametrize("how", ["mute_at", "deaf_to", "twice_at"])
def test_lost_or_doubled_datagram_never_doubles_an_action(how: str) -> None:
    """Whichever datagram of the action's own run it is."""

    async def on(driver: PowerDriver) -> None:
        await driver.power_on()

    async def one(number: int) -> tuple[EngineError | None, VendorIpmi]:
        with VendorIpmi(Manners()) as bmc:
            port_read = 11  # the state is read first: its datagrams are not the action's
            chosen = frozenset([port_read + number])
            bmc.manners = replace(bmc.manners, **{how: chosen})  # type: ignore[arg-type]
            error = await attempt("ipmi", bmc.credentials, on, BRISK)
            await asyncio.to_thread(bmc.settle, 1.0)
            return error, bmc

    async def whole() -> list[tuple[EngineError | None, VendorIpmi]]:
        return await asyncio.gather(*(one(number) for number in DATAGRAMS))

    for error, bmc in asyncio.run(whole()):
        assert bmc.actions in (["on"], []), bmc.manners
        assert error is None or isinstance(error, ActionUnconfirmedError), bmc.manners
        assert bmc.power == (error is None), bmc.manners


@pytest.mark.parametrize("how", ["mute_at", "deaf_to"])
def test_boot_device_is_known_whatever_datagram_is_lost(how: str) -> None:
    async def one(number: int) -> tuple[EngineError | None, VendorIpmi]:
        with VendorIpmi() as bmc:
            bmc.manners = replace(bmc.manners, **{how: frozenset([number])})  # type: ignore[arg-type]
            return await attempt("ipmi", bmc.credentials, netboot, BRISK), bmc

    async def whole() -> list[tuple[EngineError | None, VendorIpmi]]:
        return await asyncio.gather(*(one(number) for number in range(0, 46, 3)))

    for error, bmc in asyncio.run(whole()):
        assert error is None, (bmc.manners, error)
        assert bmc.flags[:2] == b"\xa0\x04"


@pytest.mark.parametrize(
    "manners",
    [
        Manners(boot_codes={0: 0x80}),
        Manners(boot_codes={3: 0x80, 4: 0x80}),
        Manners(boot_codes={3: 0xCC, 4: 0xCC}),
        Manners(boot_codes={4: 0xD5}),
        Manners(boot_codes={5: 0xC0}, boot_refusals=2),
        Manners(in_progress=True),
        Manners(in_progress=True, is_strict=True),
    ],
    ids=repr,
)
def test_boot_device_is_set_though_a_lesser_setting_is_refused(manners: Manners) -> None:
    with VendorIpmi(manners) as bmc:
        assert run(bmc, netboot) is None
        assert bmc.flags[:2] == b"\xa0\x04"


@pytest.mark.parametrize(
    "manners",
    [
        Manners(boot_codes={5: 0x80}),
        Manners(boot_codes={5: 0xCC}),
        Manners(boot_codes={5: 0xD5}),
        Manners(boot_codes={5: 0xD4}),
        Manners(boot_mask=0x7F),
        Manners(boot_device=0x08),
    ],
    ids=repr,
)
def test_boot_device_that_is_not_set_is_an_error(manners: Manners) -> None:
    with VendorIpmi(manners) as bmc:
        error = run(bmc, netboot)
    assert isinstance(error, MachineError | OperatorError)
    assert error.hint


def test_missing_cipher_suite_says_what_to_set() -> None:
    with VendorIpmi(Manners(suites=(3,))) as bmc:
        error = run(bmc, on_off_on)
        assert isinstance(error, OperatorError)
        assert "cipher_suite: 3" in error.hint
        bmc.credentials = replace(bmc.credentials, cipher_suite=3)
        assert run(bmc, on_off_on) is None


@pytest.mark.parametrize("wrong", [{"username": "nobody"}, {"password": "wr0ng-c4n4ry"}])
def test_wrong_credentials_are_the_operators(wrong: dict[str, str]) -> None:
    with VendorIpmi() as bmc:
        bmc.credentials = replace(bmc.credentials, **wrong)  # type: ignore[arg-type]
        assert isinstance(run(bmc, on_off_on), OperatorError)
        assert bmc.actions == []


@pytest.mark.parametrize(("code", "kind"), [(0x81, OperatorError), (0xC0, MachineError)])
def test_refused_privilege_and_busy_privilege_are_told_apart(
    code: int, kind: type[EngineError]
) -> None:
    async def on(driver: PowerDriver) -> None:
        await driver.power_on()

    with VendorIpmi(Manners(privilege_code=code)) as bmc:
        error = run(bmc, on, replace(BRISK, read_deadline_s=3.0, action_deadline_s=3.0))
    assert isinstance(error, kind)


def test_no_session_left_is_waited_out_and_then_said() -> None:
    async def state(driver: PowerDriver) -> None:
        await driver.power_state()

    with VendorIpmi(Manners(session_limit=0)) as bmc:
        error = run(bmc, state, replace(BRISK, read_deadline_s=2.0))
    assert isinstance(error, MachineError)
    assert "insufficient resources" in str(error)


@pytest.mark.parametrize("after_s", [0.3, 0.8, 1.5])
def test_cancelled_call_leaves_no_session(after_s: float) -> None:
    async def whole() -> None:
        drivers = PowerDrivers(timing=BRISK)
        task = asyncio.create_task(drivers.open("ipmi", bmc.credentials).power_on())
        await asyncio.sleep(after_s)
        task.cancel()
        await asyncio.wait({task})
        await drivers.close()

    with VendorIpmi(Manners(delay_s=0.15)) as bmc:
        asyncio.run(whole())
        assert bmc.settle() == 0
    assert len(bmc.actions) <= 1


def test_silence_in_the_middle_is_unreachable_within_the_deadline() -> None:
    async def state(driver: PowerDriver) -> None:
        await driver.power_state()

    with VendorIpmi(Manners(mute_at=frozenset(range(4, 400)))) as bmc:
        error = asyncio.run(
            attempt("ipmi", bmc.credentials, state, replace(BRISK, read_deadline_s=3.0))
        )
    assert isinstance(error, UnreachableError)
