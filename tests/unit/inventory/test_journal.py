import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from rackwright.inventory import journal, owner, run_views
from rackwright.inventory.database import open_database
from rackwright.inventory.errors import StaleOwnerError
from rackwright.inventory.facade import Inventory
from rackwright.inventory.journal import FactRow
from rackwright.inventory.plans import PlanRecord
from rackwright.inventory.runs import NewRun
from tests.unit.inventory.conftest import NOW, RACK


@dataclass(frozen=True)
class Commit:
    facts: list[FactRow]
    states: list[int]
    run_status: int | None = None
    snapshot: bytes | None = None


def told(facts: list[FactRow], state: int = 7) -> Commit:
    return Commit(facts, [state] * len(facts))


def new_run(ids: list[str], kind: str = "cluster") -> NewRun:
    plan = PlanRecord("d" * 64, kind, "swarm", "", "f", b"{}", NOW)
    return NewRun(plan, ids, ["netboot", "install"], "tester", None)


async def opened(path: Path) -> tuple[Inventory, str]:
    inventory = Inventory.open(path, clock=lambda: NOW)
    await inventory.enrol(RACK, "rack.yaml", actor="tester")
    run = await inventory.begin_run(new_run([inventory.machine("borrowed").id]))
    return inventory, run.id


def ended(machine: int) -> FactRow:
    return FactRow("ended", 0, machine, 1, 1, b"{}")


def test_facts_come_back_in_order_and_tasks_hold_the_last_word(tmp_path: Path) -> None:
    async def check() -> None:
        inventory, run = await opened(tmp_path)
        log = inventory.journal(run, fact=FactRow)
        failed = FactRow("ended", 1, 0, 1, 4, b'{"error":"no","console":"end","evidence":{"a":1}}')
        facts = [FactRow("issued", 0, 0, 1, 0, b""), ended(0), failed]
        first = await log.append(inventory.epoch, Commit(facts[:2], [4, 7]))
        last = await log.append(inventory.epoch, Commit(facts[2:], [9], run_status=3))
        assert last == first + 1
        assert log.read() == facts
        found = [(t.stage_name, t.state, t.error, t.console) for t in inventory.tasks(run)]
        assert found == [("netboot", 7, "", ""), ("install", 9, "no", "end")]
        assert [t.evidence for t in inventory.tasks(run, states=[9])] == [b'{"a":1}']
        assert [(t.stage, t.state) for t in inventory.task_states(run)] == [(0, 7), (1, 9)]
        assert inventory.run(run).status == 3
        assert [e.kind for e in inventory.attempts(run, stage=0, machine=0)] == ["issued", "ended"]
        inventory.close()

    asyncio.run(check())


@pytest.mark.parametrize("count", [0, 1, 3, 4, 21, 1024, 1500, 2600])
def test_every_row_of_a_batch_of_any_size_is_written_once(tmp_path: Path, count: int) -> None:
    async def check() -> None:
        inventory, run = await opened(tmp_path)
        log = inventory.journal(run, fact=FactRow)
        facts = [ended(machine) for machine in range(count)]
        await log.append(inventory.epoch, told(facts))
        assert log.read() == facts
        inventory.close()

    asyncio.run(check())


def test_another_epoch_than_the_owners_writes_nothing(tmp_path: Path) -> None:
    async def check() -> None:
        inventory, run = await opened(tmp_path)
        log = inventory.journal(run, fact=FactRow)
        with pytest.raises(StaleOwnerError):
            await log.append(inventory.epoch - 1, told([ended(0)]))
        assert log.read() == []
        inventory.close()

    asyncio.run(check())


def test_a_newer_owner_fences_the_older_one(tmp_path: Path) -> None:
    async def check() -> None:
        inventory, run = await opened(tmp_path)
        log = inventory.journal(run, fact=FactRow)
        await log.append(inventory.epoch, told([ended(0)]))
        newer = open_database(tmp_path, now=NOW + 60)  # as a process would that found the lock free
        with pytest.raises(StaleOwnerError):
            await log.append(inventory.epoch, told([ended(1)]))
        assert log.read() == [ended(0)]
        newer.close()
        inventory.close()

    asyncio.run(check())


def test_watchers_wake_at_the_commit_and_read_on_from_where_they_were(tmp_path: Path) -> None:
    async def check() -> None:
        inventory, run = await opened(tmp_path)
        log = inventory.journal(run, fact=FactRow)
        seen = inventory.feed.last_seq
        waiting = asyncio.create_task(inventory.feed.wait_for_new(seen))
        await asyncio.sleep(0)
        assert not waiting.done()
        last = await log.append(inventory.epoch, told([ended(0), ended(1)]))
        assert await waiting == last
        events = inventory.feed.events_after(seen, run=run, limit=1)
        assert [(e.run, e.machine) for e in events] == [(run, 0)]
        rest = inventory.feed.events_after(events[-1].seq)
        assert [(e.seq, e.machine) for e in rest] == [(last, 1)]
        inventory.close()

    asyncio.run(check())


def test_the_feed_tells_the_inventorys_own_changes_too(tmp_path: Path) -> None:
    async def check() -> None:
        inventory, _ = await opened(tmp_path)
        kinds = [event.kind for event in inventory.feed.events_after(0)]
        assert kinds.count("machine.enrolled") == 3
        assert "run.begun" in kinds
        inventory.close()

    asyncio.run(check())


def test_deleted_history_never_frees_a_sequence_number(tmp_path: Path) -> None:
    async def check() -> None:
        inventory, run = await opened(tmp_path)
        log = inventory.journal(run, fact=FactRow)
        last = await log.append(inventory.epoch, told([ended(0)]))
        await inventory.finish_run(run, status=1)
        await inventory.delete_run(run, actor="tester")
        assert inventory.runs() == []
        fresh = await inventory.begin_run(new_run([inventory.machine("borrowed").id]))
        again = inventory.journal(fresh.id, fact=FactRow)
        assert await again.append(inventory.epoch, told([ended(0)])) > last
        assert len(again.read()) == 1
        inventory.close()

    asyncio.run(check())


CHILD = """
import asyncio, sys
from pathlib import Path
from rackwright.inventory.journal import FactRow
from tests.unit.inventory.test_journal import opened, told

async def main():
    inventory, run = await opened(Path(sys.argv[1]))
    log = inventory.journal(run, fact=FactRow)
    print(run, flush=True)
    batch = 0
    while True:
        rows = range(batch * 50, batch * 50 + 50)
        facts = [FactRow("ended", 0, n, 1, 1, b"{}") for n in rows]
        await log.append(inventory.epoch, told(facts))
        print(batch, flush=True)
        batch += 1

asyncio.run(main())
"""


def test_what_was_acknowledged_survives_a_kill(tmp_path: Path) -> None:
    command = [sys.executable, "-c", CHILD, str(tmp_path)]
    root = Path(__file__).parents[3]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root) as child:
        assert child.stdout is not None
        run = child.stdout.readline().strip()
        for _ in range(20):
            child.stdout.readline()
        os.kill(child.pid, signal.SIGKILL)
        acknowledged = 20 + len(child.stdout.read().splitlines())

    with sqlite3.connect(tmp_path / "rackwright.db") as raw:
        assert raw.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    raw.close()
    database = open_database(tmp_path, now=NOW)
    facts = journal.RunJournal(database, run, fact=FactRow).read()
    machines = [fact.machine for fact in facts]
    assert machines == list(range(len(machines)))
    assert len(machines) % 50 == 0  # a commit is there as a whole or not at all
    assert len(machines) >= acknowledged * 50
    with database.read() as connection:
        assert [found.id for found in run_views.unfinished(connection)] == [run]
    assert database.epoch == 2
    assert owner.holder(tmp_path) == child.pid  # the lock itself died with it
    database.close()
