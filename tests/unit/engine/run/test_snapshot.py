"""A run taken up at a snapshot goes on as one taken up from all its facts."""

import json
import zlib

import pytest

from rackwright.engine.executors.simulated import Faults
from rackwright.engine.run import snapshot
from rackwright.engine.run.knowledge import Knowledge
from rackwright.engine.run.memory_journal import MemoryJournal
from rackwright.engine.run.ports import Commit, Intent
from rackwright.engine.run.restore import Restored, restore
from rackwright.engine.schedule.events import RunStatus
from rackwright.engine.schedule.scheduler import Scheduler
from rackwright.engine.schedule.standing import standing
from rackwright.engine.schedule.topology import Topology
from tests.unit.engine.run.plans import swarm
from tests.unit.engine.run.rigs import Rig

PLAN = swarm(4)
TOPOLOGY = Topology.from_plan(PLAN)


def essence(found: Restored) -> tuple[object, ...]:
    board = found.scheduler.board
    return (
        bytes(board.state),
        list(board.attempts),
        board.used,
        board.leader,
        found.scheduler.in_flight(),
        found.timers,
        found.knowledge.told(),
    )


def test_at_every_commit_the_snapshot_and_the_tail_tell_what_all_facts_tell() -> None:
    compared: list[int] = []

    def compare(_: Commit) -> None:
        blob, tail = journal.past()
        if blob:
            whole = restore(PLAN, TOPOLOGY, journal.read())
            assert essence(restore(PLAN, TOPOLOGY, tail, blob)) == essence(whole)
            compared.append(len(tail))

    journal = MemoryJournal(observe=compare)
    rig = Rig(PLAN, Faults(fail=0.2, unknown=0.1), seed=3, journal=journal)
    assert rig.run() in (RunStatus.SUCCEEDED, RunStatus.DEGRADED)
    assert len(compared) > 10
    assert min(compared) == 0


def test_what_a_run_has_learned_survives() -> None:
    knowledge = Knowledge(PLAN)
    knowledge.learn_outputs(3, 1, {"cluster_id": "x"})
    knowledge.learn_leader(0, 1)
    knowledge.learn_intent(Intent("erase", 5, 2, {"drive_serial": "S"}))
    blob = snapshot.encode(standing(Scheduler(TOPOLOGY)), knowledge, {4: 17.5}, {1: 0.0})
    again = restore(PLAN, TOPOLOGY, [], blob).knowledge
    assert again.told() == knowledge.told()
    assert again.learn_intent(Intent("erase", 5, 3, {})) == 1
    assert snapshot.decode(blob).due == {4: 17.5}
    assert snapshot.decode(blob).approvals == {1: 0.0}


def test_a_snapshot_of_another_plan_or_version_is_refused() -> None:
    blob = snapshot.encode(standing(Scheduler(TOPOLOGY)), Knowledge(PLAN), {}, {})
    other = swarm(5)
    with pytest.raises(Exception, match="does not fit"):
        restore(other, Topology.from_plan(other), [], blob)
    raw = zlib.decompress(blob).replace(b'"version":2', b'"version":9')
    with pytest.raises(ValueError, match="version"):
        snapshot.decode(zlib.compress(raw))
    with pytest.raises(ValueError, match="damaged"):
        snapshot.decode(b"no")
    for size in range(len(blob)):
        with pytest.raises(ValueError, match=r"damaged|Expecting"):
            snapshot.decode(blob[:size])


def test_how_a_run_stands_is_told_without_what_it_knows() -> None:
    knowledge = Knowledge(PLAN)
    knowledge.learn_leader(0, 1)
    blob = snapshot.encode(standing(Scheduler(TOPOLOGY)), knowledge, {}, {})
    found, whole = snapshot.decode(blob, with_known=False), snapshot.decode(blob)
    assert found.known is None
    assert (found.standing, found.due) == (whole.standing, whole.due)


def test_a_snapshot_of_the_version_before_is_read() -> None:
    knowledge = Knowledge(PLAN)
    knowledge.learn_leader(0, 1)
    blob = snapshot.encode(standing(Scheduler(TOPOLOGY)), knowledge, {4: 17.5}, {})
    raw = zlib.decompress(blob)
    size = int.from_bytes(raw[:4], "little")
    known = json.dumps(knowledge.told()).encode()
    header = raw[4 : 4 + size].replace(b'"version":2', b'"version":1')[:-1]
    header += b',"known":' + known + b"}"
    columns = raw[4 + size :].partition(b'{"leaders"')[0]
    old = zlib.compress(len(header).to_bytes(4, "little") + header + columns)
    again = snapshot.decode(old)
    assert again.known == knowledge.told()
    assert again.standing == snapshot.decode(blob).standing


@pytest.mark.parametrize("count", [0, 1, 1000, 2500])
def test_what_thousands_of_machines_said_survives(count: int) -> None:
    plan = swarm(max(count, 2))
    knowledge = Knowledge(plan)
    for machine in range(count):
        knowledge.learn_outputs(1, machine, {"name": f"n{machine}"})
        knowledge.learn_outputs(3, machine, {"cluster_id": "x"})
        knowledge.learn_intent(Intent("erase", machine, 1, {"drive_serial": f"S{machine}"}))
    scheduler = Scheduler(Topology.from_plan(plan))
    blob = snapshot.encode(standing(scheduler), knowledge, {}, {})
    again = Knowledge(plan)
    known = snapshot.decode(blob).known
    assert known is not None
    again.recall(known)
    assert again.told() == knowledge.told()
    assert list(again.told()["outputs"]) == list(knowledge.told()["outputs"])
