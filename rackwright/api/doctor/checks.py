"""The checks: a table of what each profile needs, and the line that gets it.

Pure over ``Probes``. Two profiles: ``controller`` (real hardware) and ``lab`` (the virtual rack
too).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from rackwright.api.doctor.probes import Probes

GIB = 1024**3
_REMOTE_FILESYSTEMS = ("nfs", "cifs", "smb", "9p", "ceph", "fuse.sshfs", "glusterfs", "afs", "ncp")


class Profile(StrEnum):
    CONTROLLER = "controller"
    LAB = "lab"


@dataclass(frozen=True, slots=True)
class Check:
    """One answer. ``needed`` False: worth knowing, and nothing stops for it."""

    name: str
    ok: bool
    detail: str
    hint: str = ""
    packages: tuple[str, ...] = ()
    needed: bool = True


@dataclass(frozen=True, slots=True)
class Target:
    """What is about to be started; empty fields are not checked."""

    data_dir: Path | None = None
    boot_address: str = ""
    boot_port: int = 8480
    namespace: str = ""  # of the lab, which must not exist yet


@dataclass(frozen=True, slots=True)
class Tool:
    """A command or file, and the Debian package it comes in."""

    what: str  # a command, or an absolute path
    package: str
    purpose: str


_CONTROLLER_TOOLS = (
    Tool("ip", "iproute2", "network namespaces and interfaces"),
    Tool("dnsmasq", "dnsmasq-base", "DHCP and TFTP"),
    Tool("/usr/lib/ipxe/undionly.kpxe", "ipxe", "network boot, BIOS"),
    Tool("/usr/lib/ipxe/ipxe.efi", "ipxe", "network boot, UEFI"),
    Tool("ipmitool", "ipmitool", "power over IPMI"),
    Tool("mmdebstrap", "mmdebstrap", "building the ramdisk and images"),
    Tool(
        "/usr/share/keyrings/debian-archive-keyring.gpg",
        "debian-archive-keyring",
        "verifying Debian packages",
    ),
    Tool("zstd", "zstd", "packing images"),
    Tool("cpio", "cpio", "packing the ramdisk"),
    Tool("mkfs.ext4", "e2fsprogs", "building images"),
    Tool("qemu-img", "qemu-utils", "reading disk images"),
)
_LAB_TOOLS = (
    Tool("qemu-system-x86_64", "qemu-system-x86", "the virtual machines"),
    Tool("/usr/share/OVMF/OVMF_CODE_4M.fd", "ovmf", "UEFI firmware"),
    Tool("/usr/share/OVMF/OVMF_VARS_4M.fd", "ovmf", "UEFI firmware"),
    Tool("/usr/share/seabios/bios-256k.bin", "seabios", "BIOS firmware"),
)
_NEEDS = {
    Profile.CONTROLLER: (4 * GIB, 1 * GIB),  # free disk, available memory
    Profile.LAB: (10 * GIB, 7 * GIB),
}


def run_checks(profile: Profile, target: Target, probes: Probes) -> tuple[Check, ...]:
    """Every check of the profile, in the order in which one would put things right."""
    return tuple(_checks(profile, target, probes))


def failures(checks: Sequence[Check]) -> tuple[Check, ...]:
    return tuple(check for check in checks if check.needed and not check.ok)


def install_line(checks: Sequence[Check]) -> str:
    """One apt-get line for everything that is missing, "" where nothing is."""
    packages = dict.fromkeys(p for check in checks if not check.ok for p in check.packages)
    return f"apt-get install {' '.join(packages)}" if packages else ""


def _checks(profile: Profile, target: Target, probes: Probes) -> Iterator[Check]:
    yield _python(probes)
    yield _root(probes)
    tools = _CONTROLLER_TOOLS + (_LAB_TOOLS if profile is Profile.LAB else ())
    for tool in tools:
        yield _tool(tool, probes)
    yield _mirror(probes)
    if probes.is_root() and probes.which("ip"):
        yield from _namespaces(profile, target, probes)
    if profile is Profile.LAB:
        yield _device("/dev/net/tun", probes)
        yield _acceleration(probes)
    yield from _data_dir(profile, target, probes)
    yield _memory(profile, probes)
    if target.boot_address:
        yield _boot_port(target, probes)


def _python(probes: Probes) -> Check:
    version = probes.python_version()
    shown = ".".join(map(str, version))
    return Check("python", version >= (3, 11), shown, "Python 3.11 or newer is needed")


def _root(probes: Probes) -> Check:
    if probes.is_root():
        return Check("root", ok=True, detail="yes")
    return Check(
        "root",
        ok=False,
        detail="not root",
        hint="run as root: DHCP, network namespaces and image building need it",
    )


def _tool(tool: Tool, probes: Probes) -> Check:
    name = Path(tool.what).name
    if tool.what.startswith("/"):
        found = tool.what if probes.exists(tool.what) else None
    else:
        found = probes.which(tool.what)
    if found:
        return Check(name, ok=True, detail=found)
    return Check(
        name,
        ok=False,
        detail=f"missing; it is for {tool.purpose}",
        hint=f"apt-get install {tool.package}",
        packages=(tool.package,),
    )


def _mirror(probes: Probes) -> Check:
    found = probes.apt_repositories()
    return Check(
        "debian mirror",
        bool(found),
        found[0] if found else "apt has no repository",
        "configure one in /etc/apt/sources.list.d, or set RACKWRIGHT_DEBIAN_MIRROR",
    )


def _namespaces(profile: Profile, target: Target, probes: Probes) -> Iterator[Check]:
    if profile is not Profile.LAB:
        return
    why = probes.can_make_namespace()
    yield Check(
        "network namespaces",
        not why,
        why or "can be made",
        "the kernel needs CONFIG_NET_NS, a container the right to make them (CAP_SYS_ADMIN)",
    )
    if target.namespace:
        taken = target.namespace in probes.namespaces()
        yield Check(
            f"namespace {target.namespace}",
            not taken,
            "taken" if taken else "free",
            f"`rackwright lab down`, or `ip netns del {target.namespace}` if it is not a rack's",
        )


def _device(device: str, probes: Probes) -> Check:
    why = probes.opens(device)
    return Check(device, not why, why or "usable", "modprobe tun; in a container, pass it in")


def _acceleration(probes: Probes) -> Check:
    why = probes.opens("/dev/kvm")
    detail = f"/dev/kvm: {why}; software emulation is slower" if why else "/dev/kvm opens"
    return Check("acceleration", not why, detail, needed=False)


def _data_dir(profile: Profile, target: Target, probes: Probes) -> Iterator[Check]:
    if target.data_dir is None:
        return
    path = target.data_dir
    why = probes.unwritable(path)
    yield Check("data directory", not why, why or str(path), "choose another with --data-dir")
    kind = probes.filesystem(path)
    is_local = not kind.startswith(_REMOTE_FILESYSTEMS)
    yield Check(
        "local filesystem",
        is_local,
        kind or "unknown",
        "SQLite and file locks need a local filesystem: choose another --data-dir",
    )
    need, free = _NEEDS[profile][0], probes.free_bytes(path)
    yield Check("disk space", free >= need, _of(free, need), f"free some in {path}")


def _memory(profile: Profile, probes: Probes) -> Check:
    need, available = _NEEDS[profile][1], probes.available_memory_bytes()
    return Check(
        "memory", available >= need, _of(available, need), "stop what uses it, or add some"
    )


def _of(have: int, need: int) -> str:
    return f"{have / GIB:.1f} GiB available, {need / GIB:.0f} GiB needed"


def _boot_port(target: Target, probes: Probes) -> Check:
    why = probes.can_bind(target.boot_address, target.boot_port)
    where = f"{target.boot_address}:{target.boot_port}"
    return Check(
        "boot port",
        not why,
        f"{where}: {why}" if why else f"{where} is free",
        "stop what listens there, or choose another with RACKWRIGHT_BOOT_PORT",
    )
