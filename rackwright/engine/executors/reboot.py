"""Reboot, as an engine primitive: confirmed by a changed boot id, never by hope.

The machine leaves netboot first. It goes down over SSH; the BMC's reset is the fallback. It is back
when its OS answers under the OS's own identity with a boot id that is not the old one.
"""

import asyncio
from dataclasses import dataclass

import structlog

from rackwright.engine.drivers.power.base import ActionUnconfirmedError, BootDevice, PowerDriver
from rackwright.engine.errors import EngineError, MachineError, UnreachableError
from rackwright.engine.executors.boot import Boot, within
from rackwright.engine.executors.pool import HostKeyError, LoginRefusedError, Place
from rackwright.engine.executors.reach import Host
from rackwright.engine.executors.scope import Subject
from rackwright.engine.executors.shell.base import script
from rackwright.engine.machine import Machine

SETTLE_S = 3.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Rebooted:
    host: Host
    boot_id_before: str
    boot_override: str  # what became of setting the boot device: "disk", "refused: ...", "no BMC"


async def reboot(
    boot: Boot, subject: Subject, host: Host, place: Place, *, deadline_s: float
) -> Rebooted:
    """Reboot into the disk's OS. Raises ``UnreachableError`` when it is not back in time."""
    machine = boot.scope.machine(subject)
    power = boot.power(machine)
    await boot.scope.netboot.disarm(machine.id)
    boot.touched.add(machine.id)
    override = await boot_from_disk(power, machine)
    async with boot.consoles.following(machine.id, power=power):
        await _go_down(host, power, machine)
        await boot.reach.forget(machine.id, place)
        await boot.reach.forget(machine.id, "os")
        patience_s = within(machine, deadline_s)
        back = await new_boot(boot, machine, host.boot_id, patience_s=patience_s)
    return Rebooted(back, host.boot_id, override)


async def boot_from_disk(power: PowerDriver | None, machine: Machine) -> str:
    """Ask the BMC for the disk next; a BMC that refuses is no obstacle, netboot is disarmed."""
    if power is None or machine.firmware is None:
        return "no BMC" if power is None else "firmware not known"
    try:
        await power.set_boot_once(BootDevice.DISK, machine.firmware)
    except EngineError as error:
        log.info("boot device not set", machine=machine.id, error=str(error))
        return f"refused: {error.message}"
    return "disk"


async def new_boot(boot: Boot, machine: Machine, old: str, *, patience_s: float) -> Host:
    """The OS on a boot that is not ``old``.

    While the machine goes down something else may answer there under another identity (the
    ramdisk, at the same address): that is not yet the OS, and at the deadline it is the message.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + patience_s
    last: EngineError = UnreachableError("it did not go down")
    while (left_s := deadline - loop.time()) > 0:
        try:
            host = await boot.reach.host(machine.id, "os", patience_s=min(left_s, 30.0))
            if host.boot_id != old:
                return host
            last = UnreachableError("it still runs the boot that was to end")
        except (UnreachableError, HostKeyError, LoginRefusedError) as error:
            last = error
        await boot.reach.forget(machine.id, "os")
        await asyncio.sleep(SETTLE_S)
    raise UnreachableError(
        f"{machine.name} is not back in its OS after {patience_s:.0f} s: {last.message}"
    ) from last


async def _go_down(host: Host, power: PowerDriver | None, machine: Machine) -> None:
    try:
        done = await host.shell.run(script("reboot"), timeout_s=30.0)
        if done.status == 0:
            return
        reason: EngineError = MachineError(f"reboot refused: {done.complaint()}")
    except UnreachableError as error:
        reason = error  # it may have gone down before it could answer; a reset is safe then too
    if power is None:
        if isinstance(reason, UnreachableError):
            return  # the changed boot id decides
        raise reason
    log.info("reset instead of reboot", machine=machine.id, error=str(reason))
    try:
        await power.reset()
    except ActionUnconfirmedError as error:
        log.info("reset unconfirmed", machine=machine.id, error=str(error))
