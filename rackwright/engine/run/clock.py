"""Clocks: the system's, and a virtual one that moves only while its run has nothing to commit."""

import asyncio
import heapq
import time
from collections.abc import Callable
from typing import Protocol


class Timeline(Protocol):
    """Where a simulated machine's future is written down."""

    def monotonic(self) -> float: ...

    def call_later(self, delay_s: float, action: Callable[[], None]) -> None: ...

    def hold(self) -> None:
        """Something is under way outside the timeline: virtual time stands still."""

    def release(self) -> None: ...


class SystemClock:
    """The system's clocks; needs a running event loop to wait."""

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    async def wait(self, woken: asyncio.Event, until: float | None) -> None:
        if woken.is_set():
            return
        delay_s = None if until is None else max(0.0, until - self.monotonic())
        try:
            async with asyncio.timeout(delay_s):
                await woken.wait()
        except TimeoutError:
            return

    def call_later(self, delay_s: float, action: Callable[[], None]) -> None:
        asyncio.get_running_loop().call_later(delay_s, action)

    def hold(self) -> None:
        """Real time does not stand still."""

    def release(self) -> None:
        """See ``hold``."""


class VirtualClock:
    """Time as a heap of what will happen. Ties are taken in the order they were written down."""

    def __init__(self, start: float = 0.0) -> None:
        self._start = start
        self._elapsed = 0.0
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self._holds = 0

    def now(self) -> float:
        return self._start + self._elapsed

    def monotonic(self) -> float:
        return self._elapsed

    def call_later(self, delay_s: float, action: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._heap, (self._elapsed + max(0.0, delay_s), self._count, action))

    def hold(self) -> None:
        self._holds += 1

    def release(self) -> None:
        self._holds -= 1

    async def wait(self, woken: asyncio.Event, until: float | None) -> None:
        while not woken.is_set():
            if self._holds:
                await asyncio.sleep(0)
            elif until is not None and (not self._heap or until <= self._heap[0][0]):
                self._elapsed = max(self._elapsed, until)
                return
            elif self._heap:
                self._happen()
            else:
                await woken.wait()

    def _happen(self) -> None:
        """Everything due at the next instant, so that a batch is a batch."""
        due = self._heap[0][0]
        self._elapsed = max(self._elapsed, due)
        while self._heap and self._heap[0][0] <= due:
            heapq.heappop(self._heap)[2]()
