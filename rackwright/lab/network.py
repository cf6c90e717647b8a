"""The rack's network: one namespace with its bridges and taps, and nothing outside it."""

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rackwright.lab import requirements
from rackwright.lab.errors import HostError
from rackwright.lab.spec import RackSpec

_NAMESPACES = Path("/run/netns")  # where iproute2 keeps names, ip-netns(8)
_TIMEOUT_S = 30


@dataclass(frozen=True, slots=True)
class Namespace:
    """A namespace that was made, recognised by the inode behind its name."""

    name: str
    device: int
    inode: int


def exists(name: str) -> bool:
    return (_NAMESPACES / name).exists()


def is_names_mounted() -> bool:
    """Whether iproute2's directory of names is a mount yet; its first use makes it one."""
    return _NAMESPACES.is_mount()


def identify(name: str) -> Namespace | None:
    try:
        status = (_NAMESPACES / name).stat()
    except FileNotFoundError:
        return None
    return Namespace(name, status.st_dev, status.st_ino)


def add(name: str) -> Namespace:
    """Make the namespace. Raises ``HostError`` if its name is taken."""
    if exists(name):
        raise taken(name)
    try:
        _ip("netns", "add", name)
    except HostError as error:
        if "File exists" in error.message:
            raise taken(name) from error
        raise
    namespace = identify(name)
    if namespace is None:
        raise HostError(f"namespace {name} vanished as it was made")
    return namespace


def taken(name: str) -> HostError:
    return HostError(
        f"network namespace {name} exists already",
        hint=f"take that rack down, give this one another name, or run: ip netns delete {name}",
    )


def populate(spec: RackSpec) -> None:
    """Bridges, addresses and taps of the rack, all up. Raises ``HostError``."""
    bridge_of = {network.name: network.bridge for network in spec.networks}
    lines = ["link set lo up"]
    for network in (*spec.networks, spec.management):
        lines.append(f"link add {network.bridge} type bridge forward_delay 0 stp_state 0")
        if network.address:
            lines.append(f"address add {network.address} dev {network.bridge}")
        lines.append(f"link set {network.bridge} up")
    prefix = spec.management.address.rpartition("/")[2]
    for machine in spec.machines:
        lines.append(f"address add {machine.bmc.address}/{prefix} dev {spec.management.bridge}")
        for nic in machine.nics:
            lines.append(f"tuntap add dev {nic.tap} mode tap")
            lines.append(f"link set {nic.tap} master {bridge_of[nic.network]} up")
    _ip("-n", spec.namespace, "-batch", "-", text="\n".join(lines) + "\n")


def depopulate(spec: RackSpec) -> None:
    """Remove the rack's links, so that a process left in the namespace keeps none alive."""
    links = [nic.tap for machine in spec.machines for nic in machine.nics]
    links += [network.bridge for network in (*spec.networks, spec.management)]
    batch = "".join(f"link delete {link}\n" for link in links)
    _run(["ip", "-force", "-n", spec.namespace, "-batch", "-"], batch)  # some may never have been


def is_pristine(name: str) -> bool:
    """Whether the namespace holds nothing but ``lo`` and no process: just made."""
    links = _ip("-n", name, "-oneline", "link").splitlines()
    return len(links) == 1 and not pids(name)


def pids(name: str) -> list[int]:
    return [int(pid) for pid in _ip("netns", "pids", name).split()]


def delete(namespace: Namespace) -> None:
    """Remove the name if it still is this namespace."""
    if identify(namespace.name) == namespace:
        _ip("netns", "delete", namespace.name)


def unmount_names() -> None:
    """Undo the mount that ``ip netns add`` made, if no name is left."""
    if _NAMESPACES.is_mount() and not any(_NAMESPACES.iterdir()):
        _run(["umount", str(_NAMESPACES)], "")


def _ip(*arguments: str, text: str = "") -> str:
    done = _run(["ip", *arguments], text)
    if done.returncode:
        reason = done.stderr.strip() or f"exit code {done.returncode}"
        raise HostError(f"ip {' '.join(arguments)}: {reason}")
    return done.stdout


def _run(argv: Sequence[str], text: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            [requirements.program(argv[0]), *argv[1:]],
            input=text,
            text=True,
            capture_output=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except FileNotFoundError as error:
        raise HostError(f"{argv[0]} is missing", hint="install iproute2") from error
    except subprocess.TimeoutExpired as error:
        raise HostError(f"{argv[0]} took over {_TIMEOUT_S} s") from error
