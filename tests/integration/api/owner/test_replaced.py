"""An owner that was replaced behind its back, as after a pause longer than its lease."""

import sqlite3
import subprocess
import sys

from rackwright.api.cli.client import is_live
from tests.integration.api.controller import Controller, until


def test_an_owner_that_was_replaced_ends_by_itself_and_says_so(controller: Controller) -> None:
    command = [sys.executable, "-m", "rackwright", "--data-dir", str(controller.data), "serve"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as owner:
        try:
            until(lambda: owner.poll() is not None or is_live(controller.settings))
            with sqlite3.connect(controller.data / "rackwright.db") as database:
                database.execute("UPDATE owner SET epoch = epoch + 1")
            database.close()
            assert owner.wait(timeout=120) == 1  # at the lease's next renewal
            assert owner.stderr is not None
            assert "another controller took the database over" in owner.stderr.read()
        finally:
            owner.kill()
