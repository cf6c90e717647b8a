"""What the suites of several BMCs ask of a power driver, and how one is driven to its end."""

from collections.abc import Awaitable, Callable

from rackwright.engine.drivers.factory import PowerDrivers
from rackwright.engine.drivers.power.base import BootDevice, Credentials, PowerDriver, PowerState
from rackwright.engine.drivers.timing import Timing
from rackwright.engine.errors import EngineError
from rackwright.engine.machine import Firmware

Scenario = Callable[[PowerDriver], Awaitable[None]]


async def attempt(
    protocol: str, credentials: Credentials, scenario: Scenario, timing: Timing
) -> EngineError | None:
    """The scenario with drivers of its own, which are closed; the error that it ended in."""
    drivers = PowerDrivers(timing=timing)
    try:
        await scenario(drivers.open(protocol, credentials))
    except EngineError as error:
        return error
    finally:
        await drivers.close()
    return None


async def on_off_on(driver: PowerDriver) -> None:
    await driver.power_on()
    await driver.power_off()
    await driver.power_on()
    assert await driver.power_state() is PowerState.ON


async def netboot(driver: PowerDriver) -> None:
    await driver.set_boot_once(BootDevice.PXE, Firmware.UEFI)
    assert await driver.boot_once() is BootDevice.PXE
