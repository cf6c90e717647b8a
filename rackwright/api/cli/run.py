"""``rackwright run``: list, watch, resume, cancel, retry and explain runs."""

from typing import Annotated, Any

import typer

from rackwright.api.cli import output, progress
from rackwright.api.cli.client import Client
from rackwright.api.cli.execute import finish
from rackwright.api.cli.machine import exit_code
from rackwright.api.cli.session import Exit, OutputOption, SureOption, confirm, session

app = typer.Typer(no_args_is_help=True, help="Watch, resume, cancel and retry runs.")

RunId = Annotated[str, typer.Argument(help="A run; default: the last one.", show_default=False)]
ReasonOption = Annotated[str, typer.Option(help="Why; goes into the audit and the events.")]


@app.command("list")
def list_runs(fmt: OutputOption = output.Format.TABLE) -> None:
    """List runs, the newest first."""
    with session() as client:
        rows = client.get("/v1/runs")["items"]
    if fmt is output.Format.TABLE:
        rows = [{**row, "took": output.elapsed(row["created"], row["ended"])} for row in rows]
    output.emit(fmt, rows, ("id", "status", "workflow", "cluster", "created", "took"))


@app.command("show")
def show(run: RunId = "", fmt: OutputOption = output.Format.TABLE) -> None:
    """One run: stages, machines, failures."""
    with session() as client:
        found = client.get(f"/v1/runs/{resolve(client, run)}")
    if fmt is not output.Format.TABLE:
        output.emit(fmt, found)
        return
    output.emit(fmt, found, ("id", "status", "workflow", "cluster", "counts", "created", "ended"))
    output.emit(fmt, found["machines"], ("name", "stage", "state", "attempt", "error"))


@app.command("tasks")
def tasks(
    run: RunId = "",
    machine: Annotated[str, typer.Option(help="Only this machine.")] = "",
    fmt: OutputOption = output.Format.TABLE,
) -> None:
    """Every task of a run, with its evidence."""
    with session() as client:
        rows = client.get(f"/v1/runs/{resolve(client, run)}/tasks")["items"]
    rows = [row for row in rows if not machine or row["machine"] == machine]
    output.emit(fmt, rows, ("machine", "stage", "state", "attempt", "error"))


@app.command("watch")
def watch(run: RunId = "") -> None:
    """Follow a run until it ends; Ctrl-C only stops watching."""
    with session() as client:
        raise typer.Exit(exit_code(finish(client, resolve(client, run), machines=False)))


@app.command("resume")
def resume(run: RunId = "", fmt: OutputOption = output.Format.TABLE) -> None:
    """Take a run up again that its controller left, or whose failures may now succeed."""
    with session() as client:
        run_id = resolve(client, run)
        client.post(f"/v1/runs/{run_id}/resume")
        final = finish(client, run_id)
    if fmt is not output.Format.TABLE:
        output.emit(fmt, final)
    raise typer.Exit(exit_code(final))


@app.command("cancel")
def cancel(run: RunId = "", reason: ReasonOption = "", yes: SureOption = False) -> None:
    """Start nothing more; end what runs."""
    with session() as client:
        run_id = resolve(client, run)
        if not confirm(f"Cancel run {run_id}?", yes=yes):
            raise typer.Exit(Exit.REFUSED)
        client.post(f"/v1/runs/{run_id}/cancel", {"reason": reason})
        output.note(f"run {run_id} is being cancelled")
        _drive_on(client, run_id)


@app.command("pause")
def pause(
    run: RunId = "",
    off: Annotated[bool, typer.Option("--off", help="Go on.")] = False,
    reason: ReasonOption = "",
) -> None:
    """Start nothing more until `--off`; what runs goes on."""
    with session() as client:
        run_id = resolve(client, run)
        client.post(f"/v1/runs/{run_id}/pause", {"paused": not off, "reason": reason})
        output.note(f"run {run_id} {'goes on' if off else 'is paused'}")
        if off:
            raise typer.Exit(_drive_on(client, run_id))
        _say_if_left(client, run_id)


@app.command("retry")
def retry(
    run: RunId = "",
    machine: Annotated[str, typer.Option(help="Only this machine.")] = "",
    reason: ReasonOption = "",
) -> None:
    """Take failed tasks, and what they blocked, up again."""
    with session() as client:
        run_id = resolve(client, run)
        client.post(f"/v1/runs/{run_id}/retry", {"machine": machine, "reason": reason})
        raise typer.Exit(exit_code(finish(client, run_id, machines=False)))


@app.command("skip")
def skip(
    machine: Annotated[str, typer.Argument(help="The machine whose task is skipped.")],
    stage: str,
    reason: Annotated[str, typer.Option(help="Why; goes into the audit.")],
    run: Annotated[str, typer.Option(help="A run; default: the last one.")] = "",
) -> None:
    """Count one task as done, with a reason."""
    with session() as client:
        run_id = resolve(client, run)
        client.post(
            f"/v1/runs/{run_id}/skip", {"machine": machine, "stage": stage, "reason": reason}
        )
        output.note(f"{machine} {stage} is skipped")
        raise typer.Exit(_drive_on(client, run_id))


@app.command("approve")
def approve(
    stage: Annotated[str, typer.Argument(help="The stage that waits for approval.")],
    reason: ReasonOption = "",
    run: Annotated[str, typer.Option(help="A run; default: the last one.")] = "",
) -> None:
    """Let a stage begin that waits for an operator. May be said ahead."""
    raise typer.Exit(_decide(stage, run, approved=True, reason=reason))


@app.command("reject")
def reject(
    stage: Annotated[str, typer.Argument(help="The stage that waits for approval.")],
    reason: Annotated[str, typer.Option(help="Why; goes into the audit.")],
    run: Annotated[str, typer.Option(help="A run; default: the last one.")] = "",
) -> None:
    """Refuse a stage: its tasks end blocked, and `run retry` asks again."""
    _decide(stage, run, approved=False, reason=reason)


def _decide(stage: str, run: str, *, approved: bool, reason: str) -> int:
    with session() as client:
        run_id = resolve(client, run)
        body = {"stage": stage, "approved": approved, "reason": reason}
        client.post(f"/v1/runs/{run_id}/approve", body)
        output.note(f"{stage} is {'approved' if approved else 'refused'}")
        return _drive_on(client, run_id)


def _drive_on(client: Client, run_id: str) -> int:
    """An order takes up a run that nobody drives. Where this call is the owner, it drives the run
    to its end, or what the order started would be cut off."""
    if not client.is_owner_ours:
        return Exit.OK
    return exit_code(finish(client, run_id, machines=False))


def _say_if_left(client: Client, run_id: str) -> None:
    if client.is_owner_ours:
        output.note(f"nobody drives it now; rackwright run resume {run_id} does")


@app.command("limit")
def limit(
    name: Annotated[str, typer.Argument(help="Such as image_server or rack:r7.")],
    capacity: Annotated[int, typer.Argument(min=0, help="0 starts nothing more that needs it.")],
    reason: ReasonOption = "",
    run: Annotated[str, typer.Option(help="A run; default: the last one.")] = "",
) -> None:
    """Lower or raise a limit of a run under way. What runs goes on."""
    with session() as client:
        run_id = resolve(client, run)
        body = {"name": name, "capacity": capacity, "reason": reason}
        client.post(f"/v1/runs/{run_id}/limit", body)
        output.note(f"{name} is {capacity} now")
        _say_if_left(client, run_id)


@app.command("delete")
def delete(run: str, yes: SureOption = False) -> None:
    """Delete a run's history. Installations and clusters stay recorded."""
    with session() as client:
        if not confirm(f"Delete the history of run {run}?", yes=yes):
            raise typer.Exit(Exit.REFUSED)
        client.delete(f"/v1/runs/{run}")
    output.note(f"run {run} is deleted")


def events(
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Wait for new ones.")] = False,
    run: Annotated[str, typer.Option(help="Only this run's.")] = "",
    after: Annotated[int, typer.Option(help="Only those after this sequence number.")] = 0,
    fmt: OutputOption = output.Format.TABLE,
) -> None:
    """Print events: a list, or with `--follow` a line of JSON (a YAML document) an event."""
    with session() as client:
        rows: Any = client.get("/v1/events/list", run=run or None, after=after)["items"]
        if fmt is not output.Format.TABLE and not follow:
            output.emit(fmt, rows)
            return
        for event in rows:
            _print_event(event, fmt)
        if follow:
            last = rows[-1]["seq"] if rows else after
            for event in client.events(f"/v1/events?run={run}", last_event_id=last):
                _print_event(event, fmt)
            output.note("the controller stopped")


def _print_event(event: dict[str, Any], fmt: output.Format) -> None:
    if fmt is output.Format.TABLE:
        line = progress.event_line(event)
        if line:
            typer.echo(line)
    else:
        output.emit_one_of_many(fmt, event)


def resolve(client: Client, run: str) -> str:
    if run:
        return run
    found = client.get("/v1/runs", limit=1)["items"]
    if not found:
        output.fail("there is no run yet", "start one with `rackwright cluster apply SPEC`")
        raise typer.Exit(Exit.REFUSED)
    return str(found[0]["id"])
