"""Roots made up for tests: a tar as mmdebstrap writes it."""

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path


def make_root(
    path: Path, files: Mapping[str, bytes], links: Mapping[str, str] | None = None
) -> Path:
    with tarfile.open(path, "w") as tar:
        seen = {"."}
        for name in [*files, *(links or {})]:
            for parent in reversed(Path(name).parents):
                if str(parent) not in seen:
                    seen.add(str(parent))
                    folder = tarfile.TarInfo(f"./{parent}")
                    folder.type, folder.mode = tarfile.DIRTYPE, 0o755
                    tar.addfile(folder)
        for name, body in files.items():
            member = tarfile.TarInfo(f"./{name}")
            member.size, member.mode, member.uid, member.mtime = len(body), 0o4755, 7, 11
            tar.addfile(member, io.BytesIO(body))
        for name, target in (links or {}).items():
            member = tarfile.TarInfo(f"./{name}")
            member.type, member.linkname = tarfile.SYMTYPE, target
            tar.addfile(member)
    return path
