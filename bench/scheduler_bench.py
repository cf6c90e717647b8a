"""Scheduler cost per completion at 1,000, 10,000 and 70,000 machines x 10 stages.

Usage: python bench/scheduler_bench.py [--json]. Budget (design.md section 9): <= 3 µs at every
size, growth <= 1.7x. A completion is one ``feed(Ended)`` and its share of ``take()``: outcomes
arrive in batches of 1,000. Two shapes: a chain with one barrier, and one in which a means, waves,
limits, a percentage barrier and 1 % failures with retries take the slow paths.
"""

import gc
import json
import resource
import statistics
import sys
import time
from collections import deque

from rackwright.engine.schedule.events import Ended, Mode, Result, SetTimer, Start, TimerFired
from rackwright.engine.schedule.scheduler import Scheduler
from rackwright.engine.schedule.topology import Barrier, StageShape, Topology

SIZES = (1_000, 10_000, 70_000)
STAGES = 10
BATCH = 1_000
ROUNDS = 3


def chain(machines: int) -> Topology:
    everyone = bytes([1]) * machines
    stages = [StageShape("s0", everyone)]
    for s in range(1, STAGES):
        barriers = (Barrier(s - 1, "all"),) if s == 5 else ()
        stages.append(StageShape(f"s{s}", everyone, needs=(s - 1,), barriers=barriers, retries=2))
    return Topology(machines, stages)


def mixed(machines: int) -> Topology:
    everyone = bytes([1]) * machines
    racks = max(1, machines // 40)
    rows = [(m % racks, racks) for m in range(machines)]
    capacities = [8] * racks + [max(1, machines // 4)]
    stages = [
        StageShape("power", everyone, retries=3),
        StageShape("netboot", everyone, needs=(0,), means_to=(2,), limits=rows, retries=3),
        StageShape(
            "install",
            everyone,
            needs=(1,),
            canary=1,
            max_parallel=max(1, machines // 10),
            halt_at_failures=machines,
            limits=rows,
            retries=3,
        ),
    ]
    for s in range(3, STAGES):
        barriers = (Barrier(s - 1, "percent", 50),) if s == 6 else ()
        stages.append(StageShape(f"s{s}", everyone, needs=(s - 1,), barriers=barriers, retries=3))
    return Topology(machines, stages, capacities=capacities)


def run(topology: Topology, failing: int) -> tuple[float, int]:
    """Seconds in the scheduler and completions; every ``failing``-th attempt fails (0: none)."""
    spent = 0.0
    completions = 0
    scheduler = Scheduler(topology)
    inbox: deque[Ended | TimerFired] = deque()
    commands = scheduler.take()
    while commands or inbox:
        for command in commands:
            if type(command) is Start:
                completions += 1
                if command.mode == Mode.PROBE:
                    result = Result.UNSATISFIED
                elif failing and completions % failing == 0:
                    result = Result.FAILED
                else:
                    result = Result.CHANGED
                inbox.append(Ended(command.task, command.attempt, result))
            elif type(command) is SetTimer:
                inbox.append(TimerFired(command.task, command.attempt))
        batch = [inbox.popleft() for _ in range(min(BATCH, len(inbox)))]
        feed = scheduler.feed
        start = time.perf_counter()
        for event in batch:
            feed(event)
        commands = scheduler.take()
        spent += time.perf_counter() - start
    assert scheduler.board.finished
    return spent, completions


def main() -> None:
    rows = []
    for name, shape, failing in (("chain", chain, 0), ("mixed", mixed, 100)):
        for machines in SIZES:
            topology = shape(machines)
            costs = []
            for _ in range(ROUNDS):
                gc.collect()
                spent, completions = run(topology, failing)
                costs.append(spent / completions * 1e6)
            rows.append(
                {
                    "shape": name,
                    "machines": machines,
                    "us_per_completion": round(statistics.median(costs), 2),
                    "spread_us": round(max(costs) - min(costs), 2),
                    "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
                }
            )
    if "--json" in sys.argv:
        print(json.dumps(rows))
        return
    for row in rows:
        print(
            f"{row['shape']:6} {row['machines']:7,} machines  {row['us_per_completion']:5.2f} µs"
            f" (spread {row['spread_us']:.2f})  RSS {row['peak_rss_mb']} MB"
        )


if __name__ == "__main__":
    main()
