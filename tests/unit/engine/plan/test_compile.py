from pathlib import Path

import pytest

from rackwright.engine.content.errors import ContentErrors
from rackwright.engine.content.library import Library
from rackwright.engine.errors import OperatorError
from rackwright.engine.machine import Machine, Origin
from rackwright.engine.plan.compile import LimitConfig, compile_plan
from rackwright.engine.plan.erasure import install_id
from rackwright.engine.plan.model import Plan, PlannedMachine, PlannedStage, Waves
from tests.unit.engine.plan.rack import (
    ARTIFACTS,
    CASES,
    SPEC,
    installed,
    library,
    machine,
    plan_of,
    select,
)

THREE_MANAGERS = """\
cluster: demo
workflow: swarm
pools: {managers: {count: 3}, workers: {count: 0}}
params: {orchestrator/swarm: {advertise_network: 10.77.0.0/24}}
"""


def fresh() -> list[Machine]:
    return [machine(i) for i in range(1, 4)]


def served() -> tuple[list[Machine], dict[str, str]]:
    machines = [installed(i) for i in range(1, 4)]
    return machines, {m.id: "managers" if m.name == "n1" else "workers" for m in machines}


def of(plan: Plan, name: str) -> PlannedMachine:
    return next(m for m in plan.machines if m.name == name)


def stage(plan: Plan, name: str) -> PlannedStage:
    return next(s for s in plan.stages if s.name == name)


def layered(tmp_path: Path, text: str, path: str = "workflows/swarm.yaml") -> Library:
    (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / path).write_text(text)
    return library(tmp_path)


def swarm() -> str:
    return (CASES / "base" / "workflows" / "swarm.yaml").read_text()


def test_a_fresh_rack_is_erased_installed_and_joined() -> None:
    plan = plan_of(fresh())
    assert [s.name for s in plan.stages] == [
        *("netboot", "install", "runtime", "init", "join-manager", "join-worker", "proof")
    ]
    assert of(plan, "n1").groups == ("managers",)
    assert of(plan, "n1").stages == (
        *("netboot", "install", "runtime", "init", "join-manager", "proof"),
    )
    assert of(plan, "n2").expected == {
        "netboot": "apply",
        "install": "apply",
        "runtime": "apply",
        "join-worker": "apply",
    }
    assert of(plan, "n1").expected["init"] == "check"
    assert {m.reboots for m in plan.machines} == {2}
    assert plan.kind == "cluster"
    assert plan.groups == ("managers", "workers")


def test_every_erasure_names_the_drive_as_it_was_reported() -> None:
    plan = plan_of(fresh())
    erasure = plan.erasures[0]
    assert (erasure.machine_id, erasure.drive_serial) == ("m-000000000001", "RW-N1-A")
    assert erasure.generation == 1
    assert erasure.attempts == 2
    assert erasure.reason == "not installed"
    assert erasure.image_digest == "a" * 64
    assert erasure.install_id == install_id("m-000000000001", "a" * 64, "RW-N1-A", 1)
    assert len(erasure.install_id) == 16
    assert len({e.install_id for e in plan.erasures}) == 3


def test_what_is_installed_is_not_erased_again_also_not_for_a_new_image() -> None:
    machines, members = served()
    artifacts = {**ARTIFACTS, "image/debian-12": "f" * 64}
    plan = plan_of(machines, members=members, cluster_id="c1", artifacts=artifacts)
    assert plan.erasures == ()
    assert of(plan, "n1").expected == {
        "netboot": "satisfied",
        "install": "satisfied",
        "runtime": "check",
        "init": "satisfied",
        "join-manager": "check",
        "proof": "check",
    }
    assert {m.reboots for m in plan.machines} == {0}


def test_an_asked_for_reinstall_counts_the_generation_on() -> None:
    machines, members = served()
    plan = plan_of(machines, members=members, cluster_id="c1", reinstall=frozenset({"n2"}))
    assert [(e.machine_id, e.generation, e.reason) for e in plan.erasures] == [
        (machines[1].id, 2, "reinstall requested")
    ]
    assert of(plan, "n2").expected["netboot"] == "apply"
    assert of(plan, "n3").expected["netboot"] == "satisfied"


def test_a_machine_that_came_with_an_os_is_not_powered_or_installed() -> None:
    machines = [*fresh()[:2], machine(3, origin=Origin.EXISTING, drives=None, bmc=None)]
    plan = plan_of(machines)
    borrowed = of(plan, "n3")
    assert borrowed.expected == {
        "netboot": "not applicable",
        "install": "not applicable",
        "runtime": "check",
        "join-worker": "check",
    }
    assert borrowed.stages == ("runtime", "join-worker")
    assert borrowed.reboots == 0
    assert [e.machine_id for e in plan.erasures] == [m.id for m in machines[:2]]


def test_only_existing_machines_need_no_image_and_no_ramdisk() -> None:
    machines = [machine(i, origin=Origin.EXISTING, drives=None, bmc=None) for i in range(1, 4)]
    artifacts = {"bundle/docker-debian-12": "c" * 64}
    assert plan_of(machines, artifacts=artifacts).artifacts == artifacts


def test_an_artifact_that_is_not_built_is_said_with_the_command() -> None:
    with pytest.raises(ContentErrors) as caught:
        plan_of(fresh(), artifacts={})
    text = str(caught.value)
    assert (
        "uses the artifact ramdisk, which is not built (run `rackwright image build ramdisk`"
        in (text)
    )
    assert "run `rackwright image build debian-12`" in text


def test_reinstalling_an_unknown_machine_is_refused() -> None:
    with pytest.raises(OperatorError, match="n22 is to be reinstalled and is not in the plan"):
        plan_of(fresh(), reinstall=frozenset({"n22"}))


# quorum and protection --------------------------------------------------------------------------


def managers(count: int) -> tuple[list[Machine], dict[str, str]]:
    machines = [installed(i) for i in range(1, count + 1)]
    return machines, {m.id: "managers" for m in machines}


def test_one_of_three_managers_may_be_reinstalled() -> None:
    machines, members = managers(3)
    plan = plan_of(
        machines, THREE_MANAGERS, members=members, cluster_id="c1", reinstall=frozenset({"n1"})
    )
    assert len(plan.erasures) == 1


@pytest.mark.parametrize("names", [{"n1", "n2"}, {"n1", "n2", "n3"}])
def test_a_majority_of_managers_may_not_be_reinstalled(names: set[str]) -> None:
    machines, members = managers(3)
    with pytest.raises(OperatorError, match="the quorum would be lost"):
        plan_of(
            machines, THREE_MANAGERS, members=members, cluster_id="c1", reinstall=frozenset(names)
        )


def test_the_only_manager_may_not_be_reinstalled() -> None:
    machines, members = served()
    with pytest.raises(OperatorError, match="would leave 0 of 1 managers in cluster demo"):
        plan_of(machines, members=members, cluster_id="c1", reinstall=frozenset({"n1"}))


def test_a_failed_voter_counts_as_lost() -> None:
    machines, members = managers(3)
    machines[2] = installed(3, state="failed")
    machines.append(machine(4))
    with pytest.raises(OperatorError, match="would leave 1 of 3 managers"):
        plan_of(
            machines, THREE_MANAGERS, members=members, cluster_id="c1", reinstall=frozenset({"n1"})
        )


def test_before_a_cluster_exists_there_is_no_quorum_to_lose() -> None:
    machines, members = served()
    plan = plan_of(machines, members=members, reinstall=frozenset({"n1"}))
    assert len(plan.erasures) == 1


def test_a_protected_machine_may_not_be_discovered() -> None:
    with pytest.raises(OperatorError, match="n1 is protected and would be powered"):
        plan_of_discovery([machine(1, protected=True)])


# brakes and limits ------------------------------------------------------------------------------


def test_waves_are_resolved_against_the_machines_of_the_stage() -> None:
    spec = SPEC.replace("count: 2", "count: 99")
    plan = plan_of([machine(i) for i in range(1, 101)], spec)
    assert stage(plan, "install").waves == Waves(1, 10, 5)
    assert stage(plan, "join-worker").waves == Waves(0, 25, 5)
    assert stage(plan, "join-manager").waves == Waves(0, 1, 0)
    assert stage(plan, "runtime").waves is None


def test_small_groups_still_move_and_one_failure_is_no_rate() -> None:
    assert stage(plan_of(fresh()), "install").waves == Waves(1, 1, 2)


def test_destruction_without_waves_has_brakes(tmp_path: Path) -> None:
    text = swarm().replace(
        "    waves: {canary: 1, max_parallel: 10%, halt_at_failures: 5%}\n", "", 1
    )
    found = stage(plan_of(fresh(), content=layered(tmp_path, text)), "install")
    assert (found.waves, found.waves_from) == (Waves(1, 1, 2), "default")


def test_none_must_be_written(tmp_path: Path) -> None:
    text = swarm().replace("{canary: 1, max_parallel: 10%, halt_at_failures: 5%}", "none", 1)
    found = stage(plan_of(fresh(), content=layered(tmp_path, text)), "install")
    assert (found.waves, found.waves_from) == (None, "none")


def test_the_spec_changes_single_brakes() -> None:
    plan = plan_of(fresh(), SPEC + "waves: {install: {max_parallel: 2}, runtime: {canary: 1}}\n")
    assert stage(plan, "install").waves == Waves(1, 2, 2)
    assert stage(plan, "install").waves_from == "spec"
    assert stage(plan, "runtime").waves == Waves(1, 0, 0)


def test_a_workflow_cannot_take_the_destruction_of_a_role_away(tmp_path: Path) -> None:
    text = (
        swarm()
        .replace("    destructive: disk\n", "")
        .replace("    waves: {canary: 1, max_parallel: 10%, halt_at_failures: 5%}\n", "", 1)
    )
    found = stage(plan_of(fresh(), content=layered(tmp_path, text)), "install")
    assert (found.destructive, found.waves) == ("disk", Waves(1, 1, 2))


def test_limits_are_named_where_they_are_bounded() -> None:
    limits = LimitConfig(bmc=2, rack=5, image_server=0, named={"rack:r1": 3})
    plan = plan_of(fresh(), limits=limits)
    assert plan.limits == {"bmc:bmc-1": 2, "bmc:bmc-2": 2, "bmc:bmc-3": 2, "rack:r1": 3}
    assert of(plan, "n1").limits == ("bmc:bmc-1", "rack:r1")
    assert stage(plan, "netboot").limits == ("bmc", "rack", "site")
    assert stage(plan, "install").limits == ("bmc", "image_server", "rack", "site")
    assert stage(plan, "runtime").limits == ("rack", "site")


# content and params -----------------------------------------------------------------------------


def test_the_plan_says_from_where_each_used_file_came(tmp_path: Path) -> None:
    plan = plan_of(fresh(), content=layered(tmp_path, swarm()))
    assert plan.content["workflows/swarm.yaml"].startswith(f"{tmp_path.name}:")
    assert plan.content["roles/os/image/role.yaml"].startswith("base:")
    assert not any("hardware/discover" in path for path in plan.content)


def test_another_byte_of_content_is_another_plan(tmp_path: Path) -> None:
    plan = plan_of(fresh(), content=layered(tmp_path, swarm() + "# remark\n"))
    assert plan.digest != plan_of(fresh()).digest


def test_params_are_laid_over_each_other() -> None:
    spec = SPEC + "  os/image: {hostname_suffix: .lab}\n"
    assert stage(plan_of(fresh(), spec), "install").params == {
        "os": "debian-12",
        "grow": True,
        "hostname_suffix": ".lab",
    }


def test_the_artifact_follows_the_param() -> None:
    spec = SPEC + "  os/image: {os: debian-13}\n"
    plan = plan_of(fresh(), spec, artifacts={**ARTIFACTS, "image/debian-13": "9" * 64})
    assert stage(plan, "install").artifacts == ("image/debian-13",)
    assert {e.image_digest for e in plan.erasures} == {"9" * 64}


def test_scripts_pick_themselves_by_family() -> None:
    assert stage(plan_of(fresh()), "runtime").scripts == {
        "check": "check.sh",
        "apply": "apply.sh",
        "apply@redhat": "apply@redhat.sh",
        "verify": "verify.sh",
    }


def test_the_estimate_follows_the_critical_path() -> None:
    machines, members = served()
    idle = plan_of(machines, members=members, cluster_id="c1").estimate_s
    assert 0 < idle < plan_of(fresh()).estimate_s


# without a spec ---------------------------------------------------------------------------------


def plan_of_discovery(machines: list[Machine]) -> Plan:
    return compile_plan(
        library=library(),
        machines=machines,
        select=select,
        artifacts=ARTIFACTS,
        workflow="discover",
    )


def test_a_discovery_plan_erases_nothing_and_takes_the_machines_given() -> None:
    machines = [machine(i, drives=None, state="enrolled") for i in (10, 2)]
    plan = plan_of_discovery(machines)
    assert plan.kind == "discover"
    assert [m.name for m in plan.machines] == ["n2", "n10"]
    assert plan.erasures == ()
    assert of(plan, "n2").expected == {"netboot": "apply", "discover": "apply"}
    assert plan.artifacts == {"ramdisk": "b" * 64}


def test_a_workflow_with_groups_needs_a_spec() -> None:
    with pytest.raises(OperatorError, match="no cluster spec says who is in them"):
        compile_plan(
            library=library(),
            machines=fresh(),
            select=select,
            artifacts=ARTIFACTS,
            workflow="swarm",
        )


OURS = SPEC[: SPEC.index("params:")]


def test_our_own_swarm_compiles_for_a_fresh_rack() -> None:
    plan = plan_of(fresh(), OURS, Library.over_packaged())
    assert [s.name for s in plan.stages] == [
        *("netboot", "install", "runtime", "prepare", "init", "admit", "join-manager"),
        *("join-worker", "proof", "witness"),
    ]
    assert stage(plan, "install").waves == Waves(1, 1, 2)
    assert stage(plan, "join-manager").params["role"] == "manager"
    assert stage(plan, "join-worker").params["role"] == "worker"
    assert set(plan.artifacts) == set(ARTIFACTS)


def test_our_own_discovery_compiles() -> None:
    plan = compile_plan(
        library=Library.over_packaged(),
        machines=[machine(1, drives=None, state="enrolled", firmware=None)],
        select=select,
        artifacts={"ramdisk": "b" * 64},
        workflow="discover",
    )
    assert plan.erasures == ()
    assert of(plan, "n1").reboots == 1
