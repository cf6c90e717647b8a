"""What executors need to know about machines, handed in as Protocols that the engine owns."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from rackwright.engine.drivers.power.base import PowerDriver
from rackwright.engine.machine import Machine


@dataclass(frozen=True, slots=True)
class SshTarget:
    """Where and how a machine is reached, and by what its host key is known.

    Exactly one of ``pinned_host_key`` and ``certificate_authority`` is set (OpenSSH public key
    lines); with an authority the host certificate must carry ``principal``.
    """

    address: str
    port: int
    user: str
    principal: str
    pinned_host_key: str = ""
    certificate_authority: str = ""


@dataclass(frozen=True, slots=True)
class RamdiskContact:
    """What the armed ramdisk posted: its address and boot id. Its key is certified by our CA."""

    address: str
    boot_id: str
    target: SshTarget


class Directory(Protocol):
    """Machines by id, as the inventory holds them now, and what is recorded about them."""

    def machine(self, machine_id: str) -> Machine: ...

    def os_target(self, machine_id: str) -> SshTarget:
        """The installed (or existing) OS. Raises OperatorError when the machine has no address."""

    def ramdisk_contact(self, machine_id: str) -> RamdiskContact | None:
        """The last accepted contact, None if there was none."""

    def power(self, machine_id: str) -> PowerDriver:
        """A driver bound to the machine's BMC; its endpoint's queue is shared."""

    def long_host_certificate(self, machine_id: str) -> str:
        """A host certificate for the OS about to be installed, over the key that the ramdisk
        posted: the install keeps that key, and the principal is the OS's."""

    def authorized_key(self) -> str:
        """Our public client key, as an OpenSSH line."""

    def client_key_path(self) -> Path:
        """The private client key, mode 0600."""

    async def record_discovered(self, machine_id: str, facts: Mapping[str, object]) -> None:
        """Drives, NICs, firmware, memory: as hardware/discover's evidence gives them."""

    async def record_erasing(self, machine_id: str, install_id: str, drive_serial: str) -> None:
        """The installed record no longer holds; committed before the first write."""

    async def record_installed(self, machine_id: str, evidence: Mapping[str, object]) -> None:
        """A passed verify of an install."""

    async def record_cluster(self, cluster: str, cluster_id: str) -> None: ...

    def cluster_id(self, cluster: str) -> str:
        """The recorded id, "" if the cluster was never formed."""

    def artifact(self, reference: str) -> Path:
        """A local file named by the plan's artifacts, its digest verified."""


class Netboot(Protocol):
    """Arms machines to boot our ramdisk, and hears from them."""

    async def arm(self, machine_id: str, run_id: str, stage: str, ttl_s: float) -> None:
        """Allow one machine, for one run, for a limited time; a new window each time."""

    async def disarm(self, machine_id: str) -> None:
        """Idempotent."""

    async def wait_for_contact(self, machine_id: str, run_id: str) -> RamdiskContact:
        """Resolves when the armed machine's key post was accepted in this window."""
