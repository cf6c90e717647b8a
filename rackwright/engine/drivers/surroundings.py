"""What every driver is handed beside its credentials."""

from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field

from rackwright.engine.drivers.endpoint import EndpointQueue
from rackwright.engine.drivers.quirks import QuirkTable
from rackwright.engine.drivers.timing import Clock, Timing
from rackwright.engine.fence import Fence, NoFence

# Asks a person, waits for the answer: (machine or BMC, what is asked) -> what was answered.
Ask = Callable[[str, str], Awaitable[str]]


@dataclass(frozen=True, slots=True)
class Surroundings:
    queue: EndpointQueue  # the endpoint's own, shared by all systems behind it
    threads: Executor  # bounded; blocking libraries run in it
    clock: Clock
    timing: Timing
    quirks: QuirkTable
    ask: Ask | None = None
    fence: Fence = field(default_factory=NoFence)
