"""Our no-op tasks: production scheduler, runner, journal and SQLite, on machines that do nothing.

Usage: python -m bench.ours_noop TASKS. Ten stages in a chain, with evidence, without faults.
"""

import asyncio
import sys
import tempfile
from pathlib import Path

from bench.scheduler_durable_bench import STAGES, begin, chain
from bench.tree import counted
from rackwright.api.collector import collect_rarely
from rackwright.engine.executors.simulated import Faults, Latency, SimulatedExecutor
from rackwright.engine.executors.simulated_world import World
from rackwright.engine.run.clock import VirtualClock
from rackwright.engine.run.ports import Fact
from rackwright.engine.run.runner import Runner
from rackwright.engine.schedule.events import RunStatus


async def main(tasks: int) -> None:
    plan = chain(tasks // STAGES)
    with tempfile.TemporaryDirectory() as folder:
        inventory, run_id = await begin(plan, Path(folder))
        clock, world = VirtualClock(), World()
        with counted(tasks=tasks):
            runner = Runner(
                plan,
                inventory.journal(run_id, fact=Fact),
                lambda view: SimulatedExecutor(
                    plan, view, clock, world, seed=7, faults=Faults(), latency=Latency(1, 60, 1)
                ),
                clock,
                inventory.epoch,
                may_act=inventory.may_act,
            )
            collect_rarely()
            status = await runner.run()
        assert status is RunStatus.SUCCEEDED, status
        inventory.close()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
