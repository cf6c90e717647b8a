"""``rackwright audit``: who did what, the newest first."""

from typing import Annotated

import typer

from rackwright.api.cli import output
from rackwright.api.cli.session import OutputOption, session

COLUMNS = ("at", "actor", "action", "subject", "detail")


def audit(
    subject: Annotated[
        str, typer.Argument(help="A machine, a run, or KIND:NAME such as cluster:edge.")
    ] = "",
    before: Annotated[
        int | None, typer.Option(help="Only what is older than the row of this id.")
    ] = None,
    limit: Annotated[int, typer.Option(help="At most so many rows.", min=1, max=1000)] = 50,
    fmt: OutputOption = output.Format.TABLE,
) -> None:
    """Show who did what to machines, runs and clusters. Secret values are masked."""
    with session() as client:
        rows = client.get("/v1/audit", subject=subject or None, before=before, limit=limit)["items"]
    if fmt is output.Format.TABLE:
        rows = [{**row, "subject": row["name"] or row["subject"]} for row in rows]
    output.emit(fmt, rows, COLUMNS)
