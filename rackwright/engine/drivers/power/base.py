"""The power driver seam: what every driver can do out-of-band, and what it promises.

Promises, held by tests/conformance/test_power.py on every driver: an action is sent once; after a
timed-out action the state is read before anything is sent again; what was set is read back;
no session is left open; TLS is verified against the pinned certificate.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, runtime_checkable

from rackwright.engine.errors import UnreachableError
from rackwright.engine.machine import Firmware


class ActionUnconfirmedError(UnreachableError):
    """An action was sent once, its answer never came, and no effect of it could be seen.

    It may still have been applied: confirm by the machine itself (boot id, boot contact) before
    the call is made again.
    """


class PowerState(StrEnum):
    ON = "on"
    OFF = "off"
    UNKNOWN = "unknown"  # the BMC answered, and says neither


class BootDevice(StrEnum):
    PXE = "pxe"
    DISK = "disk"


@dataclass(frozen=True, slots=True)
class Credentials:
    """How to reach and trust one BMC endpoint. ``repr`` must never show the password."""

    address: str  # host or host:port
    username: str
    password: str
    system: str = ""  # Redfish system id; "" means the only one
    certificate_pem: str = ""  # pinned certificate, Redfish
    cipher_suite: int = 17  # IPMI
    quirks: Mapping[str, object] | None = None

    def __repr__(self) -> str:
        return f"Credentials(address={self.address!r}, username={self.username!r})"


class PowerDriver(Protocol):
    """One machine's BMC. Every call has a deadline of its own and raises ``EngineError`` leaves:

    ``UnreachableError`` when no trusted answer came, ``MachineError`` when the BMC refused.
    """

    async def power_state(self) -> PowerState: ...

    async def power_on(self) -> None:
        """Returns when the BMC reports on."""

    async def power_off(self) -> None:
        """Hard off. Returns when the BMC reports off."""

    async def reset(self) -> None:
        """Hard reset of a running machine; powers on one that is off."""

    async def set_boot_once(self, device: BootDevice, firmware: Firmware) -> None:
        """Set the next boot's device in the firmware's mode, read it back, raise if refused."""

    async def boot_once(self) -> BootDevice | None:
        """The one-time device now set, None if none."""

    async def sensors(self) -> Mapping[str, str]: ...

    async def close(self) -> None:
        """Log out; idempotent."""


@runtime_checkable
class ConsoleDriver(Protocol):
    """A driver whose BMC also carries the machine's serial console."""

    def console(self) -> AbstractAsyncContextManager[AsyncIterator[str]]:
        """Lines as the machine writes them, until the BMC drops the stream; the console is given
        back on exit. Raises MachineError when the BMC refuses it."""
