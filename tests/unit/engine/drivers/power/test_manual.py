import asyncio

import pytest

from rackwright.engine.drivers.power.base import BootDevice, PowerState
from rackwright.engine.drivers.power.manual import ManualDriver
from rackwright.engine.errors import MachineError
from rackwright.engine.machine import Firmware


class Person:
    def __init__(self, *answers: str) -> None:
        self._answers = list(answers)
        self.asked: list[str] = []

    async def answer(self, machine: str, request: str) -> str:
        self.asked.append(f"{machine}: {request}")
        return self._answers.pop(0)


def test_person_says_the_state_and_confirms_actions() -> None:
    async def scenario() -> None:
        person = Person("ON", "dunno", "done", " Yes ", "ok", "done")
        driver = ManualDriver("n1", person.answer)
        assert await driver.power_state() == PowerState.ON
        assert await driver.power_state() == PowerState.UNKNOWN
        await driver.set_boot_once(BootDevice.PXE, Firmware.UEFI)
        assert await driver.boot_once() == BootDevice.PXE
        await driver.power_off()
        await driver.power_on()
        await driver.reset()
        assert await driver.boot_once() is None
        assert "n1: " in person.asked[0]
        assert "uefi" in person.asked[2]

    asyncio.run(scenario())


def test_what_is_not_confirmed_is_an_error() -> None:
    async def scenario() -> None:
        driver = ManualDriver("n1", Person("no", "no").answer)
        with pytest.raises(MachineError):
            await driver.power_on()
        with pytest.raises(MachineError):
            await driver.set_boot_once(BootDevice.DISK, Firmware.BIOS)
        assert await driver.boot_once() is None

    asyncio.run(scenario())
