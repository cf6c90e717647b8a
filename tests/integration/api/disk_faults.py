"""Errors of a disk, injected into the system calls of a live process by strace(1)."""

import contextlib
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.integration.api.controller import until

WRITES = "pwrite64,write"
FLUSHES = "fsync,fdatasync"


@contextlib.contextmanager
def failing(pid: int, data: Path, calls: str, error: str) -> Iterator[None]:
    """While it lasts, each of ``calls`` on the database, its log and its index gives ``error``."""
    paths = [
        part for end in ("", "-wal", "-shm") for part in ("-P", str(data / f"rackwright.db{end}"))
    ]
    inject = ["-e", f"inject={calls}:error={error}"]
    command = ["strace", "-qq", "-f", "-p", str(pid), *paths, "-o", "/dev/null", *inject]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as strace:
        try:
            until(lambda: strace.poll() is not None or _is_traced(pid))
            assert strace.poll() is None, strace.stderr and strace.stderr.read()
            yield
        finally:
            strace.send_signal(signal.SIGINT)
    until(lambda: not _is_traced(pid))


def _is_traced(pid: int) -> bool:
    """All of its threads."""
    statuses = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/status")]
    return all("TracerPid:\t0\n" not in status for status in statuses)
