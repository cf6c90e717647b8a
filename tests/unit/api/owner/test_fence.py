import asyncio

import pytest

from rackwright.api.owner.fence import OwnerFence
from rackwright.engine.run.errors import LeaseLostError
from rackwright.inventory.errors import StaleOwnerError

NOW = 1_800_000_000.0


class Leased:
    """An owner's lease; ``renewable`` says whether a commit still works."""

    def __init__(self, others_until: float | None = None) -> None:
        self.others_until = others_until
        self.alive = True
        self.renewable = True

    def may_act(self) -> bool:
        return self.alive

    async def renew(self) -> None:
        if not self.renewable:
            raise StaleOwnerError("owner epoch 1 is over, the database is at 2")
        self.alive = True


def waits(others_until: float | None, passed_s: float = 0.0) -> list[float]:
    """How long BMCs are left alone, asked ``passed_s`` after the start."""
    slept: list[float] = []
    at = 50.0

    async def sleep(duration_s: float) -> None:
        slept.append(duration_s)

    fence = OwnerFence(
        Leased(others_until), bmc_timeout_s=45.0, now=lambda: NOW, monotonic=lambda: at, sleep=sleep
    )
    at += passed_s
    asyncio.run(fence.quiet())
    return slept


def test_after_a_takeover_bmcs_are_left_alone_for_the_lease_and_their_timeout() -> None:
    assert waits(NOW + 15.0) == [60.0]
    assert waits(NOW + 15.0, passed_s=20.0) == [40.0]


def test_without_an_earlier_owner_who_may_have_acted_nobody_waits() -> None:
    assert waits(None) == []
    assert waits(NOW - 3600.0) == []
    assert waits(NOW + 15.0, passed_s=60.0) == []


def test_a_lease_that_ran_out_unseen_is_renewed_before_anything_is_sent() -> None:
    lease = Leased()
    lease.alive = False
    asyncio.run(OwnerFence(lease).check())
    assert lease.alive


def test_an_owner_that_was_replaced_sends_nothing() -> None:
    lease = Leased()
    lease.alive = lease.renewable = False
    with pytest.raises(LeaseLostError, match="nothing was sent"):
        asyncio.run(OwnerFence(lease).check())
