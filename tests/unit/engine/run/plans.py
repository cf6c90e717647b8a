"""Plans for tests, with as little written down as the test is about."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from rackwright.engine.plan.model import (
    Need,
    Plan,
    PlannedMachine,
    PlannedStage,
    Retries,
    Waves,
)

_STAGE = PlannedStage(
    name="",
    role="test/role",
    role_stage="stage",
    executor="ssh",
    group="all",
    pick="all",
    needs=(),
    means_to=(),
    waves=None,
    retries=Retries(),
    timeout_s=60.0,
    destructive=None,
    always=False,
    cluster_scoped=False,
    reboots=None,
    apply_in="os",
    scripts={},
    secrets={},
    outputs=(),
    files={},
    params={},
)


def stage(name: str, *needs: str | Need, **fields: object) -> PlannedStage:
    edges = tuple(Need(n) if isinstance(n, str) else n for n in needs)
    return replace(_STAGE, name=name, needs=edges, **fields)  # type: ignore[arg-type]


def plan(
    stages: Sequence[PlannedStage],
    machines: int = 3,
    *,
    groups: Mapping[str, Sequence[int]] | None = None,
    limits: Mapping[str, int] | None = None,
    machine_limits: Mapping[int, tuple[str, ...]] | None = None,
) -> Plan:
    """Machine ``i`` is ``m-i``, in the groups that list it; it has the stages of its groups."""
    groups = groups or {}
    return Plan(
        digest="d",
        kind="cluster",
        workflow="test",
        cluster="",
        cluster_params={},
        machines=tuple(
            PlannedMachine(
                id=f"m-{i}",
                name=f"n{i}",
                pools=(),
                why="",
                origin="enrolled",
                groups=tuple(g for g, members in groups.items() if i in members),
                stages=tuple(s.name for s in stages if s.group == "all" or i in groups[s.group]),
                expected={},
                reboots=0,
                limits=(machine_limits or {}).get(i, ()),
            )
            for i in range(machines)
        ),
        stages=tuple(stages),
        groups=tuple(groups),
        erasures=(),
        limits=dict(limits or {}),
        content={},
        content_digest="",
        artifacts={},
        fingerprint="",
        estimate_s=0.0,
    )


def swarm(machines: int = 3, *, retries: int = 2) -> Plan:
    """The shape of the first workflow: means, waves, an election, barriers, a proof."""
    often = Retries(retries, 1.0)
    every = list(range(machines))
    return plan(
        [
            stage("netboot", means_to=("install",), executor="netboot", retries=often),
            stage(
                "install",
                "netboot",
                destructive="disk",
                reboots="disk",
                waves=Waves(canary=1, max_parallel=max(1, machines // 2), halt_at_failures=0),
                retries=often,
            ),
            stage("runtime", "install", retries=often),
            stage(
                "init",
                "runtime",
                group="managers",
                pick="one",
                cluster_scoped=True,
                outputs=("cluster_id",),
                retries=often,
            ),
            stage(
                "join-worker",
                "runtime",
                Need("init", "all"),
                group="managers",
                pick="rest",
                retries=often,
            ),
            stage(
                "proof",
                Need("join-worker", "settled"),
                "init",
                group="managers",
                pick="one",
                retries=often,
            ),
        ],
        machines,
        groups={"managers": every},
    )
