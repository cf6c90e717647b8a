"""Files of the controller brought to a machine: named by digest, sent once, checked on arrival."""

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

from rackwright.engine.errors import MachineError
from rackwright.engine.executors.shell.base import Shell, script

OS_DIRECTORY = "/var/lib/rackwright/files"
RAMDISK_DIRECTORY = "/run/rackwright/files"
CHUNK_BYTES = 256 * 1024


class Digests:
    """SHA-256 of local files, computed once per content."""

    def __init__(self) -> None:
        self._known: dict[tuple[Path, int, int], str] = {}

    async def of(self, path: Path) -> str:
        stat = await asyncio.to_thread(path.stat)
        key = (path, stat.st_mtime_ns, stat.st_size)
        if key not in self._known:
            self._known[key] = await asyncio.to_thread(_sha256, path)
        return self._known[key]

    async def remote_paths(self, files: Mapping[str, Path], directory: str) -> dict[str, str]:
        """Name -> where the file lies on a machine once pushed."""
        return {name: remote_path(directory, await self.of(p), p) for name, p in files.items()}

    async def push(self, shell: Shell, path: Path, directory: str, *, timeout_s: float) -> None:
        """Bring one file over unless the machine has it. Raises ``MachineError``."""
        digest = await self.of(path)
        target = remote_path(directory, digest, path)
        if (await shell.run(script("have"), target, digest, timeout_s=timeout_s)).status == 0:
            return
        pushed = await shell.run(
            script("push"), target, digest, timeout_s=timeout_s, payload=_chunks(path)
        )
        if pushed.status != 0:
            raise MachineError(
                f"{path.name} did not reach the machine whole (exit {pushed.status}): "
                f"{pushed.complaint()}"
            )


def remote_path(directory: str, digest: str, path: Path) -> str:
    name = re.sub(r"[^A-Za-z0-9._-]", "_", path.name)
    return f"{directory}/{digest}-{name}"


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


async def _chunks(path: Path) -> AsyncIterator[bytes]:
    stream = await asyncio.to_thread(path.open, "rb")
    try:
        while chunk := await asyncio.to_thread(stream.read, CHUNK_BYTES):
            yield chunk
    finally:
        stream.close()
