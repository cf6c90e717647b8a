"""``rackwright lab``: the virtual rack."""

import os
import shutil
from pathlib import Path
from typing import Annotated

import typer

from rackwright.api.cli import output
from rackwright.api.cli.session import Exit, OutputOption, settings
from rackwright.api.doctor.gate import require
from rackwright.api.wiring.rack import namespace_of
from rackwright.lab import rack as racks
from rackwright.lab.errors import LabError

app = typer.Typer(no_args_is_help=True, help="A virtual rack of QEMU machines with real BMCs.")

StateDir = Annotated[
    Path | None,
    typer.Option("--dir", help="Where the rack lives; default <data-dir>/lab.", show_default=False),
]


def state_dir(chosen: Path | None) -> Path:
    return chosen.resolve() if chosen else settings().data_dir / "lab"


@app.command("up")
def up(
    rack: Annotated[Path | None, typer.Argument(help="RACK.yaml; default: three machines.")] = None,
    directory: StateDir = None,
) -> None:
    """Rack the machines: namespace, bridge, QEMU, and a BMC for each."""
    require("lab")
    where = state_dir(directory)
    try:
        state = racks.up(racks.load_rack(rack), where, report=output.note)
        racks.enrolment_yaml(state)
    except LabError as error:
        raise _refused(error) from error
    output.note(f"racked; enrol with: rackwright machine enrol {where / 'enrolment.yaml'}")
    output.note("run commands inside the rack's network with: rackwright lab exec -- COMMAND")


@app.command("status")
def status(directory: StateDir = None, fmt: OutputOption = output.Format.TABLE) -> None:
    """Machines, their power and their BMC addresses."""
    try:
        rows = racks.status(state_dir(directory))
    except LabError as error:
        raise _refused(error) from error
    output.emit(fmt, rows)


@app.command("down")
def down(directory: StateDir = None) -> None:
    """Remove the rack: processes, namespace, disks. Nothing is left."""
    try:
        racks.down(state_dir(directory), report=output.note)
    except LabError as error:
        raise _refused(error) from error


@app.command("exec", context_settings={"ignore_unknown_options": True})
def execute(
    command: Annotated[list[str], typer.Argument(help="The command, after `--`.")],
    directory: StateDir = None,
) -> None:
    """Run a command inside the rack's network."""
    try:
        namespace = namespace_of(state_dir(directory))
    except LabError as error:
        raise _refused(error) from error
    ip = shutil.which("ip") or "ip"
    os.execv(ip, [ip, "netns", "exec", namespace, *command])  # noqa: S606 - argv list, no shell


def _refused(error: LabError) -> typer.Exit:
    output.fail(error.message, error.hint)
    return typer.Exit(Exit.FAILED)
