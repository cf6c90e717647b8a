"""What executors are given in tests: a directory in memory, a sink that remembers, a plan."""

import asyncio
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from jinja2 import Environment, StrictUndefined

from rackwright.engine.drivers.power.base import BootDevice, PowerState
from rackwright.engine.errors import MachineError, OperatorError
from rackwright.engine.executors.ports import RamdiskContact, SshTarget
from rackwright.engine.machine import Bmc, Firmware, Installed, Machine, MachineId, Origin
from rackwright.engine.plan.model import (
    Erasure,
    Plan,
    PlannedMachine,
    PlannedStage,
    Retries,
    SecretSource,
)
from rackwright.engine.run.ports import Attempt, Outcome
from rackwright.engine.schedule.events import Mode

PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFakeFakeFakeFakeFakeFakeFakeFakeFakeFakeFake"
INSTALLED = Installed("i-1", "sha256:1", "SER-1", 1, "debian 12")
BMC = Bmc("bmc-1", "redfish", "192.0.2.10")


def machine(
    machine_id: str,
    *,
    origin: Origin = Origin.EXISTING,
    installed: Installed | None = None,
    bmc: Bmc | None = None,
    firmware: Firmware | None = Firmware.UEFI,
    protected: bool = False,
) -> Machine:
    return Machine(
        id=MachineId(machine_id),
        name=f"name-{machine_id}",
        site="s",
        rack="r",
        machine_class="c",
        labels={},
        state="available",
        origin=origin,
        firmware=firmware,
        pxe_mac="52:54:00:00:00:01",
        management_address="192.0.2.1/24",
        cluster_address="192.0.2.1",
        gateway="",
        dns=(),
        bmc=bmc,
        nics=(),
        drives=None,
        installed=installed,
        protected=protected,
        boot_deadline_s=20.0,
    )


def stage(
    name: str,
    *,
    kinds: Sequence[str] = ("check", "apply", "verify"),
    executor: str = "ssh",
    role: str = "test/role",
    timeout_s: float = 20.0,
    pick: str = "all",
    destructive: str | None = None,
    cluster_scoped: bool = False,
    reboots: str | None = None,
    apply_in: str = "os",
    secrets: Mapping[str, SecretSource] | None = None,
    outputs: tuple[str, ...] = (),
    files: Mapping[str, str] | None = None,
    params: Mapping[str, object] | None = None,
) -> PlannedStage:
    return PlannedStage(
        name=name,
        role=role,
        role_stage=name,
        executor=executor,
        group="all",
        pick="one" if pick == "one" else "all",
        needs=(),
        means_to=(),
        waves=None,
        retries=Retries(),
        timeout_s=timeout_s,
        destructive=destructive,
        always=False,
        cluster_scoped=cluster_scoped,
        reboots=reboots,
        apply_in=apply_in,
        scripts={kind: f"{name}/{kind}.sh" for kind in kinds},
        secrets=secrets or {},
        outputs=outputs,
        files=files or {},
        params=params or {},
    )


def plan(
    machines: Sequence[str], stages: Sequence[PlannedStage], erasures: Sequence[Erasure] = ()
) -> Plan:
    planned = tuple(
        PlannedMachine(m, f"name-{m}", (), "", "existing", (), (), {}, 0, ()) for m in machines
    )
    return Plan(
        digest="d",
        kind="cluster",
        workflow="w",
        cluster="c1",
        cluster_params={},
        machines=planned,
        stages=tuple(stages),
        groups=("managers",),
        erasures=tuple(erasures),
        limits={},
        content={},
        content_digest="",
        artifacts={},
        fingerprint="",
        estimate_s=0.0,
    )


def erasure(machine_id: str, *, attempts: int = 2, generation: int = 1) -> Erasure:
    return Erasure(
        machine_id=machine_id,
        drive_serial="SER-1",
        drive_wwn="",
        drive_model="",
        size_bytes=1,
        sector_bytes=512,
        signatures=(),
        install_id=f"i-{generation}",
        generation=generation,
        attempts=attempts,
        reason="not installed",
    )


def attempt(
    task: int,
    number: int = 1,
    *,
    mode: Mode = Mode.FULL,
    timeout_s: float = 20.0,
    resumed: bool = False,
) -> Attempt:
    return Attempt(task, number, mode, timeout_s, resumed)


def quoted(value: object) -> str:
    return shlex.quote(str(value))


class Renderer:
    """Jinja2 as the product has it: strict, with the quoting filter."""

    def __init__(self) -> None:
        self._environment = Environment(undefined=StrictUndefined, autoescape=False)
        self._environment.filters["q"] = quoted

    async def __call__(self, source_id: str, text: str, context: Mapping[str, object]) -> str:
        return self._environment.from_string(text).render(**context)


class Sink:
    """Remembers outcomes and intents; ``order`` tells what came before what."""

    def __init__(self, earlier: Mapping[tuple[str, int], int] | None = None) -> None:
        self.outcomes: dict[tuple[int, int], Outcome] = {}
        self.elections: dict[int, tuple[int, str]] = {}
        self.order: list[str] = []
        self.intents: list[tuple[str, int, int, dict[str, object]]] = []
        self._counts = dict(earlier or {})
        self._waiting: list[asyncio.Event] = []

    def ended(self, outcome: Outcome) -> None:
        key = (outcome.task, outcome.attempt)
        assert key not in self.outcomes, "one outcome per attempt"
        self.outcomes[key] = outcome
        self._wake()

    def elected(self, group: int, machine: int, error: str) -> None:
        self.elections[group] = (machine, error)
        self._wake()

    async def intend(self, kind: str, task: int, attempt: int, detail: Mapping[str, object]) -> int:
        count = self._counts.get((kind, task), 0)
        self._counts[kind, task] = count + 1
        self.intents.append((kind, task, attempt, dict(detail)))
        self.order.append(f"intend {kind}")
        return count

    async def outcome(self, task: int, number: int = 1, *, within_s: float = 40.0) -> Outcome:
        async with asyncio.timeout(within_s):
            while (task, number) not in self.outcomes:
                await self._change()
        return self.outcomes[task, number]

    async def leader(self, group: int = 0) -> tuple[int, str]:
        async with asyncio.timeout(40):
            while group not in self.elections:
                await self._change()
        return self.elections[group]

    async def _change(self) -> None:
        event = asyncio.Event()
        self._waiting.append(event)
        await event.wait()

    def _wake(self) -> None:
        while self._waiting:
            self._waiting.pop().set()


@dataclass
class Power:
    """A BMC in memory. ``order`` is shared with the sink to see what came first."""

    order: list[str]
    state: PowerState = PowerState.OFF
    refuses: bool = False
    boots: list[tuple[BootDevice, Firmware]] = field(default_factory=list)

    async def power_state(self) -> PowerState:
        return self.state

    async def power_on(self) -> None:
        self.order.append("power_on")
        self.state = PowerState.ON

    async def power_off(self) -> None:
        self.order.append("power_off")
        self.state = PowerState.OFF

    async def reset(self) -> None:
        self.order.append("reset")
        self.state = PowerState.ON

    async def set_boot_once(self, device: BootDevice, firmware: Firmware) -> None:
        if self.refuses:
            raise MachineError("refused")
        self.boots.append((device, firmware))

    async def boot_once(self) -> BootDevice | None:
        return self.boots[-1][0] if self.boots else None

    async def sensors(self) -> Mapping[str, str]:
        return {}

    async def close(self) -> None:
        return


@dataclass
class Directory:
    order: list[str]
    machines: dict[str, Machine] = field(default_factory=dict)
    targets: dict[str, SshTarget] = field(default_factory=dict)
    contacts: dict[str, RamdiskContact] = field(default_factory=dict)
    powers: dict[str, Power] = field(default_factory=dict)
    files: dict[str, Path] = field(default_factory=dict)
    clusters: dict[str, str] = field(default_factory=dict)
    recorded: dict[str, dict[str, object]] = field(default_factory=dict)
    key_path: Path = Path("/nonexistent")
    public_key: str = PUBLIC_KEY

    def machine(self, machine_id: str) -> Machine:
        return self.machines[machine_id]

    def os_target(self, machine_id: str) -> SshTarget:
        if machine_id not in self.targets:
            raise OperatorError("no address")
        return self.targets[machine_id]

    def ramdisk_contact(self, machine_id: str) -> RamdiskContact | None:
        return self.contacts.get(machine_id)

    def power(self, machine_id: str) -> Power:
        return self.powers[machine_id]

    def long_host_certificate(self, machine_id: str) -> str:
        return "ssh-ed25519-cert-v01@openssh.com AAAA"

    def authorized_key(self) -> str:
        return self.public_key

    def client_key_path(self) -> Path:
        return self.key_path

    async def record_discovered(self, machine_id: str, facts: Mapping[str, object]) -> None:
        self.recorded[machine_id] = dict(facts)

    async def record_erasing(self, machine_id: str, install_id: str, drive_serial: str) -> None:
        self.order.append("record_erasing")
        self.machines[machine_id] = replace(self.machines[machine_id], installed=None)

    async def record_installed(self, machine_id: str, evidence: Mapping[str, object]) -> None:
        self.order.append("record_installed")
        self.recorded[machine_id] = dict(evidence)
        self.machines[machine_id] = replace(self.machines[machine_id], installed=INSTALLED)

    async def record_cluster(self, cluster: str, cluster_id: str) -> None:
        self.clusters[cluster] = cluster_id

    def cluster_id(self, cluster: str) -> str:
        return self.clusters.get(cluster, "")

    def artifact(self, reference: str) -> Path:
        return self.files[reference]


@dataclass
class Netboot:
    """Arms in memory; ``on_arm`` stands for the machine that then boots and reports."""

    order: list[str]
    directory: "Directory | None" = None
    on_arm: Callable[[], None] = lambda: None

    async def arm(self, machine_id: str, run_id: str, stage: str, ttl_s: float) -> None:
        self.order.append("arm")
        self.on_arm()

    async def disarm(self, machine_id: str) -> None:
        self.order.append("disarm")

    async def wait_for_contact(self, machine_id: str, run_id: str) -> RamdiskContact:
        contact = self.directory.ramdisk_contact(machine_id) if self.directory else None
        if contact is None:
            await asyncio.Event().wait()
        assert contact is not None
        return contact
