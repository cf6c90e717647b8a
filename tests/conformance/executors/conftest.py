from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol

import pytest

from rackwright.engine.machine import Machine
from rackwright.engine.plan.model import PlannedStage
from tests.conformance.executors.bench import Bench, scripts
from tests.conformance.executors.sshd import Keys, Sshd
from tests.unit.engine.executors import fakes


class MakeBench(Protocol):
    def __call__(
        self,
        *,
        stages: list[PlannedStage] | None = None,
        content: Mapping[str, str] | None = None,
        machines: list[Machine] | None = None,
        **script: str,
    ) -> Bench: ...


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return Keys.make(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="session")
def shared_sshd(keys: Keys, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    sshd = Sshd.start(tmp_path_factory.mktemp("sshd") / "m-1", keys, "m-1")
    yield sshd
    sshd.stop()


def _maker(kind: str, tmp_path: Path, keys: Keys, sshd: dict[str, Sshd]) -> MakeBench:
    def make(
        *,
        stages: list[PlannedStage] | None = None,
        content: Mapping[str, str] | None = None,
        machines: list[Machine] | None = None,
        **script: str,
    ) -> Bench:
        listed = machines or [fakes.machine("m-1")]
        return Bench(
            kind,
            tmp_path,
            stages or [fakes.stage("one")],
            {**scripts(**script), **(content or {})},
            sshd,
            keys,
            {machine.id: machine for machine in listed},
        )

    return make


@pytest.fixture(params=["ssh", "local"])
def bench(
    request: pytest.FixtureRequest, tmp_path: Path, keys: Keys, shared_sshd: Sshd
) -> MakeBench:
    """The executor under test, on the one machine m-1."""
    return _maker(request.param, tmp_path, keys, {"m-1": shared_sshd})


@pytest.fixture
def own_sshd(tmp_path: Path, keys: Keys) -> Iterator[Sshd]:
    """An sshd that a test may kill."""
    sshd = Sshd.start(tmp_path / "sshd", keys, "m-1")
    yield sshd
    sshd.stop()


@pytest.fixture
def ssh_bench(tmp_path: Path, keys: Keys, own_sshd: Sshd) -> MakeBench:
    """The SSH executor alone, with an sshd of the test's own."""
    return _maker("ssh", tmp_path, keys, {"m-1": own_sshd})
