from typing import Any

import pytest

from rackwright.engine.content.errors import ContentErrors
from rackwright.engine.machine import Installed, Machine, Origin
from rackwright.engine.plan.disks import DiskError
from rackwright.engine.plan.model import Plan
from rackwright.engine.plan.selection import NeedsDiscoveryError, natural_key
from tests.unit.engine.plan.rack import SPEC, drive, installed, machine, plan_of

NAMED = SPEC.replace('{count: 2, selector: "role!=manager"}', "{machines: [n3, n2]}")
ANY = SPEC.replace('{count: 2, selector: "role!=manager"}', "{count: 2}")


def pools(plan: Plan) -> dict[str, str]:
    return {m.name: ",".join(m.pools) for m in plan.machines}


def refusal(machines: list[Machine], spec: str = SPEC, **changes: Any) -> str:
    with pytest.raises(ContentErrors) as caught:
        plan_of(machines, spec, **changes)
    return str(caught.value)


def test_names_are_ordered_as_people_count() -> None:
    names = ["n10", "n9", "m1", "n1-b", "n1", "n1-a2", "n1-a10"]
    assert sorted(names, key=natural_key) == ["m1", "n1", "n1-a2", "n1-a10", "n1-b", "n9", "n10"]


def test_the_first_by_name_are_chosen_and_the_reason_is_said() -> None:
    plan = plan_of([machine(i) for i in (10, 2, 1, 9)])
    assert pools(plan) == {"n1": "managers", "n2": "workers", "n9": "workers"}
    assert plan.machines[1].why == "pool workers: 2 of selector role!=manager; available"


def test_the_clusters_own_come_first() -> None:
    machines = [machine(1), machine(2), machine(3), installed(9)]
    plan = plan_of(machines, members={machines[3].id: "workers"})
    assert pools(plan) == {"n1": "managers", "n2": "workers", "n9": "workers"}
    assert plan.machines[2].why.endswith("already a member")


def test_a_member_stays_in_its_pool_though_its_labels_changed() -> None:
    machines = [machine(1), machine(2), machine(3), installed(9, labels={"role": "manager"})]
    plan = plan_of(machines, members={machines[3].id: "workers"})
    assert pools(plan)["n9"] == "workers"


def test_named_machines_are_taken_and_no_other_pool_gets_them() -> None:
    plan = plan_of([machine(i) for i in range(1, 6)], NAMED)
    assert pools(plan) == {"n1": "managers", "n2": "workers", "n3": "workers"}
    assert plan.machines[1].why == "pool workers: named in the spec; available"


def test_one_machine_never_serves_in_two_pools() -> None:
    spec = ANY.replace('selector: "role=manager"', 'selector: ""')
    plan = plan_of([machine(i) for i in range(1, 4)], spec)
    assert pools(plan) == {"n1": "managers", "n2": "workers", "n3": "workers"}


def test_too_few_says_why_each_of_the_others_does_not_count() -> None:
    held = drive("D4", has_data=True, signatures=("dos", "ext4"), model="INTEL X")
    text = refusal(
        [
            machine(1),
            machine(2),
            machine(3, state="failed"),
            machine(4, state="discovered", drives=(drive("D0"), held)),
            machine(5, state="active"),
            machine(6, protected=True),
            machine(7, state="maintenance"),
            machine(8, state="discovered"),
            machine(9, state="retired"),
            machine(10, labels={"role": "manager"}),
        ]
    )
    assert text.startswith("spec.yaml:5:3: pool workers needs 2 machines, and there are 1 avail")
    for reason in (
        "n3: failed: `rackwright run resume` takes it up again, or repair it, then "
        "`rackwright machine release n3`",
        "n4: disk serial D4 (INTEL X, 10.7 GB, holds dos, ext4): release it with "
        "`rackwright machine release n4`",
        "n5: active: reserved by another cluster or run",
        "n6: protected: it may be neither powered nor erased",
        "n7: in maintenance",
        "n8: discovered, not released: `rackwright machine release n8`",
        "n9: retired",
        "1 do not match the selector 'role!=manager'",
    ):
        assert reason in text


def test_a_named_machine_that_cannot_serve_is_refused_at_its_place() -> None:
    text = refusal([machine(1), machine(2, state="quarantined"), machine(3)], NAMED)
    assert text == "spec.yaml:5:28: machine n2 cannot serve: quarantined"


def test_a_member_of_another_pool_is_not_moved() -> None:
    machines = [machine(1), installed(2), machine(3)]
    text = refusal(machines, NAMED, members={machines[1].id: "managers"})
    assert "machine n2 serves in pool managers of cluster demo" in text


def test_fewer_than_serve_are_refused() -> None:
    machines = [installed(i) for i in range(1, 5)]
    members = {m.id: "managers" if m.name == "n1" else "workers" for m in machines}
    text = refusal(machines, members=members)
    assert "asks for 2, but 3 serve in it: n2, n3, n4" in text


def test_undiscovered_machines_ask_for_a_discovery_of_as_many_as_are_missing() -> None:
    machines = [machine(i, drives=None, state="enrolled") for i in range(1, 6)]
    with pytest.raises(NeedsDiscoveryError) as caught:
        plan_of(machines)
    assert caught.value.machines == ("n1", "n2", "n3")
    assert caught.value.machine_ids == tuple(m.id for m in machines[:3])


def test_no_discovery_is_asked_for_where_enough_are_available() -> None:
    machines = [machine(1), machine(2), machine(3), machine(4, drives=None, state="enrolled")]
    assert set(pools(plan_of(machines))) == {"n1", "n2", "n3"}


def test_a_named_machine_that_is_not_discovered_asks_for_discovery() -> None:
    with pytest.raises(NeedsDiscoveryError) as caught:
        plan_of([machine(1), machine(2), machine(3, drives=None, state="enrolled")], NAMED)
    assert caught.value.machines == ("n3",)


def test_existing_machines_need_no_discovery() -> None:
    borrowed = machine(3, origin=Origin.EXISTING, drives=None, bmc=None)
    assert pools(plan_of([machine(1), machine(2), borrowed]))["n3"] == "workers"


def test_protected_machines_serve_where_nothing_is_powered_or_erased() -> None:
    machines = [
        machine(1),
        installed(2, protected=True),
        machine(3, origin=Origin.EXISTING, drives=None, bmc=None, protected=True),
    ]
    plan = plan_of(machines, members={machines[1].id: "workers"})
    assert [e.machine_id for e in plan.erasures] == [machines[0].id]


def test_drives_that_are_not_clear_are_all_named() -> None:
    two = [machine(i, drives=(drive("A1"), drive("B2"))) for i in (1, 2)]
    with pytest.raises(DiskError) as caught:
        plan_of([*two, machine(3)])
    assert "machine n1: 2 drives fit" in str(caught.value)
    assert "machine n2: 2 drives fit" in str(caught.value)


def test_a_release_in_progress_and_a_foreign_installation_do_not_count() -> None:
    record = Installed("0" * 16, "a" * 64, "X", 1, "debian 12")
    text = refusal(
        [
            machine(1),
            machine(2),
            machine(3, state="releasing"),
            machine(4, state="deploying", installed=record),
        ]
    )
    assert "n3: being released" in text
    assert "n4: deploying: reserved" in text
