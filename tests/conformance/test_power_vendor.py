"""The Redfish driver against a service of another vendor's manners."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from rackwright.engine.drivers.factory import PowerDrivers
from rackwright.engine.drivers.power.base import (
    BootDevice,
    PowerDriver,
    PowerState,
)
from rackwright.engine.drivers.timing import Timing
from rackwright.engine.errors import EngineError, MachineError, UnreachableError
from rackwright.engine.machine import Firmware
from tests.conformance.certificates import Identity, make_identity
from tests.conformance.power_scenarios import Scenario, attempt, netboot, on_off_on
from tests.conformance.vendor_redfish import Manners, VendorRedfish

BRISK = Timing(
    connect_timeout_s=6.0,
    request_timeout_s=6.0,
    action_answer_s=5.0,
    read_deadline_s=25.0,
    action_deadline_s=25.0,
    unanswered_s=5.0,
    lag_s=0.5,
    transition_s=1.0,
    poll_s=0.1,
    poll_max_s=0.3,
    grace_s=2.0,
    min_interval_s=0.0,
    busy_s=0.1,
    busy_max_s=0.5,
)


@pytest.fixture(scope="module")
def identity(tmp_path_factory: pytest.TempPathFactory) -> Identity:
    return make_identity(tmp_path_factory.mktemp("vendor"))


def run(bmc: VendorRedfish, scenario: Scenario, timing: Timing = BRISK) -> EngineError | None:
    error = asyncio.run(attempt("redfish", bmc.credentials, scenario, timing))
    assert not bmc.sessions
    assert "c4n4ry" not in f"{error} {error!r}"
    return error


@pytest.mark.parametrize(
    "manners",
    [
        Manners(),
        Manners(delay_s=0.3),
        Manners(task_s=0.6),
        Manners(lag_s=0.6),
        Manners(session_limit=1),
        Manners(lists_resets=False),
        Manners(is_gzip=True),
        Manners(strict_slash=True),
        Manners(page="html"),
        Manners(page="cut"),
        Manners(page="deep"),
        Manners(login_page="html"),
        Manners(login_page="deep"),
    ],
    ids=repr,
)
def test_power_follows_and_each_action_is_sent_once(identity: Identity, manners: Manners) -> None:
    with VendorRedfish(identity, manners) as bmc:
        assert run(bmc, on_off_on) is None
    assert bmc.resets == ["On", "ForceOff", "On"]


@pytest.mark.parametrize("status", [404, 500, 503])
def test_task_monitor_that_tells_nothing_does_not_hold_the_action_up(
    identity: Identity, status: int
) -> None:
    async def on(driver: PowerDriver) -> None:
        await driver.power_on()

    with VendorRedfish(identity, Manners(task_s=0.3, monitor_status=status)) as bmc:
        assert run(bmc, on) is None
    assert bmc.resets == ["On"]


@pytest.mark.parametrize("resets", [("ForceOn", "ForceOff"), ("PushPowerButton", "ForceOff")])
def test_reset_types_are_read_where_the_action_links_to(
    identity: Identity, resets: tuple[str, ...]
) -> None:
    with VendorRedfish(identity, Manners(resets=resets)) as bmc:
        assert run(bmc, on_off_on) is None
    assert bmc.resets == [resets[0], "ForceOff", resets[0]]


def test_button_is_not_pressed_while_the_machine_may_be_on(identity: Identity) -> None:
    async def scenario(driver: PowerDriver) -> None:
        await driver.power_on()

    with VendorRedfish(identity, Manners(resets=("PushPowerButton", "ForceOff"))) as bmc:
        bmc.state.power = "PoweringOn"
        assert isinstance(run(bmc, scenario), MachineError)
    assert bmc.resets == []


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (409, "Base.1.13.ResourceInUse"),
        (400, "Vendor.1.0.Busy: the BMC is busy, try again later"),
        (503, "Base.1.13.ServiceTemporarilyUnavailable"),
        (423, "Vendor.1.0.Locked"),
    ],
)
def test_busy_in_other_words_did_nothing_and_is_asked_again(
    identity: Identity, status: int, message: str
) -> None:
    async def scenario(driver: PowerDriver) -> None:
        await netboot(driver)
        await driver.power_on()

    with VendorRedfish(identity, Manners(busy_status=status, busy_message=message)) as bmc:
        assert run(bmc, scenario) is None
    assert bmc.resets == ["On", "On"]
    assert bmc.patches[0] == bmc.patches[1]


def test_refusal_by_a_page_is_a_refusal(identity: Identity) -> None:
    async def scenario(driver: PowerDriver) -> None:
        await driver.power_on()

    with VendorRedfish(identity, Manners(refused_reset_page=True)) as bmc:
        error = run(bmc, scenario)
    assert isinstance(error, MachineError)
    assert "400" in str(error)
    assert bmc.resets == ["On"]


def test_task_that_failed_ends_the_wait(identity: Identity) -> None:
    async def on(driver: PowerDriver) -> None:
        await driver.power_on()

    with VendorRedfish(identity, Manners(task_s=0.3, task_fails=True)) as bmc:
        for scenario in (on, netboot):
            error = run(bmc, scenario)
            assert isinstance(error, MachineError)
            assert "task" in str(error)
        assert bmc.resets == ["On"]


@pytest.mark.parametrize(
    "manners",
    [
        Manners(patch_answer="lost"),
        Manners(patch_answer="500-with-mode"),
        Manners(task_s=1.0),
        Manners(delay_s=0.2, is_gzip=True, strict_slash=True),
    ],
    ids=repr,
)
def test_boot_device_is_known_to_be_set(identity: Identity, manners: Manners) -> None:
    with VendorRedfish(identity, manners) as bmc:
        assert run(bmc, netboot) is None
        assert bmc.state.boot["BootSourceOverrideTarget"] == "Pxe"
    assert len(bmc.patches) <= 2


@pytest.mark.parametrize(
    "manners",
    [
        Manners(targets=("None", "UefiHttp")),
        Manners(enabled=("Disabled", "Continuous")),
        Manners(patch_answer="500"),
    ],
    ids=repr,
)
def test_boot_device_that_is_not_set_is_an_error_with_what_is_offered(
    identity: Identity, manners: Manners
) -> None:
    with VendorRedfish(identity, manners) as bmc:
        error = run(bmc, netboot)
    assert isinstance(error, MachineError)
    assert ", ".join(manners.targets) in error.hint
    assert ", ".join(manners.enabled) in error.hint


def test_answer_without_an_end_is_given_up(identity: Identity) -> None:
    async def scenario(driver: PowerDriver) -> None:
        assert await driver.power_state() is PowerState.OFF

    with VendorRedfish(identity, Manners(page="endless")) as bmc:
        assert run(bmc, scenario) is None


def test_refusal_nested_without_end_is_a_refusal(identity: Identity) -> None:
    async def scenario(driver: PowerDriver) -> None:
        await driver.power_on()

    with VendorRedfish(identity, Manners(refused_reset_page=True, refusal="deep")) as bmc:
        assert isinstance(run(bmc, scenario), MachineError)
    assert bmc.resets == ["On"]


def test_basic_authentication_is_used_where_there_are_no_sessions(identity: Identity) -> None:
    with VendorRedfish(identity, Manners(has_login=False)) as bmc:
        assert run(bmc, on_off_on) is None
        assert bmc.logins == 0


@pytest.mark.parametrize("wanted", ["437XR1138R2", "/redfish/v1/Systems/437XR1138R2"])
def test_system_is_found_however_its_path_is_spelt(identity: Identity, wanted: str) -> None:
    with VendorRedfish(identity) as bmc:
        bmc.credentials = replace(bmc.credentials, system=wanted)
        assert run(bmc, on_off_on) is None


def test_sessions_of_others_are_waited_for_and_left_alone(identity: Identity) -> None:
    async def scenario(driver: PowerDriver) -> None:
        await driver.power_state()

    with VendorRedfish(identity, Manners(session_limit=1)) as bmc:
        bmc.sessions["/other/"] = "theirs"
        error = asyncio.run(
            attempt("redfish", bmc.credentials, scenario, replace(BRISK, read_deadline_s=1.5))
        )
        assert isinstance(error, MachineError)
        assert "session" in str(error)
        assert list(bmc.sessions) == ["/other/"]


def test_certificate_that_changed_is_refused_and_says_what_to_do(
    identity: Identity, tmp_path: Path
) -> None:
    with VendorRedfish(make_identity(tmp_path, "rotated.invalid")) as bmc:
        bmc.credentials = replace(bmc.credentials, certificate_pem=identity.pem)
        error = run(bmc, on_off_on)
    assert isinstance(error, UnreachableError)
    assert "pin the certificate" in error.hint
    assert bmc.requests == []


@pytest.mark.parametrize("scenario", [netboot, on_off_on], ids=["boot", "power"])
def test_service_of_forty_seconds_an_answer_fits_the_deadlines(
    identity: Identity, scenario: Scenario
) -> None:
    """What is counted is requests: none of the calls may need more than its deadline holds."""
    timing = Timing()
    with VendorRedfish(identity) as bmc:
        if scenario is netboot:
            assert run(bmc, lambda d: d.set_boot_once(BootDevice.PXE, Firmware.UEFI)) is None
            assert 40 * (len(bmc.requests) - 1) <= timing.read_deadline_s
        else:
            assert run(bmc, lambda d: d.power_on()) is None
            assert 40 * (len(bmc.requests) - 1) + 60 <= timing.action_deadline_s


@pytest.mark.parametrize("after_s", [0.05, 0.3, 0.6, 1.2])
def test_cancelled_call_logs_out(identity: Identity, after_s: float) -> None:
    async def whole() -> None:
        drivers = PowerDrivers(timing=BRISK)
        task = asyncio.create_task(drivers.open("redfish", bmc.credentials).power_on())
        await asyncio.sleep(after_s)
        task.cancel()
        await asyncio.wait({task})
        await drivers.close()

    with VendorRedfish(identity, Manners(delay_s=0.2, task_s=5.0)) as bmc:
        asyncio.run(whole())
        assert not bmc.sessions
    assert len(bmc.resets) <= 1
