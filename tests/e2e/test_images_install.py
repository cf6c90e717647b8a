"""The image role on a QEMU machine with BIOS, beside a foreign drive: what it refuses to touch.

UEFI, 4096-byte sectors and a wiped NVRAM are told by the virtual rack's story.
"""

import hashlib
import json
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from rackwright.engine.images.artifact import Artifact
from tests.e2e.store import artifact
from tests.e2e.vm import (
    DISK_BYTES,
    MAC,
    MACHINE,
    NAME,
    SERIAL,
    UUID,
    Controller,
    Vm,
    drive,
    machine,
    rendered,
    serving,
)

pytestmark = pytest.mark.rack

INSTALL = "os/image/install"
DISCOVER = "hardware/discover/discover"
# md and LVM metadata on a drive that nobody may touch: an array with a volume on it.
MAKE_FOREIGN = """
set -euo pipefail
sfdisk -q /dev/vda << 'TABLE'
label: gpt
size=200MiB
size=200MiB, type=raid
size=200MiB, type=raid
TABLE
udevadm settle
mkfs.ext4 -q /dev/vda1
modprobe raid1
mdadm --create /dev/md0 --run --level=1 --metadata=1.2 --raid-devices=2 /dev/vda2 /dev/vda3
allow='devices { global_filter=["a|.*|"] } activation { auto_activation_volume_list=["foreign"] }'
pvcreate --config "$allow" -q /dev/md0
vgcreate --config "$allow" -q foreign /dev/md0
lvcreate --config "$allow" -q -y -L 64M -n data foreign
mkfs.ext4 -q /dev/foreign/data
vgchange --config "$allow" -q -an foreign
mdadm --stop /dev/md0
sync
"""
# Ends the apply as a dying machine would, once it has begun to write the image.
INTERRUPT = """
systemd-run --quiet --unit=apply --property=StandardError=file:/run/apply.log bash /run/apply
written() { awk '{ print $7 }' /sys/block/vdb/vdb3/stat; }
until grep -q 'writing image' /run/apply.log && [ "$(written)" -gt 100000 ]; do
  systemctl --quiet is-active apply || exit 1
  sleep 0.2
done
systemctl kill --signal=KILL apply
grep -q growing /run/apply.log || echo killed in mid-write
"""

SOUGHT = {"serial": "RW-TARGET ", "wwn": None, "size": DISK_BYTES, "log-sec": 512}
FIXED = {"type": "disk", "rm": False, "ro": False}
# What lsblk may say, and the drive that is chosen; "" where choosing must be refused.
CHOICES: tuple[tuple[list[dict[str, object]], str], ...] = (
    ([{**SOUGHT, **FIXED, "name": "sda"}], "sda"),
    ([{**SOUGHT, **FIXED, "name": "sda"}, {**SOUGHT, **FIXED, "name": "sdb"}], ""),
    ([{**SOUGHT, **FIXED, "name": "sda", "rm": True}], ""),
    ([{**SOUGHT, **FIXED, "name": "sda", "ro": True}], ""),
    ([{**SOUGHT, **FIXED, "name": "sda", "log-sec": 4096}], ""),
    ([{**SOUGHT, **FIXED, "name": "sda", "wwn": "0x5000"}], ""),
    ([{**SOUGHT, **FIXED, "name": "sr0", "type": "rom"}], ""),
)


def choose(given: Mapping[str, Any], drives: list[dict[str, object]], wwn: str = "") -> str:
    """The install's own choice of a drive, among drives made up here."""
    given = {**given, "erase": {**given["erase"], "drive_wwn": wwn}}
    whole = rendered(f"{INSTALL}/apply.sh", given)
    before_order = whole[: whole.index("# -- the order")]
    listed = json.dumps({"blockdevices": drives})
    return f"{before_order}\nlsblk() {{ cat <<< {shlex.quote(listed)}; }}\nfind_drive\n"


@pytest.fixture(scope="module")
def ramdisk() -> Artifact:
    return artifact("ramdisk", "virtual")


@pytest.fixture(scope="module")
def controller() -> Iterator[Controller]:
    with serving(Controller(artifact("image/debian-12", "virtual"))) as served:
        yield served


def values(controller: Controller, found: Mapping[str, Any], install_id: str) -> dict[str, Any]:
    """What the executor gives to the templates; ``found`` is the drive as discovery saw it."""
    base = f"http://10.0.2.2:{controller.port}"
    image = controller.image
    files = {
        name: {"sha256": f.sha256, "size_bytes": f.size_bytes, "url": f"{base}/{name}"}
        for name, f in image.files.items()
    }
    return {
        "params": {
            "image": image.name,
            "root_size": "",
            "kernel_cmdline": "mitigations=off",
            "users": [{"name": "ops", "authorized_keys": ["ssh-ed25519 A '; x"], "sudo": True}],
            "authorized_keys": [],
            "lldp_wait_s": 0,
        },
        "machine": {
            "id": MACHINE,
            "name": NAME,
            "pxe_mac": MAC,
            "management_address": "10.0.2.15/24",
            "address": "10.0.2.15",
            "gateway": "10.0.2.2",
            "dns": ["10.0.2.3"],
            "console": "ttyS0,115200n8",
            "uuid": UUID,
            "serial": SERIAL,
        },
        "erase": {
            "drive_serial": found["serial"],
            "drive_wwn": found["wwn"],
            "size_bytes": found["size_bytes"],
            "sector_bytes": found["sector_bytes"],
            "install_id": install_id,
            "generation": 1,
        },
        "installed": None,
        "artifacts": {image.name: {"digest": image.digest, "files": files}},
        "ssh": {
            "authorized_key": controller.public(),
            "host_certificate": controller.certificate(MACHINE),
        },
    }


def discovered(vm: Vm, given: Mapping[str, Any]) -> dict[str, Any]:
    assert vm.role(f"{DISCOVER}/check.sh", given).status == 10
    assert vm.role(f"{DISCOVER}/apply.sh", given).status == 0
    return vm.role(f"{DISCOVER}/verify.sh", given).evidence()


def any_values() -> dict[str, Any]:
    return {"params": {"lldp_wait_s": 0}}


def file_digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def installed_is_proven(vm: Vm, given: dict[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    assert vm.role(f"{INSTALL}/check.sh", given).status == 0
    evidence = vm.role(f"{INSTALL}/verify.sh", given).evidence()
    assert evidence["os"] == "debian 12"
    assert evidence["drive_serial"] == found["serial"]
    assert evidence["drive_size_bytes"] == DISK_BYTES
    assert evidence["install_id"] == given["erase"]["install_id"]
    assert evidence["image_digest"] == given["artifacts"]["image/debian-12"]["digest"]
    assert evidence["hostname"] == NAME
    other = {**given, "erase": {**given["erase"], "install_id": "another"}}
    assert vm.role(f"{INSTALL}/check.sh", other).status == 10
    assert vm.role(f"{INSTALL}/verify.sh", other).status == 1
    failed = vm.run('systemctl --failed --no-legend; test -z "$(systemctl --failed --no-legend)"')
    assert failed.status == 0, failed.stdout
    return evidence


def test_bios_install_beside_a_foreign_drive(
    tmp_path: Path, ramdisk: Artifact, controller: Controller
) -> None:
    foreign, target = tmp_path / "foreign.img", tmp_path / "target.img"
    devices = [*drive(foreign, "virtio-blk-pci"), *drive(target, "virtio-blk-pci,bootindex=1")]
    with machine(controller, tmp_path, devices=devices, ramdisk=ramdisk) as vm:
        made = vm.run(MAKE_FOREIGN)
        assert made.status == 0, made.stderr
    foreign_digest, empty_digest = file_digest(foreign), file_digest(target)

    with machine(controller, tmp_path, devices=devices, ramdisk=ramdisk) as vm:
        first_boot = controller.contact["boot_id"]
        facts = discovered(vm, any_values())
        drives = {d["serial"]: d for d in facts["drives"]}
        assert facts["firmware"] == "bios"
        assert facts["nics"] == [
            {
                "mac": MAC,
                "name": facts["nics"][0]["name"],
                "driver": "virtio_net",
                "speed_mbps": None,
            }
        ]
        seen = drives["RW-FOREIGN"]
        assert seen["has_data"]
        assert {"gpt", "linux_raid_member", "ext4"} <= set(seen["signatures"])
        found = drives["RW-TARGET"]
        assert not found["has_data"]
        assert found["transport"] == "virtio"
        assert vm.run("grep -q ^md /proc/mdstat || ls /dev/mapper").stdout.split() == ["control"]

        given = values(controller, found, "i-bios")
        for wrong in ({"drive_serial": "RW-OTHER"}, {"size_bytes": DISK_BYTES - 512}):
            refused = vm.role(
                f"{INSTALL}/apply.sh", {**given, "erase": {**given["erase"], **wrong}}
            )
            assert refused.status == 1, refused.stderr
        for other in (
            {"pxe_mac": "52:54:00:00:00:99"},
            {"uuid": UUID[::-1]},
            {"serial": "RW-SN-2"},
        ):
            stranger = {**given["machine"], **other}
            refused = vm.role(f"{INSTALL}/apply.sh", {**given, "machine": stranger})
            assert "another machine" in refused.stderr
            assert refused.status == 1
        assert vm.role(f"{INSTALL}/apply.sh", {**given, "erase": None}).status == 1
        vm.run("sync")
        assert file_digest(target) == empty_digest

        for offered, chosen in CHOICES:
            choice = vm.run(choose(given, offered))
            assert (choice.status, choice.stdout.strip()) == (0 if chosen else 1, chosen)
        paths = [{**SOUGHT, **FIXED, "name": name, "wwn": "0x5000"} for name in ("sda", "sdb")]
        multipath = vm.run(choose(given, paths, "0x5000"))
        assert multipath.stdout.strip() == "sda"

        bad = values(controller, found, "i-bad")
        bad["artifacts"]["image/debian-12"]["files"]["rootfs.ext4.zst"]["sha256"] = "0" * 64
        damaged = vm.role(f"{INSTALL}/apply.sh", bad)
        assert damaged.status == 1
        assert "the drive was wiped" in damaged.stderr
        assert vm.run("wipefs -n /dev/vdb").stdout == ""

        # killed while it writes, then once more from the start
        script = rendered(f"{INSTALL}/apply.sh", given)
        interrupted = vm.run(
            f"cat > /run/apply << 'WHOLE-SCRIPT'\n{script}\nWHOLE-SCRIPT\n{INTERRUPT}"
        )
        assert interrupted.stdout == "killed in mid-write\n", interrupted.stderr
        applied = vm.role(f"{INSTALL}/apply.sh", given)
        assert applied.status == 0, applied.stderr

    assert file_digest(foreign) == foreign_digest
    with machine(controller, tmp_path, devices=devices) as vm:
        evidence = installed_is_proven(vm, given, found)
        assert evidence["firmware"] == "bios"
        assert evidence["boot_id"] != first_boot
        assert vm.run("stat -c %U:%a ~ops/.ssh/authorized_keys").stdout.strip() == "ops:600"
    assert file_digest(foreign) == foreign_digest
