"""Power over IPMI 2.0 (RMCP+) by ipmitool.

Owns which commands are run and what must be read back; never a session of its own.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager

import structlog

from rackwright.engine.drivers.action import Action, PowerChange
from rackwright.engine.drivers.faults import RefusedError
from rackwright.engine.drivers.ipmi_console import console_lines
from rackwright.engine.drivers.ipmi_output import (
    SET_IN_PROGRESS,
    BootFlags,
    parse_boot_flags,
    parse_identity,
    parse_power,
    parse_record_count,
    parse_sensors,
)
from rackwright.engine.drivers.ipmitool import IpmiTool
from rackwright.engine.drivers.power.base import BootDevice, Credentials, PowerState
from rackwright.engine.drivers.quirks import Identity, overlay
from rackwright.engine.drivers.surroundings import Surroundings
from rackwright.engine.errors import MachineError
from rackwright.engine.machine import Firmware

_log = structlog.get_logger(__name__)
_ACTIONS = {Action.ON: "on", Action.OFF: "off", Action.RESTART: "reset"}
# Boot options parameter 3, bit 3: the valid bit outlives 60 s without a reset (table 28-14).
_KEEP_BOOT_FLAG = ("raw", "0x00", "0x08", "0x03", "0x08")
# Parameter 0: set complete, which also ends another console's "set in progress".
_SET_COMPLETE = ("raw", "0x00", "0x08", "0x00", "0x00")
_REFUSED_HINT = "look whether the BMC's own interface allows IPMI to set the boot device"


class IpmiDriver:
    def __init__(self, credentials: Credentials, surroundings: Surroundings) -> None:
        self._clock = surroundings.clock
        self._timing = surroundings.timing
        self._table = surroundings.quirks
        self._own_quirks = credentials.quirks
        self._quirks = self._table.of(Identity(), credentials.quirks)
        self._is_identified = False
        self._is_flag_kept = False
        self._fence = surroundings.fence
        self._tool = IpmiTool(credentials, surroundings.queue, self._clock, self._timing)

    def __repr__(self) -> str:
        return f"IpmiDriver({self._tool.name})"

    async def power_state(self) -> PowerState:
        return await self._port(self._timing.read_deadline_s).read()

    async def power_on(self) -> None:
        await self._fence.quiet()
        await self._change().reach(Action.ON)

    async def power_off(self) -> None:
        await self._fence.quiet()
        await self._change().reach(Action.OFF)

    async def reset(self) -> None:
        await self._fence.quiet()
        await self._change().restart()

    async def set_boot_once(self, device: BootDevice, firmware: Firmware) -> None:
        await self._fence.quiet()
        deadline = self._deadline()
        await self._identify(deadline)
        flags = await self._set_and_read(device, firmware, deadline)
        problem = self._unmet(flags, device, firmware)
        if problem and await self._keeps_device_only(flags, device, firmware, deadline):
            return
        if problem:
            raise MachineError(
                f"{self._tool.name}: the BMC accepted boot device {device} ({firmware}) "
                f"and reads back otherwise: {problem}",
                hint="if this BMC merely does not report it, set its quirk boot_flags",
            )

    async def boot_once(self) -> BootDevice | None:
        deadline = self._deadline()
        await self._identify(deadline)
        flags = await self._boot_flags(deadline)
        if flags is None or flags.is_persistent:
            return None
        return flags.device if flags.is_valid or self._quirks.boot_flags == "device" else None

    async def sensors(self) -> Mapping[str, str]:
        """An empty SDR repository is not listed: ipmitool 1.8.19 would erase and rebuild it."""
        deadline = self._deadline()
        try:
            count = parse_record_count(await self._read(deadline, "sdr", "info"))
        except RefusedError:
            return {}  # a BMC without an SDR repository
        if not count:
            return {}
        return parse_sensors(await self._read(deadline, "sdr", "list"))

    def console(self) -> AbstractAsyncContextManager[AsyncIterator[str]]:
        return console_lines(self._tool, self._clock, self._timing, self._quirks.privilege)

    async def close(self) -> None:
        """Nothing to do: every ipmitool run closes its session."""

    def _deadline(self) -> float:
        return self._clock.now() + self._timing.read_deadline_s

    def _port(self, duration_s: float) -> "ChassisPort":
        deadline = self._clock.now() + duration_s
        return ChassisPort(
            self._tool, deadline, self._quirks.privilege, is_flag_kept=self._is_flag_kept
        )

    def _change(self) -> PowerChange:
        port = self._port(self._timing.action_deadline_s)
        return PowerChange(port, self._clock, self._timing, self._fence)

    async def _read(self, deadline: float, *command: str) -> str:
        return await self._tool.read(*command, deadline=deadline, privilege=self._quirks.privilege)

    async def _identify(self, deadline: float) -> None:
        if self._is_identified:
            return
        identity = parse_identity(await self._read(deadline, "mc", "info"))
        self._quirks = self._table.of(identity, self._own_quirks)
        self._is_identified = True

    async def _boot_flags(self, deadline: float) -> BootFlags | None:
        return parse_boot_flags(await self._read(deadline, "chassis", "bootparam", "get", "5"))

    async def _set_and_read(
        self, device: BootDevice, firmware: Firmware, deadline: float
    ) -> BootFlags | None:
        await self._fence.check()
        self._is_flag_kept = await self._keep_flag(deadline)
        options = ("options=efiboot",) if firmware == Firmware.UEFI else ()
        command = ("chassis", "bootdev", device.value, *options)
        try:
            await self._set_boot_device(deadline, command)
        except RefusedError as error:
            raise RefusedError(error.message, status=error.status, hint=_REFUSED_HINT) from None
        return await self._boot_flags(deadline)

    async def _set_boot_device(self, deadline: float, command: tuple[str, ...]) -> None:
        """Also over a "set in progress" that some console left behind: it is given a moment."""
        try:
            await self._read(deadline, *command)
        except RefusedError as error:
            if error.status != SET_IN_PROGRESS:
                raise
            await self._clock.sleep(self._timing.busy_s)
            await self._read(deadline, *_SET_COMPLETE)
            await self._read(deadline, *command)

    async def _keep_flag(self, deadline: float) -> bool:
        """Whether the BMC keeps the override until a boot consumes it, however long that takes."""
        if self._quirks.boot_timeout != "keep":
            return False
        try:
            await self._read(deadline, *_KEEP_BOOT_FLAG)
        except RefusedError:
            return False
        return True

    def _unmet(self, flags: BootFlags | None, device: BootDevice, firmware: Firmware) -> str:
        if flags is None:
            return "no boot flags"
        if flags.device != device:
            return f"device is {flags.device}"
        if self._quirks.boot_flags == "device":
            return ""
        if not flags.is_valid:
            return "the override is not valid"
        if flags.is_persistent:
            return "the override is persistent"
        if self._quirks.boot_flags == "full" and flags.is_efi != (firmware == Firmware.UEFI):
            return f"mode is {'UEFI' if flags.is_efi else 'legacy'}"
        return ""

    async def _keeps_device_only(
        self, flags: BootFlags | None, device: BootDevice, firmware: Firmware, deadline: float
    ) -> bool:
        """Whether this BMC follows what is set, and merely does not report the other bits.

        Proven by setting another device and seeing it change there and back.
        """
        if flags is None or flags.device != device or flags.first_byte != 0:
            return False
        other = BootDevice.DISK if device == BootDevice.PXE else BootDevice.PXE
        seen = await self._set_and_read(other, firmware, deadline)
        again = await self._set_and_read(device, firmware, deadline)
        if seen is None or again is None or (seen.device, again.device) != (other, device):
            return False
        _log.warning("bmc reports boot device without mode", endpoint=self._tool.name)
        self._quirks = overlay(self._quirks, {"boot_flags": "device"}, "what the BMC shows")
        return True


class ChassisPort:
    """One chassis's power, within one call."""

    def __init__(
        self, tool: IpmiTool, deadline: float, privilege: str, *, is_flag_kept: bool
    ) -> None:
        self._is_flag_kept = is_flag_kept
        self._tool = tool
        self._deadline = deadline
        self._privilege = privilege

    @property
    def name(self) -> str:
        return self._tool.name

    async def read(self) -> PowerState:
        return parse_power(await self._read("chassis", "power", "status"))

    async def send(self, action: Action) -> None:
        await self._tool.send_once(
            *("chassis", "power", _ACTIONS[action]),
            deadline=self._deadline,
            privilege=self._privilege,
        )

    async def traces(self) -> tuple[object, ...]:
        """A restart consumes the boot override (if nothing else does), and has a cause."""
        flags = ("chassis", "bootparam", "get", "5")
        return (
            await self._optional(*flags) if self._is_flag_kept else "",
            await self._optional("chassis", "restart_cause"),
        )

    async def can_restart(self) -> bool:
        return True

    async def _read(self, *command: str) -> str:
        return await self._tool.read(*command, deadline=self._deadline, privilege=self._privilege)

    async def _optional(self, *command: str) -> str:
        try:
            return await self._read(*command)
        except RefusedError:
            return ""


def open_driver(credentials: Credentials, surroundings: Surroundings) -> IpmiDriver:
    return IpmiDriver(credentials, surroundings)
