"""Commands that only tell: ``run report``, ``run explain``, ``plan diff``, ``workflow graph``."""

import sys
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from rackwright.api.cli import output
from rackwright.api.cli.run import RunId, resolve
from rackwright.api.cli.session import Exit, OutputOption, session
from rackwright.api.cli.workflow import is_path

SHOWN = 20  # causes in the table


class Style(StrEnum):
    TEXT = "text"
    MERMAID = "mermaid"
    SVG = "svg"


def run_report(run: RunId = "", fmt: OutputOption = output.Format.TABLE) -> None:
    """Makespan, critical path, where time went, failures by cause."""
    with session() as client:
        told = client.get(f"/v1/runs/{resolve(client, run)}/report")
    if fmt is output.Format.TABLE:
        print_report(told)
    else:
        output.emit(fmt, told)


def run_explain(
    machine: Annotated[str, typer.Argument(help="A machine's name or id.")],
    run: Annotated[str, typer.Option(help="A run; default: the last one.")] = "",
    fmt: OutputOption = output.Format.TABLE,
) -> None:
    """What each stage of a machine waits for, or why it ended so."""
    with session() as client:
        rows = client.get(f"/v1/runs/{resolve(client, run)}/explain/{machine}")["items"]
    output.emit(fmt, rows, ("stage", "state", "why"))


def plan_diff(old: str, new: str, fmt: OutputOption = output.Format.TABLE) -> None:
    """What differs between two plans, by their digests or the beginnings of them."""
    with session() as client:
        rows = client.get(f"/v1/plans/{old}/diff/{new}")["items"]
    output.emit(fmt, rows, ("what", "old", "new"))


def workflow_graph(
    name: str,
    style: Annotated[Style, typer.Option("--format", help="How it is drawn.")] = Style.TEXT,
) -> None:
    """Draw a workflow's stages; what they wait for stands at the arrows."""
    if is_path(name):
        output.fail(
            f"{name!r} is no workflow's name",
            f"its name is {Path(name).stem}; DIR/workflows/ is read with --content DIR",
        )
        raise typer.Exit(Exit.REFUSED)
    with session() as client:
        found = client.get(f"/v1/workflows/{name}/graph", style=style.value)
    sys.stdout.write(found["drawing"])


def print_report(told: Mapping[str, Any]) -> None:
    """Used for simulated runs too."""
    path = " -> ".join(
        f"{step['stage']} {output.duration(step['added_s'])}" for step in told["critical_path"]
    )
    output.print_fields(
        {
            "status": told["status"],
            "makespan": output.duration(told["makespan_s"]),
            "critical path": path,
        }
    )
    rows = [
        {
            **stage,
            "took": output.elapsed(stage["started_at"], stage["ended_at"]),
            "work": output.duration(stage["total_s"]),
            "p50": output.duration(stage["median_s"]),
            "p99": output.duration(stage["p99_s"]),
        }
        for stage in told["stages"]
    ]
    output.print_rows(
        rows,
        (
            *(
                "name",
                "machines",
                "changed",
                "satisfied",
                "skipped",
                "failed",
                "blocked",
                "cancelled",
            ),
            *("attempts", "took", "work", "p50", "p99", "slowest"),
        ),
    )
    if told["causes"]:
        output.print_rows(told["causes"][:SHOWN], ("stage", "machines", "error"))
    for reason in told["blocked"][:SHOWN]:
        output.note(f"blocked: {reason}")
