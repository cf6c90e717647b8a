"""The state directory and the enrolment made from it."""

import stat
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from rackwright.lab import enrolment, rack, rackfile, state
from rackwright.lab.errors import HostError, LabError
from rackwright.lab.network import Namespace
from rackwright.lab.state import RackState


def made(directory: Path) -> RackState:
    spec = rackfile.load(None)
    passwords = {machine.name: f"pw-{machine.name}" for machine in spec.machines}
    return RackState(directory, spec, passwords, {"n2": "PEM"}, Namespace("rw-lab", 4, 99))


def test_record_is_private_and_read_back(tmp_path: Path) -> None:
    state.save(made(tmp_path))
    assert state.load(tmp_path) == made(tmp_path)
    assert stat.S_IMODE((tmp_path / "lab.json").stat().st_mode) == 0o600


def test_repr_shows_no_password(tmp_path: Path) -> None:
    assert "pw-" not in repr(made(tmp_path))


def test_enrolment_tells_what_an_operator_knows(tmp_path: Path) -> None:
    document = YAML(typ="safe").load(enrolment.render(made(tmp_path)))
    n1, n2, _ = document["machines"]
    assert n1["nics"] == [{"mac": "52:54:00:77:01:01"}, {"mac": "52:54:00:77:01:02", "pxe": True}]
    assert n1["bmc"] == {
        "protocol": "ipmi",
        "address": "10.77.1.11",
        "username": "admin",
        "password": "pw-n1",
        "cipher_suite": 17,
    }
    assert n2["bmc"]["certificate_pem"] == "PEM"
    assert "firmware" not in n1
    assert "disks" not in n1
    assert document["segments"][0]["subnet"] == "10.77.0.0/24"


def test_no_rack_and_damaged_record_are_said(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="no rack in"):
        state.load(tmp_path)
    (tmp_path / "lab.json").write_text("{")
    with pytest.raises(LabError, match="damaged"):
        state.load(tmp_path)


def test_second_command_on_the_same_directory_is_refused(tmp_path: Path) -> None:
    with state.locked(tmp_path), pytest.raises(HostError, match="another lab command"):  # noqa: SIM117
        with state.locked(tmp_path):
            pass


def test_down_without_a_rack_does_nothing(tmp_path: Path) -> None:
    rack.down(tmp_path / "never")
    assert not (tmp_path / "never").exists()


def test_down_refuses_a_directory_that_is_not_its_own(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(LabError, match="holds no rack"):
        rack.down(tmp_path)
    assert (tmp_path / "thesis.txt").exists()
