"""Artifacts in a store: a folder by digest, a manifest, and which digest is the current one.

``<store>/<name with / -> _>/<digest>/`` holds the files and ``manifest.json``;
``<store>/<name>/current-<variant>`` names a digest. The digest is SHA-256 over canonical JSON of
``{name, variant, files}``, so that it says exactly what is served and nothing of when it was built.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rackwright.engine.errors import EngineError, OperatorError


class ArtifactDamagedError(EngineError):
    """A file in the store is not what its manifest says."""


@dataclass(frozen=True, slots=True)
class ArtifactFile:
    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Manifest:
    name: str
    variant: str
    files: Mapping[str, ArtifactFile]
    meta: Mapping[str, object]  # input_digest, kernel parameters, ...: outside the digest

    @property
    def digest(self) -> str:
        decided = {"name": self.name, "variant": self.variant, "files": _files_json(self.files)}
        return hashlib.sha256(_canonical(decided)).hexdigest()

    def as_json(self) -> dict[str, object]:
        return {
            "name": self.name,
            "digest": self.digest,
            "variant": self.variant,
            "files": _files_json(self.files),
            "meta": dict(self.meta),
        }


@dataclass(frozen=True, slots=True)
class Artifact:
    name: str
    digest: str
    path: Path  # the folder that holds the files
    manifest: Mapping[str, Any]  # manifest.json, checked against its digest

    @property
    def files(self) -> Mapping[str, ArtifactFile]:
        return {
            name: ArtifactFile(entry["sha256"], entry["size_bytes"])
            for name, entry in self.manifest["files"].items()
        }

    def file(self, name: str) -> Path:
        """The path of a file that the manifest names. Raises KeyError for any other name."""
        if name not in self.files:
            raise KeyError(name)
        return self.path / name


def folder(store: Path, name: str) -> Path:
    return store / name.replace("/", "_")


def hash_file(path: Path) -> ArtifactFile:
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256")
    return ArtifactFile(sha256=digest.hexdigest(), size_bytes=path.stat().st_size)


def load(store: Path, name: str, variant: str) -> Artifact:
    """The current artifact of that name and variant. Raises OperatorError if none was built."""
    base = folder(store, name)
    hint = f"build it: rackwright image build {name} --variant {variant}"
    try:
        digest = (base / f"current-{variant}").read_text().strip()
    except FileNotFoundError:
        raise OperatorError(f"artifact {name} ({variant}) was not built yet", hint=hint) from None
    return read(base / digest)


def read(path: Path) -> Artifact:
    """The artifact in that folder; its files are not re-hashed (see ``verify``)."""
    try:
        raw = json.loads((path / "manifest.json").read_bytes())
        files = {n: ArtifactFile(f["sha256"], f["size_bytes"]) for n, f in raw["files"].items()}
        manifest = Manifest(raw["name"], raw["variant"], files, raw["meta"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArtifactDamagedError(
            f"{path}: no readable manifest", hint="delete the folder and build the artifact again"
        ) from error
    if raw.get("digest") != manifest.digest or path.name != manifest.digest:
        raise ArtifactDamagedError(
            f"{path}: the manifest does not match its digest",
            hint="delete the folder and build the artifact again",
        )
    return Artifact(manifest.name, manifest.digest, path, manifest.as_json())


def verify(artifact: Artifact) -> None:
    """Re-hash every file. Raises ArtifactDamagedError naming the first that differs."""
    for name, expected in artifact.files.items():
        path = artifact.path / name
        if not path.is_file() or hash_file(path) != expected:
            raise ArtifactDamagedError(
                f"{path} is not what the manifest says",
                hint="delete the folder and build the artifact again",
            )


def find_built(store: Path, name: str, input_digest: str) -> Artifact | None:
    """A whole artifact made from these very inputs, if the store has one."""
    base = folder(store, name)
    for manifest in sorted(base.glob("*/manifest.json")):
        try:
            artifact = read(manifest.parent)
        except ArtifactDamagedError:
            continue
        if artifact.manifest["meta"].get("input_digest") == input_digest and _sizes_match(artifact):
            return artifact
    return None


def publish(store: Path, staged: Path, manifest: Manifest) -> Artifact:
    """Move a staged folder into the store by rename, durably, and make it current."""
    base = folder(store, manifest.name)
    base.mkdir(parents=True, exist_ok=True)
    (staged / "manifest.json").write_text(json.dumps(manifest.as_json(), indent=1) + "\n")
    staged.chmod(0o755)
    for path in staged.iterdir():
        path.chmod(0o644)
        _fsync(path)
    _fsync(staged)
    target = base / manifest.digest
    if target.exists():
        retired = staged.with_name(f"{staged.name}.replaced")
        target.rename(retired)
    staged.rename(target)
    _fsync(base)
    artifact = read(target)
    make_current(store, artifact)
    return artifact


def make_current(store: Path, artifact: Artifact) -> None:
    base = folder(store, artifact.name)
    pending = base / f".current.{os.getpid()}"
    pending.write_text(artifact.digest + "\n")
    pending.replace(base / f"current-{artifact.manifest['variant']}")
    _fsync(base)


def _sizes_match(artifact: Artifact) -> bool:
    for name, expected in artifact.files.items():
        path = artifact.path / name
        if not path.is_file() or path.stat().st_size != expected.size_bytes:
            return False
    return True


def _files_json(files: Mapping[str, ArtifactFile]) -> dict[str, dict[str, object]]:
    return {
        name: {"sha256": f.sha256, "size_bytes": f.size_bytes} for name, f in sorted(files.items())
    }


def _canonical(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
