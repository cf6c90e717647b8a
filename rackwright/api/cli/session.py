"""What every command shares: settings, option types, and errors turned into exit codes.

Exit codes: 0 done, 1 failed, 2 usage or refused input, 3 the run ended degraded, 130 interrupted.
"""

import contextlib
import sys
from collections.abc import Callable, Iterator
from enum import IntEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from rackwright.api.cli import output
from rackwright.api.cli.client import ApiError, Client, connect
from rackwright.api.settings import Settings
from rackwright.engine.errors import EngineError
from rackwright.inventory.errors import InventoryError


class Exit(IntEnum):
    OK = 0
    FAILED = 1
    REFUSED = 2
    DEGRADED = 3
    INTERRUPTED = 130


OutputOption = Annotated[
    output.Format, typer.Option("--output", "-o", help="How data is printed on stdout.")
]
YesOption = Annotated[
    bool, typer.Option("--yes", "-y", help="Accept the plan, with the disks that it erases.")
]

_settings: dict[str, Any] = {}


def configure(**overrides: Any) -> None:
    """Remember the global options of this call; unset ones are left to the environment."""
    _settings.clear()
    _settings.update({k: v for k, v in overrides.items() if v})


def settings(**overrides: Any) -> Settings:
    return Settings(**{**_settings, **overrides})


@contextlib.contextmanager
def session(**overrides: Any) -> Iterator[Client]:
    with connect(settings(**overrides)) as client:
        yield client


def run_guarded(command: Callable[[], None]) -> int:
    """Run the CLI; every expected error becomes a message with a hint and an exit code."""
    try:
        command()
    except ApiError as error:
        report_problem(error)
        return Exit.REFUSED if error.status in (400, 409, 422, 428) else Exit.FAILED
    except (EngineError, InventoryError) as error:
        output.fail(error.message, error.hint)
        return Exit.FAILED
    except KeyboardInterrupt:
        output.note("interrupted: `rackwright run resume` takes an unfinished run up again")
        return Exit.INTERRUPTED
    except BrokenPipeError:
        # The reader of our stdout went away (`| head`); the rest is of no use to anyone.
        sys.stderr.close()
        return Exit.OK
    return Exit.OK


def report_problem(error: ApiError) -> None:
    problems = error.detail.get("problems")
    if not problems:
        output.fail(str(error), error.hint)
        return
    for problem in problems:
        output.fail(str(problem.get("message")), str(problem.get("hint") or ""))


def confirm(question: str, *, yes: bool) -> bool:
    """Ask on a terminal; without one only ``--yes`` accepts."""
    if yes:
        return True
    if not sys.stdin.isatty():
        output.fail("not accepted: no terminal to ask on", "pass --yes, or apply a plan file")
        return False
    return typer.confirm(question, err=True)


def read_text(path: Path) -> str:
    """A file's text; ``-`` is standard input."""
    if str(path) == "-":
        return sys.stdin.read()
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        output.fail(f"cannot read {path}: {error}")
        raise typer.Exit(Exit.REFUSED) from error
