"""The engine's Fence over the inventory's lease: nothing is sent by an owner that may be none."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

import structlog

from rackwright.engine.drivers.timing import Timing
from rackwright.engine.run.errors import LeaseLostError
from rackwright.inventory.errors import InventoryError

log = structlog.get_logger(__name__)


class Leased(Protocol):
    """What is asked of the ``Inventory``."""

    @property
    def others_until(self) -> float | None: ...

    def may_act(self) -> bool: ...

    async def renew(self) -> None: ...


class OwnerFence:
    """One per owner. After a takeover BMCs are left alone until what an earlier owner sent last
    must have been answered: ``bmc_timeout_s`` after it can have sent anything."""

    def __init__(
        self,
        inventory: Leased,
        *,
        bmc_timeout_s: float = Timing().action_answer_s,
        now: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._inventory = inventory
        self._monotonic = monotonic
        self._sleep = sleep
        self._quiet_until = monotonic()
        if inventory.others_until is not None:
            self._quiet_until += inventory.others_until + bmc_timeout_s - now()

    async def quiet(self) -> None:
        """See ``Fence``."""
        left_s = self._quiet_until - self._monotonic()
        if left_s > 0:
            log.warning("bmc.left_alone", why="an earlier owner may have acted", wait_s=int(left_s))
            await self._sleep(left_s)

    async def check(self) -> None:
        """See ``Fence``. A lease that ran out unseen (the process was stopped, the disk was slow)
        is renewed by a commit, which a newer owner refuses."""
        if self._inventory.may_act():
            return
        try:
            await self._inventory.renew()
        except InventoryError as error:
            raise LeaseLostError(f"nothing was sent: {error.message}", hint=error.hint) from error
        if not self._inventory.may_act():
            raise LeaseLostError("the owner's lease is over; nothing was sent")
