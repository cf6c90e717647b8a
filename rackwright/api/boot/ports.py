"""The seams of the boot app: who may boot what, where files lie, who signs, who is told.

The app holds no state of the rack: windows, tokens and identities belong to whoever implements
``BootWindows``; that side makes every transition, once, in a transaction.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

Firmware = Literal["bios", "uefi", ""]
"""As enrolled or discovered; "" where nothing is known yet."""
Leave = Literal["auto", "exit", "sanboot"]


class BootRefusedError(Exception):
    """Root of the refusals. Their text goes to the audit, never to the machine that asked."""


class UnknownTokenError(BootRefusedError):
    """No window has this token: never minted, superseded, or of another run."""


class ExpiredTokenError(BootRefusedError):
    """The token's window is over, or was spent and closed."""


class IdentityMismatchError(BootRefusedError):
    """UUID, serial or MACs are not those of the token's machine."""


class KeyConflictError(BootRefusedError):
    """A second, different host key came for the same window: the machine is quarantined."""


@dataclass(frozen=True, slots=True)
class MintedBoot:
    """An armed machine's one-time boot. ``token`` exists here and in the script only."""

    token: str
    machine_id: str
    ramdisk: str  # digest of the ramdisk artifact
    kernel_args: tuple[str, ...]  # console first; one word each
    firmware: Firmware

    def __repr__(self) -> str:
        return f"MintedBoot(machine_id={self.machine_id!r}, ramdisk={self.ramdisk!r})"


@dataclass(frozen=True, slots=True)
class NotArmed:
    """A machine that is enrolled and may not boot from us now.

    ``leave`` is how its model leaves the network boot: "auto" lets the firmware's kind decide,
    because a bare ``exit`` strands some servers and ``sanboot`` others. ``bios_disk`` counts the
    BIOS's disks from 0 (INT 13h drive 0x80 and on).
    """

    machine_id: str
    leave: Leave = "auto"
    bios_disk: int = 0


@dataclass(frozen=True, slots=True)
class Contact:
    """What a ramdisk says of itself. Untrusted, but of checked shape and bounded length."""

    uuid: str
    serial: str
    vendor: str
    product: str
    macs: tuple[str, ...]  # lower case, colons
    boot_id: str
    machine_id: str  # the ramdisk's /etc/machine-id, not ours
    firmware: Firmware
    host_key: str  # "ssh-ed25519 AAAA...", without a comment
    ramdisk: str  # digest, "" where it has none


@dataclass(frozen=True, slots=True)
class Acceptance:
    """The answer to an accepted contact; the same contact again gives an equal one."""

    machine_id: str
    name: str
    principal: str  # of the host certificate, e.g. "m-1a2b3c4d5e6f.ramdisk"
    authorized_key: str  # our client key, an OpenSSH line


class BootWindows(Protocol):
    """Who is armed, by whom, until when."""

    async def mint(self, mac: str) -> MintedBoot | NotArmed | None:
        """A fresh token for the armed machine, superseding its last; None: the MAC is unknown.

        ``mac`` is lower case with colons."""

    async def accept_contact(self, token: str, contact: Contact, peer_address: str) -> Acceptance:
        """Spend the token on this host key, once; idempotent for the same token and key.

        Raises BootRefusedError leaves."""


class Certify(Protocol):
    """The SSH certificate authority."""

    async def __call__(self, acceptance: Acceptance, host_key: str) -> str:
        """A host certificate line over ``host_key`` for ``acceptance.principal``."""


class FileIndex(Protocol):
    """Files by known names."""

    def lookup(self, digest: str, name: str) -> Path | None:
        """The regular file of that artifact, None if there is no such name."""


class Audit(Protocol):
    """Who is told of what was refused."""

    def __call__(self, event: str, fields: Mapping[str, str]) -> None:
        """``event`` is constant: boot.mac_unknown, boot.contact_refused, boot.key_conflict."""
