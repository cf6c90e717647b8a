"""A tar of a root turned into a newc cpio, as the kernel takes an initramfs.

Format: Linux Documentation/driver-api/early-userspace/buffer-format.rst ("newc", magic 070701);
every header and body is padded to four bytes. Hard links become copies.
"""

import io
import tarfile
from collections.abc import Callable, Iterator, Mapping
from typing import IO

_DIRECTORY, _FILE, _SYMLINK, _CHARACTER = 0o040000, 0o100000, 0o120000, 0o020000
# The kernel opens /dev/console for init before anything mounts devtmpfs.
_DEVICES = (("dev/console", 0o600, 5, 1), ("dev/null", 0o666, 1, 3))
_MICROCODE = (
    ("AuthenticAMD.bin", "usr/lib/firmware/amd-ucode/microcode_amd"),
    ("GenuineIntel.bin", "usr/lib/firmware/intel-ucode/"),
)


class CpioWriter:
    """Writes entries in the order given; ``close`` writes the trailer."""

    def __init__(self, sink: IO[bytes]) -> None:
        self._sink = sink
        self._inode = 0

    def entry(
        self,
        name: str,
        mode: int,
        *,
        uid: int = 0,
        gid: int = 0,
        mtime: int = 0,
        body: bytes = b"",
        device: tuple[int, int] = (0, 0),
    ) -> None:
        self._inode += 1
        encoded = name.encode("utf-8", "surrogateescape") + b"\0"
        links = 2 if mode & 0o170000 == _DIRECTORY else 1
        fields = (
            *(self._inode, mode, uid, gid, links, mtime, len(body), 0, 0),
            *(*device, len(encoded), 0),
        )
        header = b"070701" + b"".join(b"%08X" % field for field in fields)
        self._padded(header + encoded)
        self._padded(body)

    def close(self) -> None:
        self._inode = -1
        self.entry("TRAILER!!!", 0)

    def _padded(self, data: bytes) -> None:
        self._sink.write(data)
        self._sink.write(b"\0" * (-len(data) % 4))


def write_initramfs(tar: tarfile.TarFile, sink: IO[bytes], skip: Callable[[str], bool]) -> None:
    """Every member of the tar but those that ``skip`` (by path without "./") names, sorted."""
    writer = CpioWriter(sink)
    for name, member in sorted(_members(tar)):
        if name.startswith("dev/") or skip(name):
            continue
        _write_member(writer, tar, name, member)
    for name, mode, major, minor in _DEVICES:
        writer.entry(name, _CHARACTER | mode, device=(major, minor))
    writer.close()


def early_microcode(files: Mapping[str, bytes]) -> bytes:
    """An uncompressed cpio with the CPU vendors' microcode, to stand before the packed root; empty
    where there is none.

    ``files`` are paths of a root without "./". Kernel Documentation/x86/microcode.rst, "Early load
    microcode": the blobs of a vendor one after the other, in one file.
    """
    blobs = {
        target: b"".join(body for name, body in sorted(files.items()) if name.startswith(source))
        for target, source in _MICROCODE
    }
    if not any(blobs.values()):
        return b""
    buffer = io.BytesIO()
    writer = CpioWriter(buffer)
    for folder in ("kernel", "kernel/x86", "kernel/x86/microcode"):
        writer.entry(folder, _DIRECTORY | 0o755)
    for target, body in blobs.items():
        if body:
            writer.entry(f"kernel/x86/microcode/{target}", _FILE | 0o644, body=body)
    writer.close()
    return buffer.getvalue()


def _members(tar: tarfile.TarFile) -> Iterator[tuple[str, tarfile.TarInfo]]:
    for member in tar:
        name = member.name.removeprefix("./").strip("/")
        if name and name != ".":
            yield name, member


def _write_member(
    writer: CpioWriter, tar: tarfile.TarFile, name: str, member: tarfile.TarInfo
) -> None:
    mode, uid, gid, mtime = member.mode & 0o7777, member.uid, member.gid, int(member.mtime)
    if member.isdir():
        writer.entry(name, _DIRECTORY | mode, uid=uid, gid=gid, mtime=mtime)
    elif member.issym():
        target = member.linkname.encode("utf-8", "surrogateescape")
        writer.entry(name, _SYMLINK | 0o777, uid=uid, gid=gid, mtime=mtime, body=target)
    elif member.isfile() or member.islnk():
        stream = tar.extractfile(member)
        body = stream.read() if stream else b""
        writer.entry(name, _FILE | mode, uid=uid, gid=gid, mtime=mtime, body=body)
