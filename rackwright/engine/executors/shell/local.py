"""Scripts on the controller itself, through the same supervisor as over SSH.

The controller's environment is not handed on: it may hold what a script must not see.
"""

import asyncio
from collections.abc import AsyncIterable, Callable, Mapping
from contextlib import suppress
from pathlib import Path

from rackwright.engine.errors import UnreachableError
from rackwright.engine.executors.shell.base import Completed, Tail, command
from rackwright.engine.processes import spawned

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
GRACE_S = 10.0
"""How long a script's end is awaited past its limit, or after its lifeline was cut."""


class LocalShell:
    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        self._environment = dict(environment or {"PATH": PATH, "HOME": str(Path.home())})

    async def run(
        self,
        script: str,
        *args: str,
        timeout_s: float,
        payload: AsyncIterable[bytes] | None = None,
        on_output: Callable[[bytes], None] | None = None,
    ) -> Completed:
        text = script.encode()
        creation = asyncio.create_subprocess_exec(
            *command(text, args, timeout_s, payload=payload is not None),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=self._environment,
            cwd="/",
            start_new_session=True,
        )
        process = await spawned(creation, _end)
        try:
            async with asyncio.timeout(timeout_s + GRACE_S):
                return await self._converse(process, text, payload, on_output)
        except TimeoutError as error:
            raise UnreachableError("a script did not end at its limit") from error
        finally:
            await _end(process)

    async def _converse(
        self,
        process: asyncio.subprocess.Process,
        text: bytes,
        payload: AsyncIterable[bytes] | None,
        on_output: Callable[[bytes], None] | None,
    ) -> Completed:
        assert process.stdout is not None
        assert process.stderr is not None
        stdout, stderr = Tail(), Tail()
        async with asyncio.TaskGroup() as group:
            group.create_task(_read(process.stdout, stdout, on_output))
            group.create_task(_read(process.stderr, stderr, None))
            group.create_task(_write(process, text, payload))
        status = await process.wait()
        return Completed(status if status >= 0 else None, stdout.value(), stderr.value())


async def _read(
    stream: asyncio.StreamReader, tail: Tail, on_output: Callable[[bytes], None] | None
) -> None:
    while chunk := await stream.read(65536):
        tail.add(chunk)
        if on_output is not None:
            on_output(chunk)


async def _write(
    process: asyncio.subprocess.Process, text: bytes, payload: AsyncIterable[bytes] | None
) -> None:
    """The script, then its payload. Without one stdin stays open: it is the lifeline."""
    assert process.stdin is not None
    with suppress(BrokenPipeError, ConnectionResetError):  # its exit status says more
        process.stdin.write(text)
        await process.stdin.drain()
        if payload is None:
            return
        async for chunk in payload:
            process.stdin.write(chunk)
            await process.stdin.drain()
        process.stdin.close()


async def _end(process: asyncio.subprocess.Process) -> None:
    """Cut the lifeline and reap. The supervisor kills what it started."""
    if process.stdin is not None:
        process.stdin.close()
    if process.returncode is not None:
        return
    try:
        async with asyncio.timeout(GRACE_S):
            await process.wait()
    except TimeoutError:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
