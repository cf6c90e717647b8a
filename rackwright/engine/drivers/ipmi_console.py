"""The serial console over IPMI (SOL): lines as the machine writes them.

ipmitool carries it; it is ended by its own escape so that the BMC's console is free again. Nothing
is ever typed at the machine.
"""

import asyncio
import re
from asyncio.subprocess import Process
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress

from rackwright.engine.drivers.ipmitool import IpmiTool, end
from rackwright.engine.drivers.timing import Clock, Timing
from rackwright.engine.errors import MachineError

_ESCAPE = b"~."  # ipmitool's own "terminate"; it does not reach the machine
_ENDING_S = 3.0
_OPERATIONAL = "SOL Session operational"
_TAKEN = "already active"
_ANSI = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_LINE_MAX = 4096
_IDLE_S = 1.0  # after which an unfinished line (a prompt) is given out


@asynccontextmanager
async def console_lines(
    tool: IpmiTool, clock: Clock, timing: Timing, privilege: str
) -> AsyncIterator[AsyncIterator[str]]:
    """Take the console (from a dead controller too), give its lines, give it back on exit."""
    deadline = clock.now() + timing.read_deadline_s
    process = await _activate(tool, clock, deadline, privilege)
    lines = _lines(process)
    try:
        yield lines
    finally:
        try:
            await lines.aclose()
            await _give_back(process)
        finally:
            await end(process)


async def _activate(tool: IpmiTool, clock: Clock, deadline: float, privilege: str) -> Process:
    """A child whose console is operational."""
    for attempt in (1, 2):
        process = await tool.start_console(deadline, privilege)
        said = ""
        try:
            async with asyncio.timeout(max(1.0, deadline - clock.now())):
                said = await _until_operational(process)
        except TimeoutError:
            said = "no answer to sol activate"
        except BaseException:
            await end(process)
            raise
        if _OPERATIONAL in said:
            return process
        await end(process)
        if _TAKEN not in said or attempt == 2:
            break
        await tool.read("sol", "deactivate", deadline=deadline, privilege=privilege)
    fault = tool.fault(said)
    raise MachineError(f"{tool.name}: no serial console: {fault.message}", hint=fault.hint)


async def _until_operational(process: Process) -> str:
    """What the child said up to the point where the console works, or until its end."""
    assert process.stdout is not None
    assert process.stderr is not None
    said = b""
    while line := await process.stdout.readline():
        said += line
        if _OPERATIONAL.encode() in line:
            return said.decode(errors="replace")
    said += await process.stderr.read()
    return said.decode(errors="replace")


async def _give_back(process: Process) -> None:
    if process.returncode is not None or process.stdin is None:
        return
    with suppress(ConnectionError, TimeoutError):
        async with asyncio.timeout(_ENDING_S):
            process.stdin.write(_ESCAPE)
            await process.stdin.drain()
            await process.communicate()


async def _lines(process: Process) -> AsyncGenerator[str, None]:
    """Lines until the stream drops; a prompt without an end comes out after a second's silence."""
    assert process.stdout is not None
    pending = b""
    while True:
        try:
            async with asyncio.timeout(_IDLE_S if pending else None):
                chunk = await process.stdout.read(4096)
        except TimeoutError:
            yield clean(pending)
            pending = b""
            continue
        if not chunk:
            break
        *complete, pending = (pending + chunk).split(b"\n")
        for line in complete:
            yield clean(line)
        if len(pending) > _LINE_MAX:
            yield clean(pending)
            pending = b""
    if pending:
        yield clean(pending)


def clean(line: bytes) -> str:
    """A console line as text: no escape sequences, no control characters, bounded."""
    return _CONTROL.sub("", _ANSI.sub(b"", line)[:_LINE_MAX].decode(errors="replace"))
