"""From a plan to a run that has ended: show, accept, start, follow, report."""

from collections.abc import Mapping
from typing import Any, NoReturn

import typer
from httpx2 import TransportError
from rich.markup import escape

from rackwright.api.cli import output, progress
from rackwright.api.cli.client import Client
from rackwright.api.cli.session import Exit, confirm

PLAN_HINT = "pass --yes, or apply a plan file"


def print_plan(plan: Mapping[str, Any]) -> None:
    """The plan for a person, on stdout: machines, disks to be erased, reboots, estimate."""
    show = plan["show"]
    output.print_fields(show["facts"])
    for table in show["tables"]:
        output.out.print(f"\n{escape(table['title'])}", style="bold")
        if table["rows"]:
            output.print_rows(table["rows"], table["columns"])
        else:
            output.out.print(escape(table["empty"]))
    for warning in show["warnings"]:
        output.out.print(f"[yellow]warning:[/] {escape(warning)}")


def apply_plan(
    client: Client, plan: Mapping[str, Any], *, yes: bool, erase_accepted: bool
) -> dict[str, Any]:
    """Start the plan and follow its run to the end.

    ``erase_accepted``: the caller holds the operator's acceptance (the plan file was given).
    """
    erasures = int(plan["show"]["erasures"])
    if not (yes or erase_accepted):
        print_plan(plan)
        what = f"erases {erasures} disk(s)" if erasures else "erases no disk"
        if not confirm(f"Apply this plan, which {what}?", yes=False, hint=PLAN_HINT):
            raise typer.Exit(Exit.REFUSED)
    run = client.post(
        "/v1/runs", {"plan_digest": plan["digest"], "plan": plan["plan"], "accept": plan["digest"]}
    )
    output.note(f"run {run['id']} started")
    return finish(client, run["id"])


def _stopped_under(run_id: str, error: Exception | None = None) -> NoReturn:
    """The run's events ended, and it had not."""
    output.fail(
        f"the controller went away before run {run_id} ended",
        f"`rackwright run show {run_id}` tells of it; `rackwright run resume {run_id}` takes it up",
    )
    raise typer.Exit(Exit.FAILED) from error


def finish(client: Client, run_id: str, *, machines: bool = True) -> dict[str, Any]:
    """Follow a run to its end and print what a person wants to know then."""
    try:
        final = progress.follow(client, run_id, machines=machines)
    except TransportError as error:
        _stopped_under(run_id, error)
    if final["status"] in ("running", "paused"):
        _stopped_under(run_id)
    counts = final["counts"]
    output.note(
        f"run {run_id} {final['status']}: {counts['changed']} changed, "
        f"{counts['satisfied']} satisfied, {counts['skipped']} skipped, "
        f"{counts['failed']} failed, {counts['blocked']} blocked"
    )
    for failure in final["failures"]:
        output.fail(
            f"{failure['machine']} failed in {failure['stage']} "
            f"(attempt {failure['attempt']}): {failure['error']}"
        )
        console = str(failure.get("console") or "").splitlines()
        if console:
            output.note(f"  last lines of {failure['machine']}'s console:")
        for line in console[-20:]:
            output.err.print(f"  | {escape(line)}", soft_wrap=True)
    if final["status"] not in ("succeeded", "cancelled"):
        output.note(f"take it up again with: rackwright run resume {run_id}")
    return final
