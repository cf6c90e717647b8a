"""``rackwright simulate``: a workflow on machines that do not exist, before metal sees it."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rackwright.api.cli import output, report
from rackwright.api.cli.session import Exit, OutputOption, read_text, settings

if TYPE_CHECKING:
    from rackwright.api.simulation import Simulated, Simulation
    from rackwright.engine.plan.inputs import LimitConfig
    from rackwright.engine.simulate.fault_file import Rule


def simulate(
    machines: Annotated[int, typer.Option(min=1, max=200_000, help="How many machines.")],
    workflow: Annotated[str, typer.Option(help="A workflow, ours or one of --content.")],
    faults: Annotated[Path | None, typer.Option(help="What goes wrong: a fault file.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same journal.")] = 0,
    speed: Annotated[
        float, typer.Option(min=0.0, help="Virtual seconds a second; 0: as fast as it goes.")
    ] = 0.0,
    spec: Annotated[
        Path | None, typer.Option(help="A cluster spec in place of one that takes the fleet.")
    ] = None,
    limit: Annotated[
        list[str] | None,
        typer.Option(help="A capacity: bmc=1, rack=0, site=0, image_server=0 (0: no bound)."),
    ] = None,
    tick: Annotated[
        float,
        typer.Option(
            min=0.0, help="Results of so many virtual seconds come together; 0: 1 to 10, by size."
        ),
    ] = 0.0,
    keep: Annotated[
        Path | None, typer.Option(help="Keep the data directory, for `run show --data-dir`.")
    ] = None,
    fmt: OutputOption = output.Format.TABLE,
) -> None:
    """Run a workflow on simulated machines in virtual time, with the production engine."""
    # Here, since every other command would pay for it too.
    from rackwright.api.simulation import Simulation

    wanted = Simulation(
        machines=machines,
        workflow=workflow,
        spec=read_text(spec) if spec else "",
        seed=seed,
        speed=speed,
        rules=_rules(faults) if faults else (),
        tick_s=tick,
        limits=_limits(limit or ()),
        content=tuple(settings().content),
        keep=keep.resolve() if keep else None,
    )
    found = _run(wanted)
    if fmt is output.Format.TABLE:
        _print(found)
    else:
        output.emit(fmt, as_data(found))
    if found.status.name not in ("SUCCEEDED", "DEGRADED"):
        raise typer.Exit(Exit.FAILED)
    if found.status.name == "DEGRADED":
        raise typer.Exit(Exit.DEGRADED)


def _rules(path: Path) -> "tuple[Rule, ...]":
    from rackwright.engine.simulate.fault_file import parse_faults

    with _telling_mistakes():
        return parse_faults(read_text(path), str(path))


def _run(wanted: "Simulation") -> "Simulated":
    from rackwright.api import simulation

    with _telling_mistakes():
        return simulation.simulate(wanted)


@contextlib.contextmanager
def _telling_mistakes() -> Iterator[None]:
    """Each with its place."""
    from rackwright.engine.content.errors import ContentError, ContentErrors

    try:
        yield
    except ContentErrors as several:
        for error in several.errors:
            output.fail(f"{error.mark}: {error.message}", error.hint)
        raise typer.Exit(Exit.REFUSED) from several
    except ContentError as error:
        output.fail(f"{error.mark}: {error.message}", error.hint)
        raise typer.Exit(Exit.REFUSED) from error


def _limits(texts: Sequence[str]) -> "LimitConfig":
    """As in RACKWRIGHT_LIMITS; nothing bounds the image server unless it is said."""
    from rackwright.engine.plan.inputs import parse_limits

    try:
        return parse_limits(",".join(("image_server=0", *texts)))
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--limit") from error


def as_data(found: "Simulated") -> dict[str, Any]:
    """Everything, for JSON and YAML; failures are counted by cause, and each is listed."""
    from rackwright.api.owner.reports import report_view

    return {
        **report_view(found.report),
        "failed": [
            {"machine": f.machine_name, "stage": f.stage, "attempt": f.attempt, "error": f.error}
            for f in found.report.failures
        ],
        "run": found.run_id,
        "faults_may_strike": list(found.hits),
        "journal_sha256": found.journal_digest,
        "attempts": found.attempts,
        "compile_s": round(found.compile_s, 3),
        "run_s": round(found.run_s, 3),
        "report_s": round(found.report_s, 3),
        "tasks_per_s": round(found.tasks_per_s),
        "peak_rss_bytes": found.peak_rss_bytes,
    }


def _print(found: "Simulated") -> None:
    output.print_fields(
        {
            "simulated in": f"compile {found.compile_s:.1f}s, run {found.run_s:.1f}s, "
            f"report {found.report_s:.1f}s",
            "attempts": f"{found.attempts}, {found.tasks_per_s:.0f} a second",
            "memory": output.size(found.peak_rss_bytes),
            "journal": found.journal_digest,
        }
    )
    report.print_report(as_data(found))
