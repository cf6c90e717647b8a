from pathlib import Path

from rackwright.api.boot.files import ArtifactFiles
from tests.unit.api.boot.conftest import write_artifact


def test_artifact_built_later_is_found(tmp_path: Path) -> None:
    files = ArtifactFiles(tmp_path)
    assert files.lookup("0" * 64, "vmlinuz") is None
    digest = write_artifact(tmp_path, "ramdisk", {"vmlinuz": b"k"})
    assert files.lookup(digest, "vmlinuz") == tmp_path / "ramdisk" / digest / "vmlinuz"


def test_unlisted_truncated_and_odd_files_are_not_found(tmp_path: Path) -> None:
    digest = write_artifact(tmp_path, "ramdisk", {"vmlinuz": b"kernel", "initrd.zst": b"i"})
    directory = tmp_path / "ramdisk" / digest
    (directory / "extra").write_bytes(b"x")
    (directory / "vmlinuz").write_bytes(b"ker")
    (directory / "initrd.zst").unlink()
    (directory / "initrd.zst").mkdir()
    files = ArtifactFiles(tmp_path)
    assert files.lookup(digest, "extra") is None
    assert files.lookup(digest, "vmlinuz") is None
    assert files.lookup(digest, "initrd.zst") is None


def test_broken_manifest_hides_its_files_only(tmp_path: Path) -> None:
    good = write_artifact(tmp_path, "ramdisk", {"vmlinuz": b"k"})
    bad = write_artifact(tmp_path, "image", {"root.img": b"r"})
    (tmp_path / "image" / bad / "manifest.json").write_text('{"files": [1]}')
    files = ArtifactFiles(tmp_path)
    assert files.lookup(bad, "root.img") is None
    assert files.lookup(good, "vmlinuz") is not None
