"""``rackwright simulate`` as a user runs it: the swarm workflow, without faults and with a few.

Usage: python bench/simulate_bench.py [MACHINES]. Budgets: those of a durable run of 70,000 x 10
(design.md section 9), compiling and the report included. With faults, what fails must be exactly
what was injected, each with its cause: ``failures_as_injected``.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

FAULTS = """\
faults:
- {{kind: refuse, stages: [runtime], machines: [{refused}], note: no package mirror}}
- {{kind: hang, stages: [prepare], machines: [{hanging}], note: a dead disk}}
- {{kind: unknown, stages: [runtime, prepare], probability: 1%, attempts: 1}}
- {{kind: duplicate_event, probability: 1%}}
"""


def injected(machines: int) -> set[tuple[str, str]]:
    """(stage, machine) of those that no retry helps."""
    refused = [f"n{machines // 7 * number}" for number in (2, 3, 4)]
    hanging = [f"n{machines // 7 * number + 1}" for number in (5, 6)]
    return {("runtime", name) for name in refused} | {("prepare", name) for name in hanging}


def measure(machines: int, *, faults: bool, folder: Path) -> dict[str, object]:
    expected = injected(machines) if faults else set()
    command = [sys.executable, "-m", "rackwright", "simulate", "--workflow", "swarm"]
    command += ["--machines", str(machines), "--seed", "7", "--output", "json"]
    if faults:
        file = folder / "faults.yaml"
        by_stage = {
            stage: ", ".join(sorted(name for s, name in expected if s == stage))
            for stage in ("runtime", "prepare")
        }
        file.write_text(FAULTS.format(refused=by_stage["runtime"], hanging=by_stage["prepare"]))
        command += ["--faults", str(file)]
    wall = time.perf_counter()
    output = folder / "found.json"
    with output.open("wb") as out, subprocess.Popen(command, stdout=out) as child:
        _, _, used = os.wait4(child.pid, 0)
        child.returncode = 0
    wall = time.perf_counter() - wall
    found = json.loads(output.read_text())
    failed = {(f["stage"], f["machine"]) for f in found["failed"]}
    explained = all("injected" in f["error"] for f in found["failed"])
    return {
        "measure": f"simulate swarm, {machines} machines{', with faults' if faults else ''}",
        "machines": machines,
        "status": found["status"],
        "attempts": found["attempts"],
        "wall_s": round(wall, 2),
        "cpu_s": round(used.ru_utime + used.ru_stime, 2),
        "tasks_per_s": found["tasks_per_s"],
        "peak_rss_mb": used.ru_maxrss // 1024,
        "compile_s": found["compile_s"],
        "report_s": found["report_s"],
        **({"failures_as_injected": failed == expected and explained} if faults else {}),
    }


def main() -> None:
    machines = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    for faults in (False, True):
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(measure(machines, faults=faults, folder=Path(folder))))


if __name__ == "__main__":
    main()
