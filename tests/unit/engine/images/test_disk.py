"""The package bundle out of a root."""

import hashlib
import tarfile
from pathlib import Path

import pytest

from rackwright.engine.images.disk import pack_bundle
from tests.unit.engine.images.roots import make_root

AR = b"!<arch>\n"  # a package without members


def test_bundle_holds_the_packages_and_their_sums(tmp_path: Path) -> None:
    root = make_root(
        tmp_path / "r.tar",
        {
            "rackwright-bundle/b.deb": AR,
            "rackwright-bundle/a.deb": AR,
            "etc/c.deb": b"C",
        },
    )
    meta = pack_bundle(root, tmp_path / "bundle.tar")
    assert meta == {"packages": ["a.deb", "b.deb"]}
    with tarfile.open(tmp_path / "bundle.tar") as tar:
        assert tar.getnames() == ["a.deb", "b.deb", "SHA256SUMS"]
        stream = tar.extractfile("SHA256SUMS")
        assert stream is not None
        listed = stream.read().decode().splitlines()
    assert listed == [
        f"{hashlib.sha256(AR).hexdigest()}  a.deb",
        f"{hashlib.sha256(AR).hexdigest()}  b.deb",
    ]


def test_an_empty_bundle_is_an_error(tmp_path: Path) -> None:
    root = make_root(tmp_path / "r.tar", {"etc/hostname": b""})
    with pytest.raises(ValueError, match="no package"):
        pack_bundle(root, tmp_path / "bundle.tar")
