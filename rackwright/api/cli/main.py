"""The ``rackwright`` command: global options and the groups of commands."""

import importlib.metadata
import sys
from pathlib import Path
from typing import Annotated

import typer

from rackwright.api.cli import (
    audit,
    cluster,
    demo,
    doctor,
    image,
    lab,
    machine,
    plan,
    report,
    run,
    serve,
    session,
    simulate,
    workflow,
)

app = typer.Typer(
    name="rackwright",
    help="From racked, powered-off servers to a running cluster, in one plan.",
    epilog=session.EXIT_CODES,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
run.app.command("report")(report.run_report)
run.app.command("explain")(report.run_explain)
plan.app.command("diff")(report.plan_diff)
workflow.app.command("graph")(report.workflow_graph)
app.add_typer(machine.app, name="machine")
app.add_typer(cluster.app, name="cluster")
app.add_typer(plan.app, name="plan")
app.add_typer(run.app, name="run")
app.add_typer(image.app, name="image")
app.add_typer(workflow.app, name="workflow")
app.add_typer(lab.app, name="lab")
app.command(name="discover")(machine.discover)
app.command(name="demo")(demo.demo)
app.command(name="doctor")(doctor.doctor)
app.command(name="serve")(serve.serve)
app.command(name="simulate")(simulate.simulate)
app.command(name="events")(run.events)
app.command(name="audit")(audit.audit)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"rackwright {importlib.metadata.version('rackwright')}")
        raise typer.Exit


@app.callback()
def options(
    data_dir: Annotated[
        Path | None,
        typer.Option(help="The data directory. [env: RACKWRIGHT_DATA_DIR]", show_default=False),
    ] = None,
    content: Annotated[
        list[Path] | None,
        typer.Option(help="A content directory laid over ours; may be repeated."),
    ] = None,
    artifacts_dir: Annotated[
        Path | None, typer.Option(help="Where built images are kept.", show_default=False)
    ] = None,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print it."),
    ] = False,
) -> None:
    session.configure(
        data_dir=data_dir.resolve() if data_dir else None,
        content=tuple(path.resolve() for path in content or ()),
        artifacts_dir=artifacts_dir.resolve() if artifacts_dir else None,
    )


def main() -> None:
    sys.exit(session.run_guarded(app))
