"""Raw sparse disk images: made, read as the guest would, and digested.

The images are plain files, so that a running QEMU and this module see the same bytes.
"""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

_BLOCK_BYTES = 1 << 20
_ZERO = bytes(_BLOCK_BYTES)
_BOOT_SIGNATURE = b"\x55\xaa"  # at offset 510 of the first sector, as the BIOS checks it


def create(path: Path, size_bytes: int) -> None:
    """An all-zero disk that takes no space. Raises ``OSError``."""
    with path.open("xb") as file:
        path.chmod(0o600)
        file.truncate(size_bytes)


def is_bootable(path: Path) -> bool:
    """Whether a BIOS would boot the disk: its first sector carries the boot signature."""
    with path.open("rb") as file:
        return file.read(512)[510:] == _BOOT_SIGNATURE


def digest(path: Path) -> str:
    """SHA-256 over size and every non-zero MiB with its offset.

    Two disks have the same digest if and only if a guest reads the same bytes from both; how
    sparse the files are makes no difference.
    """
    total = hashlib.sha256(str(path.stat().st_size).encode())
    for offset, block in _non_zero_blocks(path):
        total.update(b"%d:" % offset)
        total.update(block)
    return total.hexdigest()


def _non_zero_blocks(path: Path) -> Iterator[tuple[int, bytes]]:
    with path.open("rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        offset = 0
        while offset < size:
            try:
                data = os.lseek(file.fileno(), offset, os.SEEK_DATA)
            except OSError:  # ENXIO: no data up to the end, lseek(2)
                return
            offset = data - data % _BLOCK_BYTES
            block = os.pread(file.fileno(), _BLOCK_BYTES, offset)
            if block != _ZERO[: len(block)]:
                yield offset, block
            offset += len(block)
