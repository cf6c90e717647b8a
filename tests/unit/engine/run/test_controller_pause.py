"""Two controllers on one database, the first stopped past its lease and continued.

The second refuses while the lease runs, then takes over and ends the run. The first, once it goes
on, writes nothing and starts nothing more.
"""

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from rackwright.api.owner.fence import OwnerFence
from rackwright.engine.run.clock import SystemClock
from rackwright.engine.run.errors import LeaseLostError
from rackwright.engine.run.ports import Attempt, Executor, Fact, Outcome, RunView
from rackwright.engine.run.runner import Runner
from rackwright.engine.schedule.events import Result, RunStatus
from rackwright.inventory.errors import OwnedElsewhereError
from rackwright.inventory.facade import Inventory
from rackwright.inventory.plans import PlanRecord
from rackwright.inventory.runs import NewRun
from tests.unit.engine.run.plans import plan, stage
from tests.unit.engine.run.test_controller_kill import ENROLMENT

LEASE_S = 1.5
STEPS = 40
PLAN_TASKS = STEPS * 2
PLAN = plan(
    [stage("s0"), *(stage(f"s{n}", f"s{n - 1}") for n in range(1, STEPS))],
    machines=2,
)


class Noting:
    """Writes down what it sends to machines, and as whom: at the start of each attempt, and once
    more in the middle of it, behind the fence that drivers and shells ask."""

    def __init__(self, view: RunView, actions: Path, who: str, fence: OwnerFence) -> None:
        self._view = view
        self._actions = actions
        self._who = who
        self._fence = fence
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, attempts: Sequence[Attempt]) -> None:
        for attempt in attempts:
            self._send(f"starts {attempt.task}")
            task = asyncio.get_running_loop().create_task(self._carry_out(attempt))
            self._tasks.add(task)

    async def _carry_out(self, attempt: Attempt) -> None:
        await asyncio.sleep(0.05)
        try:
            await self._fence.check()
        except LeaseLostError as error:  # as an executor does: the attempt failed
            self._view.ended(
                Outcome(attempt.task, attempt.attempt, Result.FAILED, error=str(error))
            )
            return
        self._send(f"acts {attempt.task}")
        self._view.ended(Outcome(attempt.task, attempt.attempt, Result.CHANGED))

    def _send(self, what: str) -> None:
        with self._actions.open("a") as file:
            file.write(f"{self._who} {what}\n")

    def cancel(self, task: int, attempt: int) -> None:
        raise AssertionError("nothing is cancelled here")

    def elect(self, group: int, stage: int, candidates: Sequence[int]) -> None:
        raise AssertionError("nobody is elected here")

    def stage_settled(self, stage: int) -> None:
        return

    async def close(self) -> None:
        return


def controller(folder: Path, who: str, run_id: str) -> RunStatus:
    """One controller's life; its data directory is its own, the database is shared."""
    url = f"sqlite:///{folder / 'shared' / 'rackwright.db'}"
    inventory = Inventory.open(folder / who, database_url=url, lease_s=LEASE_S)

    async def main() -> RunStatus:
        journal = inventory.journal(run_id, fact=Fact)
        snapshot, facts = journal.past()
        fence = OwnerFence(inventory)

        def executor(view: RunView) -> Executor:
            return Noting(view, folder / "actions", who, fence)

        return await Runner(
            PLAN,
            journal,
            executor,
            SystemClock(),
            inventory.epoch,
            facts,
            snapshot=snapshot,
            may_act=inventory.may_act,
        ).run()

    try:
        return asyncio.run(main())
    finally:
        inventory.close()


def begin(folder: Path) -> str:
    async def main() -> str:
        inventory = Inventory.open(folder / "shared")
        await inventory.enrol(ENROLMENT, "rack.yaml", actor="tester")
        record = PlanRecord("d" * 64, "cluster", "test", "", "f", b"{}", 0.0)
        ids = [inventory.machine("borrowed").id]
        names = [made.name for made in PLAN.stages]
        run = await inventory.begin_run(NewRun(record, ids, names, "tester", None))
        inventory.close()
        return run.id

    return asyncio.run(main())


CHILD = """
import sys
from pathlib import Path
from rackwright.inventory.errors import StaleOwnerError
from tests.unit.engine.run.test_controller_pause import controller
try:
    controller(Path(sys.argv[1]), "first", sys.argv[2])
except StaleOwnerError:
    sys.exit(7)
"""


def actions(folder: Path) -> list[str]:
    file = folder / "actions"
    return file.read_text().splitlines() if file.exists() else []


def until(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def stop_between_commits(pid: int, folder: Path) -> None:
    """SQLite's write lock is a process's: one that was stopped with it lets nobody write."""
    while True:
        os.kill(pid, signal.SIGSTOP)
        probe = sqlite3.connect(folder / "shared" / "rackwright.db", timeout=0.2)
        try:
            probe.execute("BEGIN IMMEDIATE")
            return
        except sqlite3.OperationalError:
            os.kill(pid, signal.SIGCONT)
            time.sleep(0.01)
        finally:
            probe.close()


def test_a_controller_that_slept_past_its_lease_writes_and_sends_nothing(tmp_path: Path) -> None:
    run_id = begin(tmp_path)
    command = [sys.executable, "-c", CHILD, str(tmp_path), run_id]
    with subprocess.Popen(command, cwd=Path(__file__).parents[4]) as first:
        try:
            until(lambda: len(actions(tmp_path)) >= 12)
            stop_between_commits(first.pid, tmp_path)
            before = len(actions(tmp_path))
            with pytest.raises(OwnedElsewhereError):
                controller(tmp_path, "second", run_id)
            deadline = time.monotonic() + 20 * LEASE_S
            while True:
                try:
                    assert controller(tmp_path, "second", run_id) == RunStatus.SUCCEEDED
                    break
                except OwnedElsewhereError:
                    assert time.monotonic() < deadline
                    time.sleep(0.1)
            os.kill(first.pid, signal.SIGCONT)
            assert first.wait(timeout=30) == 7
        finally:
            first.kill()
    done = actions(tmp_path)
    assert {line.split()[0] for line in done[before:]} == {"second"}
    assert len(done[:before]) < 2 * PLAN_TASKS
    facts = read(tmp_path, run_id)
    ended = [(f.stage, f.machine) for f in facts if f.kind == "ended"]
    assert len(ended) == len(set(ended)) == PLAN_TASKS
    assert facts[-1].kind == "finished"


def read(folder: Path, run_id: str) -> list[Fact]:
    inventory = Inventory.open(folder / "shared")
    try:
        return inventory.journal(run_id, fact=Fact).read()
    finally:
        inventory.close()
