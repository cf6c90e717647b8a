"""The old system on a machine's disk: it boots by MBR, prints a banner, and idles.

The disk is laid out as an MBR with three partitions: an ext4 file system that GRUB boots from, an
md member and an LVM physical volume. Nothing is mounted and no loop device is used. The system runs
from its initramfs and has no driver for any disk, so that booting it leaves the disk as it was.
"""

import gzip
import os
import secrets
import shutil
import struct
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from rackwright.lab import requirements
from rackwright.lab.disks import cpio, packages, signatures
from rackwright.lab.errors import HostError

BANNER = "Old OS 7.3 (warehouse-db): do not erase"

_SECTOR = 512
_MIB = 1 << 20
_CORE_LIMIT_BYTES = _MIB - _SECTOR  # the gap before the first partition
_LINUX, _RAID, _LVM = 0x83, 0xFD, 0x8E  # partition types
_BOOT_BYTES = 128 * _MIB
_MD_BYTES = 256 * _MIB
_LVM_ID = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"  # LVM2 lib/uuid/uuid.c

_GRUB_MODULES = ("biosdisk", "part_msdos", "ext2", "linux", "normal", "echo", "serial", "terminal")
_GRUB_CONFIG = """\
serial --unit=0 --speed=115200
terminal_input serial
terminal_output serial
set root=(hd0,msdos1)
echo "Booting the old system"
linux /boot/vmlinuz console=ttyS0,115200n8 mitigations=off quiet panic=-1
initrd /boot/initrd.gz
boot
"""
_INIT = f"""\
#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sysfs /sys
/bin/busybox mount -t devtmpfs devtmpfs /dev
exec </dev/ttyS0 >/dev/ttyS0 2>&1
echo
echo "{BANNER}"
while :; do
    echo -n "old login: "
    read -r name || /bin/busybox sleep 3600
    case "$name" in
    reboot) /bin/busybox reboot -f ;;
    poweroff) /bin/busybox poweroff -f ;;
    *) echo "Login incorrect: $name" ;;
    esac
done
"""


@dataclass(frozen=True, slots=True)
class BootFiles:
    """A kernel and initramfs that reach the banner, and what GRUB needs to load them."""

    kernel: Path
    initrd: Path
    unpacked: Path  # root of the unpacked packages


def boot_files(directory: Path) -> BootFiles:
    """Fetch the packages into ``directory`` and make the initramfs. Raises ``HostError``."""
    kernel = packages.kernel_package()
    names = [kernel, "busybox-static", "grub-common", "grub-pc-bin", "libdevmapper1.02.1"]
    packages.fetch(names, directory)
    root = directory / "root"
    kernels = sorted((root / "boot").glob("vmlinuz-*"))
    busybox = next(
        (p for p in (root / "bin/busybox", root / "usr/bin/busybox") if p.exists()), None
    )
    if not kernels or busybox is None:
        raise HostError(f"{kernel} or busybox-static holds no kernel or busybox")
    archive = cpio.archive(
        [
            cpio.directory("bin"),
            cpio.directory("dev"),
            cpio.character_device("dev/console", 5, 1),
            cpio.file("bin/busybox", busybox.read_bytes(), 0o755),
            cpio.file("init", _INIT.encode(), 0o755),
        ]
    )
    initrd = directory / "initrd.gz"
    initrd.write_bytes(gzip.compress(archive, compresslevel=6, mtime=0))
    return BootFiles(kernels[-1], initrd, root)


def write(disk: Path, files: BootFiles, directory: Path) -> None:
    """Lay the old system out on an all-zero ``disk``; ``directory`` takes temporary files."""
    size_bytes = disk.stat().st_size
    boot_start = _MIB
    md_start = boot_start + _BOOT_BYTES
    lvm_start = md_start + _MD_BYTES
    lvm_bytes = size_bytes - lvm_start
    core = _grub_core(files, directory)
    with disk.open("r+b") as file:
        file.write(
            _master_boot_record(
                files,
                [
                    (True, _LINUX, boot_start, _BOOT_BYTES),
                    (False, _RAID, md_start, _MD_BYTES),
                    (False, _LVM, lvm_start, lvm_bytes),
                ],
            )
        )
        file.seek(_SECTOR)
        file.write(core)
        _copy_sparse(_boot_filesystem(files, directory), file.fileno(), boot_start)
        member = signatures.md_member(
            _MD_BYTES,
            array=secrets.token_bytes(16),
            device=secrets.token_bytes(16),
            name="old:0",
            now_s=int(time.time()),
        )
        volume = signatures.lvm_physical_volume(
            lvm_bytes, pv=_lvm_id(), vg=_lvm_id(), lv=_lvm_id(), vg_name="oldvg"
        )
        patches = [(md_start, member), *((lvm_start, patch) for patch in volume)]
        for start, patch in patches:
            os.pwrite(file.fileno(), patch.data, start + patch.offset_bytes)


def _lvm_id() -> str:
    return "".join(secrets.choice(_LVM_ID) for _ in range(32))


def _master_boot_record(files: BootFiles, partitions: list[tuple[bool, int, int, int]]) -> bytes:
    """GRUB's boot sector with a partition table.

    GRUB's boot.img loads core.img from LBA 1 as it comes (GRUB 2 grub-core/boot/i386/pc/boot.S).
    Partition entries: Linux block/partitions/msdos.c; CHS fields say "use LBA".
    """
    sector = bytearray((_grub_directory(files) / "boot.img").read_bytes()[:440])
    sector += secrets.token_bytes(4) + bytes(2)  # disk signature
    for is_active, kind, start, length in partitions:
        flags = 0x80 if is_active else 0
        chs = b"\xfe\xff\xff"
        sector += struct.pack(
            "<B3sB3sII", flags, chs, kind, chs, start // _SECTOR, length // _SECTOR
        )
    return bytes(sector).ljust(510, b"\0") + b"\x55\xaa"


def _grub_directory(files: BootFiles) -> Path:
    return files.unpacked / "usr/lib/grub/i386-pc"


def _grub_core(files: BootFiles, directory: Path) -> bytes:
    config = directory / "grub-early.cfg"
    config.write_text(_GRUB_CONFIG)
    core = directory / "core.img"
    libraries = [str(path) for path in (files.unpacked / "lib").glob("*-linux-gnu")]
    libraries += [str(path) for path in (files.unpacked / "usr/lib").glob("*-linux-gnu")]
    _run(
        [
            *(
                str(files.unpacked / "usr/bin/grub-mkimage"),
                "--format=i386-pc",
                "--prefix=/boot/grub",
            ),
            *(f"--directory={_grub_directory(files)}", f"--config={config}", f"--output={core}"),
            *_GRUB_MODULES,
        ],
        {**os.environ, "LD_LIBRARY_PATH": ":".join(libraries)},
    )
    data = core.read_bytes()
    if len(data) > _CORE_LIMIT_BYTES:
        raise HostError(f"GRUB's core image is too large: {len(data)} bytes")
    return data


def _boot_filesystem(files: BootFiles, directory: Path) -> Path:
    tree = directory / "tree"
    (tree / "boot").mkdir(parents=True)
    (tree / "etc").mkdir()
    (tree / "etc/os-release").write_text('ID=oldos\nVERSION_ID="7.3"\nPRETTY_NAME="Old OS 7.3"\n')
    shutil.copyfile(files.kernel, tree / "boot/vmlinuz")
    shutil.copyfile(files.initrd, tree / "boot/initrd.gz")
    image = directory / "boot.ext4"
    image.touch()
    os.truncate(image, _BOOT_BYTES)
    features = "^has_journal,^metadata_csum,^64bit"  # what GRUB's ext2 reads on every version
    _run(
        [
            requirements.program("mkfs.ext4"),
            "-q",
            "-L",
            "old-root",
            "-O",
            features,
            "-d",
            str(tree),
            str(image),
        ]
    )
    shutil.rmtree(tree)
    return image


def _copy_sparse(source: Path, target: int, offset_bytes: int) -> None:
    """Copy a file into an all-zero one, leaving its zero blocks as holes."""
    with source.open("rb") as file:
        position = offset_bytes
        while block := file.read(64 << 10):
            if any(block):
                os.pwrite(target, block, position)
            position += len(block)
    source.unlink()


def _run(argv: list[str], environment: dict[str, str] | None = None) -> None:
    try:
        subprocess.run(
            argv, check=True, capture_output=True, text=True, env=environment, timeout=60
        )
    except FileNotFoundError as error:
        raise HostError(f"{argv[0]} is missing", hint="install e2fsprogs") from error
    except subprocess.CalledProcessError as error:
        raise HostError(f"{Path(argv[0]).name} failed: {error.stderr.strip()}") from error
