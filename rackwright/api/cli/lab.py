"""``rackwright lab``: the virtual rack.

The lab's own modules are imported inside the commands: every other command would pay for them too.
"""

import os
import shutil
from pathlib import Path
from typing import Annotated

import typer

from rackwright.api.cli import output
from rackwright.api.cli.session import OutputOption, settings

app = typer.Typer(no_args_is_help=True, help="A virtual rack of QEMU machines with real BMCs.")
COLUMNS = ("name", "power", "boot_device", "firmware", "bmc", "address")

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
    from rackwright.api.wiring.rack import require_room
    from rackwright.lab import rack as racks

    where = state_dir(directory)
    spec = racks.load_rack(rack)
    require_room(spec, where)
    racks.enrolment_yaml(racks.up(spec, where, report=output.note))
    output.note(f"racked; enrol with: rackwright machine enrol {where / 'enrolment.yaml'}")
    output.note("run commands inside the rack's network with: rackwright lab exec -- COMMAND")


@app.command("status")
def status(directory: StateDir = None, fmt: OutputOption = output.Format.TABLE) -> None:
    """Machines, their power and their BMC addresses."""
    from rackwright.lab import rack as racks

    rows = racks.status(state_dir(directory))
    if fmt is output.Format.TABLE:
        rows = [{**row, "bmc": f"{row['bmc_protocol']} {row['bmc_address']}"} for row in rows]
    output.emit(fmt, rows, COLUMNS)


@app.command("down")
def down(directory: StateDir = None) -> None:
    """Remove the rack: processes, namespace, disks. Nothing is left."""
    from rackwright.lab import rack as racks

    racks.down(state_dir(directory), report=output.note)


@app.command("exec", context_settings={"ignore_unknown_options": True})
def execute(
    command: Annotated[list[str], typer.Argument(help="The command, after `--`.")],
    directory: StateDir = None,
) -> None:
    """Run a command inside the rack's network."""
    from rackwright.api.wiring.rack import namespace_of

    namespace = namespace_of(state_dir(directory))
    ip = shutil.which("ip") or "ip"
    os.execv(ip, [ip, "netns", "exec", namespace, *command])  # noqa: S606 - argv list, no shell
