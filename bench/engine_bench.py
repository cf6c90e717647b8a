"""Our own engine: scheduler, durable runs, resume, compiling, and the disk's raw floor beside them.

Each measurement runs in a process of its own and prints its rows as JSON.
"""

import json
import statistics
import subprocess
import sys
from collections.abc import Sequence
from typing import Final

from bench.contest import ROOT, Row

LARGE: Final = 70_000


def measured(*, quick: bool, rounds: int) -> list[Row]:
    large = "3000" if quick else str(LARGE)
    rows = [] if quick else scheduler_rows()
    for size in ("1000", large) if quick else ("1000", "10000", large):
        rows += repeated(rounds, "scheduler_durable_bench.py", size, "--json")
    rows += repeated(rounds, "resume_bench.py", large)
    rows += repeated(rounds, "simulate_bench.py", large)
    rows += repeated(rounds, "journal_floor.py", large)
    machines, kills = ("500", "10") if quick else ("10000", "200")
    rows += child("storm.py", "--machines", machines, "--kills", kills)
    if not quick:
        rows += child("compile_bench.py")
    _add_ratios(rows)
    return [_judged(row) for row in rows]


def child(script: str, *arguments: str) -> list[Row]:
    """A measurement's rows: each line of its output that is JSON."""
    print(f"{script} {' '.join(arguments)}", file=sys.stderr, flush=True)
    done = subprocess.run(
        [sys.executable, str(ROOT / "bench" / script), *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        return [{"measure": f"{script} {' '.join(arguments)}", "failed": done.stderr[-2000:]}]
    rows: list[Row] = []
    for line in done.stdout.splitlines():
        if line.startswith(("{", "[")):
            found = json.loads(line)
            rows += found if isinstance(found, list) else [found]
    return rows


def scheduler_rows() -> list[Row]:
    """A row a shape and size; the largest says how much more it costs than the smallest."""
    found = child("scheduler_bench.py", "--json")
    smallest: dict[str, float] = {}
    rows = []
    for taken in found:
        if "failed" in taken:
            return [taken]
        shape, machines = taken.pop("shape"), taken.pop("machines")
        cost = taken["us_per_completion"]
        row = {"measure": f"scheduler, {shape}, {machines} machines", **taken}
        if machines == LARGE and shape in smallest:
            row["growth"] = round(cost / smallest[shape], 2)
        smallest.setdefault(shape, cost)
        rows.append(row)
    return rows


def repeated(rounds: int, script: str, *arguments: str) -> list[Row]:
    """The round with the median wall time, and the spread of all."""
    taken = [child(script, *arguments) for _ in range(rounds)]
    if failed := next((rows for rows in taken if any("failed" in row for row in rows)), None):
        return failed
    rows = []
    for same in zip(*taken, strict=True):
        walls = [row["wall_s"] for row in same]
        median = statistics.median_low(walls)
        row = next(r for r in same if r.get("wall_s") == median)
        rows.append({**row, "rounds": rounds, "wall_spread_s": round(max(walls) - min(walls), 2)})
    return rows


def _add_ratios(rows: Sequence[Row]) -> None:
    """What the disk alone gives, beside what a durable run of the same size made of it."""
    by_name = {str(row.get("measure")): row for row in rows}
    for name, row in by_name.items():
        floor = by_name.get(name.replace("durable run", "bare sqlite3, packed"))
        if (
            name.startswith("durable run")
            and floor
            and {"tasks_per_s"} <= row.keys() & floor.keys()
        ):
            floor["times_the_durable_run"] = round(floor["tasks_per_s"] / row["tasks_per_s"], 1)


def _judged(row: Row) -> Row:
    """The budgets of design.md, section 9, and of the issue that this bench belongs to."""
    name = str(row.get("measure", ""))
    budgets: list[tuple[str, str, float, bool]] = []
    if name.startswith("scheduler,"):
        budgets = [("us_per_completion", "<= 3 µs", 3, False), ("growth", "<= 1.7x", 1.7, False)]
    elif name.startswith("durable run") and row.get("machines") == LARGE:
        budgets = [
            ("tasks_per_s", ">= 60,000/s", 60_000, True),
            ("wall_s", "<= 12 s", 12, False),
            ("peak_rss_mb", "<= 400 MB", 400, False),
        ]
    elif name.startswith("simulate ") and row.get("machines") == LARGE:
        budgets = [("wall_s", "<= 12 s", 12, False), ("peak_rss_mb", "<= 400 MB", 400, False)]
    elif name.startswith("resume after SIGKILL"):
        budgets = [("wall_s", "<= 5 s", 5, False)]
    elif name.startswith("compile "):
        budgets = [("seconds", "< 2 s", 2, False)]
    elif name.startswith("refuse "):
        budgets = [("seconds", "< 1 s", 1, False)]
    found = [
        {"text": text, "value": row[key], "limit": limit, "at_least": at_least}
        for key, text, limit, at_least in budgets
        if key in row
    ]
    return {**row, "budgets": found} if found else row
