"""Refuse to start what cannot work here, in one message with everything that is missing."""

from pathlib import Path

from rackwright.api.doctor.checks import Profile, Target, failures, install_line, run_checks
from rackwright.api.doctor.probes import Probes, SystemProbes
from rackwright.engine.errors import OperatorError


def require(profile: str, target: Target | None = None, *, probes: Probes | None = None) -> None:
    """Return where every needed check of ``profile`` ("controller" or "lab") passes.

    Raises OperatorError, with one apt-get line for all missing packages as its hint.
    """
    checks = run_checks(
        Profile(profile), target or Target(data_dir=Path.cwd()), probes or SystemProbes()
    )
    failed = failures(checks)
    if not failed:
        return
    said = "; ".join(f"{check.name}: {check.detail}" for check in failed)
    hints = [check.hint for check in failed if check.hint and not check.packages]
    line = install_line(failed)
    raise OperatorError(
        f"this machine is not ready for the {profile}: {said}",
        hint="; ".join([*hints, *([line] if line else [])]),
    )
