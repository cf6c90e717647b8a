"""The frozen plan: what will be done, to which machine, to which disk. JSON with a digest.

The digest is SHA-256 over canonical JSON of the decisions; estimates and times are outside it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

NOT_APPLICABLE: Final = ("not applicable", "not applicable: when")
"""By its kind of machine, or by the stage's condition."""

PlanKind = Literal["discover", "cluster", "leave"]


@dataclass(frozen=True, slots=True)
class Need:
    """An edge between stages. ``wait`` "same" means: the same machine's task succeeded."""

    stage: str
    wait: Literal["same", "all", "settled", "count", "percent"] = "same"
    amount: int = 0  # for count and percent


@dataclass(frozen=True, slots=True)
class Waves:
    canary: int = 0
    max_parallel: int = 0  # resolved against the stage's machines; 0: unlimited
    halt_at_failures: int = 0  # resolved; 0: never halts


@dataclass(frozen=True, slots=True)
class Retries:
    max: int = 0  # further attempts after the first
    backoff_s: float = 10.0  # doubled per attempt, capped at 5 min


@dataclass(frozen=True, slots=True)
class SecretSource:
    """A secret minted on one machine just before use, and revoked when its stage settles."""

    mint: str  # script path in the role folder; prints the secret on stdout
    revoke: str | None
    on: str  # "GROUP.one"
    ttl_s: float


@dataclass(frozen=True, slots=True)
class PlannedStage:
    """One stage of the workflow with its role stage resolved. Order in the plan is topological."""

    name: str
    role: str  # "orchestrator/swarm"
    role_stage: str  # "join"
    executor: str  # ssh, netboot, local, ...
    group: str  # "all" or a group of the workflow
    pick: Literal["all", "one", "rest"]
    needs: tuple[Need, ...]
    means_to: tuple[str, ...]
    waves: Waves | None
    retries: Retries
    timeout_s: float
    destructive: str | None  # "disk" or None; such a stage is only ever run with an Erasure
    always: bool
    cluster_scoped: bool  # an init: never applied where a cluster id is known
    reboots: str | None  # "disk": after apply the machine leaves netboot and boots its disk
    apply_in: str  # "os" or "ramdisk"
    scripts: Mapping[str, str]  # "check"|"apply"|...|"prelude"[@family] -> path in the role folder
    secrets: Mapping[str, SecretSource]
    outputs: tuple[str, ...]
    files: Mapping[str, str]  # name -> artifact reference; pushed before apply
    params: Mapping[str, object]
    waves_from: str = ""  # "workflow", "spec", "default", "none" (written); "" without brakes
    limits: tuple[str, ...] = ()  # kinds it draws on: "bmc", "rack", "site", "image_server"
    artifacts: tuple[str, ...] = ()  # references that its templates name, besides ``files``
    windows: tuple[str, ...] = ()  # of ``Plan.windows``; all of them must be open
    approve: str = ""  # what an operator is asked before its first full attempt
    approve_deadline_s: float = 0.0  # 0: waits for ever; then it counts as refused
    when: str = ""  # the condition as written; decided for each machine when the plan was made


@dataclass(frozen=True, slots=True)
class Erasure:
    """One disk that will be erased, as a ramdisk reported it."""

    machine_id: str
    drive_serial: str
    drive_wwn: str
    drive_model: str
    size_bytes: int
    sector_bytes: int
    signatures: tuple[str, ...]
    install_id: str
    generation: int
    attempts: int  # how many erasures this plan accepts for the machine
    reason: str  # "not installed", "reinstall requested"
    image_digest: str = ""  # of the image artifact that will be written


@dataclass(frozen=True, slots=True)
class PlannedMachine:
    id: str
    name: str
    pools: tuple[str, ...]
    why: str  # "pool managers: 1 of class=small (selector role=manager)"
    origin: str
    groups: tuple[str, ...]  # workflow groups it is in
    stages: tuple[str, ...]  # the stages that concern it; never those that are not applicable
    expected: Mapping[str, str]  # stage -> "apply" | "satisfied" | "check" | one of NOT_APPLICABLE
    reboots: int
    limits: tuple[str, ...]  # "bmc:<endpoint>", "rack:<name>", "site:<name>"
    windows: tuple[str, ...] = ()  # of ``Plan.windows``, for what erases it and the means to that


@dataclass(frozen=True, slots=True)
class Target:
    """What follows a discovery: a cluster spec, compiled once it has ended. ``rule``: what may be
    erased then without asking, in words; the spec has it for machines."""

    spec: str
    filename: str
    cluster: str
    rule: str


@dataclass(frozen=True, slots=True)
class Plan:
    digest: str
    kind: PlanKind
    workflow: str
    cluster: str  # name, "" for a plan without one
    cluster_params: Mapping[str, object]
    machines: tuple[PlannedMachine, ...]
    stages: tuple[PlannedStage, ...]
    groups: tuple[str, ...]  # workflow groups, "all" excluded
    erasures: tuple[Erasure, ...]
    limits: Mapping[str, int]  # limit name -> capacity
    content: Mapping[str, str]  # content path -> "<origin>:<sha256>"
    content_digest: str
    artifacts: Mapping[str, str]  # artifact name -> sha256 of its manifest
    fingerprint: str  # of the inventory values the decisions were made from
    estimate_s: float  # outside the digest
    labels_used: tuple[str, ...] = ()  # label keys that the fingerprint covers; "*": all
    adaptive: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """Limits that adapt themselves -> lowest and highest capacity."""
    parent: str = ""  # a supplement's: the digest of the discovery whose target it is
    target: Target | None = None  # of a discovery: what follows it
    windows: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Name ("stage:install", "destructive", "site:lab") -> texts; one of them is open."""
    facts_used: tuple[tuple[str, ...], ...] = ()  # what conditions read; the fingerprint has it
    cluster_id: str = ""  # as recorded when the plan was made; "": to be formed
