"""A durable run on simulated machines: production scheduler, runner, journal and SQLite.

Usage: python bench/scheduler_durable_bench.py [MACHINES] [--json]. Budgets (design.md section 9):
>= 60,000 durable tasks/s, 70,000 machines x 10 stages in <= 12 s and <= 400 MB RSS. Faults and
evidence included. ``resume_bench`` takes such a run up again.
"""

import asyncio
import json
import os
import resource
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from rackwright.api.collector import collect_rarely
from rackwright.engine.executors.simulated import Faults, Latency, SimulatedExecutor
from rackwright.engine.executors.simulated_world import World
from rackwright.engine.plan.model import Need, Plan, PlannedMachine, PlannedStage, Retries
from rackwright.engine.run.clock import VirtualClock
from rackwright.engine.run.ports import Fact
from rackwright.engine.run.runner import Runner
from rackwright.inventory import simulations
from rackwright.inventory.facade import Inventory
from rackwright.inventory.plans import PlanRecord

STAGES = 10
FAULTS = Faults(fail=0.01, unknown=0.01, duplicate=0.01)


def chain(machines: int) -> Plan:
    first = PlannedStage(
        name="s0",
        role="bench/noop",
        role_stage="noop",
        executor="ssh",
        group="all",
        pick="all",
        needs=(),
        means_to=(),
        waves=None,
        retries=Retries(3, 1.0),
        timeout_s=600.0,
        destructive=None,
        always=False,
        cluster_scoped=False,
        reboots=None,
        apply_in="os",
        scripts={},
        secrets={},
        outputs=(),
        files={},
        params={},
    )
    stages = [first]
    for s in range(1, STAGES):
        needs: tuple[Need, ...] = (Need(f"s{s - 1}"),)
        if s == STAGES // 2:
            needs = (*needs, Need(f"s{s - 1}", "percent", 99))
        stages.append(replace(first, name=f"s{s}", needs=needs))
    names = tuple(stage.name for stage in stages)
    planned = tuple(
        PlannedMachine(f"m-{i}", f"n{i}", (), "", "enrolled", (), names, {}, 0, ())
        for i in range(machines)
    )
    return Plan(
        digest="d",
        kind="cluster",
        workflow="bench",
        cluster="",
        cluster_params={},
        machines=planned,
        stages=tuple(stages),
        groups=(),
        erasures=(),
        limits={},
        content={},
        content_digest="",
        artifacts={},
        fingerprint="",
        estimate_s=0.0,
    )


async def begin(plan: Plan, data: Path) -> tuple[Inventory, str]:
    """A database with a run of ``plan``; its machines are in no inventory."""
    inventory = Inventory.open(data)
    record = PlanRecord("d" * 64, "cluster", "bench", "", "f", b"{}", 0.0)
    run_id = await inventory.write(
        lambda c: simulations.begin(
            c,
            record,
            machines=[(machine.id, machine.name) for machine in plan.machines],
            stages=[stage.name for stage in plan.stages],
            epoch=inventory.epoch,
            now=0.0,
        )
    )
    return inventory, run_id


def runner_of(plan: Plan, inventory: Inventory, run_id: str) -> tuple[Runner, VirtualClock]:
    clock, world = VirtualClock(), World()
    latency = Latency(1.0, 60.0, tick_s=1.0)
    runner = Runner(
        plan,
        inventory.journal(run_id, fact=Fact),
        lambda view: SimulatedExecutor(
            plan, view, clock, world, seed=7, faults=FAULTS, latency=latency
        ),
        clock,
        inventory.epoch,
        may_act=inventory.may_act,
    )
    return runner, clock


async def measure(machines: int, data: Path) -> dict[str, object]:
    plan = chain(machines)
    inventory, run_id = await begin(plan, data)
    journal = inventory.journal(run_id, fact=Fact)
    wall, cpu = time.perf_counter(), time.process_time()
    runner, clock = runner_of(plan, inventory, run_id)
    collect_rarely()  # as the owner does
    status = await runner.run()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    del runner
    attempts = sum(1 for fact in journal.each() if fact.kind == "ended")
    size = sum(map(os.path.getsize, await asyncio.to_thread(lambda: [*data.glob("*.db*")])))
    inventory.close()
    return {
        "measure": f"durable run, {machines} x {STAGES}",
        "machines": machines,
        "status": status.name,
        "attempts": attempts,
        "wall_s": round(wall, 2),
        "cpu_s": round(cpu, 2),
        "tasks_per_s": round(attempts / wall),
        "peak_rss_mb": peak,
        "us_cpu_per_task": round(cpu / attempts * 1e6, 1),
        "database_mb": size >> 20,
        "virtual_s": round(clock.monotonic(), 1),
    }


def main() -> None:
    sizes = [int(a) for a in sys.argv[1:] if a.isdigit()] or [10_000]
    for machines in sizes:
        with tempfile.TemporaryDirectory() as data:
            row = asyncio.run(measure(machines, Path(data)))
        print(json.dumps(row) if "--json" in sys.argv else row)


if __name__ == "__main__":
    main()
