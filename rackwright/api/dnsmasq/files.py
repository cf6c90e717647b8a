"""The state directory of one dnsmasq: made, filled with boot loaders, readable by its user.

The loaders are copied in: what TFTP can reach is what we put there, and no symbolic link.
"""

import hashlib
import os
import pwd
import shutil
from pathlib import Path

from rackwright.api.dnsmasq.config import ARM64_LOADER, BIOS_LOADER, UEFI_LOADER, StatePaths
from rackwright.api.dnsmasq.errors import StartError

_SOURCES = {
    BIOS_LOADER: ("undionly.kpxe",),
    UEFI_LOADER: ("ipxe.efi",),
    ARM64_LOADER: ("arm64-efi/ipxe.efi", "ipxe-arm64.efi"),
}
_RUN = Path("/run")
_USERS = ("dnsmasq", "nobody")


def state_dir_for(data_dir: Path, segment: str) -> Path:
    """Where a data directory's dnsmasq lives: outside it, because dnsmasq drops its privileges
    and a data directory is closed to everyone else."""
    key = hashlib.sha256(str(data_dir.resolve()).encode()).hexdigest()[:12]
    return _RUN / "rackwright" / key / f"dnsmasq-{segment}"


def prepare(
    paths: StatePaths, loader_directory: Path, *, user: pwd.struct_passwd | None = None
) -> tuple[tuple[str, ...], str]:
    """Make the directory; returns the loaders in the TFTP root and the user to run as.

    Raises StartError when no loader is found or the directory cannot be made or reached.
    """
    user = user or _unprivileged_user()
    try:
        for directory in (paths.root, paths.hosts, paths.tftp):
            _make(directory)
        # dnsmasq opens its leases as root and writes them as its user, who must own the file.
        _own(paths.leases, user)
        loaders = copy_loaders(paths.tftp, loader_directory)
    except PermissionError as cause:
        raise StartError(f"{cause.filename}: permission denied", hint="run as root") from cause
    _let_through(paths.root)
    _check_reachable(paths.root)
    if not loaders:
        raise StartError(f"no iPXE boot loader in {loader_directory}", hint="apt-get install ipxe")
    return loaders, user.pw_name


def rotate_log(paths: StatePaths, user: str) -> None:
    """Start a new log and keep one old. dnsmasq reopens it at SIGUSR2, as its user."""
    if paths.log.exists():
        paths.log.replace(paths.log.with_suffix(".log.1"))
    _own(paths.log, pwd.getpwnam(user))


def _own(path: Path, user: pwd.struct_passwd) -> None:
    path.touch()
    os.chown(path, user.pw_uid, -1)


def _make(directory: Path) -> None:
    """Open to others, whatever the umask; parents that exist already are left as they are."""
    if directory.is_dir():
        return
    _make(directory.parent)
    directory.mkdir()
    directory.chmod(0o755)


def copy_loaders(tftp: Path, source: Path) -> tuple[str, ...]:
    """Fill the TFTP root; returns the names it now holds."""
    present = []
    for name, candidates in _SOURCES.items():
        found = next((source / c for c in candidates if (source / c).is_file()), None)
        if found is None:
            (tftp / name).unlink(missing_ok=True)
            continue
        draft = tftp / f".{name}"
        shutil.copyfile(found, draft)
        draft.chmod(0o644)
        draft.replace(tftp / name)
        present.append(name)
    return tuple(present)


def _let_through(root: Path) -> None:
    """Our own directories below /run may be passed through, not listed, by dnsmasq's user: whoever
    made /run/rackwright first may have closed it (steps on this machine are made with umask 077).
    """
    for directory in root.parents:
        if not directory.is_relative_to(_RUN / "rackwright"):
            return
        found = directory.stat()
        if found.st_uid == os.geteuid() and not found.st_mode & 0o001:
            directory.chmod(found.st_mode & 0o7777 | 0o011)


def _check_reachable(root: Path) -> None:
    for directory in (root, *root.parents):
        if not directory.stat().st_mode & 0o001:
            raise StartError(
                f"dnsmasq's user cannot reach {root}: {directory} is closed to others",
                hint="choose a state directory under /run",
            )


def _unprivileged_user() -> pwd.struct_passwd:
    for name in _USERS:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise StartError(
        "neither a user dnsmasq nor nobody exists", hint="apt-get install dnsmasq-base"
    )
