"""Artifact files by known names: what may be fetched is listed, never looked for on a path.

The list comes from the manifests of ``<data>/artifacts/<name>/<digest>/manifest.json``.
"""

import json
import re
import stat
from pathlib import Path

_DIGEST = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


class ArtifactFiles:
    """The FileIndex over a data directory's artifacts. Manifests never change once written."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._known: dict[str, dict[str, tuple[Path, int]]] = {}

    def lookup(self, digest: str, name: str) -> Path | None:
        """The regular file, its size as the manifest says; None for anything else."""
        if not _DIGEST.fullmatch(digest) or not _NAME.fullmatch(name):
            return None
        if digest not in self._known and not self._learn(digest):
            return None
        entry = self._known[digest].get(name)
        if entry is None:
            return None
        path, size_bytes = entry
        return path if _is_regular(path, size_bytes) else None

    def _learn(self, digest: str) -> bool:
        for directory in sorted(self._root.glob("*/")):
            listed = _listed(directory / digest)
            if listed:
                self._known[digest] = listed
                return True
        return False


def _listed(directory: Path) -> dict[str, tuple[Path, int]]:
    try:
        manifest = json.loads((directory / "manifest.json").read_text())
        return {
            name: (directory / name, int(entry["size_bytes"]))
            for name, entry in manifest["files"].items()
            if _NAME.fullmatch(name)
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _is_regular(path: Path, size_bytes: int) -> bool:
    try:
        found = path.lstat()
    except OSError:
        return False
    return stat.S_ISREG(found.st_mode) and found.st_size == size_bytes
