"""A package recompressed: the same content to dpkg, byte for byte."""

import lzma
import subprocess
from pathlib import Path

import pytest

from rackwright.engine.images.package import with_fast_data


def member(name: str, body: bytes) -> bytes:
    header = f"{name:<16}{'1735689600':<12}{'0':<6}{'0':<6}{'100644':<8}{len(body):<10}`\n"
    return header.encode() + body + (b"\n" if len(body) % 2 else b"")


def package(tar: bytes, *, name: str = "data.tar.xz") -> bytes:
    data = lzma.compress(tar) if name.endswith("xz") else tar
    parts = [member("debian-binary", b"2.0\n"), member("control.tar.xz", lzma.compress(b"c"))]
    return b"!<arch>\n" + b"".join([*parts, member(name, data)])


def unzstd(body: bytes) -> bytes:
    return subprocess.run(["zstd", "-dc"], input=body, capture_output=True, check=True).stdout


@pytest.mark.parametrize("size", [0, 1, 511, 70_001])
def test_only_the_datas_compression_changes(size: int, tmp_path: Path) -> None:
    tar = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    before = package(tar)
    after = with_fast_data(before)
    head = before.index(b"data.tar.xz")
    assert after[:head] == before[:head]
    assert after[head : head + 12] == b"data.tar.zst"
    assert after[head + 16 : head + 48] == before[head + 16 : head + 48]
    size_bytes = int(after[head + 48 : head + 58])
    assert unzstd(after[head + 60 : head + 60 + size_bytes]) == tar
    assert len(after) == head + 60 + size_bytes + size_bytes % 2
    assert with_fast_data(after) == after
    assert with_fast_data(before) == after


def test_a_package_compressed_otherwise_stays_as_it_is() -> None:
    before = package(b"gzip", name="data.tar.gz")
    assert with_fast_data(before) == before


@pytest.mark.parametrize("damaged", [b"", b"no archive", package(b"x" * 999)[:-300]])
def test_what_is_no_package_is_refused(damaged: bytes) -> None:
    with pytest.raises(ValueError, match="package"):
        with_fast_data(damaged)
