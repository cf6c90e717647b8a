"""Processes of the lab, recognised for certain before anything is done to them.

A process is ours if pid and start time are those recorded, or if its command line is one that only
this lab writes and names the machine's own directory. A pid alone proves nothing.
"""

import json
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from rackwright.lab.errors import HostError

_PROC = Path("/proc")
_CHASSIS_MODULE = b"rackwright.lab.chassis"
_GRACE_S = 5.0
_POLL_S = 0.02


@dataclass(frozen=True, slots=True)
class Process:
    pid: int
    start_ticks: int  # since boot; field 22 of /proc/PID/stat, proc(5)


def identify(pid: int) -> Process | None:
    """The process that has this pid now; None if there is none, or only a zombie."""
    try:
        fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else Process(pid, int(fields[19]))


def is_alive(process: Process) -> bool:
    return identify(process.pid) == process


def record(process: Process, path: Path) -> None:
    """Write the process' identity to ``path``, whole or not at all."""
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(asdict(process)))
    partial.replace(path)


def recorded(path: Path) -> Process | None:
    """The process recorded at ``path`` if it still runs and is the same one."""
    try:
        process = Process(**json.loads(path.read_text()))
    except (FileNotFoundError, ValueError, TypeError):
        return None
    return process if is_alive(process) else None


def owned(machines: Path) -> Iterator[Process]:
    """Every chassis and QEMU on this host whose command line names a directory in ``machines``."""
    prefix = os.fsencode(machines) + b"/"
    for entry in _PROC.iterdir():
        if not entry.name.isdecimal():
            continue
        process = identify(int(entry.name))
        try:
            argv = (entry / "cmdline").read_bytes().split(b"\0")
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        if process and _is_ours(argv, prefix):
            yield process


def _is_ours(argv: list[bytes], prefix: bytes) -> bool:
    if _CHASSIS_MODULE in argv:
        return any(argument.startswith(prefix) for argument in argv)
    if Path(os.fsdecode(argv[0])).name.startswith("qemu-system-"):
        doubled = prefix.replace(b",", b",,")  # as QEMU's command line writes it
        return any(b"file=" + doubled in argument for argument in argv)
    return False


def end(processes: list[Process]) -> None:
    """SIGTERM, then SIGKILL after a grace; returns when all are gone. Raises ``HostError``."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        for process in processes:
            if is_alive(process):
                _signal(process, number)
        deadline = time.monotonic() + _GRACE_S
        while any(is_alive(process) for process in processes) and time.monotonic() < deadline:
            time.sleep(_POLL_S)
    left = [process.pid for process in processes if is_alive(process)]
    if left:
        raise HostError(f"processes do not end: {left}", hint="look at them with ps")


def _signal(process: Process, number: signal.Signals) -> None:
    """Signal exactly this process: a pidfd cannot come to mean another one, pidfd_open(2)."""
    try:
        descriptor = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return
    try:
        if is_alive(process):
            signal.pidfd_send_signal(descriptor, number)
    except ProcessLookupError:
        return
    finally:
        os.close(descriptor)
