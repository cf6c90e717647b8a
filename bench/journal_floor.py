"""What this disk gives at best: bare sqlite3, the journal's own bytes, the same group commit.

Usage: python bench/journal_floor.py [MACHINES]. One commit is what a durable run of so many
machines commits at once (a sixtieth of a stage); "packed" writes it as the journal does, "rows" a
row a fact.
"""

import json
import sqlite3
import sys
import tempfile
import time
from pathlib import Path

from rackwright.inventory.pack import FactTuple, encode

STAGES = 10
TICKS = 60


def facts_of(count: int) -> list[FactTuple]:
    """One outcome and one issue a task, as a run of simulated machines journals them."""
    facts: list[FactTuple] = []
    for machine in range(count):
        evidence = b'{"simulated":true,"machine":"m-%d","attempt":1}' % machine
        ended = b'{"at":1767225600.000,"evidence":' + evidence + b"}"
        facts.append(("ended", 3, machine, 1, 1, ended))
        issued = b'{"at":1767225600.000,"deadline":1767226200.000,"epoch":1}'
        facts.append(("issued", 4, machine, 1, 0, issued))
    return facts


def measure(machines: int, *, packed: bool, folder: Path) -> dict[str, object]:
    batch = max(1, machines // TICKS)
    commits = machines * STAGES // batch
    database = sqlite3.connect(folder / f"floor-{packed}.db", isolation_level=None)
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "wal_autocheckpoint=4000"):
        database.execute(f"PRAGMA {pragma}")
    database.execute(
        "CREATE TABLE journal (seq INTEGER PRIMARY KEY AUTOINCREMENT, run_no INT, kind TEXT, "
        "stage INT, machine INT, attempt INT, status INT, at FLOAT, payload BLOB)"
    )
    facts = facts_of(batch)
    insert = (
        "INSERT INTO journal (run_no, kind, stage, machine, attempt, status, at, payload) "
        "VALUES (1,?,?,?,?,?,0.0,?)"
    )
    blob = encode(facts, [7, 4] * batch)
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(commits):
        database.execute("BEGIN IMMEDIATE")
        if packed:
            database.execute(insert, ("", -1, -1, 0, 0, blob))
        else:
            database.executemany(insert, facts)
        database.execute("COMMIT")
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    database.close()
    return {
        "measure": f"bare sqlite3, {'packed' if packed else 'rows'}, {machines} x {STAGES}",
        "wall_s": round(wall, 2),
        "cpu_s": round(cpu, 2),
        "tasks_per_s": round(commits * batch / wall),
        "commits": commits,
    }


def main() -> None:
    machines = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    for packed in (True, False):
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(measure(machines, packed=packed, folder=Path(folder))))


if __name__ == "__main__":
    main()
