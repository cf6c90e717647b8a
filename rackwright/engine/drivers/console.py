"""The last lines of a machine's console, kept while it boots, for when it fails."""

import asyncio
from collections import deque
from types import TracebackType

from rackwright.engine.drivers.power.base import ConsoleDriver
from rackwright.engine.drivers.timing import Clock, MonotonicClock, Timing
from rackwright.engine.errors import EngineError


class ConsoleTail:
    """Follows a console, takes it again when it drops, and keeps its last lines.

    ``async with ConsoleTail(driver) as tail: ...``; its task ends with the block.
    """

    def __init__(
        self,
        driver: ConsoleDriver,
        *,
        keep: int = 200,
        clock: Clock | None = None,
        timing: Timing | None = None,
    ) -> None:
        self._driver = driver
        self._lines: deque[str] = deque(maxlen=keep)
        self._clock = clock or MonotonicClock()
        self._timing = timing or Timing()
        self._task: asyncio.Task[None] | None = None
        self.error = ""  # why the console is not followed at the moment, "" when it is

    @property
    def lines(self) -> tuple[str, ...]:
        """Oldest first."""
        return tuple(self._lines)

    async def follow(self) -> None:
        """Never returns: for a TaskGroup of the caller's."""
        drops = 0
        while True:
            try:
                async with self._driver.console() as lines:
                    self.error = ""
                    async for line in lines:
                        self._lines.append(line)
                        drops = 0
                self.error = "the BMC dropped the console"
            except EngineError as error:
                self.error = str(error)
            await self._clock.sleep(self._timing.busy_after(drops))
            drops += 1

    async def __aenter__(self) -> "ConsoleTail":
        self._task = asyncio.create_task(self.follow())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
