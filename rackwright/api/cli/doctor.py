"""``rackwright doctor``: what this machine lacks, and how to get it, before anything starts."""

from typing import Annotated

import typer

from rackwright.api.cli import output
from rackwright.api.cli.session import Exit, OutputOption, settings


def doctor(
    lab: Annotated[
        bool, typer.Option("--lab/--controller", help="Check for the virtual rack too.")
    ] = True,
    fmt: OutputOption = output.Format.TABLE,
) -> None:
    """Check that this machine has what Rackwright needs. Changes nothing."""
    # Here, since every other command would pay for it too.
    from rackwright.api.doctor.checks import Profile, Target, failures, install_line, run_checks
    from rackwright.api.doctor.probes import SystemProbes

    config = settings()
    profile = Profile.LAB if lab else Profile.CONTROLLER
    target = Target(data_dir=config.data_dir, boot_port=config.boot_port)
    checks = run_checks(profile, target, SystemProbes())
    rows = [
        {
            "check": check.name,
            "ok": "yes" if check.ok else "NO" if check.needed else "no (not needed)",
            "detail": check.detail,
            "how": "" if check.ok else check.hint,
        }
        for check in checks
    ]
    output.emit(fmt, rows, ("check", "ok", "detail", "how"))
    line = install_line(checks)
    if line:
        output.note(f"\nget what is missing with:\n  {line}")
    if failures(checks):
        raise typer.Exit(Exit.FAILED)
