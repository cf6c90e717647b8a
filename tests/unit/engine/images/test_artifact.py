"""The store: whole artifacts by digest, damage told, nothing half-made found."""

from pathlib import Path

import pytest

from rackwright.engine.errors import OperatorError
from rackwright.engine.images.artifact import (
    Artifact,
    ArtifactDamagedError,
    Manifest,
    find_built,
    hash_file,
    load,
    publish,
    verify,
)


def make(
    store: Path, body: bytes = b"data", *, name: str = "image/x", inputs: str = "i1"
) -> Artifact:
    staged = store / ".build-x" / f"staged-{inputs}"
    staged.mkdir(parents=True)
    (staged / "file.bin").write_bytes(body)
    files = {"file.bin": hash_file(staged / "file.bin")}
    return publish(store, staged, Manifest(name, "virtual", files, {"input_digest": inputs}))


def test_published_artifact_is_current_and_whole(tmp_path: Path) -> None:
    artifact = make(tmp_path)
    assert load(tmp_path, "image/x", "virtual") == artifact
    assert artifact.path == tmp_path / "image_x" / artifact.digest
    assert artifact.manifest["digest"] == artifact.digest
    assert artifact.file("file.bin").read_bytes() == b"data"
    verify(artifact)


def test_digest_depends_on_content_and_variant_alone(tmp_path: Path) -> None:
    first, again = make(tmp_path / "a"), make(tmp_path / "b", inputs="other inputs")
    assert first.digest == again.digest
    assert make(tmp_path / "c", b"date").digest != first.digest
    renamed = make(tmp_path / "d", name="image/y")
    assert renamed.digest != first.digest


def test_one_flipped_byte_is_found(tmp_path: Path) -> None:
    artifact = make(tmp_path)
    artifact.file("file.bin").write_bytes(b"dat4")
    with pytest.raises(ArtifactDamagedError, match=r"file\.bin"):
        verify(artifact)


def test_a_manifest_that_was_edited_is_refused(tmp_path: Path) -> None:
    artifact = make(tmp_path)
    manifest = artifact.path / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"size_bytes": 4', '"size_bytes": 5'))
    with pytest.raises(ArtifactDamagedError, match="digest"):
        load(tmp_path, "image/x", "virtual")


def test_only_the_same_inputs_are_found_built(tmp_path: Path) -> None:
    first = make(tmp_path, b"one", inputs="i1")
    second = make(tmp_path, b"two", inputs="i2")
    assert load(tmp_path, "image/x", "virtual") == second
    assert find_built(tmp_path, "image/x", "i1") == first
    assert find_built(tmp_path, "image/x", "i3") is None


def test_a_truncated_artifact_is_not_found_built(tmp_path: Path) -> None:
    make(tmp_path).file("file.bin").write_bytes(b"da")
    assert find_built(tmp_path, "image/x", "i1") is None


def test_publishing_the_same_content_again_replaces_it(tmp_path: Path) -> None:
    damaged = make(tmp_path)
    damaged.file("file.bin").write_bytes(b"####")
    verify(make(tmp_path, inputs="i2"))


def test_a_name_outside_the_manifest_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        make(tmp_path).file("../current")


def test_what_was_never_built_says_how_to_build_it(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match="rackwright image build ramdisk --variant generic"):
        load(tmp_path, "ramdisk", "generic")
