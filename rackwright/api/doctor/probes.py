"""What doctor asks of the machine. The only place here that touches it."""

import os
import secrets
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Protocol

_NETNS_DIRECTORY = Path("/run/netns")


class Probes(Protocol):
    """Questions with plain answers; none of them raises."""

    def is_root(self) -> bool: ...

    def python_version(self) -> tuple[int, int]: ...

    def which(self, command: str) -> str | None: ...

    def exists(self, path: str) -> bool: ...

    def opens(self, device: str) -> str:
        """ "" where the device opens for reading and writing, else why not."""

    def can_make_namespace(self) -> str:
        """ "" where a network namespace can be made (it is removed again), else why not."""

    def namespaces(self) -> frozenset[str]: ...

    def can_bind(self, address: str, port: int) -> str:
        """ "" where a TCP listener can be bound, else why not."""

    def free_bytes(self, path: Path) -> int:
        """On the filesystem of the nearest existing ancestor."""

    def available_memory_bytes(self) -> int: ...

    def filesystem(self, path: Path) -> str:
        """The type of the filesystem that holds ``path``, as in mountinfo."""

    def unwritable(self, path: Path) -> str:
        """ "" where the directory is or can be made and written, else why not."""

    def apt_repositories(self) -> tuple[str, ...]:
        """Base URIs in apt's configuration."""


class SystemProbes:
    """The machine we run on."""

    def is_root(self) -> bool:
        return os.geteuid() == 0

    def python_version(self) -> tuple[int, int]:
        return sys.version_info[:2]

    def which(self, command: str) -> str | None:
        path = os.environ.get("PATH", os.defpath)
        return shutil.which(command, path=f"{path}:/usr/sbin:/sbin")

    def exists(self, path: str) -> bool:
        return Path(path).exists()

    def opens(self, device: str) -> str:
        try:
            os.close(os.open(device, os.O_RDWR | os.O_CLOEXEC))
        except OSError as error:
            return error.strerror or str(error)
        return ""

    def can_make_namespace(self) -> str:
        name = f"rw-doctor-{secrets.token_hex(4)}"
        made = _run("ip", "netns", "add", name)
        if made is None:
            _run("ip", "netns", "del", name)
            return ""
        return made

    def namespaces(self) -> frozenset[str]:
        if not _NETNS_DIRECTORY.is_dir():
            return frozenset()
        return frozenset(entry.name for entry in _NETNS_DIRECTORY.iterdir())

    def can_bind(self, address: str, port: int) -> str:
        try:
            with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listener.bind((address, port))
        except OSError as error:
            return error.strerror or str(error)
        return ""

    def free_bytes(self, path: Path) -> int:
        return shutil.disk_usage(_existing(path)).free

    def available_memory_bytes(self) -> int:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
        return 0

    def filesystem(self, path: Path) -> str:
        return filesystem_of(_existing(path), Path("/proc/self/mountinfo").read_text())

    def unwritable(self, path: Path) -> str:
        nearest = _existing(path)
        if not nearest.is_dir():
            return f"{nearest} is not a directory"
        return "" if os.access(nearest, os.W_OK | os.X_OK) else f"{nearest} is not writable"

    def apt_repositories(self) -> tuple[str, ...]:
        try:
            listed = subprocess.run(
                ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"],
                capture_output=True,
                text=True,
                check=False,
                timeout=20,
            )
        except (OSError, subprocess.TimeoutExpired):
            return ()
        return tuple(dict.fromkeys(listed.stdout.split()))


def filesystem_of(path: Path, mountinfo: str) -> str:
    """The type of the deepest mount that holds ``path`` (proc(5), /proc/PID/mountinfo)."""
    best, kind = -1, ""
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        fields = before.split()
        if len(fields) < 5 or not after:
            continue
        point = Path(fields[4].replace("\\040", " "))
        if path.is_relative_to(point) and len(point.parts) >= best:
            best, kind = len(point.parts), after.split()[0]
    return kind


def _existing(path: Path) -> Path:
    resolved = path.absolute()
    while not resolved.exists():
        resolved = resolved.parent
    return resolved.resolve()


def _run(*argv: str) -> str | None:
    """None on success, else the reason in a line."""
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=20)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    if done.returncode == 0:
        return None
    return (done.stderr.strip().splitlines() or [f"exit {done.returncode}"])[-1]
