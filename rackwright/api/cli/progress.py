"""Live progress of a run: by stage and by machine on a terminal, a line an event elsewhere."""

import time
from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from rackwright.api.cli import output
from rackwright.api.cli.client import Client

# Beyond this many machines only the stages are drawn; `run show` lists machines.
MACHINE_ROWS = 24
STATE_STYLE = {
    "running": "cyan",
    "changed": "green",
    "satisfied": "green",
    "skipped": "dim",
    "failed": "bold red",
    "blocked": "yellow",
    "cancelled": "yellow",
    "backoff": "yellow",
}
TERMINAL = frozenset({"succeeded", "degraded", "failed", "cancelled"})


def follow(client: Client, run_id: str) -> dict[str, Any]:
    """Show the run until it ends; returns its final summary."""
    if output.err.is_terminal:
        _follow_live(client, run_id)
    else:
        _follow_lines(client, run_id)
    final: dict[str, Any] = client.get(f"/v1/runs/{run_id}")
    return final


def _follow_live(client: Client, run_id: str) -> None:
    started = time.monotonic()
    with Live(console=output.err, refresh_per_second=4, transient=False) as live:
        for _ in client.events(f"/v1/runs/{run_id}/events"):
            live.update(_picture(client.get(f"/v1/runs/{run_id}"), time.monotonic() - started))
        live.update(_picture(client.get(f"/v1/runs/{run_id}"), time.monotonic() - started))


def _follow_lines(client: Client, run_id: str) -> None:
    for event in client.events(f"/v1/runs/{run_id}/events"):
        line = event_line(event)
        if line:
            output.err.print(escape(line), soft_wrap=True)


def event_line(event: Mapping[str, Any]) -> str:
    """One event as a line of log, "" for those that nobody reads."""
    stamp = output.local_time(str(event["at"]))[11:]
    where = f"{event.get('machine') or '-':<12} {event.get('stage') or '-':<14}"
    match event.get("kind"):
        case "issued":
            what = "asks" if event.get("status") == "probe" else "starts"
            return f"{stamp} {where} {what} (attempt {event.get('attempt')})"
        case "ended":
            error = event.get("error")
            status = str(event.get("status"))
            return f"{stamp} {where} {status}" + (f": {error}" if error else "")
        case "elected":
            return f"{stamp} {where} elected"
        case "intent":
            return f"{stamp} {where} intends to {event.get('detail') or event.get('status')}"
        case "asked":
            return f"{stamp} operator: {event.get('detail')}"
        case "approval":
            said = str(event.get("status"))
            text = event.get("text") or event.get("reason") or ""
            what = "waits for approval" if said == "asked" else f"{said} by {event.get('by')}"
            return f"{stamp} {where} {what}" + (f": {text}" if text else "")
        case "window" | "limit":
            word = "window" if event.get("kind") == "window" else "limit"
            return f"{stamp} {word} {event.get('detail')}: {event.get('status')}"
        case "finished":
            return f"{stamp} run {event.get('status')}"
        case _:
            return ""


def _picture(run: Mapping[str, Any], elapsed_s: float) -> RenderableType:
    head = (
        f"run [bold]{escape(str(run['id']))}[/] {escape(str(run['status']))} "
        f"{output.duration(elapsed_s)}"
    )
    parts: list[RenderableType] = [head, _stages(run)]
    machines = run.get("machines") or []
    if len(machines) <= MACHINE_ROWS:
        parts.append(_machines(machines))
    return Group(*parts)


def _stages(run: Mapping[str, Any]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("STAGE", "DONE", "RUNNING", "WAITING", "FAILED", "BLOCKED"):
        table.add_column(name, justify="left" if name == "STAGE" else "right")
    for stage in run.get("stages") or []:
        counts: Mapping[str, int] = stage["counts"]
        done = sum(counts.get(s, 0) for s in ("changed", "satisfied", "skipped"))
        waiting = sum(counts.get(s, 0) for s in ("waiting", "ready", "parked", "backoff"))
        failed = counts.get("failed", 0)
        table.add_row(
            escape(stage["name"]),
            f"[green]{done}[/]" if done else "0",
            f"[cyan]{counts.get('running', 0)}[/]",
            str(waiting),
            f"[bold red]{failed}[/]" if failed else "0",
            str(counts.get("blocked", 0)),
        )
    return table


def _machines(machines: list[Mapping[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("MACHINE", "STAGE", "STATE", "ATTEMPT", "NOTE"):
        table.add_column(name, overflow="ellipsis", no_wrap=True)
    for machine in machines:
        state = str(machine.get("state") or "-")
        style = STATE_STYLE.get(state, "")
        table.add_row(
            escape(str(machine["name"])),
            escape(str(machine.get("stage") or "-")),
            f"[{style}]{state}[/]" if style else state,
            str(machine.get("attempt") or "-"),
            escape(str(machine.get("error") or "")[:100]),
        )
    return table
