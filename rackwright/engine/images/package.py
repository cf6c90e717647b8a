"""A Debian package with its files recompressed: unpacking xz is most of an installation's time.

Only the member ``data.tar`` is touched, and only its compression: names, owners, modes and the
control part stay as Debian made them. Format: deb(5); the archive around it: ar(5), common format.
"""

import lzma
import subprocess
from collections.abc import Iterator
from typing import NamedTuple

_MAGIC = b"!<arch>\n"
_HEADER_BYTES = 60
_SIZE_FIELD = slice(48, 58)
_DATA_XZ, _DATA_ZSTD = b"data.tar.xz", b"data.tar.zst"
_LEVEL = "-12"


class _Member(NamedTuple):
    header: bytes
    body: bytes

    @property
    def name(self) -> bytes:
        return self.header[:16].rstrip(b" ").removesuffix(b"/")


def with_fast_data(package: bytes) -> bytes:
    """The same package with ``data.tar.zst`` (dpkg 1.21.18 and newer) instead of ``data.tar.xz``;
    one compressed otherwise stays as it is. Raises ValueError for what is no package."""
    members = [_faster(member) for member in _members(package)]
    parts = [_MAGIC]
    for header, body in members:
        parts += [header, body, b"\n" if len(body) % 2 else b""]
    return b"".join(parts)


def _members(package: bytes) -> Iterator[_Member]:
    if not package.startswith(_MAGIC):
        raise ValueError("a package of the bundle is no ar archive")
    at = len(_MAGIC)
    while at < len(package):
        header = package[at : at + _HEADER_BYTES]
        start = at + _HEADER_BYTES
        if len(header) < _HEADER_BYTES or not header.endswith(b"`\n"):
            raise ValueError("a package of the bundle is cut off")
        size_bytes = int(header[_SIZE_FIELD])
        if start + size_bytes > len(package):
            raise ValueError("a package of the bundle is cut off")
        yield _Member(header, package[start : start + size_bytes])
        at = start + size_bytes + size_bytes % 2


def _faster(member: _Member) -> _Member:
    if member.name != _DATA_XZ:
        return member
    body = _zstd(lzma.decompress(member.body))
    header = bytearray(member.header)
    header[:16] = _DATA_ZSTD.ljust(16)
    header[_SIZE_FIELD] = str(len(body)).encode().ljust(10)
    return _Member(bytes(header), body)


def _zstd(body: bytes) -> bytes:
    # one thread: the bytes then depend on the input alone
    done = subprocess.run(
        ["zstd", "-q", _LEVEL, "-c"], input=body, capture_output=True, check=False
    )
    if done.returncode != 0:
        raise OSError(f"zstd ended with {done.returncode}: {done.stderr.decode()[-400:].strip()}")
    return done.stdout
