"""What every journal promises, held against each."""

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import pytest

from rackwright.engine.run.memory_journal import MemoryJournal
from rackwright.engine.run.ports import Commit, Fact, Journal
from rackwright.inventory.database import open_database
from rackwright.inventory.facade import Inventory
from rackwright.inventory.plans import PlanRecord
from rackwright.inventory.runs import NewRun
from tests.unit.engine.run.test_controller_kill import ENROLMENT

ISSUED = Fact("issued", 0, 0, 1, 0, b'{"at":1.000}')
ENDED = Fact("ended", 0, 0, 1, 1, b"\x00\xff")
RUNNING, CHANGED = 4, 7


class Reported(Journal, Protocol):
    """A journal that a report can be made of, too."""

    def standing(self) -> tuple[bytes, int]: ...


class Opened(Protocol):
    journal: Reported
    epoch: int

    def take_over(self) -> None: ...


class InMemory:
    def __init__(self) -> None:
        self.memory = MemoryJournal()
        self.journal: Reported = self.memory
        self.epoch = self.memory.epoch

    def take_over(self) -> None:
        self.memory.take_over()


class InDatabase:
    def __init__(self, path: Path) -> None:
        self.inventory = Inventory.open(path)
        self.path = path
        self.journal: Reported = self.inventory.journal(asyncio.run(self._run()), fact=Fact)
        self.epoch = self.inventory.epoch
        self.others: list[Callable[[], None]] = []

    async def _run(self) -> str:
        await self.inventory.enrol(ENROLMENT, "rack.yaml", actor="tester")
        plan = PlanRecord("d" * 64, "cluster", "swarm", "", "f", b"{}", 0.0)
        ids = [self.inventory.machine("borrowed").id]
        return (await self.inventory.begin_run(NewRun(plan, ids, ["a"], "tester", None))).id

    def take_over(self) -> None:
        self.others.append(open_database(self.path, now=time.time() + 60).close)

    def close(self) -> None:
        for close in self.others:
            close()
        self.inventory.close()


@pytest.fixture(params=["memory", "database"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opened]:
    if request.param == "memory":
        yield InMemory()
        return
    made = InDatabase(tmp_path / "data")
    yield made
    made.close()


def append(opened: Opened, commit: Commit) -> int:
    async def main() -> int:
        return await opened.journal.append(opened.epoch, commit)

    return asyncio.run(main())


def test_facts_come_back_as_they_were_in_order(opened: Opened) -> None:
    first = append(opened, Commit([ISSUED], [RUNNING]))
    last = append(opened, Commit([ENDED, ISSUED], [RUNNING, RUNNING], run_status=1))
    assert last == first + 2
    assert list(opened.journal.read()) == [ISSUED, ENDED, ISSUED]
    assert all(isinstance(fact, Fact) for fact in opened.journal.read())


def test_an_empty_journal_has_no_facts(opened: Opened) -> None:
    assert list(opened.journal.read()) == []


def test_a_snapshot_stands_for_the_facts_up_to_its_commit(opened: Opened) -> None:
    assert opened.journal.past() == (b"", [])
    assert opened.journal.standing() == (b"", 0)
    append(opened, Commit([ISSUED], [RUNNING]))
    assert opened.journal.past() == (b"", [ISSUED])
    append(opened, Commit([ENDED], [CHANGED], snapshot=b"one"))
    append(opened, Commit([ISSUED], [RUNNING], snapshot=b"two"))
    append(opened, Commit([ENDED], [CHANGED]))
    assert opened.journal.past() == (b"two", [ENDED])
    assert opened.journal.standing() == (b"two", 3)
    assert list(opened.journal.read()) == [ISSUED, ENDED, ISSUED, ENDED]


def test_an_older_owner_writes_nothing(opened: Opened) -> None:
    append(opened, Commit([ISSUED], [RUNNING]))
    opened.take_over()
    with pytest.raises(Exception, match=r"epoch|owner"):
        append(opened, Commit([ENDED], [CHANGED]))
    assert list(opened.journal.read()) == [ISSUED]
