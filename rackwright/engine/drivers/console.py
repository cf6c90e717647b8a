"""The last lines of a machine's console, kept while it boots, for when it fails."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
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
        quiet_s: float = 60.0,
        clock: Clock | None = None,
        timing: Timing | None = None,
    ) -> None:
        self._driver = driver
        self._lines: deque[str] = deque(maxlen=keep)
        self._quiet_s = quiet_s
        self._clock = clock or MonotonicClock()
        self._timing = timing or Timing()
        self._task: asyncio.Task[None] | None = None
        self.is_following = False
        self.error = ""  # why the console was last lost, "" if it was not

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
                    self.is_following = True
                    await self._keep(lines)
                    drops = 0
                self.error = "the BMC dropped the console"
            except TimeoutError:
                self.error = "the console was quiet, and was taken again"
                drops = 0
            except EngineError as error:
                self.error = str(error)
            finally:
                self.is_following = False
            await self._clock.sleep(self._timing.busy_after(drops))
            drops += 1

    async def _keep(self, lines: AsyncIterator[str]) -> None:
        """Until the stream drops. A BMC that gave the console to another tells nobody: raises
        TimeoutError after a long silence, so that it is taken again."""
        while True:
            try:
                async with asyncio.timeout(self._quiet_s):
                    self._lines.append(await anext(lines))
            except StopAsyncIteration:
                return

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
