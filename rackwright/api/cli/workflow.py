"""``rackwright workflow``: look at and check workflows."""

import typer

from rackwright.api.cli import output
from rackwright.api.cli.session import OutputOption, session

app = typer.Typer(no_args_is_help=True, help="Look at and check workflows.")


@app.command("check")
def check(name: str, fmt: OutputOption = output.Format.TABLE) -> None:
    """Read a workflow with all its roles; say what is wrong and where."""
    with session() as client:
        found = client.get(f"/v1/workflows/{name}")
    if fmt is not output.Format.TABLE:
        output.emit(fmt, found)
        return
    output.emit(fmt, found["stages"], ("name", "role", "on", "needs"))
    for one in found["spec_params"]:
        output.note(f"the cluster spec must set params: {{{one['role']}: {{{one['param']}: ...}}}}")


@app.command("list")
def list_workflows(fmt: OutputOption = output.Format.TABLE) -> None:
    """List workflows, ours and those of --content."""
    with session() as client:
        rows = client.get("/v1/workflows")["items"]
    output.emit(fmt, rows, ("name",))
