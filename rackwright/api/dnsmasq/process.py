"""One process, known beyond doubt: by pid, start time and network namespace, signalled by pidfd.

A bare pid may be another process by the time one signals it; a pidfd cannot.
"""

import asyncio
import json
import os
import select
import signal
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ProcessRecord:
    """What a pid file says. ``start_ticks`` is field 22 of /proc/PID/stat (proc(5))."""

    pid: int
    start_ticks: int
    boot_id: str
    config_sha256: str


def record_of(pid: int, config_sha256: str) -> ProcessRecord:
    """Raises ProcessLookupError when there is no such process."""
    ticks = start_ticks(pid)
    if ticks is None:
        raise ProcessLookupError(pid)
    return ProcessRecord(pid, ticks, _boot_id(), config_sha256)


def save(record: ProcessRecord, path: Path) -> None:
    draft = path.with_name(f".{path.name}")
    draft.write_text(json.dumps(asdict(record)))
    draft.replace(path)


def load(path: Path) -> ProcessRecord | None:
    """The record, None when there is none or it is unreadable."""
    try:
        return ProcessRecord(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return None


def is_alive(record: ProcessRecord, *, name: str) -> bool:
    """The recorded process itself runs, and is a ``name``."""
    if record.boot_id != _boot_id() or start_ticks(record.pid) != record.start_ticks:
        return False
    try:
        comm = Path(f"/proc/{record.pid}/comm").read_text().strip()
    except OSError:
        return False
    return comm == name and not _is_zombie(record.pid)


def running_with(argument: str, *, name: str) -> list[ProcessRecord]:
    """Every running ``name`` that was started with exactly this argument."""
    found = []
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            words = (directory / "cmdline").read_bytes().split(b"\0")
            if argument.encode() not in words:
                continue
            record = record_of(int(directory.name), "")
        except (OSError, ProcessLookupError):
            continue
        if is_alive(record, name=name):
            found.append(record)
    return found


def shares_network(pid: int) -> bool:
    """The process lives in our network namespace."""
    try:
        return Path(f"/proc/{pid}/ns/net").readlink() == Path("/proc/self/ns/net").readlink()
    except OSError:
        return False


def start_ticks(pid: int) -> int | None:
    fields = _stat_fields(pid)
    return int(fields[19]) if fields else None


class ProcessHandle:
    """A pidfd over a process that may or may not be our child."""

    def __init__(self, record: ProcessRecord) -> None:
        """Raises ProcessLookupError when the recorded process is gone."""
        self.pid = record.pid
        self._pidfd = os.pidfd_open(record.pid)
        if start_ticks(record.pid) != record.start_ticks:
            os.close(self._pidfd)
            raise ProcessLookupError(record.pid)

    def signal(self, number: signal.Signals) -> None:
        """Nothing happens where the process has ended."""
        try:
            signal.pidfd_send_signal(self._pidfd, number)
        except ProcessLookupError:
            return

    def has_ended(self) -> bool:
        poll = select.poll()
        poll.register(self._pidfd, select.POLLIN)
        return bool(poll.poll(0))

    async def wait(self) -> None:
        """Returns when the process has ended (a pidfd becomes readable: pidfd_open(2))."""
        if self.has_ended():
            return
        loop = asyncio.get_running_loop()
        ended = loop.create_future()

        def readable() -> None:
            loop.remove_reader(self._pidfd)
            if not ended.done():
                ended.set_result(None)

        loop.add_reader(self._pidfd, readable)
        try:
            await ended
        finally:
            loop.remove_reader(self._pidfd)

    async def end(self, *, grace_s: float = 5.0) -> None:
        """SIGTERM, and SIGKILL after the grace."""
        self.signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(grace_s):
                await self.wait()
        except TimeoutError:
            self.signal(signal.SIGKILL)
            await self.wait()

    def close(self) -> None:
        os.close(self._pidfd)


def _stat_fields(pid: int) -> list[str]:
    """The fields after the command name: the name may hold spaces and parentheses."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    except OSError:
        return []


def _is_zombie(pid: int) -> bool:
    fields = _stat_fields(pid)
    return not fields or fields[0] == "Z"


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
