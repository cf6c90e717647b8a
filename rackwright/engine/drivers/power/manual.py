"""A person at the machine: every action is asked for, and done when they say so."""

import asyncio
from collections.abc import Mapping

from rackwright.engine.drivers.power.base import BootDevice, Credentials, PowerState
from rackwright.engine.drivers.surroundings import Ask, Surroundings
from rackwright.engine.errors import MachineError, OperatorError, UnreachableError
from rackwright.engine.fence import Fence, NoFence
from rackwright.engine.machine import Firmware

_YES = frozenset({"y", "yes", "done", "ok"})
_PERSON_S = 3600.0  # how long a person is waited for


class ManualDriver:
    """Asks one thing at a time. Remembers the boot device, which nothing can read back."""

    def __init__(self, name: str, ask: Ask, fence: Fence | None = None) -> None:
        self._name = name
        self._fence = fence or NoFence()
        self._ask_person = ask
        self._turn = asyncio.Lock()
        self._boot: BootDevice | None = None

    async def power_state(self) -> PowerState:
        answer = await self._answer("Is the machine on or off? (on/off)")
        return {"on": PowerState.ON, "off": PowerState.OFF}.get(answer, PowerState.UNKNOWN)

    async def power_on(self) -> None:
        await self._confirm("Power the machine on. (done)")

    async def power_off(self) -> None:
        await self._confirm("Power the machine off, hard. (done)")

    async def reset(self) -> None:
        await self._confirm("Reset the machine, or power it on if it is off. (done)")
        self._boot = None

    async def set_boot_once(self, device: BootDevice, firmware: Firmware) -> None:
        where = "the network (PXE)" if device == BootDevice.PXE else "its disk"
        await self._confirm(f"Make the next boot, in {firmware} mode, come from {where}. (done)")
        self._boot = device

    async def boot_once(self) -> BootDevice | None:
        return self._boot

    async def sensors(self) -> Mapping[str, str]:
        return {}

    async def close(self) -> None:
        """Nothing is open."""

    async def _confirm(self, request: str) -> None:
        await self._fence.quiet()
        await self._fence.check()
        if await self._answer(request) not in _YES:
            raise MachineError(f"{self._name}: the person did not confirm: {request}")

    async def _answer(self, request: str) -> str:
        async with self._turn:
            try:
                async with asyncio.timeout(_PERSON_S):
                    answer = await self._ask_person(self._name, request)
            except TimeoutError:
                raise UnreachableError(f"{self._name}: nobody answered: {request}") from None
        return answer.strip().lower()


def open_driver(credentials: Credentials, surroundings: Surroundings) -> ManualDriver:
    if surroundings.ask is None:
        raise OperatorError(
            "the manual driver needs a person to ask", hint="run from a terminal or the web UI"
        )
    return ManualDriver(credentials.address, surroundings.ask, surroundings.fence)
