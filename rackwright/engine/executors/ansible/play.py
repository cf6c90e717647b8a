"""One play: a child process of its own that runs one phase of a stage on a batch of machines.

The child is started first and waits; its pid is journaled for every attempt in the batch; only then
is it released. However the play ends, none of its processes and none of its files stay here.
"""

import asyncio
import json
import os
import secrets as random
import sys
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import structlog

from rackwright.engine.errors import MachineError
from rackwright.engine.executors.ansible import child, leftovers
from rackwright.engine.executors.ansible.directory import (
    Contents,
    Member,
    PrivateDirectory,
    inventory_name,
)
from rackwright.engine.executors.ansible.leftovers import PlayId
from rackwright.engine.executors.ansible.redact import Redactor
from rackwright.engine.executors.ansible.report import Folded, HostReport
from rackwright.engine.processes import spawned

FORKS_PER_CORE = 4
"""What keeps ansible-playbook within the controller's memory and cores."""
STDERR_BYTES = 64 * 1024

log = structlog.get_logger(__name__)


class Play:
    def __init__(self, root: Path, programs: Path, phase: str) -> None:
        self.marker = random.token_hex(16)
        self.phase = phase
        self._programs = programs
        self._directory = PrivateDirectory(root / self.marker, self.marker)
        self._is_over = False

    async def run(
        self,
        members: Callable[[], Sequence[Member]],
        contents: Contents,
        client_key: Path,
        redactor: Redactor,
        *,
        journal: Callable[[PlayId], Awaitable[None]],
    ) -> dict[str, HostReport]:
        """Machine id -> its report. ``members`` is asked when all is journaled: who left until
        then takes no part. Raises what ``journal`` raises, with nothing done."""
        await asyncio.to_thread(self._directory.make)
        try:
            process = await self._spawn()
            try:
                await journal(leftovers.play_id(self.marker, process.pid, self.phase))
                chosen = tuple(members())
                if not chosen:
                    return {}
                await asyncio.to_thread(self._directory.write, chosen, contents, client_key)
                folded = await self._released(process, len(chosen), redactor)
                return {m.machine_id: folded.of(inventory_name(m)) for m in chosen}
            finally:
                await _uninterrupted(self._end(process))
        finally:
            self._is_over = True
            await _uninterrupted(asyncio.to_thread(self._directory.remove))

    async def drop(self, machine_id: str) -> None:
        """Take one machine out of a play that goes on for others: its connection ends, and no new
        one is trusted. What already runs on the machine is ended by whoever asks for this."""
        if self._is_over:
            return
        self._directory.drop(machine_id)
        path = self._directory.control_path(machine_id)
        if path is None:
            return
        with suppress(OSError, TimeoutError):
            master = await asyncio.create_subprocess_exec(
                *("ssh", "-F", "none", "-o", f"ControlPath={path}", "-O", "exit", "gone"),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
            )
            async with asyncio.timeout(5):
                await master.wait()

    async def _spawn(self) -> asyncio.subprocess.Process:
        # -I: no directory and no variable of the operator's decides what the child imports
        creation = asyncio.create_subprocess_exec(
            *(sys.executable, "-I", child.__file__),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=self._directory.path,
            env=self._directory.environment(self._programs),
            start_new_session=True,
            limit=2 * child.LONGEST,
        )
        return await spawned(creation, lambda process: _uninterrupted(self._end(process)))

    async def _released(
        self, process: asyncio.subprocess.Process, count: int, redactor: Redactor
    ) -> Folded:
        if process.stdin is None or process.stdout is None or process.stderr is None:
            raise RuntimeError("the child has no pipes")
        forks = max(1, min(count, FORKS_PER_CORE * (os.cpu_count() or 1)))
        order = {"directory": str(self._directory.path), "forks": forks}
        folded = Folded(redactor)
        async with asyncio.TaskGroup() as group:
            complaint = group.create_task(_tail(process.stderr))
            with suppress(BrokenPipeError, ConnectionResetError):  # its stderr says more
                process.stdin.write(json.dumps(order).encode() + b"\n")
                await process.stdin.drain()
            while line := await process.stdout.readline():
                folded.add(line)
        status = await process.wait()
        if status != 0:
            said = redactor.text(complaint.result().decode("utf-8", "replace"))
            log.error("play broke", phase=self.phase, status=status)
            raise MachineError(f"ansible-runner ended with {status}: {said[-1000:].strip()}")
        return folded

    async def _end(self, process: asyncio.subprocess.Process) -> None:
        """Every process of the play: workers and shared connections have sessions of their own."""
        if process.stdin is not None:
            with suppress(OSError):
                process.stdin.close()
        if not await asyncio.to_thread(leftovers.end_marked, {self.marker}):
            log.error("play not ended", phase=self.phase, pid=process.pid)
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
        await process.wait()


async def _uninterrupted(work: Coroutine[Any, Any, None]) -> None:
    """Whoever cancels waits until the work is done."""
    task, is_cancelled = asyncio.create_task(work), False
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            is_cancelled = True
    task.result()
    if is_cancelled:
        raise asyncio.CancelledError


async def _tail(stream: asyncio.StreamReader) -> bytes:
    kept = b""
    while chunk := await stream.read(65536):
        kept = (kept + chunk)[-STDERR_BYTES:]
    return kept
