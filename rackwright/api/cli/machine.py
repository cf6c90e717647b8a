"""``rackwright machine``: enrol, look at, release, power and forget machines."""

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from rackwright.api.cli import output
from rackwright.api.cli.client import Client
from rackwright.api.cli.execute import apply_plan
from rackwright.api.cli.session import (
    Exit,
    OutputOption,
    SureOption,
    confirm,
    read_text,
    session,
)

app = typer.Typer(no_args_is_help=True, help="Enrol, list, release, power and forget machines.")
COLUMNS = ("name", "state", "rack", "class", "firmware", "bmc", "address", "drives", "cluster")

Selector = Annotated[str, typer.Option("--selector", "-l", help="Labels, as kubectl's: a=b,c!=d")]


@app.command("enrol")
def enrol(
    file: Annotated[Path, typer.Argument(help="YAML or CSV; `-` reads YAML from stdin.")],
    fmt: OutputOption = output.Format.TABLE,
) -> None:
    """Enrol machines from a file. Twice changes nothing."""
    kind = "csv" if file.suffix.lower() == ".csv" else "yaml"
    body = {"text": read_text(file), "filename": str(file), "format": kind}
    with session() as client:
        answer = client.post("/v1/machines/enrol", body)
    rows = [
        {"name": name, "result": result}
        for result in ("created", "updated", "unchanged")
        for name in answer[result]
    ]
    output.emit(fmt, rows, ("name", "result"))


@app.command("add")
def add(
    name: str,
    bmc: Annotated[str, typer.Option(help="PROTOCOL:ADDRESS, e.g. redfish:10.0.0.5")] = "",
    bmc_user: Annotated[str, typer.Option(help="BMC user name.")] = "",
    bmc_password_file: Annotated[
        Path | None, typer.Option(help="File with the BMC password; `-` is stdin.")
    ] = None,
    bmc_certificate: Annotated[
        Path | None, typer.Option(help="The BMC's TLS certificate (PEM) to pin.")
    ] = None,
    mac: Annotated[list[str] | None, typer.Option(help="A NIC; the first one boots.")] = None,
    ssh: Annotated[str, typer.Option(help="USER@ADDRESS[:PORT] of an existing OS.")] = "",
    host_key: Annotated[str, typer.Option(help="Its host key: 'ssh-ed25519 AAAA...'")] = "",
    label: Annotated[list[str] | None, typer.Option(help="KEY=VALUE; may be repeated.")] = None,
    site: str = "default",
    rack: str = "",
    machine_class: Annotated[str, typer.Option("--class")] = "",
    segment: str = "",
    address: Annotated[str, typer.Option(help="Static address of the installed OS, CIDR.")] = "",
) -> None:
    """Enrol one machine."""
    entry: dict[str, Any] = {"name": name, "site": site}
    optional = {"rack": rack, "class": machine_class, "segment": segment, "address": address}
    entry.update({k: v for k, v in optional.items() if v})
    if label:
        entry["labels"] = dict(_pair(item) for item in label)
    if mac:
        entry["nics"] = [{"mac": m, **({"pxe": True} if i == 0 else {})} for i, m in enumerate(mac)]
    if bmc:
        protocol, separator, bmc_address = bmc.partition(":")
        if not separator:
            raise typer.BadParameter(f"--bmc {bmc!r} is not PROTOCOL:ADDRESS")
        entry["bmc"] = {"protocol": protocol, "address": bmc_address, "username": bmc_user}
        if bmc_password_file:
            entry["bmc"]["password"] = read_text(bmc_password_file).strip("\r\n")
        if bmc_certificate:
            entry["bmc"]["certificate_pem"] = read_text(bmc_certificate)
    if ssh:
        entry["ssh"] = {**_ssh(ssh), "host_key": host_key}
    with session() as client:
        answer = client.post(
            "/v1/machines/enrol",
            {"machines": [entry], "filename": "command line", "format": "json"},
        )
    for result in ("created", "updated", "unchanged"):
        for done in answer[result]:
            output.note(f"{done} {result}")


@app.command("list")
def list_machines(
    selector: Selector = "",
    state: Annotated[str, typer.Option(help="Only machines in this state.")] = "",
    fmt: OutputOption = output.Format.TABLE,
) -> None:
    """List machines."""
    with session() as client:
        rows = all_machines(client, selector=selector, state=state)
    output.emit(fmt, rows, COLUMNS)


@app.command("show")
def show(name: str, fmt: OutputOption = output.Format.TABLE) -> None:
    """Everything known of one machine."""
    with session() as client:
        found = client.get(f"/v1/machines/{name}")
    if fmt is not output.Format.TABLE:
        output.emit(fmt, found)
        return
    drives = found.pop("drives", None)
    nics = found.pop("nics", None)
    found.pop("facts", None)
    output.emit(fmt, found)
    if drives:
        output.out.print("\ndrives", style="bold")
        output.emit(fmt, drives, ("serial", "wwn", "model", "size_bytes", "transport", "has_data"))
    if nics:
        output.out.print("\nNICs", style="bold")
        output.emit(fmt, nics, ("mac", "name", "driver", "pxe"))


@app.command("release")
def release(
    names: Annotated[list[str], typer.Argument(help="Machines held back, active or failed.")],
    yes: SureOption = False,
) -> None:
    """Accept that a machine's disks hold data: makes it available. Erases nothing by itself.

    One that is active or failed, and in no cluster, is given back: its OS is installed anew when a
    cluster takes it next.
    """
    with session() as client:
        for name in names:
            machine = client.get(f"/v1/machines/{name}")
            held = [d for d in machine.get("drives") or [] if d.get("has_data")]
            for drive in held:
                found = output.cell(drive.get("signatures"))
                output.note(f"{name}: {drive['serial']} {output.size(drive['size_bytes'])} {found}")
            what = "whose disks hold the data above" if held else f"which is {machine['state']}"
            if not confirm(f"Release {name}, {what}?", yes=yes):
                raise typer.Exit(Exit.REFUSED)
            answer = client.post(
                f"/v1/machines/{name}/release", {"accept": [d["serial"] for d in held]}
            )
            output.note(f"{name} is {answer['state']}")


@app.command("protect")
def protect(
    name: str,
    off: Annotated[bool, typer.Option("--off", help="Lift the protection.")] = False,
) -> None:
    """Block power actions and erasure of a machine."""
    with session() as client:
        client.post(f"/v1/machines/{name}/protect", {"protected": not off})
    output.note(f"{name} is {'no longer ' if off else ''}protected")


@app.command("state")
def state(
    name: str,
    to: Annotated[str, typer.Argument(help="maintenance, retired, enrolled, failed, ...")],
    reason: Annotated[str, typer.Option(help="Why; goes into the audit.")],
) -> None:
    """Take a machine out, bring it back or retire it: what only a person decides."""
    with session() as client:
        client.post(f"/v1/machines/{name}/state", {"state": to, "reason": reason})
    output.note(f"{name} is {to}")


@app.command("forget")
def forget(name: str, yes: SureOption = False) -> None:
    """Remove a machine from the inventory. The machine itself is not touched."""
    if not confirm(f"Forget {name}?", yes=yes):
        raise typer.Exit(Exit.REFUSED)
    with session() as client:
        client.delete(f"/v1/machines/{name}")
    output.note(f"{name} is forgotten")


@app.command("power")
def power(
    action: Annotated[str, typer.Argument(help="status, on, off or reset")],
    name: str,
    yes: SureOption = False,
) -> None:
    """Ask for or change a machine's power through its BMC."""
    if action not in ("status", "on", "off", "reset"):
        output.fail(f"unknown power action {action!r}", "one of status, on, off, reset")
        raise typer.Exit(Exit.REFUSED)
    if action in ("off", "reset") and not confirm(f"Power {action} {name}?", yes=yes):
        raise typer.Exit(Exit.REFUSED)
    with session() as client:
        if action != "status":
            client.post(f"/v1/machines/{name}/power", {"action": action})
        typer.echo(client.get(f"/v1/machines/{name}/power")["power"])


@app.command("sensors")
def sensors(name: str, fmt: OutputOption = output.Format.TABLE) -> None:
    """Read a machine's sensors through its BMC."""
    with session() as client:
        output.emit(fmt, client.get(f"/v1/machines/{name}/sensors"))


def discover(
    names: Annotated[
        list[str] | None, typer.Argument(help="Machines; none: see --selector.")
    ] = None,
    selector: Selector = "",
    yes: SureOption = False,
    fmt: OutputOption = output.Format.TABLE,
) -> None:
    """Boot machines into the ramdisk and record their hardware. Writes to no disk."""
    started = time.monotonic()
    with session() as client:
        plan = client.post(
            "/v1/plans", {"kind": "discover", "machines": names or [], "selector": selector}
        )
        final = apply_plan(client, plan, yes=yes, erase_accepted=False)
        rows = all_machines(client)
    output.note(f"discovery {final['status']} in {output.duration(time.monotonic() - started)}")
    output.emit(fmt, rows, COLUMNS)
    raise typer.Exit(exit_code(final))


def all_machines(client: Client, *, selector: str = "", state: str = "") -> list[dict[str, Any]]:
    """Every page of the list."""
    rows: list[dict[str, Any]] = []
    after: str | None = None
    while True:
        page = client.get(
            "/v1/machines", selector=selector or None, state=state or None, after=after
        )
        rows.extend(page["items"])
        after = page.get("next")
        if not after:
            return rows


def exit_code(run: dict[str, Any]) -> int:
    match run["status"]:
        case "succeeded":
            return Exit.OK
        case "degraded":
            return Exit.DEGRADED
        case _:
            return Exit.FAILED


def _ssh(text: str) -> dict[str, Any]:
    user, _, where = text.rpartition("@")
    host, _, port = where.partition(":")
    if port and not port.isdecimal():
        raise typer.BadParameter(f"--ssh {text!r}: the port is no number")
    return {"address": host, "port": int(port or 22), "user": user or "root"}


def _pair(item: str) -> tuple[str, str]:
    key, separator, value = item.partition("=")
    if not separator:
        raise typer.BadParameter(f"--label {item!r} is not KEY=VALUE")
    return key, value
