"""The ramdisk for real hardware: drivers and their firmware are in it."""

import re
import subprocess
from collections.abc import Mapping

import pytest

from tests.e2e.store import artifact
from tests.unit.engine.images.newc import Entry, read_cpio

# Drivers that name no firmware in their module need none loaded by the kernel.
DRIVERS = ("ice", "i40e", "bnxt_en", "mlx5_core", "tg3", "megaraid_sas", "mpt3sas")
LOADS_FIRMWARE = {"ice", "tg3"}
TOOLS = (
    *("usr/sbin/mdadm", "usr/sbin/lvm", "usr/sbin/nvme", "usr/bin/efibootmgr", "usr/sbin/lldpd"),
    *("usr/bin/jq", "usr/bin/curl", "usr/sbin/sfdisk", "usr/sbin/sgdisk", "usr/sbin/mkfs.ext4"),
    *("usr/sbin/mkfs.vfat", "usr/bin/zstd", "usr/sbin/dmidecode", "usr/bin/lspci", "usr/sbin/sshd"),
)


class Ramdisk:
    def __init__(self, early: Mapping[str, Entry], root: Mapping[str, Entry]) -> None:
        self.early, self.root = early, root

    def module(self, name: str) -> bytes:
        (path,) = (p for p in self.root if p.endswith(f"/{name}.ko"))
        return self.root[path].body


@pytest.fixture(scope="module")
def ramdisk() -> Ramdisk:
    data = artifact("ramdisk", "generic").file("initrd.zst").read_bytes()
    early, end = read_cpio(data)
    unpacked = subprocess.run(
        ["zstd", "-dc"], input=data[end:], capture_output=True, check=True
    ).stdout
    root, _ = read_cpio(unpacked)
    return Ramdisk(early, root)


@pytest.mark.parametrize("driver", DRIVERS)
def test_driver_is_there_with_the_firmware_it_names(ramdisk: Ramdisk, driver: str) -> None:
    module = ramdisk.module(driver)
    named = [m.decode() for m in re.findall(rb"\bfirmware=([^\0]+)\0", module)]
    assert bool(named) == (driver in LOADS_FIRMWARE)
    for firmware in named:
        assert f"usr/lib/firmware/{firmware}" in ramdisk.root


def test_module_index_knows_the_drivers(ramdisk: Ramdisk) -> None:
    (index,) = (e for n, e in ramdisk.root.items() if n.endswith("/modules.dep"))
    for driver in DRIVERS:
        assert f"/{driver}.ko:".encode() in index.body


def test_microcode_of_both_vendors_loads_early(ramdisk: Ramdisk) -> None:
    for vendor in ("GenuineIntel", "AuthenticAMD"):
        assert len(ramdisk.early[f"kernel/x86/microcode/{vendor}.bin"].body) > 10_000


@pytest.mark.parametrize("tool", TOOLS)
def test_tool_is_there(ramdisk: Ramdisk, tool: str) -> None:
    assert tool in ramdisk.root


def test_no_identity_is_shipped(ramdisk: Ramdisk) -> None:
    assert not [n for n in ramdisk.root if n.startswith("etc/ssh/ssh_host_")]
    assert ramdisk.root["etc/machine-id"].body == b""
    assert re.search(rb"^root:\*:", ramdisk.root["etc/shadow"].body, re.MULTILINE)
