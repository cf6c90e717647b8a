"""A clock that only sleeping moves."""

import asyncio


class FakeClock:
    def __init__(self) -> None:
        self._now = 1000.0
        self.slept: list[float] = []

    def now(self) -> float:
        return self._now

    async def sleep(self, duration_s: float) -> None:
        self.slept.append(duration_s)
        self._now += duration_s
        await asyncio.sleep(0)
