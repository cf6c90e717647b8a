"""SIGKILL of a real controller process, with the inventory's journal and a world on disk.

The controller kills itself: just before or just after one of its commits, before anything of that
turn was sent. The next process takes the run up from the journal.
"""

import asyncio
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import pytest

from rackwright.engine.executors.simulated import Latency, SimulatedExecutor
from rackwright.engine.executors.simulated_world import World
from rackwright.engine.run.clock import VirtualClock
from rackwright.engine.run.ports import Commit, Fact
from rackwright.engine.run.runner import Runner
from rackwright.engine.schedule.events import RunStatus
from rackwright.inventory.facade import Inventory
from rackwright.inventory.journal import RunJournal
from rackwright.inventory.plans import PlanRecord
from rackwright.inventory.runs import NewRun
from tests.unit.engine.run.plans import swarm

PLAN = swarm(3)
MACHINES = len(PLAN.machines)
ENROLMENT = """\
machines:
- name: borrowed
  ssh:
    address: 10.0.0.5
    user: root
    host_key: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEcgXYyuFRzqBCCzW8LwE/ewkEMJjNxYxXQTFpTd0REA
"""
When = Literal["before", "after"]


class Deadly:
    """Passes appends on; dies at one of them."""

    def __init__(self, journal: RunJournal[Fact], stage: int, when: When) -> None:
        self._journal = journal
        self._stage = stage
        self._when = when

    async def append(self, owner_epoch: int, commit: Commit) -> int:
        crossing = any(f.kind == "issued" and f.stage == self._stage for f in commit.facts)
        if crossing and self._when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        seq = await self._journal.append(owner_epoch, commit)
        if crossing:
            os.kill(os.getpid(), signal.SIGKILL)
        return seq

    def read(self) -> Sequence[Fact]:
        return self._journal.read()

    def past(self) -> tuple[bytes, Sequence[Fact]]:
        return self._journal.past()


def controller(data: Path, run_id: str, stage: int, when: When) -> RunStatus:
    """One controller's life."""
    inventory = Inventory.open(data)
    world = World(data / "world")
    clock = VirtualClock()
    journal = Deadly(inventory.journal(run_id, fact=Fact), stage, when)
    snapshot, facts = journal.past()

    async def main() -> RunStatus:
        runner = Runner(
            PLAN,
            journal,
            lambda view: SimulatedExecutor(PLAN, view, clock, world, latency=Latency(1.0, 5.0)),
            clock,
            inventory.epoch,
            facts,
            snapshot=snapshot,
            snapshot_facts=5,
        )
        return await runner.run()

    status = asyncio.run(main())
    inventory.close()
    return status


def live(data: Path, run_id: str, stage: int, when: When) -> int:
    """In a process of its own; returns its wait status."""
    pid = os.fork()
    if pid == 0:
        code = 9
        try:
            code = int(controller(data, run_id, stage, when))
        finally:
            os._exit(code)
    return os.waitpid(pid, 0)[1]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    data = tmp_path_factory.mktemp("data")
    inventory = Inventory.open(data)

    async def begin() -> str:
        await inventory.enrol(ENROLMENT, "rack.yaml", actor="tester")
        plan = PlanRecord("d" * 64, "cluster", "swarm", "", "f", b"{}", 0.0)
        ids = [inventory.machine("borrowed").id]
        names = [stage.name for stage in PLAN.stages]
        return (await inventory.begin_run(NewRun(plan, ids, names, "tester", None))).id

    run_id = asyncio.run(begin())
    inventory.close()
    return data, run_id


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_controller_killed_at_every_stage_boundary_repeats_nothing(
    prepared: tuple[Path, str], tmp_path: Path, when: When
) -> None:
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    for file in prepared[0].rglob("*"):
        if file.is_file():
            copy = data / file.relative_to(prepared[0])
            copy.parent.mkdir(mode=0o700, exist_ok=True)
            copy.write_bytes(file.read_bytes())
            copy.chmod(0o600)
    run_id = prepared[1]
    for stage in range(len(PLAN.stages)):
        status = live(data, run_id, stage, when)
        assert os.WIFSIGNALED(status), f"stage {stage}: {status}"
        assert os.WTERMSIG(status) == signal.SIGKILL
    assert os.WEXITSTATUS(live(data, run_id, -1, when)) == RunStatus.SUCCEEDED
    world = World(data / "world")
    tasks = range(MACHINES * len(PLAN.stages))
    assert [world.applies(t) for t in tasks if world.applies(t) > 1] == []
    install = PLAN.stages.index(next(s for s in PLAN.stages if s.destructive))
    erasures = [world.erasures(install * MACHINES + m) for m in range(MACHINES)]
    assert erasures == [1] * MACHINES
    inventory = Inventory.open(data)
    facts = inventory.journal(run_id, fact=Fact).read()
    inventory.close()
    ended = [(f.stage, f.machine) for f in facts if f.kind == "ended" and f.status <= 1]
    assert len(ended) == len(set(ended)), "a finished task was repeated"
