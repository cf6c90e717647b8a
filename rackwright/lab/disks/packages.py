"""Debian packages fetched with the host's own apt configuration and unpacked, never installed.

Nothing is written outside the directory given.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from rackwright.lab.errors import HostError

_DOWNLOAD_TIMEOUT_S = 180
# The kernel's meta package by distribution: Debian's cloud flavour first, Ubuntu's virtual next.
_KERNEL_METAS = ("linux-image-cloud-amd64", "linux-image-virtual", "linux-image-amd64")
_DEPENDS = re.compile(r"^\s*Depends: (linux-image-\S+)$", re.MULTILINE)


def kernel_package() -> str:
    """The name of the package that holds this distribution's smallest virtual kernel."""
    for meta in _KERNEL_METAS:
        found = _DEPENDS.search(_run(["apt-cache", "depends", "--important", meta]).stdout)
        if found:
            return found[1]
    raise HostError("apt knows no kernel package", hint="run apt-get update")


def fetch(names: Sequence[str], directory: Path) -> None:
    """Download the named packages into ``directory`` and unpack them to ``directory/root``.

    The packages' signatures are checked by apt. Raises ``HostError``.
    """
    downloads = directory / "debs"
    downloads.mkdir(parents=True)
    done = _run(["apt-get", "--quiet", "download", *names], cwd=downloads)
    if done.returncode:
        reason = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
        raise HostError(
            f"apt-get could not download {' '.join(names)}: {' '.join(reason)}",
            hint="check the apt sources and run apt-get update",
        )
    for package in sorted(downloads.glob("*.deb")):
        unpacked = _run(["dpkg-deb", "--extract", str(package), str(directory / "root")])
        if unpacked.returncode:
            raise HostError(f"cannot unpack {package.name}: {unpacked.stderr.strip()}")
    shutil.rmtree(downloads)


def _run(argv: Sequence[str], cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            argv,
            cwd=cwd,
            text=True,
            capture_output=True,
            timeout=_DOWNLOAD_TIMEOUT_S,
            check=False,
            env={**os.environ, "LC_ALL": "C"},
        )
    except FileNotFoundError as error:
        raise HostError(f"{argv[0]} is missing", hint="use Debian or Ubuntu as host") from error
    except subprocess.TimeoutExpired as error:
        raise HostError(f"{argv[0]} took over {_DOWNLOAD_TIMEOUT_S} s") from error
