import asyncio
from pathlib import Path

import pytest

from rackwright.inventory import clusters, installations, machines, run_views, runs
from rackwright.inventory.errors import ConflictError, ReservedError, StalePlanError
from rackwright.inventory.facade import Inventory
from rackwright.inventory.lifecycle import State
from rackwright.inventory.plans import PlanRecord
from rackwright.inventory.runs import NewRun, Snapshot
from rackwright.inventory.values import RunView
from tests.unit.inventory.conftest import NOW, RACK, Store

Rack = tuple[Store, dict[str, str]]
BLANK = {"serial": "D1", "size_bytes": 10 << 30, "has_data": False, "transport": "nvme"}


def plan(kind: str = "cluster", fingerprint: str = "f") -> PlanRecord:
    return PlanRecord(f"{kind}-digest", kind, "swarm", "demo", fingerprint, b"{}", NOW)


def begin(store: Store, ids: list[str], kind: str = "cluster") -> RunView:
    new = NewRun(plan(kind), ids, ["install", "join"], "tester", None)
    return store.write(lambda c: runs.begin(c, new, epoch=1, now=NOW))


def finish(store: Store, run: str, **ends: list[str]) -> None:
    store.write(lambda c: runs.finish(c, run, status=1, now=NOW, **ends))


def state(store: Store, machine: str) -> str:
    return store.read(lambda c: machines.get(c, machine)).state


def discover(store: Store, machine_id: str) -> None:
    facts = {"drives": [BLANK], "firmware": "uefi"}
    store.write(lambda c: installations.record_discovered(c, machine_id, facts, NOW))


def erase(store: Store, machine_id: str) -> None:
    store.write(lambda c: installations.record_erasing(c, machine_id, f"i-{machine_id}", "D1", NOW))


def test_fifty_at_once_make_one_run(tmp_path: Path) -> None:
    async def check() -> None:
        inventory = Inventory.open(tmp_path, clock=lambda: NOW)
        await inventory.enrol(RACK, "rack.yaml", actor="tester")
        ids = [inventory.machine("borrowed").id]
        new = NewRun(plan(), ids, ["join"], "tester", None)
        answers = await asyncio.gather(
            *(inventory.begin_run(new) for _ in range(50)), return_exceptions=True
        )
        begun = [answer for answer in answers if isinstance(answer, RunView)]
        refused = [answer for answer in answers if isinstance(answer, ReservedError)]
        assert (len(begun), len(refused)) == (1, 49)
        assert {error.run for error in refused} == {begun[0].id}
        assert {error.machine for error in refused} == set(ids)
        assert len(inventory.runs()) == 1
        inventory.close()

    asyncio.run(check())


def test_all_machines_are_reserved_or_none(rack: Rack) -> None:
    store, ids = rack
    begin(store, [ids["borrowed"]])
    with pytest.raises(ReservedError):
        begin(store, [ids["n1"], ids["borrowed"]], "discover")
    assert store.read(lambda c: machines.get(c, "n1")).run == ""


def test_a_stale_plan_begins_nothing(rack: Rack) -> None:
    store, ids = rack

    def fingerprint(snapshot: Snapshot) -> str:
        return snapshot.machines([ids["borrowed"]])[0].labels["role"]

    new = NewRun(plan(fingerprint="worker"), [ids["borrowed"]], [], "tester", fingerprint)
    store.write(lambda c: machines.set_label(c, ids["borrowed"], "role", "db", actor="t", now=NOW))
    with pytest.raises(StalePlanError):
        store.write(lambda c: runs.begin(c, new, epoch=1, now=NOW))
    assert store.read(lambda c: run_views.newest(c)) == []
    store.write(
        lambda c: machines.set_label(c, ids["borrowed"], "role", "worker", actor="t", now=NOW)
    )
    assert store.write(lambda c: runs.begin(c, new, epoch=1, now=NOW)).machines


def test_a_run_moves_its_machines_along_the_lifecycle(rack: Rack) -> None:
    store, ids = rack
    for name in ("n1", "n2"):
        discover(store, ids[name])
    run = begin(store, [ids["n1"], ids["n2"], ids["borrowed"]])
    assert state(store, "n1") == "allocated"
    for name in ("n1", "n2"):
        erase(store, ids[name])
        assert state(store, name) == "deploying"
    finish(store, run.id, succeeded=[ids["n1"]], failed=[ids["n2"]])
    found = {name: state(store, name) for name in ids}
    assert found == {"n1": "active", "n2": "failed", "borrowed": "available"}
    assert store.read(lambda c: run_views.unfinished(c)) == []


def test_a_touched_machine_that_nobody_proved_is_failed(rack: Rack) -> None:
    store, ids = rack
    discover(store, ids["n1"])
    run = begin(store, [ids["n1"]])
    store.write(lambda c: installations.record_erasing(c, ids["n1"], "i-1", "D1", NOW))
    finish(store, run.id)
    assert state(store, "n1") == "failed"


def test_an_active_machine_stays_active_through_a_second_run(rack: Rack) -> None:
    store, ids = rack
    for _ in range(2):
        run = begin(store, [ids["borrowed"]])
        finish(store, run.id, succeeded=[ids["borrowed"]])
        assert state(store, "borrowed") == "active"


def test_a_person_who_begins_a_run_takes_a_failed_machine_up_and_nobody_else(rack: Rack) -> None:
    store, ids = rack
    finish(store, begin(store, [ids["borrowed"]]).id, failed=[ids["borrowed"]])
    by_engine = NewRun(plan(), [ids["borrowed"]], [], machines.ENGINE, None)
    with pytest.raises(ConflictError, match="only an operator"):
        store.write(lambda c: runs.begin(c, by_engine, epoch=1, now=NOW))
    assert store.read(run_views.unfinished) == []
    run = begin(store, [ids["borrowed"]])
    finish(store, run.id, succeeded=[ids["borrowed"]])
    assert state(store, "borrowed") == "active"


def test_resume_reserves_again_and_takes_the_failed_up(rack: Rack) -> None:
    store, ids = rack
    run = begin(store, [ids["borrowed"]])
    finish(store, run.id, failed=[ids["borrowed"]])
    assert state(store, "borrowed") == "failed"
    again = store.write(lambda c: runs.resume(c, run.id, actor="t", epoch=2, now=NOW + 1))
    assert again.ended_at is None
    assert state(store, "borrowed") == "allocated"
    with pytest.raises(ReservedError):
        begin(store, [ids["borrowed"]])


def test_resume_of_a_run_that_still_holds_its_machines_keeps_them(rack: Rack) -> None:
    store, ids = rack
    run = begin(store, [ids["borrowed"]])
    store.write(lambda c: runs.resume(c, run.id, actor="t", epoch=2, now=NOW + 1))
    assert store.read(lambda c: machines.get(c, "borrowed")).run == run.id


def test_resume_gives_way_to_the_run_that_holds_a_machine_now(rack: Rack) -> None:
    store, ids = rack
    first = begin(store, [ids["borrowed"]])
    finish(store, first.id)
    second = begin(store, [ids["borrowed"]])
    with pytest.raises(ReservedError) as caught:
        store.write(lambda c: runs.resume(c, first.id, actor="t", epoch=2, now=NOW + 1))
    assert caught.value.run == second.id


@pytest.mark.parametrize(
    ("kind", "name", "message"),
    [("cluster", "n1", "n1 is enrolled"), ("cluster", "n2", "n2 is quarantined")],
)
def test_a_run_takes_only_machines_in_a_fit_state(
    rack: Rack, kind: str, name: str, message: str
) -> None:
    store, ids = rack
    store.write(
        lambda c: machines.set_state(
            c, ids["n2"], State.QUARANTINED, actor="engine", reason="", now=NOW
        )
    )
    with pytest.raises(ConflictError, match=message):
        begin(store, [ids[name]], kind)


def test_deleted_history_keeps_installations_and_clusters(rack: Rack) -> None:
    store, ids = rack
    discover(store, ids["n1"])
    run = begin(store, [ids["n1"]])
    evidence = {"install_id": "i-1", "image_digest": "sha", "drive_serial": "D1", "os": "debian 12"}

    store.write(lambda c: installations.record_erasing(c, ids["n1"], "i-1", "D1", NOW))
    store.write(lambda c: installations.record_installed(c, ids["n1"], evidence, NOW))
    store.write(lambda c: clusters.put(c, "demo", workflow="swarm", spec={"a": 1}, now=NOW))
    store.write(lambda c: clusters.record_id(c, "demo", "abc", NOW))
    store.write(lambda c: clusters.join(c, "demo", ids["n1"], pool="managers", now=NOW))
    with pytest.raises(ConflictError, match="has not ended"):
        store.write(lambda c: runs.delete_history(c, run.id, actor="t", now=NOW))
    finish(store, run.id, succeeded=[ids["n1"]])
    store.write(lambda c: runs.delete_history(c, run.id, actor="t", now=NOW))
    view = store.read(lambda c: machines.get(c, "n1"))
    assert view.installed is not None
    assert (view.installed.install_id, view.installed.generation) == ("i-1", 1)
    assert (view.state, view.cluster, view.pool) == ("active", "demo", "managers")
    assert store.read(lambda c: clusters.get(c, "demo")).cluster_id == "abc"


def test_another_cluster_id_is_refused(rack: Rack) -> None:
    store, _ = rack
    store.write(lambda c: clusters.put(c, "demo", workflow="swarm", spec={}, now=NOW))
    store.write(lambda c: clusters.record_id(c, "demo", "abc", NOW))
    store.write(lambda c: clusters.record_id(c, "demo", "abc", NOW))
    with pytest.raises(ConflictError, match="is abc, not xyz"):
        store.write(lambda c: clusters.record_id(c, "demo", "xyz", NOW))
