"""The demo refuses before anything is made."""

from dataclasses import replace
from pathlib import Path

import pytest

from rackwright.api.demo.job import DemoJob
from rackwright.engine.errors import OperatorError
from tests.unit.api.doctor.test_checks import GOOD, FakeProbes


def job(home: Path, probes: FakeProbes) -> DemoJob:
    return DemoJob(
        home=home, artifacts=home / "artifacts", keep=False, rack=None, spec=None, probes=probes
    )


def test_a_taken_namespace_is_told_before_images_are_built(tmp_path: Path) -> None:
    home = tmp_path / "demo"
    with pytest.raises(OperatorError, match="namespace rw-demo: taken"):
        job(home, replace(GOOD, taken=frozenset({"rw-demo"}))).run()
    assert not home.exists()


def test_a_rack_of_lab_up_is_no_obstacle(tmp_path: Path) -> None:
    """What is refused here is the disk, beside the lab's namespace."""
    probes = replace(GOOD, taken=frozenset({"rw-lab"}), free=0)
    with pytest.raises(OperatorError, match="disk space") as caught:
        job(tmp_path / "demo", probes).run()
    assert "namespace" not in str(caught.value)
