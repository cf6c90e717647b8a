import asyncio

import pytest

from rackwright.engine.drivers.power.base import BootDevice, PowerState
from rackwright.engine.drivers.power.none import NoneDriver
from rackwright.engine.errors import OperatorError
from rackwright.engine.machine import Firmware


def test_machine_without_a_bmc_knows_nothing_and_refuses_to_act() -> None:
    async def scenario() -> None:
        driver = NoneDriver()
        assert await driver.power_state() == PowerState.UNKNOWN
        assert await driver.boot_once() is None
        assert await driver.sensors() == {}
        for refused in (
            driver.power_on(),
            driver.power_off(),
            driver.reset(),
            driver.set_boot_once(BootDevice.PXE, Firmware.UEFI),
        ):
            with pytest.raises(OperatorError):
                await refused
        await driver.close()

    asyncio.run(scenario())
