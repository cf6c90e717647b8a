"""Opening power drivers by name. A driver is a module of ``power/`` that has ``open_driver``.

To add one is to add its file. Holds what drivers share: queues, threads, quirks.
"""

import asyncio
import pkgutil
import re
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

from rackwright.engine.drivers import power
from rackwright.engine.drivers.endpoint import EndpointQueues
from rackwright.engine.drivers.power.base import Credentials, PowerDriver
from rackwright.engine.drivers.quirks import load_quirks
from rackwright.engine.drivers.surroundings import Ask, Surroundings
from rackwright.engine.drivers.timing import Clock, MonotonicClock, Timing
from rackwright.engine.errors import OperatorError
from rackwright.engine.fence import Fence, NoFence

_NAME = re.compile(r"[a-z][a-z0-9_]{0,40}")
_SEAM = "base"  # the one module of power/ that is no driver


class _DriverModule(Protocol):
    def open_driver(self, credentials: Credentials, surroundings: Surroundings) -> PowerDriver: ...


def driver_names() -> tuple[str, ...]:
    return tuple(
        sorted(
            module.name for module in pkgutil.iter_modules(power.__path__) if module.name != _SEAM
        )
    )


class PowerDrivers:
    """Opens drivers; one per process, so that an endpoint has one queue."""

    def __init__(
        self,
        *,
        timing: Timing | None = None,
        clock: Clock | None = None,
        quirk_files: Iterable[Path] = (),
        threads: int = 32,
        ask: Ask | None = None,
        fence: Fence | None = None,
    ) -> None:
        """``threads`` bounds blocking requests under way; ``ask`` reaches a person (manual);
        ``fence`` is asked before anything that changes a machine."""
        self._timing = timing or Timing()
        self._clock = clock or MonotonicClock()
        self._quirks = load_quirks(*quirk_files)
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="bmc")
        self._queues = EndpointQueues(self._clock, self._timing)
        self._ask = ask
        self._fence = fence or NoFence()

    def open(self, protocol: str, credentials: Credentials) -> PowerDriver:
        """A driver for one system. No I/O. Raises OperatorError: unknown name, bad credentials."""
        module = _module(protocol)
        surroundings = Surroundings(
            queue=self._queues.of(credentials.address),
            threads=self._threads,
            clock=self._clock,
            timing=self._timing,
            quirks=self._quirks,
            ask=self._ask,
            fence=self._fence,
        )
        return module.open_driver(credentials, surroundings)

    async def close(self) -> None:
        """Wait for what is under way (logouts) and give the threads back."""
        await asyncio.to_thread(self._threads.shutdown)


def _module(protocol: str) -> _DriverModule:
    if not _NAME.fullmatch(protocol) or protocol not in driver_names():
        raise OperatorError(
            f"unknown power driver {protocol[:40]!r}", hint="known: " + ", ".join(driver_names())
        )
    return cast(_DriverModule, import_module(f"{power.__name__}.{protocol}"))
