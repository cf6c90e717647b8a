"""``rackwright cluster``: plan and apply a cluster spec; list clusters."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from rackwright.api.cli import output
from rackwright.api.cli.client import ApiError, Client
from rackwright.api.cli.execute import apply_plan, finish, print_plan
from rackwright.api.cli.machine import exit_code
from rackwright.api.cli.session import Exit, OutputOption, YesOption, read_text, session

app = typer.Typer(no_args_is_help=True, help="Plan and apply clusters.")

Spec = Annotated[Path, typer.Argument(help="The cluster spec (YAML); `-` reads stdin.")]
Reinstall = Annotated[
    list[str] | None,
    typer.Option(help="Install this machine's OS anew, though one of ours is on it; repeatable."),
]


@app.command("plan")
def plan_cluster(
    spec: Spec,
    out: Annotated[
        Path | None, typer.Option("--out", help="Write the plan here, for `apply`.")
    ] = None,
    reinstall: Reinstall = None,
    detailed_exitcode: Annotated[
        bool, typer.Option(help="Exit 2 when the plan would change something.")
    ] = False,
    fmt: OutputOption = output.Format.TABLE,
) -> None:
    """Show what applying the spec would do. Touches nothing."""
    with session() as client:
        plan = make_plan(client, spec, reinstall or [])
    if out is not None:
        out.write_text(json.dumps(plan["plan"], indent=2) + "\n", encoding="utf-8")
        output.note(f"plan written to {out}")
    if fmt is output.Format.TABLE:
        print_plan(plan)
    else:
        output.emit(fmt, plan)
    if detailed_exitcode and plan["show"]["changes"]:
        raise typer.Exit(Exit.REFUSED)


@app.command("apply")
def apply_cluster(
    spec: Annotated[Path, typer.Argument(help="A cluster spec, or a plan file from `plan --out`.")],
    reinstall: Reinstall = None,
    yes: YesOption = False,
    dynamic: Annotated[
        bool,
        typer.Option(
            help="After a discovery go on by the spec's `accept` rule, or stop and say why."
        ),
    ] = False,
    fmt: OutputOption = output.Format.TABLE,
) -> None:
    """Apply a spec or a plan. A plan that has gone stale is refused.

    Machines whose disks are not known yet are discovered first.
    """
    with session() as client:
        document = _plan_document(spec)
        if document is None and dynamic:
            final = _apply_dynamic(client, spec, yes=yes)
            raise typer.Exit(exit_code(final))
        if document is not None:
            plan = client.post("/v1/plans/check", {"plan": document})
            final = apply_plan(client, plan, yes=yes, erase_accepted=True)
        else:
            plan = _plan_after_discovery(client, spec, reinstall or [], yes=yes)
            final = apply_plan(client, plan, yes=yes, erase_accepted=False)
    if fmt is not output.Format.TABLE:
        output.emit(fmt, final)
    raise typer.Exit(exit_code(final))


@app.command("shrink")
def shrink_cluster(
    cluster: str,
    machines: Annotated[
        list[str] | None, typer.Argument(help="Members that answer: they drain and leave.")
    ] = None,
    dead: Annotated[
        list[str] | None,
        typer.Option(help="A member that answers no more: the others forget it; repeatable."),
    ] = None,
    yes: YesOption = False,
    fmt: OutputOption = output.Format.TABLE,
) -> None:
    """Take machines out of a cluster: drained, left, forgotten. Erases nothing.

    They stay as they are, in no cluster; `machine release` makes them available.
    """
    body = {"kind": "leave", "cluster": cluster, "machines": machines or [], "dead": dead or []}
    with session() as client:
        plan = client.post("/v1/plans", body)
        final = apply_plan(client, plan, yes=yes, erase_accepted=False)
    if fmt is not output.Format.TABLE:
        output.emit(fmt, final)
    raise typer.Exit(exit_code(final))


@app.command("list")
def list_clusters(fmt: OutputOption = output.Format.TABLE) -> None:
    """List clusters."""
    with session() as client:
        rows = client.get("/v1/clusters")["items"]
    output.emit(fmt, rows, ("name", "workflow", "cluster_id", "members"))


@app.command("show")
def show_cluster(name: str, fmt: OutputOption = output.Format.TABLE) -> None:
    """One cluster with its members."""
    with session() as client:
        found = client.get(f"/v1/clusters/{name}")
    output.emit(fmt, found)


def make_plan(client: Client, spec: Path, reinstall: list[str]) -> dict[str, Any]:
    plan: dict[str, Any] = client.post(
        "/v1/plans",
        {
            "kind": "cluster",
            "spec": read_text(spec),
            "filename": str(spec),
            "reinstall": reinstall,
        },
    )
    return plan


def _apply_dynamic(client: Client, spec: Path, *, yes: bool) -> dict[str, Any]:
    """The owner goes on by itself after the discovery; we look on."""
    body = {"kind": "cluster", "spec": read_text(spec), "filename": str(spec), "dynamic": True}
    plan = client.post("/v1/plans", body)
    final = apply_plan(client, plan, yes=yes, erase_accepted=False)
    if plan["plan"].get("target") is None or final["status"] == "failed":
        return final
    follows = client.post(f"/v1/plans/{plan['digest']}/supplement")
    if follows["run"]:
        output.note(f"supplement {follows['digest'][:12]}: run {follows['run']}")
        return finish(client, follows["run"])
    output.note(
        f"supplement {follows['digest'][:12]} waits for acceptance: "
        f"{follows['waits_for_acceptance']}"
    )
    output.note(f"look at it, then: rackwright plan apply {follows['digest'][:12]}")
    raise typer.Exit(Exit.REFUSED)


def _plan_after_discovery(
    client: Client, spec: Path, reinstall: list[str], *, yes: bool
) -> dict[str, Any]:
    try:
        return make_plan(client, spec, reinstall)
    except ApiError as error:
        names = error.detail.get("needs_discovery")
        if not names:
            raise
    output.note(f"disks are not known yet: discovering {', '.join(names)} first")
    discovery = client.post("/v1/plans", {"kind": "discover", "machines": names})
    final = apply_plan(client, discovery, yes=yes, erase_accepted=False)
    if final["status"] == "failed":
        raise typer.Exit(Exit.FAILED)
    return make_plan(client, spec, reinstall)


def _plan_document(path: Path) -> dict[str, Any] | None:
    """The plan in ``path`` if it is one; None for a spec."""
    if path.suffix != ".json":
        return None
    try:
        document = json.loads(read_text(path))
    except ValueError as error:
        output.fail(f"{path} is not JSON: {error}", "give the file that `plan --out` wrote")
        raise typer.Exit(Exit.REFUSED) from error
    if not isinstance(document, dict) or "digest" not in document:
        output.fail(f"{path} is not a plan", "give the file that `plan --out` wrote")
        raise typer.Exit(Exit.REFUSED)
    return document
