"""Peers are installed when they are measured: each in a virtual environment of its own under
``var/bench/peers``, from a lock with hashes, since they want different versions of the same things.
"""

import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Final

from bench.tree import ContestantError

ROOT: Final = Path(__file__).resolve().parent.parent.parent
LOCKS: Final = Path(__file__).resolve().parent / "locks"
INSTALL_TIMEOUT_S: Final = 900.0


def bin_of(peer: str) -> Path:
    """The ``bin`` of the peer's environment, made first where it is missing or of another lock.

    Raises ``ContestantError`` when it cannot be installed.
    """
    lock = LOCKS / f"{peer}.lock"
    folder = ROOT / "var" / "bench" / "peers" / peer
    stamp = folder / "installed"
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()
    if stamp.is_file() and stamp.read_text() == digest:
        return folder / "bin"
    print(f"installing {peer} into {folder.relative_to(ROOT)}", file=sys.stderr, flush=True)
    uv = Path(sys.executable).parent / "uv"
    _run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, folder], peer)
    _run(
        [
            *(uv, "pip", "install", "--quiet", "--require-hashes"),
            *("--python", folder / "bin" / "python", "--requirements", lock),
        ],
        peer,
    )
    stamp.write_text(digest)
    return folder / "bin"


def version_of(peer: str, *packages: str) -> str:
    """Versions as its lock pins them, without asking the environment."""
    pinned = dict(
        line.split(" ")[0].split("==")
        for line in (LOCKS / f"{peer}.lock").read_text().splitlines()
        if "==" in line and not line.startswith(" ")
    )
    return ", ".join(f"{name} {pinned[name]}" for name in packages)


def _run(command: list[str | Path], peer: str) -> None:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=INSTALL_TIMEOUT_S
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ContestantError(f"{peer} could not be installed: {error}") from error
    if done.returncode:
        raise ContestantError(f"{peer} could not be installed: {done.stderr[-1500:]}")
