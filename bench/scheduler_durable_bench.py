"""A durable run on simulated machines: production scheduler, runner, journal and SQLite.

Usage: python bench/scheduler_durable_bench.py [MACHINES] [--json]. Budgets (design.md section 9):
>= 60,000 durable tasks/s, 70,000 machines x 10 stages in <= 12 s and <= 400 MB RSS; resume of that
run after half of its journal in <= 5 s. One process per size; faults and evidence included.
"""

import asyncio
import json
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
from rackwright.engine.run.restore import restore
from rackwright.engine.run.runner import Runner
from rackwright.engine.schedule.topology import Topology
from rackwright.inventory.facade import Inventory
from rackwright.inventory.plans import PlanRecord
from rackwright.inventory.runs import NewRun

STAGES = 10
FAULTS = Faults(fail=0.01, unknown=0.01, duplicate=0.01)
ENROLMENT = """\
machines:
- name: one
  ssh:
    address: 10.0.0.5
    user: root
    host_key: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEcgXYyuFRzqBCCzW8LwE/ewkEMJjNxYxXQTFpTd0REA
"""


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


async def measure(machines: int, data: Path) -> dict[str, object]:
    inventory = Inventory.open(data)
    await inventory.enrol(ENROLMENT, "rack.yaml", actor="bench")
    record = PlanRecord("d" * 64, "cluster", "bench", "", "f", b"{}", 0.0)
    plan = chain(machines)
    names = [stage.name for stage in plan.stages]
    ids = [inventory.machine("one").id]
    run = await inventory.begin_run(NewRun(record, ids, names, "bench", None))
    journal = inventory.journal(run.id, fact=Fact)
    clock, world = VirtualClock(), World()
    latency = Latency(1.0, 60.0, tick_s=1.0)
    wall, cpu = time.perf_counter(), time.process_time()
    runner = Runner(
        plan,
        journal,
        lambda view: SimulatedExecutor(
            plan, view, clock, world, seed=7, faults=FAULTS, latency=latency
        ),
        clock,
        inventory.epoch,
    )
    collect_rarely()  # as the owner does
    status = await runner.run()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    del runner
    start = time.perf_counter()
    facts = journal.read()
    read = time.perf_counter() - start
    attempts = sum(1 for fact in facts if fact.kind == "ended")
    half = facts[: len(facts) // 2]
    start = time.perf_counter()
    restore(plan, Topology.from_plan(plan), half)
    folded = time.perf_counter() - start
    inventory.close()
    return {
        "machines": machines,
        "status": status.name,
        "attempts": attempts,
        "wall_s": round(wall, 2),
        "cpu_s": round(cpu, 2),
        "tasks_per_s": round(attempts / wall),
        "peak_rss_mb": peak,
        "read_whole_journal_s": round(read, 2),
        "restore_half_s": round(folded, 2),
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
