import os
import subprocess
import sys
from pathlib import Path

import pytest

from rackwright.inventory import owner
from rackwright.inventory.database import open_database
from rackwright.inventory.errors import OwnedElsewhereError
from rackwright.inventory.facade import Inventory
from tests.unit.inventory.conftest import NOW

HOLDER = """
import sys
from pathlib import Path
from rackwright.inventory.owner import DirectoryLock
lock = DirectoryLock(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def test_a_second_process_is_told_who_holds_the_directory(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"held\n"
        with pytest.raises(OwnedElsewhereError) as caught:
            owner.DirectoryLock(tmp_path)
        assert caught.value.pid == child.pid
        assert str(child.pid) in str(caught.value)
        child.kill()
    with owner.DirectoryLock(tmp_path):
        assert owner.holder(tmp_path) == os.getpid()
    assert owner.holder(tmp_path) == 0


def test_each_take_over_raises_the_epoch(tmp_path: Path) -> None:
    for expected in (1, 2, 3):
        database = open_database(tmp_path, now=NOW)
        assert database.epoch == expected
        database.close()


def test_a_failed_opening_gives_the_lock_back(tmp_path: Path) -> None:
    (tmp_path / "rackwright.db").write_bytes(b"no database at all" * 400)
    for _ in range(2):
        with pytest.raises(Exception, match="damaged"):
            Inventory.open(tmp_path)
