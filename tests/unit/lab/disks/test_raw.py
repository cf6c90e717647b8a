"""Disk images as the guest reads them."""

import os
from pathlib import Path

from rackwright.lab.disks import raw

SIZE = 8 << 20


def write(path: Path, data: bytes, offset: int) -> None:
    with path.open("r+b") as file:
        os.pwrite(file.fileno(), data, offset)


def test_new_disk_is_private_sparse_and_not_bootable(tmp_path: Path) -> None:
    disk = tmp_path / "a"
    raw.create(disk, SIZE)
    assert disk.stat().st_size == SIZE
    assert disk.stat().st_blocks == 0
    assert disk.stat().st_mode & 0o777 == 0o600
    assert not raw.is_bootable(disk)


def test_boot_signature_makes_it_bootable(tmp_path: Path) -> None:
    disk = tmp_path / "a"
    raw.create(disk, SIZE)
    write(disk, b"\x55\xaa", 510)
    assert raw.is_bootable(disk)


def test_digest_sees_bytes_and_not_holes(tmp_path: Path) -> None:
    sparse, written = tmp_path / "a", tmp_path / "b"
    raw.create(sparse, SIZE)
    written.write_bytes(bytes(SIZE))
    assert raw.digest(sparse) == raw.digest(written)
    write(sparse, b"x", 5 << 20)
    assert raw.digest(sparse) != raw.digest(written)
    write(written, b"x", 5 << 20)
    assert raw.digest(sparse) == raw.digest(written)


def test_digest_sees_place_and_size(tmp_path: Path) -> None:
    one, two, longer = tmp_path / "a", tmp_path / "b", tmp_path / "c"
    raw.create(one, SIZE)
    raw.create(two, SIZE)
    raw.create(longer, 2 * SIZE)
    write(one, b"x", 0)
    write(two, b"x", 1 << 20)
    write(longer, b"x", 0)
    assert len({raw.digest(one), raw.digest(two), raw.digest(longer)}) == 3
