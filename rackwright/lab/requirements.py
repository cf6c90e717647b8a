"""What the lab needs of its host, as data: tool or file, and the Debian package that brings it."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Requirement:
    """``name`` is a program on PATH, or an absolute path of a file."""

    name: str
    package: str
    why: str


OVMF_CODE = Path("/usr/share/OVMF/OVMF_CODE_4M.fd")
OVMF_VARS = Path("/usr/share/OVMF/OVMF_VARS_4M.fd")

REQUIREMENTS = (
    Requirement("ip", "iproute2", "makes the rack's namespace, bridges and taps"),
    Requirement("qemu-system-x86_64", "qemu-system-x86", "is the machines"),
    Requirement(str(OVMF_CODE), "ovmf", "is the UEFI firmware"),
    Requirement(str(OVMF_VARS), "ovmf", "is the UEFI firmware's variables"),
    Requirement("/usr/lib/ipxe/qemu/pxe-virtio.rom", "ipxe-qemu", "is the NICs' boot ROM (BIOS)"),
    Requirement("mkfs.ext4", "e2fsprogs", "makes the old system's file system"),
    Requirement("apt-get", "apt", "fetches the old system's kernel"),
    Requirement("dpkg-deb", "dpkg", "unpacks the old system's kernel"),
)

_ALSO = "/usr/local/sbin:/usr/sbin:/sbin"  # a user's PATH may lack them


def program(name: str) -> str:
    """Where a program is; its bare name if it is nowhere."""
    return shutil.which(name) or shutil.which(name, path=_ALSO) or name


def _is_present(name: str) -> bool:
    return Path(program(name)).is_absolute() and Path(program(name)).exists()


def missing(is_present: Callable[[str], bool] = _is_present) -> tuple[Requirement, ...]:
    """The requirements that this host does not meet."""
    return tuple(item for item in REQUIREMENTS if not is_present(item.name))
