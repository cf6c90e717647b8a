"""The cpio that the kernel unpacks, read back by an independent reader of the format."""

import io
import stat
import tarfile
from pathlib import Path

from rackwright.engine.images.cpio import early_microcode, write_initramfs
from tests.unit.engine.images.newc import Entry, read_cpio
from tests.unit.engine.images.roots import make_root


def whole(data: bytes) -> dict[str, Entry]:
    entries, end = read_cpio(data)
    assert end == len(data)
    return entries


def packed(root: Path) -> dict[str, Entry]:
    sink = io.BytesIO()
    with tarfile.open(root) as tar:
        write_initramfs(tar, sink, lambda name: name.startswith("boot/"))
    return whole(sink.getvalue())


def test_files_links_and_modes_survive(tmp_path: Path) -> None:
    root = make_root(tmp_path / "r.tar", {"usr/bin/tool": b"\x7fELF."}, {"init": "usr/bin/tool"})
    entries = packed(root)
    assert entries["usr/bin/tool"] == Entry(stat.S_IFREG | 0o4755, 7, 11, (0, 0), b"\x7fELF.")
    assert entries["init"].body == b"usr/bin/tool"
    assert stat.S_ISLNK(entries["init"].mode)
    assert stat.S_ISDIR(entries["usr"].mode)


def test_parents_come_before_their_children(tmp_path: Path) -> None:
    names = list(packed(make_root(tmp_path / "r.tar", {"b/c": b"1", "a/z/y": b"2", "a-b": b"3"})))
    assert names.index("a") < names.index("a/z") < names.index("a/z/y")
    assert names.index("b") < names.index("b/c")


def test_what_is_skipped_is_absent_and_the_console_exists(tmp_path: Path) -> None:
    entries = packed(make_root(tmp_path / "r.tar", {"boot/vmlinuz-1": b"k", "dev/sda": b""}))
    assert "boot/vmlinuz-1" not in entries
    assert "dev/sda" not in entries
    assert stat.S_ISCHR(entries["dev/console"].mode)
    assert entries["dev/console"].device == (5, 1)


def test_hard_links_become_copies(tmp_path: Path) -> None:
    root = make_root(tmp_path / "r.tar", {"a": b"same"})
    with tarfile.open(root, "a") as tar:
        member = tarfile.TarInfo("./b")
        member.type, member.linkname, member.mode = tarfile.LNKTYPE, "./a", 0o644
        tar.addfile(member)
    assert packed(root)["b"].body == b"same"


def test_microcode_of_a_vendor_is_one_file_in_order() -> None:
    entries = whole(
        early_microcode(
            {
                "usr/lib/firmware/intel-ucode/06-0f-06": b"two",
                "usr/lib/firmware/intel-ucode/06-0f-02": b"one",
                "usr/lib/firmware/amd-ucode/microcode_amd.bin": b"amd",
                "usr/lib/firmware/amd-ucode/README": b"no",
            }
        )
    )
    assert entries["kernel/x86/microcode/GenuineIntel.bin"].body == b"onetwo"
    assert entries["kernel/x86/microcode/AuthenticAMD.bin"].body == b"amd"


def test_without_microcode_there_is_no_early_part() -> None:
    assert early_microcode({}) == b""
