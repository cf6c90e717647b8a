"""``rackwright demo``: the whole way on the virtual rack, with its evidence."""

import os
from pathlib import Path
from typing import Annotated

import typer

from rackwright.api.cli import output
from rackwright.api.cli.session import Exit, settings


def demo(
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave the rack running. [env: DEMO_KEEP=1]")
    ] = False,
    directory: Annotated[
        Path | None,
        typer.Option("--dir", help="Where it lives; default <data-dir>/demo.", show_default=False),
    ] = None,
    rack: Annotated[
        Path | None, typer.Option(help="Another rack file; default: three machines.")
    ] = None,
    spec: Annotated[Path | None, typer.Option(help="Another cluster spec.")] = None,
) -> None:
    """Three powered-off virtual servers become a Docker Swarm, by real protocols only."""
    # Here, since every other command would pay for it too.
    from rackwright.api.demo.job import DemoError, DemoJob
    from rackwright.lab.errors import LabError

    config = settings()
    home = directory.resolve() if directory else config.data_dir / "demo"
    wanted = keep or os.environ.get("DEMO_KEEP") == "1"
    job = DemoJob(home=home, artifacts=config.artifacts, keep=wanted, rack=rack, spec=spec)
    try:
        code = job.run()
    except (DemoError, LabError) as error:
        output.fail(error.message, error.hint)
        raise typer.Exit(Exit.FAILED) from error
    raise typer.Exit(code)
