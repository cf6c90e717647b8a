"""What every in-band executor of one run is given: plain values, ports and callables.

Nothing here decides. The wiring makes one ``Scope`` per run and hands it to the executors.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import NamedTuple, Protocol

from rackwright.engine.errors import OperatorError
from rackwright.engine.executors.ports import Directory, Netboot
from rackwright.engine.fence import Fence, NoFence
from rackwright.engine.machine import Machine
from rackwright.engine.plan.model import Erasure, Plan, PlannedMachine, PlannedStage
from rackwright.engine.run.ports import OutcomeSink


class Render(Protocol):
    def __call__(
        self, source_id: str, text: str, context: Mapping[str, object], /
    ) -> Awaitable[str]: ...


StageOutputs = Mapping[str, Mapping[str, Mapping[str, object]]]
"""stage -> machine id -> output name -> value."""


@dataclass(frozen=True, slots=True)
class JournaledPlay:
    """An Ansible play as it was journaled before it began, for one attempt."""

    attempt: int
    phase: str
    marker: str
    pid: int
    started: int
    boot_id: str


@dataclass(frozen=True, slots=True)
class Journaled:
    """What earlier controllers committed in this run, read from its journal at resume."""

    unrevoked: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """stage -> names of secrets with a mint intent and no later revoked fact."""
    erase_attempts: Mapping[int, Mapping[int, str]] = field(default_factory=dict)
    """task -> attempt with an erase intent -> the ``boot_id`` in the intent's detail."""
    plays: Mapping[int, tuple[JournaledPlay, ...]] = field(default_factory=dict)
    """task -> its Ansible plays, oldest first."""


class Subject(NamedTuple):
    """What one task is about."""

    task: int
    stage_index: int
    machine_index: int
    stage: PlannedStage
    planned: PlannedMachine


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    plan: Plan
    run_id: str
    owner_epoch: int
    directory: Directory
    netboot: Netboot
    sink: OutcomeSink
    render: Render
    script_text: Callable[[str, str], str]
    """(role, path inside its folder) -> the run's own copy of the script."""
    outputs: Callable[[], StageOutputs]
    leader: Callable[[str], str]
    """Group name -> the elected machine's id, "" while there is none."""
    artifacts: Callable[[str], Mapping[str, Mapping[str, object]]]
    """Machine id -> artifact reference -> {digest, files: {name: {sha256, size_bytes, url}}}; the
    URLs are those that this machine reaches."""
    controller: Callable[[str], Mapping[str, str]]
    """Machine id -> {url, address} of the controller as that machine reaches it."""
    role_files: Callable[[str], Mapping[str, bytes]] = lambda _role: {}
    """Role -> the run's own copy of everything in its folder, by path inside it."""
    booted: Callable[[str], bool] = lambda _machine_id: False
    """Has this run itself powered the machine on, so that it may do so again?"""
    journaled: Journaled = field(default_factory=Journaled)
    fence: Fence = field(default_factory=NoFence)
    _erasures: dict[str, Erasure] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self._erasures.update((erasure.machine_id, erasure) for erasure in self.plan.erasures)

    def subject(self, task: int) -> Subject:
        stage_index, machine_index = divmod(task, len(self.plan.machines))
        return Subject(
            task,
            stage_index,
            machine_index,
            self.plan.stages[stage_index],
            self.plan.machines[machine_index],
        )

    def task(self, stage_index: int, machine_index: int) -> int:
        return stage_index * len(self.plan.machines) + machine_index

    def machine(self, subject: Subject) -> Machine:
        return self.directory.machine(subject.planned.id)

    def erasure(self, machine_id: str) -> Erasure | None:
        return self._erasures.get(machine_id)

    def cluster_id(self) -> str:
        return self.directory.cluster_id(self.plan.cluster) if self.plan.cluster else ""

    def role_script(self, stage: PlannedStage, path: str) -> tuple[str, str]:
        """(source id for messages, text). Raises ``OperatorError`` for a path out of the role."""
        if path.startswith("/") or ".." in PurePosixPath(path).parts:
            raise OperatorError(f"{stage.role}: {path} is not inside the role", stage=stage.name)
        return f"{stage.role}/{path}", self.script_text(stage.role, path)
