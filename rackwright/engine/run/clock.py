"""Clocks: the system's, and a virtual one that moves only while its run has nothing to commit."""

import asyncio
import contextlib
import heapq
import time
from collections.abc import Callable
from typing import Protocol


class Timeline(Protocol):
    """Where a simulated machine's future is written down."""

    def monotonic(self) -> float: ...

    def call_later(self, delay_s: float, action: Callable[[], None]) -> None: ...


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


class VirtualClock:
    """Time as a heap of what will happen. Ties are taken in the order they were written down."""

    def __init__(self, start: float = 0.0) -> None:
        self._start = start
        self._elapsed = 0.0
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0

    def now(self) -> float:
        return self._start + self._elapsed

    def monotonic(self) -> float:
        return self._elapsed

    def call_later(self, delay_s: float, action: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._heap, (self._elapsed + max(0.0, delay_s), self._count, action))

    def next_at(self) -> float | None:
        """When something is written down to happen next."""
        return self._heap[0][0] if self._heap else None

    async def wait(self, woken: asyncio.Event, until: float | None) -> None:
        while not woken.is_set():
            if until is None and not self._heap:
                await woken.wait()
            elif self.step(until):
                return

    def step(self, until: float | None) -> bool:
        """To ``until`` (True) or to what happens before it, whatever comes first."""
        if until is not None and (not self._heap or until <= self._heap[0][0]):
            self._elapsed = max(self._elapsed, until)
            return True
        self._happen()
        return False

    def _happen(self) -> None:
        """Everything due at the next instant, so that a batch is a batch."""
        due = self._heap[0][0]
        self._elapsed = max(self._elapsed, due)
        while self._heap and self._heap[0][0] <= due:
            heapq.heappop(self._heap)[2]()


class PacedClock(VirtualClock):
    """Virtual time that passes at a multiple of real time: for looking on."""

    def __init__(self, speed: float, start: float = 0.0) -> None:
        super().__init__(start)
        self._speed = speed

    async def wait(self, woken: asyncio.Event, until: float | None) -> None:
        while not woken.is_set():
            dues = [at for at in (until, self.next_at()) if at is not None]
            if not dues:
                await super().wait(woken, until)
                return
            delay_s = max(0.0, min(dues) - self.monotonic()) / self._speed
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(delay_s):
                    await woken.wait()
                    return
            if self.step(until):
                return
