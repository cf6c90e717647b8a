"""``make bench``: every measurement, each in a process of its own; JSON and a table of Markdown.

Usage: python -m bench [--quick] [--rounds N]. Writes var/bench/<moment>.json and
docs/benchmarks.md. ``--quick``: small sizes, one round, and no file under docs/.
"""

import argparse
import datetime
import importlib.metadata
import json
import os
import platform
import sqlite3
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent
PACKAGES: Final = ("rackwright", "sqlalchemy", "networkx", "asyncssh")
Row = dict[str, Any]


def child(script: str, *arguments: str) -> list[Row]:
    """A measurement's rows: each line of its output that is JSON."""
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
    return [
        {"measure": f"scheduler, {row.pop('shape')}, {row.pop('machines')} machines", **row}
        for row in child("scheduler_bench.py", "--json")
    ]


def repeated(rounds: int, script: str, *arguments: str) -> list[Row]:
    """The round with the median wall time, and the spread of all."""
    taken = [child(script, *arguments) for _ in range(rounds)]
    rows = []
    for same in zip(*taken, strict=False):
        walls = [row["wall_s"] for row in same if "wall_s" in row]
        if not walls:
            rows.append(same[0])
            continue
        median = statistics.median_low(walls)
        row = next(r for r in same if r.get("wall_s") == median)
        rows.append({**row, "rounds": rounds, "wall_spread_s": round(max(walls) - min(walls), 2)})
    return rows


def measure(*, quick: bool, rounds: int) -> list[Row]:
    large = "3000" if quick else "70000"
    rows = [] if quick else scheduler_rows()
    for size in ("1000", large) if quick else ("1000", "10000", large):
        rows += repeated(rounds, "scheduler_durable_bench.py", size, "--json")
    rows += repeated(rounds, "resume_bench.py", large)
    rows += repeated(rounds, "journal_floor.py", large)
    machines, kills = ("500", "10") if quick else ("10000", "200")
    rows += child("storm.py", "--machines", machines, "--kills", kills)
    if not quick:
        rows += child("compile_bench.py")
    return rows


def surroundings() -> Row:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "cpus": os.cpu_count(),
        "memory_gib": round(memory / 2**30, 1),
        "load_average": [round(x, 2) for x in os.getloadavg()],
        "nice": os.nice(0),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "kernel": platform.release(),
        **{name: importlib.metadata.version(name) for name in PACKAGES},
    }


def markdown(before: Row, after: Row, rows: list[Row], command: str) -> str:
    lines = [
        "# Benchmarks",
        "",
        f"`{command}` on {before['at']}: {before['cpus']} CPUs, {before['memory_gib']} GiB, "
        f"Python {before['python']}, SQLite {before['sqlite']}, Linux {before['kernel']}, "
        + ", ".join(f"{name} {before[name]}" for name in PACKAGES)
        + ".",
        "",
        f"Load average before {before['load_average']}, after {after['load_average']}, niceness "
        f"{before['nice']}: on a machine that does other work, read the CPU seconds and not the "
        "wall clock. Rounds: the median, and the spread of all. Budgets: design, section 9.",
        "",
        "| measure | wall s | CPU s | tasks/s | RSS MB | more |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        shown = dict(row)
        cells = [
            str(shown.pop("measure", "")),
            str(shown.pop("wall_s", shown.pop("seconds", ""))),
            str(shown.pop("cpu_s", "")),
            str(shown.pop("tasks_per_s", "")),
            str(shown.pop("peak_rss_mb", shown.pop("peak_rss_mib", ""))),
            ", ".join(f"{key} {value}" for key, value in shown.items()).replace("|", "/"),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    before = surroundings()
    rows = measure(quick=given.quick, rounds=1 if given.quick else given.rounds)
    after = surroundings()
    folder = ROOT / "var" / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    found = {"before": before, "after": after, "rows": rows}
    name = before["at"].replace(":", "").replace("+0000", "Z")
    (folder / f"{name}.json").write_text(json.dumps(found, indent=2) + "\n")
    command = " ".join(["make bench" if len(sys.argv) == 1 else "python -m bench", *sys.argv[1:]])
    table = markdown(before, after, rows, command)
    if not given.quick:
        (ROOT / "docs" / "benchmarks.md").write_text(table)
    print(table)


if __name__ == "__main__":
    main()
