"""Contestants that do the same work, measured in turns on the same machine.

Turns and not one after the other: what else the machine does then strikes all of them alike.
"""

import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from bench.tree import ContestantError, Measured, measure

ROOT: Final = Path(__file__).resolve().parent.parent
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Contestant:
    """``units``: machines or tasks, so that sizes may differ. ``command`` is asked for before each
    turn; it installs what it needs, and may raise ``ContestantError``. ``whole``: the command's
    start-up counts, as for a tool that is started for each job."""

    name: str
    units: int
    versions: str
    command: Callable[[], Sequence[str | Path]]
    timeout_s: float = 300.0
    whole: bool = False
    rounds: int = 0  # 0: as many as the others
    environment: dict[str, str] = field(default_factory=dict)
    note: str = ""


@dataclass(slots=True)
class Result:
    contestant: Contestant
    runs: list[Measured] = field(default_factory=list)
    failed: str = ""

    def wall_s(self, *, whole: bool | None = None) -> float:
        """The median a unit."""
        chosen = self.contestant.whole if whole is None else whole
        return statistics.median(r.whole_s if chosen else r.wall_s for r in self.runs) / (
            self.contestant.units
        )

    def cpu_s(self, *, whole: bool | None = None) -> float:
        chosen = self.contestant.whole if whole is None else whole
        return statistics.median(r.whole_cpu_s if chosen else r.cpu_s for r in self.runs) / (
            self.contestant.units
        )


def contest(contestants: Sequence[Contestant], *, rounds: int) -> list[Result]:
    """One result for each, failed or not: none is dropped."""
    results = [Result(one) for one in contestants]
    for number in range(rounds):
        for result in results:
            if result.failed or number >= (result.contestant.rounds or rounds):
                continue
            one = result.contestant
            print(f"round {number + 1}: {one.name}", file=sys.stderr, flush=True)
            try:
                result.runs.append(
                    measure(
                        one.command(),
                        timeout_s=one.timeout_s,
                        cwd=ROOT,
                        environment=one.environment,
                    )
                )
            except ContestantError as error:
                result.failed = str(error)
    return results


def rows(group: str, results: Sequence[Result], ours: str) -> list[Row]:
    """``ours``: the contestant that ratios refer to; a ratio of 3 took three times as long a unit.

    A tool that pays its start-up is compared with ours from start to end too.
    """
    reference = next((r for r in results if r.contestant.name == ours and r.runs), None)
    return [_row(group, result, reference) for result in results]


def _row(group: str, result: Result, reference: Result | None) -> Row:
    one = result.contestant
    row: Row = {"group": group, "measure": one.name, "units": one.units, "versions": one.versions}
    if one.note:
        row["note"] = one.note
    if result.failed or not result.runs:
        return {**row, "failed": result.failed or "no round was run"}
    walls = [r.whole_s if one.whole else r.wall_s for r in result.runs]
    row |= {
        "wall_s": round(statistics.median(walls), 3),
        "spread_s": round(max(walls) - min(walls), 3),
        "rounds": len(walls),
        "cpu_s": round(result.cpu_s() * one.units, 3),
        "peak_rss_mb": max(r.peak_rss_mb for r in result.runs),
        "ms_per_unit": round(result.wall_s() * 1000, 3),
        "cpu_ms_per_unit": round(result.cpu_s() * 1000, 3),
        "with_start_up": one.whole,
    }
    if reference is not None:
        row["ratio"] = round(result.wall_s() / reference.wall_s(whole=one.whole), 2)
        row["cpu_ratio"] = round(result.cpu_s() / reference.cpu_s(whole=one.whole), 2)
    return row


def named(results: Sequence[Result], name: str) -> Result | None:
    return next((r for r in results if r.contestant.name == name and r.runs), None)
