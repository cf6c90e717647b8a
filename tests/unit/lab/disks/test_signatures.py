"""The md and LVM bytes against their own checksums; mdadm and LVM read them on a real rack."""

import struct
import zlib

from rackwright.lab.disks import signatures

MD_BYTES = 256 << 20


def test_md_superblock_has_its_magic_and_checksum() -> None:
    patch = signatures.md_member(
        MD_BYTES, array=b"a" * 16, device=b"d" * 16, name="old:0", now_s=1_600_000_000
    )
    assert patch.offset_bytes == 4096
    assert patch.data[:4] == bytes.fromhex("fc4e2ba9")
    assert patch.data[32:37] == b"old:0"
    stored = struct.unpack_from("<I", patch.data, 216)[0]
    cleared = patch.data[:216] + bytes(4) + patch.data[220:]
    total = sum(word for (word,) in struct.iter_unpack("<I", cleared))
    assert stored == (total & 0xFFFFFFFF) + (total >> 32)
    assert struct.unpack_from("<QQ", patch.data, 128) == (2048, MD_BYTES // 512 - 2048)
    assert patch.data[168:184] == b"d" * 16


def lvm_crc(data: bytes) -> int:
    """LVM's CRC by zlib's: the same polynomial, without the two inversions."""
    return zlib.crc32(data, 0xF597A6CF ^ 0xFFFFFFFF) ^ 0xFFFFFFFF


def test_lvm_label_header_and_text_carry_their_checksums() -> None:
    label, header, text = signatures.lvm_physical_volume(
        1 << 30, pv="p" * 32, vg="v" * 32, lv="l" * 32, vg_name="oldvg"
    )
    assert label.data[:8] == b"LABELONE"
    assert struct.unpack_from("<I", label.data, 16)[0] == lvm_crc(label.data[20:])
    assert struct.unpack_from("<I", header.data, 0)[0] == lvm_crc(header.data[4:])
    offset, size, crc, _ = struct.unpack_from("<QQII", header.data, 40)
    assert (offset, size, crc) == (512, len(text.data), lvm_crc(text.data))
    assert text.offset_bytes == header.offset_bytes + offset
    assert text.data.startswith(b"oldvg {")
