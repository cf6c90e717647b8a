"""Scripts on one machine over one SSH connection."""

import asyncio
import shlex
from collections.abc import AsyncIterable, Callable
from contextlib import suppress

import asyncssh

from rackwright.engine.errors import MachineError, UnreachableError
from rackwright.engine.executors.shell.base import Completed, Tail, command

GRACE_S = 15.0
"""How long a script's end is awaited past the limit that the machine itself enforces."""

LOST = (asyncssh.DisconnectError, asyncssh.ChannelOpenError, OSError)


class SshShell:
    """Every command has a channel of its own; sshd allows ten at a time (MaxSessions)."""

    def __init__(self, connection: asyncssh.SSHClientConnection, user: str) -> None:
        self._connection = connection
        self._prefix = [] if user == "root" else ["sudo", "-n", "--"]

    def is_closed(self) -> bool:
        return self._connection.is_closed()

    async def run(
        self,
        script: str,
        *args: str,
        timeout_s: float,
        payload: AsyncIterable[bytes] | None = None,
        on_output: Callable[[bytes], None] | None = None,
    ) -> Completed:
        text = script.encode()
        words = command(text, args, timeout_s, payload=payload is not None)
        try:
            async with asyncio.timeout(timeout_s + GRACE_S):
                return await self._converse(
                    shlex.join([*self._prefix, *words]), text, payload, on_output
                )
        except TimeoutError as error:
            raise UnreachableError("the machine did not say how a script ended") from error
        except asyncssh.ChannelOpenError as error:
            if self._connection.is_closed():
                raise UnreachableError("the connection was lost") from error
            raise MachineError(f"the machine opens no session: {error.reason}") from error
        except LOST as error:
            raise UnreachableError("the connection was lost") from error

    async def _converse(
        self,
        words: str,
        text: bytes,
        payload: AsyncIterable[bytes] | None,
        on_output: Callable[[bytes], None] | None,
    ) -> Completed:
        process = await self._connection.create_process(words, encoding=None, request_pty=False)
        stdout, stderr = Tail(), Tail()
        try:
            readers = asyncio.gather(
                _read(process.stdout, stdout, on_output), _read(process.stderr, stderr, None)
            )
            try:
                await _write(process, text, payload)
                await readers
            finally:
                readers.cancel()
            await process.wait_closed()
        finally:
            process.close()  # ends the lifeline: the machine kills what still runs
        if process.exit_status is None or process.exit_status < 0:
            if process.exit_signal is None:
                raise UnreachableError("the connection was lost")
            return Completed(None, stdout.value(), stderr.value())
        return Completed(process.exit_status, stdout.value(), stderr.value())


async def _read(
    stream: asyncssh.SSHReader[bytes], tail: Tail, on_output: Callable[[bytes], None] | None
) -> None:
    while chunk := await stream.read(65536):
        tail.add(chunk)
        if on_output is not None:
            on_output(chunk)


async def _write(
    process: asyncssh.SSHClientProcess[bytes],
    text: bytes,
    payload: AsyncIterable[bytes] | None,
) -> None:
    """The script, then its payload. Without one stdin stays open: it is the lifeline."""
    with suppress(BrokenPipeError):  # its exit status says more
        process.stdin.write(text)
        await process.stdin.drain()
        if payload is None:
            return
        async for chunk in payload:
            process.stdin.write(chunk)
            await process.stdin.drain()
        process.stdin.write_eof()
