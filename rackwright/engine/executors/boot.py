"""Bringing a machine up: into our ramdisk through its BMC, or back to life as it was.

Every power action is preceded by a committed intent. A protected machine is never touched.
"""

import asyncio
from dataclasses import dataclass, field

import structlog

from rackwright.engine.drivers.power.base import (
    ActionUnconfirmedError,
    BootDevice,
    PowerDriver,
    PowerState,
)
from rackwright.engine.errors import MachineError, OperatorError, UnreachableError
from rackwright.engine.executors.console import Consoles
from rackwright.engine.executors.ports import RamdiskContact
from rackwright.engine.executors.reach import Host, Reach
from rackwright.engine.executors.scope import Scope, Subject
from rackwright.engine.machine import Firmware, Machine

CONNECT_PATIENCE_S = 60.0
MARGIN_S = 5.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Boot:
    """Boots machines for one run."""

    scope: Scope
    reach: Reach
    consoles: Consoles
    touched: set[str] = field(default_factory=set)
    """Machines that this controller has booted in this run."""

    def may_boot(self, machine_id: str) -> bool:
        """Has this run booted the machine, so that it may do so again to bring it back?"""
        return machine_id in self.touched or self.scope.booted(machine_id)

    def power(self, machine: Machine) -> PowerDriver | None:
        """The machine's power driver, None where it has no BMC that answers to a program."""
        if machine.bmc is None or machine.bmc.protocol == "none":
            return None
        return self.scope.directory.power(machine.id)

    async def into_ramdisk(
        self, subject: Subject, attempt: int, *, deadline_s: float
    ) -> tuple[RamdiskContact, Host]:
        """Arm, boot from the network once, wait for the ramdisk and log in to it.

        Raises ``OperatorError`` for a protected machine or one without a BMC, ``UnreachableError``
        when the ramdisk did not report within ``deadline_s`` or the machine's boot deadline.
        """
        machine = self.scope.machine(subject)
        power = self._usable(machine)
        wait_s = within(machine, deadline_s)
        await self.scope.fence.quiet()
        await self._intend(subject, attempt, "netboot", machine)
        await self.reach.forget(machine.id, "os")
        await self.reach.forget(machine.id, "ramdisk")
        netboot = self.scope.netboot
        async with self.consoles.following(machine.id, power=power):
            await boot_from_network(power, machine.firmware, attempt)
            # Only now: a machine that an earlier controller started is on its way, and its key,
            # accepted in this window, would make that of the boot we cause a second, different one.
            await netboot.arm(machine.id, self.scope.run_id, subject.stage.name, wait_s + 60.0)
            await start_again(power)
            try:
                async with asyncio.timeout(wait_s):
                    contact = await netboot.wait_for_contact(machine.id, self.scope.run_id)
            except TimeoutError as error:
                raise UnreachableError(
                    f"{machine.name} did not report from the ramdisk within {wait_s:.0f} s",
                    hint="look at its console, its boot order and the provisioning network",
                ) from error
            host = await self.reach.host(machine.id, "ramdisk", patience_s=CONNECT_PATIENCE_S)
        return contact, host

    async def revive(self, subject: Subject, attempt: int, *, deadline_s: float) -> Host:
        """Bring the OS of a machine that this run booted back: on if it is off, else one reset.

        Raises ``UnreachableError`` when it does not come back, or may not be touched.
        """
        machine = self.scope.machine(subject)
        power = self.power(machine)
        if power is None or machine.protected or not self.may_boot(machine.id):
            raise UnreachableError(f"{machine.name} does not answer, and is not ours to reset")
        await self._intend(subject, attempt, "revive", machine)
        await self.reach.forget(machine.id, "os")
        async with self.consoles.following(machine.id, power=power):
            await start_again(power)
            patience_s = within(machine, deadline_s)
            return await self.reach.host(machine.id, "os", patience_s=patience_s)

    async def is_off(self, machine: Machine) -> bool:
        """Does the machine's BMC say that it is off? False where nothing can tell."""
        power = self.power(machine)
        if power is None:
            return False
        try:
            return await power.power_state() is PowerState.OFF
        except (UnreachableError, MachineError):
            return False

    def _usable(self, machine: Machine) -> PowerDriver:
        if machine.protected:
            raise OperatorError(f"{machine.name} is protected: its power is not touched")
        power = self.power(machine)
        if power is None:
            raise OperatorError(
                f"{machine.name} has no BMC to boot it with",
                hint="enrol its BMC, or give it with an SSH address if it has an OS",
            )
        return power

    async def _intend(self, subject: Subject, attempt: int, why: str, machine: Machine) -> None:
        detail = {"machine": machine.id, "why": why}
        await self.scope.sink.intend("power", subject.task, attempt, detail)
        self.touched.add(machine.id)


def within(machine: Machine, deadline_s: float) -> float:
    """How long a boot may take: the machine's own deadline, and some time before the attempt's, so
    that the attempt ends with the reason and not with a timeout. Seconds."""
    return max(0.001, min(machine.boot_deadline_s, deadline_s - MARGIN_S))


async def boot_from_network(power: PowerDriver, firmware: Firmware | None, attempt: int) -> None:
    """Set the next boot to the network. Firmware not known before discovery is tried as UEFI and
    as BIOS in turn, attempt by attempt; a mode that the BMC refuses is no obstacle then."""
    if firmware is not None:
        await power.set_boot_once(BootDevice.PXE, firmware)
        return
    modes = [Firmware.UEFI, Firmware.BIOS]
    if attempt % 2 == 0:
        modes.reverse()
    try:
        await power.set_boot_once(BootDevice.PXE, modes[0])
    except MachineError:
        await power.set_boot_once(BootDevice.PXE, modes[1])


async def start_again(power: PowerDriver) -> None:
    """On if it is off, else one hard reset. An action whose answer never came may have worked:
    it is not sent again, and the machine itself tells within the deadline that follows."""
    try:
        if await power.power_state() is PowerState.OFF:
            await power.power_on()
        else:
            await power.reset()
    except ActionUnconfirmedError as error:
        log.info("power action unconfirmed", error=str(error))
