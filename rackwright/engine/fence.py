"""The last question before anything is sent to a machine: is this controller still the owner?

A machine refuses the steps of an older controller by its epoch; a BMC knows no epochs. So the lease
is looked at just before each message, and after a takeover nothing is asked of a BMC until what the
earlier owner may have sent has had its effect.
"""

from typing import Protocol


class Fence(Protocol):
    async def quiet(self) -> None:
        """Returns once no action of an earlier owner can still be on its way to a BMC."""

    async def check(self) -> None:
        """Returns while the owner's lease lives. Raises ``LeaseLostError``: send nothing."""


class NoFence:
    """For whoever acts alone: tests, and tools without an owner."""

    async def quiet(self) -> None:
        return

    async def check(self) -> None:
        return
