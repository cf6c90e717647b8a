"""The last lines that a machine said of itself, kept for the moment it fails.

They come from the ramdisk's log over the connection that is open anyway, from the step's own
output, and from the BMC's serial-over-LAN where the driver offers it.
"""

import asyncio
import re
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog

from rackwright.engine.drivers.power.base import ConsoleDriver, PowerDriver
from rackwright.engine.errors import EngineError
from rackwright.engine.executors.shell.base import Shell, script

LINES = 60
LINE_CHARACTERS = 300
CONTROL = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f]")

log = structlog.get_logger(__name__)


class Ring:
    """The last lines of a stream of bytes, without terminal control sequences."""

    def __init__(self, lines: int = LINES) -> None:
        self._lines: deque[str] = deque(maxlen=lines)
        self._partial = b""

    def add(self, chunk: bytes) -> None:
        *whole, self._partial = (self._partial + chunk).split(b"\n")
        self._partial = self._partial[-4 * LINE_CHARACTERS :]
        for line in whole:
            self._keep(line)

    def text(self) -> str:
        shown = list(self._lines)
        if last := _clean(self._partial):
            shown.append(last)
        return "\n".join(shown[-LINES:])

    def _keep(self, line: bytes) -> None:
        if shown := _clean(line):
            self._lines.append(shown)


class Consoles:
    """One ring per machine."""

    def __init__(self) -> None:
        self._rings: dict[str, Ring] = {}

    def ring(self, machine_id: str) -> Ring:
        return self._rings.setdefault(machine_id, Ring())

    @asynccontextmanager
    async def following(
        self, machine_id: str, *, shell: Shell | None = None, power: PowerDriver | None = None
    ) -> AsyncIterator[None]:
        """Keep the machine's ring filled meanwhile. Losing a source is no error."""
        ring = self.ring(machine_id)
        sources = []
        if shell is not None:
            sources.append(asyncio.create_task(_follow_log(shell, ring)))
        if isinstance(power, ConsoleDriver):
            sources.append(asyncio.create_task(_follow_serial(power, ring)))
        await asyncio.sleep(0)  # they listen before anything happens
        try:
            yield
        finally:
            for source in sources:
                source.cancel()
            await asyncio.gather(*sources, return_exceptions=True)


async def _follow_log(shell: Shell, ring: Ring) -> None:
    try:
        await shell.run(script("journal"), timeout_s=86400.0, on_output=ring.add)
    except EngineError as error:
        log.debug("log no longer followed", error=str(error))


async def _follow_serial(power: ConsoleDriver, ring: Ring) -> None:
    try:
        async with power.console() as lines:
            async for line in lines:
                ring.add(line.encode() + b"\n")
    except EngineError as error:
        log.debug("console no longer followed", error=str(error))


def _clean(line: bytes) -> str:
    text = CONTROL.sub("", line.decode("utf-8", "replace").rstrip("\r").rsplit("\r", 1)[-1])
    return text.rstrip()[:LINE_CHARACTERS]
