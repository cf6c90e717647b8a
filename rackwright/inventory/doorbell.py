"""Wakes coroutines that wait for one machine, from any thread, without touching the others."""

import asyncio
import threading
from collections import defaultdict


class Doorbell:
    """Ringing wakes who waits now; who begins to wait later must look first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[str, set[asyncio.Future[None]]] = defaultdict(set)

    def wait(self, key: str) -> "asyncio.Future[None]":
        """A future that the next ``ring`` of the key resolves; look at the state after this."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        with self._lock:
            self._waiting[key].add(future)
        return future

    def leave(self, key: str, future: "asyncio.Future[None]") -> None:
        """Idempotent."""
        with self._lock:
            self._waiting[key].discard(future)
            if not self._waiting[key]:
                del self._waiting[key]

    def ring(self, key: str) -> None:
        with self._lock:
            futures = list(self._waiting.get(key, ()))
        for future in futures:
            loop = future.get_loop()
            if not loop.is_closed():
                loop.call_soon_threadsafe(_wake, future)


def _wake(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)


class Allowance:
    """At most ``amount`` in each ``period_s``: what strangers may make us write."""

    def __init__(self, amount: int, period_s: float) -> None:
        self._amount = amount
        self._period_s = period_s
        self._began = 0.0
        self._used = 0

    def take(self, now: float) -> bool:
        if not 0 <= now - self._began < self._period_s:
            self._began, self._used = now, 0
        self._used += 1
        return self._used <= self._amount
