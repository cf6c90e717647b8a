"""What the inventory hands out: plain frozen values. ``MachineView`` fits the engine's Machine.

Field names equal those of ``rackwright.engine.machine`` where both exist, so that ``api`` can
convert field by field; nothing here holds a credential.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class NicView:
    mac: str
    name: str = ""
    driver: str = ""
    speed_mbps: int | None = None


@dataclass(frozen=True, slots=True)
class DriveView:
    serial: str
    wwn: str
    path: str
    model: str
    size_bytes: int
    sector_bytes: int
    transport: str
    rotational: bool
    removable: bool
    has_data: bool
    signatures: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class BmcView:
    """``endpoint`` is the endpoint's id; ``address`` is host or host:port."""

    endpoint: str
    protocol: str
    address: str


@dataclass(frozen=True, slots=True)
class InstalledView:
    install_id: str
    image_digest: str
    drive_serial: str
    generation: int
    os: str


@dataclass(frozen=True, slots=True)
class SshBindingView:
    """A machine that came with an OS. ``host_key`` is an OpenSSH public key line."""

    address: str
    port: int
    user: str
    host_key: str


@dataclass(frozen=True, slots=True)
class ContactView:
    """The last accepted contact of a machine's ramdisk; ``at`` in unix seconds."""

    machine_id: str
    run_id: str
    stage: str
    address: str
    boot_id: str
    host_key: str
    firmware: str
    ramdisk_digest: str
    at: float


@dataclass(frozen=True, slots=True)
class MachineView:
    """The first block fits the engine's Machine; the second is for people."""

    id: str
    name: str
    site: str
    rack: str
    machine_class: str
    labels: Mapping[str, str]
    state: str
    origin: str
    firmware: str | None
    pxe_mac: str
    management_address: str
    cluster_address: str
    gateway: str
    dns: tuple[str, ...]
    bmc: BmcView | None
    nics: tuple[NicView, ...]
    drives: tuple[DriveView, ...] | None
    installed: InstalledView | None
    protected: bool
    product: str
    memory_bytes: int | None
    cpu_count: int | None
    console: str
    boot_deadline_s: float
    facts: Mapping[str, object] = field(default_factory=dict)

    vendor: str = ""
    uuid: str = ""
    serial: str = ""
    segment: str = ""
    boot_method: str = "pxe"
    leave_netboot: str = "auto"  # how it is given back to its firmware: auto, exit, sanboot
    bios_disk: int = 0  # the disk that sanboot starts, as the BIOS counts them
    cluster: str = ""
    pool: str = ""
    run: str = ""  # the run that holds it reserved
    generation: int = 0  # of the last installation begun, installed or not
    enrolled_at: float = 0.0
    discovered_at: float | None = None

    def selectable(self) -> dict[str, str]:
        """Labels and pseudo-labels, as selectors see them; empty pseudo-labels are absent."""
        pseudo = {
            "name": self.name,
            "class": self.machine_class,
            "rack": self.rack,
            "site": self.site,
            "state": self.state,
            "pool": self.pool,
        }
        return {**self.labels, **{key: value for key, value in pseudo.items() if value}}


@dataclass(frozen=True, slots=True)
class SegmentView:
    """``dhcp`` is full, proxy, external or none."""

    name: str
    site: str
    subnet: str
    vlan: int | None
    gateway: str
    mtu_bytes: int
    dns: tuple[str, ...]
    ntp: tuple[str, ...]
    dhcp: str
    dhcp_first: str
    dhcp_last: str
    relay: str
    interface: str
    boot_server: str


@dataclass(frozen=True, slots=True)
class RunView:
    """``status`` is the engine's RunStatus as an integer. Times are unix seconds."""

    id: str
    no: int
    plan_digest: str
    kind: str
    workflow: str
    cluster: str
    status: int
    actor: str
    created_at: float
    ended_at: float | None
    first_seq: int
    stages: tuple[str, ...] = ()
    machines: tuple[tuple[str, str], ...] = ()  # (machine id, name), in index order


@dataclass(frozen=True, slots=True)
class TaskView:
    """One task's projection; ``stage`` and ``machine`` are the run's indices."""

    stage: int
    machine: int
    stage_name: str
    machine_name: str
    state: int
    attempt: int
    error: str
    evidence: bytes
    updated_at: float
    console: str = ""


@dataclass(frozen=True, slots=True)
class ClusterView:
    name: str
    workflow: str
    cluster_id: str
    spec: Mapping[str, object]
    members: tuple[tuple[str, str], ...]  # (machine id, pool)
    created_at: float
    updated_at: float


@dataclass(frozen=True, slots=True)
class BmcCredentials:
    """For power drivers alone. ``repr`` shows no password."""

    protocol: str
    endpoint: str
    address: str
    username: str
    password: str = field(repr=False)
    system: str = ""
    certificate_pem: str = ""
    cipher_suite: int = 17
    quirks: Mapping[str, object] = field(default_factory=dict)
