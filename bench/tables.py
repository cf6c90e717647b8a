"""Rows as Markdown, budgets as met or missed, and what they were measured on."""

import datetime
import importlib.metadata
import json
import os
import platform
import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any, Final

Row = dict[str, Any]
PACKAGES: Final = ("rackwright", "sqlalchemy", "networkx", "asyncssh")
PEER_HEAD: Final = (
    "measure | N | wall s (spread) | ms a unit | CPU ms a unit | RSS MB | wall, CPU / ours "
    "| budget | versions, notes"
)
OWN_HEAD: Final = "measure | wall s (spread) | CPU s | tasks/s | RSS MB | budget | more"


def versions(*packages: str) -> str:
    return ", ".join(f"{name} {importlib.metadata.version(name)}" for name in packages)


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


def verdict(budget: Mapping[str, Any] | None) -> str:
    """``{text, value, limit, at_least}`` in words: met, or missed by how much."""
    if budget is None:
        return ""
    value, limit = float(budget["value"]), float(budget["limit"])
    at_least = bool(budget.get("at_least"))
    ratio = value / limit if not at_least else limit / value if value else float("inf")
    by = ratio - 1
    found = f"{value:,.2f}".rstrip("0").rstrip(".")
    how = f"**missed by {by:.0%}**" if by > 0 else "met"
    return f"{budget['text']}: {found}, {how}"


def markdown(before: Row, after: Row, rows: Sequence[Row], command: str) -> str:
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
        "wall clock. The median of all rounds, and the spread from best to worst. Budgets: design, "
        "section 9.",
        "",
        *_table("The engine", OWN_HEAD, [r for r in rows if "group" not in r], _own),
    ]
    for group in dict.fromkeys(row["group"] for row in rows if "group" in row):
        of_group = [row for row in rows if row.get("group") == group]
        lines += ["", *_table(group, PEER_HEAD, of_group, _peer)]
    lines += [
        "",
        "CPU and memory are those of the whole process tree; memory that forked processes share "
        "counts once for each. Tools that a user starts for each job (†) count from start to end, "
        "and are compared with ours from start to end; the others count from their first machine "
        "or task to their last.",
    ]
    return "\n".join(lines) + "\n"


def _table(title: str, head: str, rows: Sequence[Row], cells: Any) -> list[str]:
    if not rows:
        return []
    lines = [f"## {title}", "", f"| {head} |", "|---" * (head.count("|") + 1) + "|"]
    for row in rows:
        if "failed" in row:
            why = " ".join(str(row["failed"]).split())[-300:].replace("|", "/")
            empty = " |" * (head.count("|") - 1)
            lines.append(f"| {row['measure']} |{empty} **failed**: {why} |")
        else:
            lines.append("| " + " | ".join(str(c).replace("|", "/") for c in cells(row)) + " |")
    return lines


def _own(row: Row) -> list[object]:
    shown = dict(row)
    wall = shown.pop("wall_s", shown.pop("seconds", ""))
    spread = shown.pop("wall_spread_s", None)
    return [
        shown.pop("measure", ""),
        f"{wall} ({spread})" if spread is not None else wall,
        shown.pop("cpu_s", ""),
        shown.pop("tasks_per_s", ""),
        shown.pop("peak_rss_mb", shown.pop("peak_rss_mib", "")),
        "; ".join(verdict(budget) for budget in shown.pop("budgets", ())),
        ", ".join(f"{key} {value}" for key, value in shown.items()),
    ]


def _peer(row: Row) -> list[object]:
    ratio = f"{row['ratio']}x, {row['cpu_ratio']}x" if "ratio" in row else ""
    return [
        f"{row['measure']}{' †' if row['with_start_up'] else ''}",
        row["units"],
        f"{row['wall_s']} ({row['spread_s']})",
        row["ms_per_unit"],
        row["cpu_ms_per_unit"],
        row["peak_rss_mb"],
        ratio,
        verdict(row.get("budget")),
        "; ".join(filter(None, (row["versions"], row.get("note")))),
    ]


def as_json(before: Row, after: Row, rows: Sequence[Row]) -> str:
    return json.dumps({"before": before, "after": after, "rows": rows}, indent=2) + "\n"
