"""What every power driver promises, on every BMC that we can reach: one suite, many peers.

Peers: Debian's ipmi_sim, sushy-tools' emulator, our own Redfish service without faults, and the
BMCs of a lab that is up (``RACKWRIGHT_LAB_BMCS``, see ``bmc_peers``).
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from rackwright.engine.drivers.factory import PowerDrivers
from rackwright.engine.drivers.power.base import BootDevice, PowerDriver, PowerState
from rackwright.engine.errors import OperatorError
from rackwright.engine.machine import Firmware
from rackwright.engine.run.errors import LeaseLostError
from tests.conformance.bmc_peers import (
    QUICK,
    IpmiSim,
    Peer,
    SushyEmulator,
    hostile,
    lab_peers,
)
from tests.conformance.certificates import make_identity
from tests.conformance.hostile_redfish import HostileRedfish

Count = Callable[[], int | None]


class Subject:
    """One BMC under test: how to drive it, and what it saw."""

    def __init__(self, peer: Peer, actions: Count, sessions: Count) -> None:
        self.peer = peer
        self.actions = actions
        self.sessions = sessions

    def driver(self, drivers: PowerDrivers) -> PowerDriver:
        return drivers.open(self.peer.protocol, self.peer.credentials)


def _ipmi_sim(directory: Path, stack: ExitStack) -> Subject:
    sim = IpmiSim(directory)
    stack.callback(sim.stop)
    peer = Peer("ipmi_sim", "ipmi", sim.credentials)
    return Subject(peer, lambda: len(sim.sets()), sim.sessions)


def _sushy_emulator(directory: Path, stack: ExitStack) -> Subject:
    emulator = SushyEmulator(directory, make_identity(directory))
    stack.callback(emulator.stop)
    peer = Peer("sushy-emulator", "redfish", emulator.credentials, log=emulator.log)
    return Subject(peer, peer.actions, lambda: None)


def _own_redfish(directory: Path, stack: ExitStack) -> Subject:
    bmc: HostileRedfish = stack.enter_context(hostile(directory))
    peer = Peer("own-redfish", "redfish", bmc.credentials)
    return Subject(peer, lambda: len(bmc.actions), lambda: len(bmc.sessions))


_STARTERS = {
    "ipmi_sim": _ipmi_sim,
    "sushy-emulator": _sushy_emulator,
    "own-redfish": _own_redfish,
}
_LAB = {peer.name: peer for peer in lab_peers()}


@pytest.fixture(params=[*_STARTERS, *_LAB], scope="module")
def subject(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Subject]:
    name = str(request.param)
    with ExitStack() as stack:
        if name in _LAB:
            yield Subject(_LAB[name], lambda: None, lambda: None)
        else:
            yield _STARTERS[name](tmp_path_factory.mktemp("bmc"), stack)


def test_power_changes_are_seen_through_and_sent_once(subject: Subject) -> None:
    async def scenario() -> None:
        drivers = PowerDrivers(timing=QUICK)
        driver = subject.driver(drivers)
        await driver.power_off()
        steps = (
            (driver.power_on, PowerState.ON, 1),
            (driver.power_on, PowerState.ON, 0),  # on already: nothing is sent
            (driver.reset, PowerState.ON, 1),
            (driver.power_off, PowerState.OFF, 1),
            (driver.power_off, PowerState.OFF, 0),
            (driver.reset, PowerState.ON, 1),  # a reset of what is off powers it on
        )
        for act, wanted, sent in steps:
            before = subject.actions()
            await act()
            assert await driver.power_state() == wanted
            after = subject.actions()
            if before is not None and after is not None:
                assert after - before == sent, act
        await driver.close()
        await driver.close()
        await drivers.close()

    before = subject.sessions()
    asyncio.run(scenario())
    assert subject.sessions() == before


@pytest.mark.parametrize("device", list(BootDevice))
@pytest.mark.parametrize("firmware", list(Firmware))
def test_boot_device_set_once_is_read_back(
    subject: Subject, device: BootDevice, firmware: Firmware
) -> None:
    async def scenario() -> None:
        drivers = PowerDrivers(timing=QUICK)
        driver = subject.driver(drivers)
        await driver.set_boot_once(device, firmware)
        assert await driver.boot_once() == device
        fresh = subject.driver(drivers)
        assert await fresh.boot_once() == device
        await drivers.close()

    if subject.peer.name in _LAB and firmware != subject.peer.firmware:
        return  # a real machine boots in its own mode alone
    before = subject.sessions()
    asyncio.run(scenario())
    assert subject.sessions() == before


class _Over:
    """The fence of an owner whose lease has run out."""

    async def quiet(self) -> None:
        return

    async def check(self) -> None:
        raise LeaseLostError("the owner's lease is over")


def test_an_owner_whose_lease_is_over_sends_nothing_that_changes(subject: Subject) -> None:
    async def scenario() -> None:
        drivers = PowerDrivers(timing=QUICK)
        ours = subject.driver(drivers)
        await ours.power_off()
        await ours.set_boot_once(BootDevice.PXE, subject.peer.firmware)
        before = subject.actions()
        stale_drivers = PowerDrivers(timing=QUICK, fence=_Over())
        stale = subject.driver(stale_drivers)
        for act in (stale.power_on, stale.reset):
            with pytest.raises(LeaseLostError):
                await act()
        with pytest.raises(LeaseLostError):
            await stale.set_boot_once(BootDevice.DISK, subject.peer.firmware)
        assert subject.actions() == before
        assert await ours.power_state() == PowerState.OFF
        assert await stale.boot_once() == BootDevice.PXE  # it may look
        await stale_drivers.close()
        await drivers.close()

    before = subject.sessions()
    asyncio.run(scenario())
    assert subject.sessions() == before


def test_after_a_takeover_the_state_is_read_only_once_all_is_quiet(subject: Subject) -> None:
    """What an earlier owner had sent shows in the meantime: then nothing is sent again."""

    async def scenario() -> None:
        drivers = PowerDrivers(timing=QUICK)
        ours = subject.driver(drivers)
        await ours.power_off()

        class Waiting:
            async def quiet(self) -> None:
                await ours.power_on()

            async def check(self) -> None:
                return

        new_drivers = PowerDrivers(timing=QUICK, fence=Waiting())
        new = subject.driver(new_drivers)
        before = subject.actions()
        await new.power_on()
        after = subject.actions()
        if before is not None and after is not None:
            assert after - before == 1
        await new_drivers.close()
        await drivers.close()

    asyncio.run(scenario())


def test_sensors_are_names_and_readings(subject: Subject) -> None:
    async def scenario() -> None:
        drivers = PowerDrivers(timing=QUICK)
        readings = await subject.driver(drivers).sensors()
        assert all(isinstance(part, str) for item in readings.items() for part in item)
        await drivers.close()

    before = subject.sessions()
    asyncio.run(scenario())
    assert subject.sessions() == before


def test_wrong_password_is_the_operators_fault_and_is_not_repeated(subject: Subject) -> None:
    async def scenario() -> None:
        drivers = PowerDrivers(timing=QUICK)
        wrong = replace(subject.peer.credentials, password="wr0ng-c4n4ry")
        driver = drivers.open(subject.peer.protocol, wrong)
        with pytest.raises(OperatorError) as caught:
            await driver.power_state()
        assert "wr0ng" not in f"{caught.value} {caught.value!r} {driver!r} {wrong!r}"
        await drivers.close()

    if subject.peer.name in _LAB:
        return  # real accounts lock
    asyncio.run(scenario())


def test_cancelled_calls_leave_no_session(subject: Subject) -> None:
    async def scenario() -> None:
        drivers = PowerDrivers(timing=QUICK)
        driver = subject.driver(drivers)
        for after_s in (0.0, 0.01, 0.03, 0.06, 0.1):
            task = asyncio.create_task(driver.power_state())
            await asyncio.sleep(after_s)
            task.cancel()
            await asyncio.wait({task})
        assert await driver.power_state() in tuple(PowerState)
        await drivers.close()

    before = subject.sessions()
    asyncio.run(scenario())
    assert subject.sessions() == before
