"""The kernel taken out of a root."""

import tarfile
from pathlib import Path

import pytest

from rackwright.engine.images.ramdisk import extract_kernel
from tests.unit.engine.images.roots import make_root


def test_the_kernel_and_its_release_are_found(tmp_path: Path) -> None:
    root = make_root(tmp_path / "r.tar", {"boot/vmlinuz-6.1.0-9-amd64": b"MZ"})
    with tarfile.open(root) as tar:
        assert extract_kernel(tar, tmp_path / "vmlinuz") == "6.1.0-9-amd64"
    assert (tmp_path / "vmlinuz").read_bytes() == b"MZ"


@pytest.mark.parametrize("kernels", [[], ["boot/vmlinuz-1", "boot/vmlinuz-2"]])
def test_none_or_several_kernels_are_an_error(tmp_path: Path, kernels: list[str]) -> None:
    root = make_root(tmp_path / "r.tar", dict.fromkeys([*kernels, "etc/x"], b""))
    with tarfile.open(root) as tar, pytest.raises(ValueError, match="one kernel"):
        extract_kernel(tar, tmp_path / "vmlinuz")
