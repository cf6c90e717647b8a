"""The boot service: arms machines, runs DHCP and the boot endpoints of the segments they boot on.

Nothing listens until a run arms a machine on a segment; DHCP serves only where the segment asks for
it. It is the engine's ``Netboot`` and the boot app's ``BootWindows``.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog
import uvicorn

from rackwright.api.boot.app import boot_app
from rackwright.api.boot.files import ArtifactFiles
from rackwright.api.boot.listener import boot_listener
from rackwright.api.boot.ports import (
    Acceptance,
    Contact,
    IdentityMismatchError,
    KeyConflictError,
    MintedBoot,
    NotArmed,
)
from rackwright.api.dnsmasq.config import DhcpMode, Segment
from rackwright.api.dnsmasq.supervisor import DnsmasqSupervisor
from rackwright.api.owner.artifacts import ArtifactStore
from rackwright.api.owner.convert import not_armed_of, segment_of
from rackwright.api.owner.directory import InventoryDirectory
from rackwright.api.wiring.certificates import CertificateAuthority, ramdisk_principal
from rackwright.engine.errors import OperatorError
from rackwright.engine.executors.ports import RamdiskContact
from rackwright.engine.images.artifact import Artifact
from rackwright.inventory import boot_tokens, machines
from rackwright.inventory.errors import ConflictError, HostKeyConflictError, TokenRefusedError
from rackwright.inventory.facade import Inventory
from rackwright.inventory.values import MachineView

log = structlog.get_logger(__name__)
LISTEN_WITHIN_S = 10.0


@dataclass(slots=True)
class _Served:
    """One segment being served."""

    segment: Segment
    server: uvicorn.Server
    dnsmasq: DnsmasqSupervisor | None
    tasks: list["asyncio.Task[None]"]


class BootService:
    """One per owner. Segments are opened at the first arm and closed with the owner."""

    def __init__(
        self,
        inventory: Inventory,
        authority: CertificateAuthority,
        directory: InventoryDirectory,
        artifacts: ArtifactStore,
        *,
        state_dir: Path,
        port: int,
    ) -> None:
        self._inventory = inventory
        self._authority = authority
        self._directory = directory
        self._artifacts = artifacts
        self._state_dir = state_dir
        self._port = port
        self._served: dict[str, _Served] = {}
        self._opening = asyncio.Lock()
        self._addresses: dict[str, str] = {}

    # the engine's Netboot -------------------------------------------------------------------------

    async def arm(self, machine_id: str, run_id: str, stage: str, ttl_s: float) -> None:
        view = self._inventory.machine(machine_id)
        served = await self._open(view)
        try:
            await self._inventory.arm(machine_id, run_id=run_id, stage=stage, ttl_s=ttl_s)
        except ConflictError as error:  # quarantined since, or taken by another run
            raise OperatorError(error.message, hint=error.hint, machine=view.name) from error
        if served.dnsmasq is not None:
            macs = [view.pxe_mac] if view.pxe_mac else [nic.mac for nic in view.nics]
            served.dnsmasq.reservations.arm(machine_id, macs)

    async def disarm(self, machine_id: str) -> None:
        await self._inventory.disarm(machine_id)
        for served in self._served.values():
            if served.dnsmasq is not None:
                served.dnsmasq.reservations.disarm(machine_id)

    async def wait_for_contact(self, machine_id: str, run_id: str) -> RamdiskContact:
        contact = await self._inventory.wait_for_contact(machine_id, run_id)
        return self._directory.contact_of(contact)

    # the boot app's BootWindows -------------------------------------------------------------------

    async def mint(self, mac: str) -> MintedBoot | NotArmed | None:
        minted = await self._inventory.mint(mac, address="")
        if minted is None:
            return self._stranger_or_not_armed(mac)
        ramdisk = self._artifacts.current("ramdisk")
        view = self._inventory.machine(minted.machine_id)
        extra = str(ramdisk.manifest["meta"].get("cmdline") or "").split()
        return MintedBoot(
            token=minted.token,
            machine_id=minted.machine_id,
            ramdisk=ramdisk.digest,
            kernel_args=("console=tty0", f"console={view.console}", *extra),
            firmware="bios" if view.firmware == "bios" else "uefi" if view.firmware else "",
        )

    async def accept_contact(self, token: str, contact: Contact, peer_address: str) -> Acceptance:
        given = boot_tokens.Contact(
            address=peer_address,
            host_key=contact.host_key,
            macs=contact.macs,
            uuid=contact.uuid,
            serial=contact.serial,
            boot_id=contact.boot_id,
            machine_id=contact.machine_id,
            firmware=contact.firmware,
            ramdisk_digest=contact.ramdisk,
        )
        try:
            accepted = await self._inventory.spend(token, given)
        except HostKeyConflictError as error:
            raise KeyConflictError(str(error)) from error
        except TokenRefusedError as error:
            raise IdentityMismatchError(str(error)) from error
        return Acceptance(
            machine_id=accepted.machine_id,
            name=accepted.machine_name,
            principal=ramdisk_principal(accepted.machine_id),
            authorized_key=self._authority.authorized_key,
        )

    # for scripts ----------------------------------------------------------------------------------

    def controller_for(self, machine_id: str) -> Mapping[str, str]:
        """``url`` and ``address`` of this controller as the machine reaches it; empty strings where
        its segment names no boot server."""
        view = self._inventory.machine(machine_id)
        if not view.segment:
            return {"url": "", "address": ""}
        address = self._inventory.segment(view.segment).boot_server
        return {"url": f"http://{address}:{self._port}" if address else "", "address": address}

    def artifacts_for(
        self, machine_id: str, artifacts: Mapping[str, Artifact]
    ) -> dict[str, dict[str, object]]:
        """Digest and files of each artifact, with the URLs at which the machine gets them."""
        base = self.controller_for(machine_id)["url"]
        return {
            name: {
                "digest": artifact.digest,
                "files": {
                    file: {
                        "sha256": entry.sha256,
                        "size_bytes": entry.size_bytes,
                        "url": f"{base}/boot/file/{artifact.digest}/{file}" if base else "",
                    }
                    for file, entry in artifact.files.items()
                },
            }
            for name, artifact in artifacts.items()
        }

    async def serve_for(self, machine_ids: Sequence[str]) -> None:
        """Have the machines' segments served, also again after a restart.

        A ramdisk that lives needs its lease, and what is about to boot needs its script. Raises
        OperatorError, DnsmasqError.
        """
        for view in self._inventory.machines_by_id(machine_ids):
            if view.segment and view.origin == "netboot" and view.segment not in self._served:
                await self._open(view)

    async def close(self) -> None:
        """Stop listening and serving; idempotent."""
        for served in self._served.values():
            served.server.should_exit = True
            for task in served.tasks[1:]:
                task.cancel()
            await asyncio.gather(*served.tasks, return_exceptions=True)
            if served.dnsmasq is not None:
                await served.dnsmasq.stop()
        self._served.clear()

    # segments -------------------------------------------------------------------------------------

    async def _open(self, view: MachineView) -> _Served:
        if not view.segment:
            raise OperatorError(
                f"machine {view.name} is on no segment",
                hint="enrol it with segment: and address:, and the segment with its boot server",
                machine=view.name,
            )
        async with self._opening:
            if view.segment not in self._served:
                self._served[view.segment] = await self._start(view.segment)
        return self._served[view.segment]

    async def _start(self, name: str) -> _Served:
        segment = segment_of(self._inventory.segment(name), self._port)
        app = boot_app(
            base_url=segment.base_url,
            windows=self,
            files=ArtifactFiles(self._artifacts.root),
            clock=time.time,
            certify=self._certify,
            audit=self._audit,
        )
        server = boot_listener(app, address=str(segment.boot_server), port=self._port)
        tasks = [asyncio.create_task(self._listen(server, segment))]
        dnsmasq: DnsmasqSupervisor | None = None
        try:
            await self._listening(server, tasks[0], segment)
            if segment.mode in (DhcpMode.FULL, DhcpMode.PROXY):
                dnsmasq = DnsmasqSupervisor(segment, self._state_dir / name, report=_report)
                await dnsmasq.start()
                dnsmasq.reservations.retain({owner for _, owner in self._inventory.armed_macs()})
                tasks.append(asyncio.create_task(dnsmasq.supervise()))
        except BaseException:
            server.should_exit = True
            await asyncio.gather(*tasks, return_exceptions=True)
            raise
        return _Served(segment, server, dnsmasq, tasks)

    async def _listen(self, server: uvicorn.Server, segment: Segment) -> None:
        try:
            await server.serve()
        except SystemExit as error:
            # uvicorn ends the process where it cannot bind; the run must fail instead.
            raise OperatorError(
                f"segment {segment.name}: cannot listen on {segment.boot_server}:{self._port}",
                hint="is the address on this machine, and the port free? RACKWRIGHT_BOOT_PORT",
            ) from error

    async def _listening(
        self, server: uvicorn.Server, task: "asyncio.Task[None]", segment: Segment
    ) -> None:
        refusal = OperatorError(
            f"segment {segment.name}: the boot endpoints did not start",
            hint=f"is {segment.boot_server}:{self._port} free on this machine?",
        )
        try:
            async with asyncio.timeout(LISTEN_WITHIN_S):
                while not server.started:
                    if task.done():
                        task.result()
                        raise refusal
                    await asyncio.sleep(0.01)
        except TimeoutError as error:
            raise refusal from error

    async def _certify(self, acceptance: Acceptance, host_key: str) -> str:
        return self._authority.sign_ramdisk(host_key, acceptance.machine_id, time.time())

    def _stranger_or_not_armed(self, mac: str) -> NotArmed | None:
        with self._inventory.read() as connection:
            machine_id = machines.id_by_mac(connection, mac)
        if machine_id is None:
            return None
        return not_armed_of(self._inventory.machine(machine_id))

    def _audit(self, event: str, fields: Mapping[str, str]) -> None:
        log.warning(event, **fields)


def _report(event: str, fields: dict[str, object]) -> None:
    if event == "dnsmasq.log":
        log.debug("dnsmasq.log", **fields)
    else:
        log.info(event, **fields)
