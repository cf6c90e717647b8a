"""An initramfs archive, against the kernel's description of newc."""

from rackwright.lab.disks import cpio


def fields(record: bytes) -> list[int]:
    return [int(record[6 + 8 * i : 14 + 8 * i], 16) for i in range(13)]


def test_record_holds_name_mode_and_padded_data() -> None:
    data = cpio.archive([cpio.file("init", b"hello", 0o755)])
    header = fields(data)
    assert data[:6] == b"070701"
    assert header[1] == 0o100755
    assert header[6] == 5
    assert data[110:115] == b"init\0"
    assert data[116:124] == b"hello\0\0\0"


def test_archive_ends_with_its_trailer() -> None:
    data = cpio.archive([])
    assert data[110:121] == b"TRAILER!!!\0"
    assert len(data) % 4 == 0


def test_device_node_has_its_numbers() -> None:
    header = fields(cpio.archive([cpio.character_device("dev/console", 5, 1)]))
    assert header[9:11] == [5, 1]
    assert header[1] == 0o20600
