"""Keep one dnsmasq serving one segment.

dnsmasq is a process in a session of its own and outlives a killed controller: the machines that
boot just then do not notice. The next controller finds it by ``process.json``: same configuration,
same network namespace -> adopted; else ended (verified by pid, start time and name) and replaced.
Its log is a file, not a pipe, so that it can outlive us at all.

Before full mode starts, another DHCP server on the segment is looked for; if one answers, nothing
is started. An adopted dnsmasq was probed for when it was started.
"""

import asyncio
import os
import shutil
import signal
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Literal

from rackwright.api.dnsmasq import process
from rackwright.api.dnsmasq.config import DhcpMode, Segment, StatePaths, digest, render
from rackwright.api.dnsmasq.errors import RogueServerError, StartError, start_hint
from rackwright.api.dnsmasq.files import prepare, rotate_log
from rackwright.api.dnsmasq.hosts import Reservations
from rackwright.api.dnsmasq.rogue import Offer, rogue_servers

Probe = Callable[[str], Awaitable[Sequence[Offer]]]
Report = Callable[[str, dict[str, object]], None]
"""``event`` is constant: dnsmasq.started, .adopted, .replaced, .died, .stopped, .log."""

_READY_WITHIN_S = 10.0
_BACKOFF_S = (0.5, 1.0, 2.0, 5.0, 15.0, 30.0)
_STEADY_AFTER_S = 60.0
_MAX_LOG_BYTES = 8 * 1024 * 1024


class DnsmasqSupervisor:
    """Start, adopt, watch and end the dnsmasq of one segment.

    ``await start()``, then run ``supervise()`` in a TaskGroup, at last ``await stop()``.
    ``loader_directory`` holds iPXE's loaders as the distribution's package installs them.
    """

    def __init__(
        self,
        segment: Segment,
        state_dir: Path,
        *,
        report: Report,
        probe: Probe = rogue_servers,
        loader_directory: Path = Path("/usr/lib/ipxe"),
        binary: str = "dnsmasq",
        http_boot_url: str = "",
    ) -> None:
        self._segment = segment
        self._paths = StatePaths(state_dir)
        self._report = report
        self._probe = probe
        self._loader_directory = loader_directory
        self._binary = binary
        self._http_boot_url = http_boot_url
        self._handle: process.ProcessHandle | None = None
        self._child_pid: int | None = None
        self._user = ""
        self._log_at = 0
        self.reservations = Reservations(self._paths.hosts, self.reload)

    @property
    def pid(self) -> int | None:
        return self._handle.pid if self._handle and not self._handle.has_ended() else None

    async def start(self) -> Literal["started", "adopted", "replaced"]:
        """Serve; returns once the sockets are bound.

        Raises SegmentError, StartError or RogueServerError, having started nothing.
        """
        loaders, self._user = prepare(self._paths, self._loader_directory)
        text = render(
            self._segment,
            self._paths,
            user=self._user,
            loaders=loaders,
            http_boot_url=self._http_boot_url,
        )
        orphan = self._orphan()
        if orphan is not None and self._fits(orphan, digest(text)):
            self._handle = process.ProcessHandle(orphan)
            self._log_at = self._log_size()
            self._tell("dnsmasq.adopted")
            return "adopted"
        await self._end_strays()
        await self._refuse_rogues()
        self._paths.config.write_text(text)
        await self._spawn(digest(text))
        self._tell("dnsmasq.replaced" if orphan else "dnsmasq.started")
        return "replaced" if orphan else "started"

    async def supervise(self) -> None:
        """Restart dnsmasq whenever it dies, with a growing pause; report its log. Never returns.

        Cancel it before ``stop``.
        """
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow_log())
            tasks.create_task(self._keep_alive())

    async def stop(self) -> None:
        """End dnsmasq. Idempotent; reservations stay on disk."""
        if self._handle is None:
            return
        await self._end(self._handle)
        self._handle = None
        self._paths.process.unlink(missing_ok=True)
        self._tell("dnsmasq.stopped")

    def detach(self) -> None:
        """Leave dnsmasq running for the next controller to adopt."""
        if self._handle is not None:
            self._handle.close()
            self._handle = None

    def reload(self) -> None:
        """Have it read its hosts directory anew (SIGHUP); a stopped one reads it at its start."""
        if self._handle is not None:
            self._handle.signal(signal.SIGHUP)

    # the process ----------------------------------------------------------------------------------

    def _orphan(self) -> process.ProcessRecord | None:
        record = process.load(self._paths.process)
        return record if record and process.is_alive(record, name="dnsmasq") else None

    def _fits(self, record: process.ProcessRecord, config_sha256: str) -> bool:
        return (
            record.config_sha256 == config_sha256
            and process.shares_network(record.pid)
            and self._paths.ready.exists()
        )

    async def _end_strays(self) -> None:
        """Every dnsmasq of this state directory, also one that was killed off before its record."""
        for record in process.running_with(self._config_argument, name="dnsmasq"):
            handle = process.ProcessHandle(record)
            await handle.end()
            handle.close()

    @property
    def _config_argument(self) -> str:
        return f"--conf-file={self._paths.config}"

    async def _refuse_rogues(self) -> None:
        if self._segment.mode is not DhcpMode.FULL:
            return
        interface = self._segment.interface
        try:
            offers = await self._probe(interface)
        except OSError as cause:
            raise StartError(
                f"segment {self._segment.name}: interface {interface}: {cause.strerror}",
                hint="create the interface, give it the boot server's address, and run as root",
            ) from cause
        if offers:
            servers = ", ".join(sorted(str(offer.server) for offer in offers))
            raise RogueServerError(
                f"segment {self._segment.name}: another DHCP server answers on {interface}: "
                f"{servers}",
                hint="switch it off, or set the segment's dhcp to proxy",
            )

    async def _spawn(self, config_sha256: str) -> None:
        binary = shutil.which(self._binary)
        if binary is None:
            raise StartError("dnsmasq is not installed", hint="apt-get install dnsmasq-base")
        self._paths.ready.unlink(missing_ok=True)
        self._rotate_log()
        self._log_at = self._log_size()
        pid = self._launch(binary)
        try:
            record = process.record_of(pid, config_sha256)
            handle = process.ProcessHandle(record)
        except ProcessLookupError as cause:
            raise self._failed_start(pid, "it ended at once") from cause
        process.save(record, self._paths.process)
        try:
            await self._ready(handle)
        except StartError as cause:
            await handle.end(grace_s=1.0)
            handle.close()
            raise self._failed_start(pid, str(cause)) from cause
        except asyncio.CancelledError:
            handle.signal(signal.SIGKILL)
            handle.close()
            self._failed_start(pid, "cancelled")
            raise
        if self._handle is not None:
            self._handle.close()
        self._handle, self._child_pid = handle, pid

    def _launch(self, binary: str) -> int:
        """Not through asyncio: its subprocess transport kills the child when it is closed."""
        errors = str(self._paths.startup_errors)
        return os.posix_spawn(
            binary,
            [binary, self._config_argument, "--keep-in-foreground"],
            {"PATH": os.defpath, "LC_ALL": "C"},
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
                (os.POSIX_SPAWN_OPEN, 2, errors, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600),
            ],
            setsid=True,
        )

    async def _ready(self, handle: process.ProcessHandle) -> None:
        try:
            async with asyncio.timeout(_READY_WITHIN_S):
                while not self._paths.ready.exists():
                    if handle.has_ended():
                        raise StartError("it ended")
                    await asyncio.sleep(0.02)
        except TimeoutError as cause:
            raise StartError(f"it was not ready within {_READY_WITHIN_S:.0f} s") from cause

    def _failed_start(self, pid: int, why: str) -> StartError:
        """Reap the ended child, and say what it said."""
        os.waitpid(pid, 0)
        self._paths.process.unlink(missing_ok=True)
        said = self._paths.startup_errors.read_text(errors="replace").strip().splitlines()
        complaint = said[-1].strip() if said else why
        message = f"segment {self._segment.name}: dnsmasq did not start: {complaint}"
        return StartError(message, hint=start_hint(complaint))

    async def _end(self, handle: process.ProcessHandle) -> None:
        await handle.end()
        handle.close()
        self._reap()

    def _reap(self) -> None:
        """Only after the process has ended: this waits."""
        if self._child_pid is not None:
            os.waitpid(self._child_pid, 0)
            self._child_pid = None

    # supervision ----------------------------------------------------------------------------------

    async def _keep_alive(self) -> None:
        loop = asyncio.get_running_loop()
        failures = 0
        while True:
            if self._handle is None:
                raise StartError("supervise() before start()")
            began = loop.time()
            await self._handle.wait()
            failures = 1 if loop.time() - began > _STEADY_AFTER_S else failures + 1
            self._tell("dnsmasq.died", failures=failures, last_lines=self.log_tail(5))
            await asyncio.sleep(_BACKOFF_S[min(failures, len(_BACKOFF_S)) - 1])
            await self._respawn()

    async def _respawn(self) -> None:
        """A failed start counts as a death: the handle stays ended, and the loop comes round."""
        self._reap()
        try:
            await self._spawn(digest(self._paths.config.read_text()))
        except StartError as error:
            self._tell("dnsmasq.died", error=str(error))
            return
        self._tell("dnsmasq.started")

    async def _follow_log(self) -> None:
        while True:
            for line in self._new_log_lines():
                self._report("dnsmasq.log", {"segment": self._segment.name, "line": line})
            if self._log_size() > _MAX_LOG_BYTES:
                self._rotate_log()
                if self._handle is not None:
                    self._handle.signal(signal.SIGUSR2)
            await asyncio.sleep(0.5)

    def log_tail(self, lines: int) -> list[str]:
        """The last lines of dnsmasq's log."""
        try:
            with self._paths.log.open("rb") as log:
                log.seek(max(0, self._log_size() - 16384))
                return log.read().decode(errors="replace").splitlines()[-lines:]
        except FileNotFoundError:
            return []

    def _new_log_lines(self) -> list[str]:
        size = self._log_size()
        if size < self._log_at:
            self._log_at = 0
        if size == self._log_at:
            return []
        with self._paths.log.open("rb") as log:
            log.seek(self._log_at)
            whole, newline, _rest = log.read(1024 * 1024).rpartition(b"\n")
        self._log_at += len(whole) + len(newline)
        return whole.decode(errors="replace").splitlines() if newline else []

    def _log_size(self) -> int:
        try:
            return self._paths.log.stat().st_size
        except FileNotFoundError:
            return 0

    def _rotate_log(self) -> None:
        if self._log_size() > _MAX_LOG_BYTES:
            rotate_log(self._paths, self._user)
            self._log_at = 0

    def _tell(self, event: str, **fields: object) -> None:
        self._report(event, {"segment": self._segment.name, "pid": self.pid, **fields})
