"""The machine's power: starts and ends QEMU, and follows what the guest does to itself.

Theory of operation. One QEMU process is one boot. A guest's reset ends QEMU (``-action
reboot=shutdown``) and its SHUTDOWN event says "guest-reset": the next boot starts with the order
then due. A guest's shutdown, and a QEMU killed from outside, leave the machine off. All changes of
power pass one lock; the watcher of a QEMU that is no longer the current one does nothing.
"""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from rackwright.lab import processes
from rackwright.lab.chassis import boot, qemu
from rackwright.lab.chassis.console import Console
from rackwright.lab.chassis.qmp import Monitor
from rackwright.lab.disks import raw
from rackwright.lab.errors import HardwareError
from rackwright.lab.spec import Firmware, MachineSpec

_START_DEADLINE_S = 20.0


@dataclass(frozen=True, slots=True)
class Build:
    """How this machine is built on this host."""

    rack: str
    accel: str  # kvm or tcg
    firmware_code: Path | None = None
    vars_template: Path | None = None


class Machine:
    """One machine's power and boot settings. Its methods raise ``HardwareError``."""

    def __init__(
        self, spec: MachineSpec, build: Build, directory: Path, tasks: asyncio.TaskGroup
    ) -> None:
        self.spec = spec
        self.console = Console(directory / "console.log")
        self._build = build
        self._directory = directory
        self._tasks = tasks
        self._lock = asyncio.Lock()
        self._process: asyncio.subprocess.Process | None = None
        self._monitor: Monitor | None = None
        self._connected = asyncio.Event()
        self._servers: list[asyncio.Server] = []
        self._settings_path = directory / "boot.json"
        self._settings = self._load_settings()
        self.on_power: list[Callable[[bool], None]] = []

    # -- life of the chassis itself

    async def open(self) -> None:
        """Listen for QEMU's monitor and serial line (paths relative to the machine's directory)."""
        for name in (qemu.QMP_SOCKET, qemu.SERIAL_SOCKET):
            (self._directory / name).unlink(missing_ok=True)
        self._servers = [
            await asyncio.start_unix_server(self._monitor_connected, qemu.QMP_SOCKET),
            await asyncio.start_unix_server(self.console.serve, qemu.SERIAL_SOCKET),
        ]

    async def close(self) -> None:
        await self.power_off()
        for server in self._servers:
            server.close()
        self.console.close()

    async def _monitor_connected(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        monitor = Monitor(reader, writer)
        self._monitor = monitor
        self._connected.set()
        await monitor.run()

    # -- power

    @property
    def is_on(self) -> bool:
        return self._process is not None and self._process.returncode is None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None and self.is_on else None

    async def power_on(self) -> None:
        """Boot the machine; nothing if it is on."""
        async with self._lock:
            if not self.is_on:
                await self._start()

    async def power_off(self) -> None:
        """Cut the power; nothing if it is off."""
        async with self._lock:
            await self._kill()

    async def power_cycle(self) -> None:
        """Off and on again: a fresh boot."""
        async with self._lock:
            await self._kill()
            await self._start()

    def press_power_button(self) -> None:
        """Ask the guest to shut down; it may not listen."""
        if self._monitor is not None:
            self._monitor.send("system_powerdown")

    def interrupt(self) -> None:
        """Send a diagnostic interrupt (NMI)."""
        if self._monitor is not None:
            self._monitor.send("inject-nmi")

    async def _start(self) -> None:
        argv = qemu.command(
            self.spec,
            rack=self._build.rack,
            files=self._files(),
            accel=self._build.accel,
            order=boot.boot_order(self._settings),
            disk_order=boot.disk_order(self.spec, self._is_bootable),
        )
        self._connected.clear()
        with (self._directory / "qemu.log").open("ab") as log:
            try:
                process = await asyncio.create_subprocess_exec(
                    *argv,
                    cwd=self._directory,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            except OSError as error:
                raise HardwareError(f"{argv[0]}: {error.strerror}") from error
        identity = processes.identify(process.pid)
        if identity is not None:
            processes.record(identity, self._directory / "qemu.json")
        self._process = process
        self._tasks.create_task(self._watch(process))
        await self._await_monitor(process)
        self._settle(boot.after_boot(self._settings))
        self._tell(True)

    async def _await_monitor(self, process: asyncio.subprocess.Process) -> None:
        """QEMU's first answer; it has its devices and files by then."""
        ended = asyncio.ensure_future(process.wait())
        answered = asyncio.ensure_future(self._answered())
        try:
            await asyncio.wait(
                {ended, answered},
                timeout=_START_DEADLINE_S,
                return_when=asyncio.FIRST_COMPLETED,
            )
            is_up = answered.done() and not ended.done()
        finally:
            ended.cancel()
            answered.cancel()
        if not is_up:
            await self._kill()
            log = (self._directory / "qemu.log").read_text(errors="replace").splitlines()
            raise HardwareError(f"{self.spec.name}: QEMU did not start: {' '.join(log[-2:])}")

    async def _answered(self) -> None:
        await self._connected.wait()
        if self._monitor is not None:
            await self._monitor.ready.wait()

    async def _kill(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.returncode is None:
            process.kill()
            await process.wait()
        self._ended()

    async def _watch(self, process: asyncio.subprocess.Process) -> None:
        await process.wait()
        if self._process is process and self._monitor is not None:
            await self._monitor.closed.wait()  # its last words may still be in the socket
        async with self._lock:
            if self._process is not process:
                return  # the chassis itself ended it
            self._process = None
            reason = self._monitor.shutdown_reason if self._monitor is not None else ""
            self._ended()
            if process.returncode == 0 and reason == "guest-reset":
                try:
                    await self._start()
                except HardwareError as error:
                    print(error, flush=True)  # noqa: T201 -- the chassis' log

    def _ended(self) -> None:
        (self._directory / "qemu.json").unlink(missing_ok=True)
        self._monitor = None
        self._tell(False)

    def _tell(self, is_on: bool) -> None:
        for listener in tuple(self.on_power):
            listener(is_on)

    def _files(self) -> qemu.Files:
        code = self._build.firmware_code if self.spec.firmware is Firmware.UEFI else None
        return qemu.Files(self._directory, code, self._directory / "vars.fd" if code else None)

    def _is_bootable(self, serial: str) -> bool:
        return raw.is_bootable(self._files().disk(serial))

    # -- boot settings

    @property
    def override(self) -> boot.Override:
        return self._settings.override

    def set_override(self, override: boot.Override) -> None:
        self._settle(replace(self._settings, override=override))

    def wipe_nvram(self, *, pxe_first: bool) -> None:
        """Factory firmware variables, and the setup's order reset. The machine must be off."""
        if self.is_on:
            raise HardwareError(f"{self.spec.name} is on", hint="power it off first")
        first, second = boot.Device.DISK, boot.Device.PXE
        order = (second, first) if pxe_first else (first, second)
        self._settle(replace(self._settings, order=order))
        if self.spec.firmware is Firmware.UEFI and self._build.vars_template is not None:
            (self._directory / "vars.fd").write_bytes(self._build.vars_template.read_bytes())

    def _settle(self, settings: boot.BootSettings) -> None:
        self._settings = settings
        partial = self._settings_path.with_suffix(".partial")
        partial.write_text(json.dumps(boot.to_json(settings)))
        partial.replace(self._settings_path)

    def _load_settings(self) -> boot.BootSettings:
        if self._settings_path.exists():
            return boot.from_json(json.loads(self._settings_path.read_text()))
        return boot.BootSettings(override=boot.Override(mode=self.spec.firmware))
