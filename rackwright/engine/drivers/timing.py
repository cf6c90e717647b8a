"""How long things may take out-of-band, and the clock that says so.

Every figure is a default that one caller may change for all its BMCs and a quirk for one model.
"""

import asyncio
import time
from dataclasses import dataclass
from typing import Protocol


class Clock(Protocol):
    def now(self) -> float:
        """Monotonic seconds."""

    async def sleep(self, duration_s: float) -> None: ...


class MonotonicClock:
    def now(self) -> float:
        return time.monotonic()

    async def sleep(self, duration_s: float) -> None:
        await asyncio.sleep(duration_s)


@dataclass(frozen=True, slots=True)
class Timing:
    """Bounds of a driver's calls, in seconds. The defaults suit BMCs that answer after many."""

    connect_timeout_s: float = 10.0
    request_timeout_s: float = 60.0  # one answer to one read
    action_answer_s: float = 45.0  # the answer to an action; after that the state is read
    read_deadline_s: float = 420.0  # a whole call that only reads, or sets a boot device
    action_deadline_s: float = 600.0  # a whole call that changes power
    effect_s: float = 300.0  # from an action that the BMC took until the state shows it
    unanswered_s: float = 120.0  # how long the effect of an unanswered action is looked for
    lag_s: float = 10.0  # how long after a refusal the state may still turn out to be right
    transition_s: float = 60.0  # how long a state that is neither on nor off is waited out
    poll_s: float = 1.0
    poll_max_s: float = 5.0
    grace_s: float = 10.0  # logging out, and ending a child, after the call's own time
    min_interval_s: float = 0.1  # between two operations on one endpoint
    busy_s: float = 2.0  # first back-off from a busy BMC that names none
    busy_max_s: float = 30.0
    transport_tries: int = 3  # reads that met a dead transport
    read_back_tries: int = 6  # of a setting, until it is what was set

    def poll_after(self, count: int) -> float:
        """Seconds to wait before poll number ``count`` (from 0)."""
        return min(self.poll_s * 1.5**count, self.poll_max_s)

    def busy_after(self, count: int) -> float:
        return min(self.busy_s * 2.0**count, self.busy_max_s)
