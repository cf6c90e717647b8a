"""The engine's Directory over the inventory: machines, how they are reached, what is recorded."""

import time
from collections.abc import Mapping
from pathlib import Path

from rackwright.api.owner.convert import credentials_of, machine_of
from rackwright.api.wiring.certificates import (
    CertificateAuthority,
    os_principal,
    ramdisk_principal,
)
from rackwright.engine.drivers.factory import PowerDrivers
from rackwright.engine.drivers.power.base import PowerDriver
from rackwright.engine.errors import OperatorError
from rackwright.engine.executors.ports import RamdiskContact, SshTarget
from rackwright.engine.images.artifact import Artifact, verify
from rackwright.engine.machine import Machine
from rackwright.inventory.facade import Inventory
from rackwright.inventory.values import ContactView

SSH_PORT = 22
USER = "root"


class InventoryDirectory:
    """One per owner; the runs share it. ``artifacts``: those that the run's plan names."""

    def __init__(
        self,
        inventory: Inventory,
        authority: CertificateAuthority,
        drivers: PowerDrivers,
        artifacts: Mapping[str, Artifact],
    ) -> None:
        self._inventory = inventory
        self._authority = authority
        self._drivers = drivers
        self._artifacts = artifacts
        self._verified: set[str] = set()

    def machine(self, machine_id: str) -> Machine:
        return machine_of(self._inventory.machine(machine_id))

    def os_target(self, machine_id: str) -> SshTarget:
        binding = self._inventory.ssh_binding(machine_id)
        if binding is not None:
            return SshTarget(
                address=binding.address,
                port=binding.port,
                user=binding.user,
                principal=os_principal(machine_id),
                pinned_host_key=binding.host_key,
            )
        view = self._inventory.machine(machine_id)
        if not view.management_address:
            raise OperatorError(
                f"machine {view.name} has no address",
                hint="enrol it with address: and segment:, or with ssh:",
                machine=view.name,
            )
        address = view.management_address.partition("/")[0]
        return self._certified(address, os_principal(machine_id))

    def ramdisk_contact(self, machine_id: str) -> RamdiskContact | None:
        contact = self._inventory.contact(machine_id)
        return None if contact is None else self.contact_of(contact)

    def contact_of(self, contact: ContactView) -> RamdiskContact:
        return RamdiskContact(
            address=contact.address,
            boot_id=contact.boot_id,
            target=self._certified(contact.address, ramdisk_principal(contact.machine_id)),
        )

    def power(self, machine_id: str) -> PowerDriver:
        found = self._inventory.credentials(machine_id)
        return self._drivers.open(found.protocol, credentials_of(found))

    def long_host_certificate(self, machine_id: str) -> str:
        contact = self._inventory.contact(machine_id)
        if contact is None:
            raise OperatorError(f"machine {machine_id} never reported from a ramdisk")
        return self._authority.sign_os(contact.host_key, machine_id, time.time())

    def authorized_key(self) -> str:
        return self._authority.authorized_key

    def client_key_path(self) -> Path:
        return self._authority.client_key_path

    async def record_discovered(self, machine_id: str, facts: Mapping[str, object]) -> None:
        await self._inventory.record_discovered(machine_id, facts)

    async def record_erasing(self, machine_id: str, install_id: str, drive_serial: str) -> None:
        await self._inventory.record_erasing(machine_id, install_id, drive_serial)

    async def record_installed(self, machine_id: str, evidence: Mapping[str, object]) -> None:
        await self._inventory.record_installed(machine_id, evidence)

    async def record_cluster(self, cluster: str, cluster_id: str) -> None:
        await self._inventory.record_cluster(cluster, cluster_id)

    def cluster_id(self, cluster: str) -> str:
        return self._inventory.cluster_id(cluster)

    def artifact(self, reference: str) -> Path:
        """The artifact's one payload file; its digest is verified once for each run."""
        found = self._artifacts.get(reference)
        if found is None:
            raise OperatorError(
                f"artifact {reference} is not part of this run's plan",
                hint=f"build it: rackwright image build {reference}",
            )
        if reference not in self._verified:
            verify(found)
            self._verified.add(reference)
        names = sorted(found.files)
        if len(names) != 1:
            raise OperatorError(f"artifact {reference} has {len(names)} files, one can be pushed")
        return found.file(names[0])

    def _certified(self, address: str, principal: str) -> SshTarget:
        return SshTarget(
            address=address,
            port=SSH_PORT,
            user=USER,
            principal=principal,
            certificate_authority=self._authority.authority,
        )
