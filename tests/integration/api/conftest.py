"""A controller in a fresh data directory; its database is copied from one made once."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from rackwright.inventory.facade import Inventory
from tests.integration.api.controller import Controller


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory that an owner has opened and left."""
    directory = tmp_path_factory.mktemp("migrated") / "data"
    Inventory.open(directory).close()
    return directory


@pytest.fixture
def controller(migrated: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Controller]:
    # A Unix socket's path has room for 107 bytes; pytest's own directories come close to it.
    home = Path(tempfile.mkdtemp(prefix="rw-"))
    for name in [name for name in os.environ if name.startswith("RACKWRIGHT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("TERM", "dumb")
    mask = os.umask(0o077)
    shutil.copytree(migrated, home / "data")
    yield Controller(home)
    os.umask(mask)
    structlog.reset_defaults()
    shutil.rmtree(home)
