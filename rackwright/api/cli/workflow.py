"""``rackwright workflow``: look at and check workflows."""

from pathlib import Path
from typing import Annotated

import typer

from rackwright.api.cli import output
from rackwright.api.cli.session import OutputOption, read_text, session

app = typer.Typer(no_args_is_help=True, help="Look at and check workflows.")


@app.command("check")
def check(
    name: Annotated[str, typer.Argument(help="A workflow's name, or a file with one.")],
    fmt: OutputOption = output.Format.TABLE,
) -> None:
    """Read a workflow with all its roles; say what is wrong and where."""
    if is_path(name):
        text = read_text(Path(name))
        body = {"name": Path(name).stem, "text": text, "filename": name}
        with session() as client:
            found = client.post("/v1/workflows/check", body)
    else:
        with session() as client:
            found = client.get(f"/v1/workflows/{name}")
    if fmt is not output.Format.TABLE:
        output.emit(fmt, found)
        return
    output.emit(fmt, found["stages"], ("name", "role", "on", "needs"))
    for one in found["spec_params"]:
        output.note(f"the cluster spec must set params: {{{one['role']}: {{{one['param']}: ...}}}}")


def is_path(name: str) -> bool:
    """No workflow's name has a slash or a suffix."""
    return "/" in name or name.endswith((".yaml", ".yml"))


@app.command("list")
def list_workflows(fmt: OutputOption = output.Format.TABLE) -> None:
    """List workflows, ours and those of --content."""
    with session() as client:
        rows = client.get("/v1/workflows")["items"]
    output.emit(fmt, rows, ("name",))
