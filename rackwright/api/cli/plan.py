"""``rackwright plan``: look at stored plans."""

import typer

from rackwright.api.cli import output
from rackwright.api.cli.execute import apply_plan, print_plan
from rackwright.api.cli.machine import exit_code
from rackwright.api.cli.session import OutputOption, YesOption, session

app = typer.Typer(no_args_is_help=True, help="Look at plans.")


@app.command("list")
def list_plans(fmt: OutputOption = output.Format.TABLE) -> None:
    """List plans, the newest first."""
    with session() as client:
        rows = client.get("/v1/plans")["items"]
    output.emit(fmt, rows, ("digest", "kind", "workflow", "cluster", "created"))


@app.command("show")
def show(digest: str, fmt: OutputOption = output.Format.TABLE) -> None:
    """Show one plan by its digest, or the beginning of it."""
    with session() as client:
        plan = client.get(f"/v1/plans/{digest}")
    if fmt is output.Format.TABLE:
        print_plan(plan)
    else:
        output.emit(fmt, plan)


@app.command("apply")
def apply(digest: str, yes: YesOption = False, fmt: OutputOption = output.Format.TABLE) -> None:
    """Accept a stored plan, such as a supplement, and run it."""
    with session() as client:
        plan = client.get(f"/v1/plans/{digest}")
        final = apply_plan(client, plan, yes=yes, erase_accepted=False)
    if fmt is not output.Format.TABLE:
        output.emit(fmt, final)
    raise typer.Exit(exit_code(final))
