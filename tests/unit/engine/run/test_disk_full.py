"""A run on a disk that fills up: it stops, reads go on, and once there is room it goes on where it
was. On a small tmpfs, so for root alone."""

import asyncio
import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from rackwright.engine.executors.simulated import Latency, SimulatedExecutor
from rackwright.engine.executors.simulated_world import World
from rackwright.engine.run.clock import VirtualClock
from rackwright.engine.run.ports import Fact
from rackwright.engine.run.runner import Runner
from rackwright.engine.schedule.events import RunStatus
from rackwright.inventory.errors import StorageFullError
from rackwright.inventory.facade import Inventory
from rackwright.inventory.plans import PlanRecord
from rackwright.inventory.runs import NewRun
from tests.unit.engine.run.plans import plan, stage
from tests.unit.engine.run.test_controller_kill import ENROLMENT

PLAN = plan([stage("s0"), *(stage(f"s{n}", f"s{n - 1}") for n in range(1, 6))], machines=300)
LEFT_BYTES = 64 * 1024


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.fail("this test mounts a small tmpfs: run the suite as root")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Leaves ``LEFT_BYTES``, so that the run begins and does not end."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        with contextlib.suppress(OSError):
            while True:
                file.write(bytes(LEFT_BYTES // 2))
        file.truncate(max(0, file.tell() - LEFT_BYTES))
    return ballast


async def drive(inventory: Inventory, run_id: str, world: World) -> RunStatus:
    journal = inventory.journal(run_id, fact=Fact)
    snapshot, facts = journal.past()
    clock = VirtualClock()
    return await Runner(
        PLAN,
        journal,
        lambda view: SimulatedExecutor(PLAN, view, clock, world, latency=Latency(1.0, 30.0)),
        clock,
        inventory.epoch,
        facts,
        snapshot=snapshot,
        may_act=inventory.may_act,
    ).run()


def test_a_full_disk_stops_the_run_and_loses_nothing(small_disk: Path) -> None:
    async def main() -> None:
        inventory = Inventory.open(small_disk / "data")
        await inventory.enrol(ENROLMENT, "rack.yaml", actor="tester")
        record = PlanRecord("d" * 64, "cluster", "test", "", "f", b"{}", 0.0)
        ids = [inventory.machine("borrowed").id]
        names = [made.name for made in PLAN.stages]
        run_id = (await inventory.begin_run(NewRun(record, ids, names, "t", None))).id
        ballast = fill(small_disk)
        world = World()
        with pytest.raises(StorageFullError):
            await drive(inventory, run_id, world)
        facts = inventory.journal(run_id, fact=Fact).read()
        issued = {(f.stage, f.machine) for f in facts if f.kind == "issued"}
        assert 0 < len(issued) < len(PLAN.stages) * len(PLAN.machines)
        touched = {
            divmod(task, len(PLAN.machines))
            for task in range(len(PLAN.stages) * len(PLAN.machines))
            if world.applies(task)
        }
        assert touched <= issued, "something was done that no fact says"
        assert inventory.run(run_id).status == RunStatus.RUNNING  # reads go on
        large = PlanRecord("e" * 64, "cluster", "large", "", "f", bytes(1 << 20), 0.0)
        with pytest.raises(StorageFullError):
            await inventory.save_plan(large)
        ballast.unlink()
        await inventory.save_plan(large)
        assert await drive(inventory, run_id, world) == RunStatus.SUCCEEDED
        after = inventory.journal(run_id, fact=Fact).read()
        assert after[: len(facts)] == facts, "an acknowledged fact was lost"
        ended = [(f.stage, f.machine) for f in after if f.kind == "ended" and f.status <= 1]
        assert len(ended) == len(set(ended)) == len(PLAN.stages) * len(PLAN.machines)
        inventory.close()

    asyncio.run(main())
