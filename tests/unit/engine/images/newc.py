"""A reader of the newc cpio format, independent of the writer."""

from typing import NamedTuple


class Entry(NamedTuple):
    mode: int
    uid: int
    mtime: int
    device: tuple[int, int]
    body: bytes


def read_cpio(data: bytes) -> tuple[dict[str, Entry], int]:
    """The entries, and where the archive ends."""
    entries: dict[str, Entry] = {}
    at = 0
    while True:
        assert data[at : at + 6] == b"070701"
        fields = [int(data[at + 6 + 8 * i : at + 14 + 8 * i], 16) for i in range(13)]
        name_end = at + 110 + fields[11]
        name = data[at + 110 : name_end - 1].decode("utf-8", "surrogateescape")
        body_at = -(-name_end // 4) * 4
        body = data[body_at : body_at + fields[6]]
        at = -(-(body_at + fields[6]) // 4) * 4
        if name == "TRAILER!!!":
            return entries, at
        assert name not in entries
        entries[name] = Entry(fields[1], fields[2], fields[5], (fields[9], fields[10]), body)
