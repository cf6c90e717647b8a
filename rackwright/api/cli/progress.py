"""Live progress of a run: by stage and by machine on a terminal, a line an event elsewhere."""

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from rackwright.api.cli import output
from rackwright.api.cli.client import Client

# Beyond this many machines only the slowest and the failing are drawn; `run show` lists machines.
MACHINE_ROWS = 24
TOP = 5
LOOK_S = 1.0
OWNERS_SHARE = 0.05  # of the time that a look costs the owner at most
LINES_MACHINES = 200  # beyond, a line an event is no help: a line a stage, now and then
LINES_S = 10.0
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


def follow(client: Client, run_id: str, *, machines: bool = True) -> dict[str, Any]:
    """Show the run until it ends; returns its final summary, with or without every machine."""
    if output.err.is_terminal:
        _follow_live(client, run_id)
    else:
        _follow_lines(client, run_id)
    final: dict[str, Any] = client.get(f"/v1/runs/{run_id}", machines=machines)
    return final


def looks(client: Client, run_id: str, every_s: float) -> Iterator[dict[str, Any]]:
    """The run's progress again and again, the last time when it goes on no more. Rarer than
    ``every_s`` where the owner takes long to answer."""
    while True:
        asked = time.monotonic()
        found: dict[str, Any] = client.get(f"/v1/runs/{run_id}/progress", top=TOP)
        took_s = time.monotonic() - asked
        yield found
        if found["status"] not in ("running", "paused"):
            return
        time.sleep(max(every_s, took_s / OWNERS_SHARE))


def _follow_live(client: Client, run_id: str) -> None:
    with Live(console=output.err, auto_refresh=False, transient=False) as live:
        for found in looks(client, run_id, LOOK_S):
            machines = []
            if found["machines"] <= MACHINE_ROWS:
                machines = client.get(f"/v1/runs/{run_id}")["machines"]
            live.update(picture(found, machines), refresh=True)


def _follow_lines(client: Client, run_id: str) -> None:
    if client.get(f"/v1/runs/{run_id}/progress", top=0)["machines"] > LINES_MACHINES:
        for found in looks(client, run_id, LINES_S):
            output.err.print(escape(summary_line(found)), soft_wrap=True)
        return
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
            about = f"{event.get('machine') or ''} {event.get('stage') or ''}".strip()
            told = f"{event.get('detail')} {about}".strip()
            reason = event.get("reason")
            return f"{stamp} operator: {told}" + (f": {reason}" if reason else "")
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


def summary_line(found: Mapping[str, Any]) -> str:
    """A run's progress as one line of log."""
    stages = [s for s in found["stages"] if s["done"] + _running(s) > 0 and s["done"] < s["total"]]
    told = ", ".join(f"{s['name']} {s['done']}/{s['total']}" for s in stages)
    failed = sum(stage["counts"].get("failed", 0) for stage in found["stages"])
    parts = [
        f"run {found['status']} {output.duration(found['elapsed_s'])}",
        told,
        f"{failed} failed" if failed else "",
        _eta(found),
    ]
    return "; ".join(part for part in parts if part)


def picture(found: Mapping[str, Any], machines: Sequence[Mapping[str, Any]] = ()) -> RenderableType:
    """A run's progress in a bounded number of lines; ``machines``: rows of a small run's."""
    head = (
        f"run [bold]{escape(str(found['id']))}[/] {escape(str(found['status']))} "
        f"{output.duration(found['elapsed_s'])}, {found['machines']} machines"
    )
    eta = _eta(found)
    parts: list[RenderableType] = [f"{head}, {escape(eta)}" if eta else head, _stages(found)]
    if machines:
        return Group(*parts, _machines(machines))
    if found["slowest"]:
        rows = [
            {**row, "state": "running", "error": f"for {output.duration(row['running_s'])}"}
            for row in found["slowest"]
        ]
        parts += ["", "[bold]longest under way[/]", _machines(rows)]
    if found["failing"]:
        parts += ["", "[bold]failed last[/]", _machines(found["failing"])]
    return Group(*parts)


def _eta(found: Mapping[str, Any]) -> str:
    if found.get("eta_s") is None:
        return ""
    path = " -> ".join(found["waits_for"])
    return f"about {output.duration(found['eta_s'])} left" + (f" ({path})" if path else "")


def _running(stage: Mapping[str, Any]) -> int:
    return int(stage["counts"].get("running", 0))


def _stages(run: Mapping[str, Any]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("STAGE", "DONE", "RUNNING", "WAITING", "FAILED", "BLOCKED", "P50", "P99"):
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
            f"{stage['p50_s']:.0f}s" if stage["p50_s"] else "-",
            f"{stage['p99_s']:.0f}s" if stage["p99_s"] else "-",
        )
    return table


def _machines(machines: Sequence[Mapping[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("MACHINE", "STAGE", "STATE", "ATTEMPT", "NOTE"):
        table.add_column(name, overflow="ellipsis", no_wrap=True)
    for machine in machines:
        state = str(machine.get("state") or "-")
        style = STATE_STYLE.get(state, "")
        table.add_row(
            escape(str(machine.get("name") or machine["machine"])),
            escape(str(machine.get("stage") or "-")),
            f"[{style}]{state}[/]" if style else state,
            str(machine.get("attempt") or "-"),
            escape(str(machine.get("error") or "")[:100]),
        )
    return table
