"""What every command shares: settings, option types, and errors turned into exit codes.

Exit codes: see ``EXIT_CODES``, which `--help` shows.
"""

import contextlib
import errno
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from enum import IntEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from httpx2 import ConnectError, TransportError

from rackwright.api.cli import output
from rackwright.api.cli.client import ApiError, Client, connect
from rackwright.api.settings import Settings, SettingsError
from rackwright.engine.errors import EngineError, OperatorError
from rackwright.inventory.errors import InventoryError
from rackwright.lab.errors import LabError

EXIT_CODES = (
    "Exit codes: 0 done; 1 failed; 2 usage, refused input or not accepted; 3 the run ended "
    "degraded; 130 interrupted."
)


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

SureOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]

_settings: dict[str, Any] = {}


def configure(**overrides: Any) -> None:
    """Remember the global options of this call; unset ones are left to the environment."""
    _settings.clear()
    _settings.update({k: v for k, v in overrides.items() if v})


def settings(**overrides: Any) -> Settings:
    """Raises SettingsError."""
    return Settings.load(**{**_settings, **overrides})


@contextlib.contextmanager
def session(**overrides: Any) -> Iterator[Client]:
    """A client for one command. An owner that is ours ends in order on SIGTERM and SIGHUP too."""
    with connect(settings(**overrides)) as client, _ending_in_order(client):
        try:
            yield client
        except KeyboardInterrupt:
            output.note(
                "interrupted: `rackwright run resume` takes an unfinished run up again"
                if client.is_owner_ours
                else "interrupted: what the owner drives goes on; see `rackwright run watch`"
            )
            raise


@contextlib.contextmanager
def _ending_in_order(client: Client) -> Iterator[None]:
    if not client.is_owner_ours or threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, _frame: object) -> None:
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def run_guarded(command: Callable[[], None]) -> int:
    """Run the CLI; every expected error becomes a message with a hint and an exit code."""
    try:
        command()
    except ApiError as error:
        report_problem(error)
        return Exit.REFUSED if error.status in (400, 404, 409, 422, 428) else Exit.FAILED
    except SettingsError as error:
        output.fail(error.message, error.hint)
        return Exit.REFUSED
    except (EngineError, InventoryError, LabError) as error:
        output.fail(error.message, error.hint)
        return Exit.REFUSED if isinstance(error, OperatorError) else Exit.FAILED
    except ConnectError:
        output.fail("the owner ended before it could be asked", "give the command again")
        return Exit.FAILED
    except TransportError as error:
        output.fail(f"the owner's answer never came: {error}", "is it still running?")
        return Exit.FAILED
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except BrokenPipeError:
        # The reader of our stdout went away (`| head`); the rest is of no use to anyone.
        sys.stderr.close()
        return Exit.OK
    except OSError as error:
        output.fail(_os_problem(error), _os_hint(error))
        return Exit.FAILED
    return Exit.OK


def _os_problem(error: OSError) -> str:
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{error.strerror or error}"


def _os_hint(error: OSError) -> str:
    match error.errno:
        case errno.EACCES | errno.EPERM | errno.EROFS:
            return "run as root, or choose another --data-dir"
        case errno.ENOSPC | errno.EDQUOT:
            return "free some space, or choose another --data-dir"
        case errno.EEXIST | errno.ENOTDIR:
            return "a file stands where a directory is needed: choose another --data-dir"
        case _:
            return ""


def report_problem(error: ApiError) -> None:
    problems = error.detail.get("problems")
    if not problems:
        output.fail(str(error), error.hint)
        return
    for problem in problems:
        output.fail(str(problem.get("message")), str(problem.get("hint") or ""))


def confirm(question: str, *, yes: bool, hint: str = "pass --yes") -> bool:
    """Ask on a terminal; without one only ``--yes`` accepts, which ``hint`` says."""
    if yes:
        return True
    if not sys.stdin.isatty():
        output.fail("not accepted: no terminal to ask on", hint)
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
