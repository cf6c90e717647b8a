"""How long a killed controller's run takes to be taken up: SIGKILL at half of its journal.

Usage: python bench/resume_bench.py [MACHINES]. Budget (design.md section 9): <= 5 s for 70,000
machines x 10 stages, from opening the database to the first commands of the resumed run.
"""

import asyncio
import contextlib
import json
import os
import resource
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.scheduler_durable_bench import STAGES, begin, chain, runner_of
from rackwright.engine.run.clock import VirtualClock
from rackwright.engine.run.ports import Attempt, Fact
from rackwright.engine.run.runner import Runner
from rackwright.inventory.facade import Inventory


def run(machines: int, data: Path) -> None:
    """The controller that will be killed."""

    async def main() -> None:
        plan = chain(machines)
        inventory, run_id = await begin(plan, data)
        (data / "run").write_text(run_id)
        await runner_of(plan, inventory, run_id)[0].run()

    asyncio.run(main())


class _TakenUpError(Exception):
    pass


class _First:
    """An executor that ends the measurement when it is told to start something."""

    def start(self, attempts: Sequence[Attempt]) -> None:
        raise _TakenUpError

    def cancel(self, task: int, attempt: int) -> None:
        return

    def elect(self, group: int, stage: int, candidates: Sequence[int]) -> None:
        return

    def stage_settled(self, stage: int) -> None:
        return

    async def close(self) -> None:
        return


def resume(machines: int, data: Path) -> None:
    plan = chain(machines)

    async def main() -> dict[str, object]:
        wall, cpu = time.perf_counter(), time.process_time()
        inventory = Inventory.open(data)
        opened = time.perf_counter() - wall
        snapshot, facts = inventory.journal((data / "run").read_text(), fact=Fact).past()
        read = time.perf_counter() - wall
        runner = Runner(
            plan,
            inventory.journal((data / "run").read_text(), fact=Fact),
            lambda _: _First(),
            VirtualClock(),
            inventory.epoch,
            facts,
            snapshot=snapshot,
        )
        restored = time.perf_counter() - wall
        with contextlib.suppress(_TakenUpError):
            await runner.run()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        inventory.close()
        return {
            "measure": f"resume after SIGKILL, {machines} x {STAGES}",
            "wall_s": round(wall, 2),
            "cpu_s": round(cpu, 2),
            "opened_s": round(opened, 2),
            "read_s": round(read, 2),
            "restored_s": round(restored, 2),
            "facts_in_tail": len(facts),
            "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        }

    print(json.dumps(asyncio.run(main())))


def seq_of(data: Path) -> int:
    try:
        database = sqlite3.connect(f"file:{data}/rackwright.db?mode=ro", uri=True)
    except sqlite3.Error:
        return 0
    try:
        found = database.execute("SELECT max(seq) FROM journal").fetchone()[0]
    except sqlite3.Error:
        return 0
    finally:
        database.close()
    return int(found or 0)


def main() -> None:
    machines = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    me = [sys.executable, __file__, str(machines)]
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        with subprocess.Popen([*me, "run", str(data)]) as child:
            while seq_of(data) < machines * STAGES and child.poll() is None:  # of twice as many
                time.sleep(0.05)
            os.kill(child.pid, signal.SIGKILL)
        subprocess.run([*me, "resume", str(data)], check=True)


if __name__ == "__main__":
    if len(sys.argv) > 3:
        {"run": run, "resume": resume}[sys.argv[2]](int(sys.argv[1]), Path(sys.argv[3]))
    else:
        main()
