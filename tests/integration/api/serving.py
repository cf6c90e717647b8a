"""`rackwright serve` in a process of its own, which a test may kill."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator

from rackwright.api.cli.client import is_live
from tests.integration.api.controller import Controller, until


@contextlib.contextmanager
def served(controller: Controller, *flags: str) -> Iterator[int]:
    """`rackwright serve` in a process of its own; its pid."""
    where = ["--data-dir", str(controller.data), "--content", str(controller.content)]
    command = [sys.executable, "-m", "rackwright", *where, "serve", *flags]
    with (controller.home / "log").open("w") as log, subprocess.Popen(command, stderr=log) as owner:
        try:
            until(lambda: owner.poll() is not None or is_live(controller.settings))
            assert owner.poll() is None
            yield owner.pid
        finally:
            owner.terminate()
