"""No BMC: a machine whose power nobody here controls (a cloud instance, a borrowed VM)."""

from collections.abc import Mapping

from rackwright.engine.drivers.power.base import BootDevice, Credentials, PowerState
from rackwright.engine.drivers.surroundings import Surroundings
from rackwright.engine.errors import OperatorError
from rackwright.engine.machine import Firmware


class NoneDriver:
    """Knows nothing and refuses to act."""

    async def power_state(self) -> PowerState:
        return PowerState.UNKNOWN

    async def power_on(self) -> None:
        raise _no_bmc("powered on")

    async def power_off(self) -> None:
        raise _no_bmc("powered off")

    async def reset(self) -> None:
        raise _no_bmc("reset")

    async def set_boot_once(self, device: BootDevice, firmware: Firmware) -> None:
        raise _no_bmc(f"told to boot from {device}")

    async def boot_once(self) -> BootDevice | None:
        return None

    async def sensors(self) -> Mapping[str, str]:
        return {}

    async def close(self) -> None:
        """Nothing is open."""


def _no_bmc(what: str) -> OperatorError:
    return OperatorError(
        f"a machine without a BMC cannot be {what}",
        hint="enrol its BMC, or choose the manual driver to have a person do it",
    )


def open_driver(credentials: Credentials, surroundings: Surroundings) -> NoneDriver:
    return NoneDriver()
