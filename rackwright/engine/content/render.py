"""Renders templates in worker processes bounded in time, memory and output.

A worker is kept; one that overruns, crashes or answers nonsense is killed and replaced. Only plain
JSON values go in, and no secrets: scripts read those on the machine. A worker gets an empty
environment.
"""

import asyncio
import contextlib
import hashlib
import json
import struct
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import rackwright
from rackwright.engine.errors import EngineError, OperatorError

CPU_S = 2.0
WALL_S = 60.0
"""Only for a worker that hangs: a render has nothing to wait for, and on a busy controller both the
worker and the loop that reads its answer may be late."""
_MAX_CONTEXT_BYTES = 4 << 20
_MAX_REPLY_BYTES = 2 << 20
_MAX_SOURCES = 2000
_LENGTH = struct.Struct(">I")
_WORKER_CODE = (  # -I ignores PYTHONPATH and the working directory: nobody else's jinja2
    f"import sys; sys.path.insert(0, {str(Path(rackwright.__file__).resolve().parent.parent)!r}); "
    "from rackwright.engine.content.render_worker import main; main()"
)


class RenderError(OperatorError):
    """A template could not be rendered; ``source_id`` and ``line`` (0: unknown) say where."""

    def __init__(self, source_id: str, line: int, message: str) -> None:
        where = f"{source_id}:{line}" if line else source_id
        super().__init__(
            f"{where}: {message}", hint="try the script with `rackwright workflow check`"
        )
        self.source_id = source_id
        self.line = line


class RendererError(EngineError):
    """The worker itself could not be started or spoken to: ours."""


@dataclass(slots=True)
class _Worker:
    process: asyncio.subprocess.Process
    sources: dict[str, str] = field(default_factory=dict)  # source id -> digest of what it holds


class Renderer:
    """A pool of at most ``workers`` processes, started when first needed. Close it when done."""

    def __init__(self, workers: int = 2, cpu_s: float = CPU_S) -> None:
        self._free: list[_Worker] = []
        self._slots = asyncio.Semaphore(workers)
        self._cpu_s = cpu_s
        self._is_closed = False

    async def __aenter__(self) -> "Renderer":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def render(self, source_id: str, source_text: str, context: Mapping[str, object]) -> str:
        """The rendered text. Raises RenderError for what template or context do wrong.

        ``source_id`` names the template in messages and keys its compiled form in each worker.
        """
        try:
            plain = json.dumps(context, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise RendererError(f"{source_id}: the context is not plain JSON: {error}") from error
        if len(plain) > _MAX_CONTEXT_BYTES:
            raise RenderError(source_id, 0, f"its values are over {_MAX_CONTEXT_BYTES} bytes")
        async with self._slots:
            if self._is_closed:
                raise RendererError("the renderer is closed")
            worker = self._free.pop() if self._free else await _start()
            is_kept = False
            try:
                reply = await self._ask(worker, source_id, source_text, plain)
                is_kept = not self._is_closed and len(worker.sources) < _MAX_SOURCES
            finally:
                if is_kept:
                    self._free.append(worker)
                else:
                    await _end(worker)
        if "text" in reply:
            return str(reply["text"])
        raise RenderError(source_id, int(reply.get("line", 0)), str(reply.get("error")))

    async def close(self) -> None:
        """Ends all idle workers; busy ones end with their render. Idempotent."""
        self._is_closed = True
        while self._free:
            await _end(self._free.pop())

    async def _ask(
        self, worker: _Worker, source_id: str, source_text: str, plain: str
    ) -> dict[str, Any]:
        digest = hashlib.sha256(source_text.encode("utf-8", "surrogatepass")).hexdigest()
        head: dict[str, object] = {"id": source_id, "cpu_s": self._cpu_s}
        if worker.sources.get(source_id) != digest:
            head["source"] = source_text
            worker.sources[source_id] = digest
        body = f'{json.dumps(head)[:-1]}, "context": {plain}}}'.encode()
        try:
            async with asyncio.timeout(WALL_S):
                reply = await _exchange(worker.process, body)
        except TimeoutError as error:
            raise RenderError(source_id, 0, f"it takes longer than {WALL_S:.0f} s") from error
        except (OSError, asyncio.IncompleteReadError, ValueError) as error:
            raise RenderError(
                source_id, 0, f"it uses more than {self._cpu_s} s of CPU, or too much memory"
            ) from error
        if "error" in reply:
            worker.sources.pop(source_id, None)
        return reply


async def _exchange(process: asyncio.subprocess.Process, body: bytes) -> dict[str, Any]:
    if process.stdin is None or process.stdout is None:
        raise OSError("no pipes")
    process.stdin.write(_LENGTH.pack(len(body)) + body)
    await process.stdin.drain()
    size = _LENGTH.unpack(await process.stdout.readexactly(_LENGTH.size))[0]
    if size > _MAX_REPLY_BYTES:
        raise ValueError("the reply is too large")
    reply = json.loads(await process.stdout.readexactly(size))
    if not isinstance(reply, dict):
        raise ValueError("the reply is no object")
    return reply


async def _start() -> _Worker:
    try:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-c", _WORKER_CODE),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env={},
            start_new_session=True,
        )
    except OSError as error:
        raise RendererError(f"a render worker does not start: {error.strerror}") from error
    return _Worker(process)


async def _end(worker: _Worker) -> None:
    """Kill and reap, also when the caller is being cancelled."""
    if worker.process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            worker.process.kill()
    if worker.process.stdin is not None:
        worker.process.stdin.close()
    await asyncio.shield(worker.process.wait())
