"""A rack file is read whole, or refused at file:line:column."""

import json
from pathlib import Path

import pytest

from rackwright.lab import rackfile
from rackwright.lab.errors import RackFileError
from rackwright.lab.spec import DiskType, Firmware, Protocol, rack_from_json, to_json

BUILT_IN = rackfile.DEFAULT_RACK.read_text()


def test_built_in_rack_is_as_promised() -> None:
    rack = rackfile.load(None)
    n1, n2, n3 = rack.machines
    assert (n1.firmware, n1.bmc.protocol, n1.powered_on) == (Firmware.BIOS, Protocol.IPMI, True)
    assert [nic.pxe for nic in n1.nics] == [False, True]
    assert n1.nics[0].network != rack.segment.network
    assert {disk.size_bytes for disk in n1.disks} == {6 << 30}
    assert (n2.bmc.protocol, n2.disks[0].type) == (Protocol.REDFISH, DiskType.NVME)
    assert n2.disks[0].sector_bytes == 4096
    assert (n3.firmware, n3.powered_on) == (Firmware.UEFI, False)
    assert len({machine.uuid for machine in rack.machines}) == 3


def test_rack_survives_json() -> None:
    rack = rackfile.load(None)
    assert rack_from_json(json.loads(json.dumps(to_json(rack)))) == rack


@pytest.mark.parametrize(
    ("old", "new", "at", "complaint"),
    [
        ("firmware: bios", "firmware: efi", "efi", "'efi' is not a firmware"),
        ("power: true", "power: 1", "power: 1", "'power' must be a boolean"),
        ("memory: 2GiB", "memory: 2", "memory: 2", "'memory' must be a string"),
        ("network: isolated", "network: nowhere", "nowhere", "no network 'nowhere'"),
        ("type: nvme", "type: floppy", "floppy", "'floppy' is not a type"),
        ("10.77.1.13", "10.77.1.12", "machines:", "BMC address 10.77.1.12 is used twice"),
        ("10.77.1.13", "10.78.1.13", "10.78.1.13", "does not fit the management network"),
        ("54:00:77:03:01", "54:00:77:02:01", "machines:", "MAC 52:54:00:77:02:01 is used twice"),
        ("[RW-N1-B, RW-N1-A]", "[RW-N1-B]", "disk_order: [", "name every disk once"),
        ("name: lab", "nome: lab", "nome: lab", "unknown key 'nome'"),
        ("sector: 4096", "sector: 1000", "1000", "'sector' must be 512 or 4096"),
    ],
)
def test_mistake_is_named_with_its_place(
    tmp_path: Path, old: str, new: str, at: str, complaint: str
) -> None:
    assert old in BUILT_IN
    text = BUILT_IN.replace(old, new, 1)
    line = next(n for n, content in enumerate(text.splitlines(), 1) if at in content)
    path = tmp_path / "rack.yaml"
    path.write_text(text)
    with pytest.raises(RackFileError) as caught:
        rackfile.load(path)
    assert caught.value.message.startswith(f"{path}:{line}:")
    assert complaint in caught.value.message


@pytest.mark.parametrize(
    "text",
    ["a: [", "- 1\n", "", "a: \xff", "a: \x1b", "a: !!int x", "{{ x }}: 1", "a: " + "[" * 5000],
)
def test_what_is_no_mapping_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "rack.yaml"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(RackFileError, match=r"rack\.yaml"):
        rackfile.load(path)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(RackFileError, match="No such file"):
        rackfile.load(tmp_path / "none.yaml")
