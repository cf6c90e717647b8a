"""The machines of an SSH measurement: keys, host certificates, and each peer's inventory of them.

A folder holds everything: ``ca.pub``, ``client``, ``hosts.json``, ``known_hosts`` (each machine's
key) and ``host/NAME`` with its certificate.
"""

import getpass
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import asyncssh

FLEET_PORT = 22022


@dataclass(frozen=True, slots=True)
class Host:
    name: str
    address: str
    port: int
    user: str


def make(folder: Path, count: int, ports: list[int] | None = None) -> list[Host]:
    """``ports``: one a machine, all on 127.0.0.1; without, each has a loopback address."""
    authority = asyncssh.generate_private_key("ssh-ed25519")
    client = asyncssh.generate_private_key("ssh-ed25519")
    _write_private(folder / "client", client)
    client.write_public_key(folder / "client.pub")
    authority.write_public_key(folder / "ca.pub")
    (folder / "host").mkdir()
    hosts, known = [], []
    for number in range(count):
        address = "127.0.0.1" if ports else f"127.9.{number // 250}.{number % 250 + 1}"
        port = ports[number] if ports else FLEET_PORT
        host = Host(f"m-{number}", address, port, getpass.getuser())
        key = asyncssh.generate_private_key("ssh-ed25519")
        # the fleet's machines go by their address, since that is what OpenSSH's ssh compares
        principals = [host.name] if ports else [host.name, address]
        certificate = authority.generate_host_certificate(key, host.name, principals=principals)
        _write_private(folder / "host" / host.name, key)
        certificate.write_certificate(folder / "host" / f"{host.name}-cert.pub")
        known.append(f"[{address}]:{port} {_line(key)}")
        hosts.append(host)
    (folder / "known_hosts").write_text("\n".join(known) + "\n")
    (folder / "hosts.json").write_text(json.dumps([asdict(host) for host in hosts]))
    return hosts


def read(folder: Path, count: int) -> list[Host]:
    """The first ``count`` machines."""
    return [Host(**row) for row in json.loads((folder / "hosts.json").read_text())[:count]]


def _line(key: asyncssh.SSHKey) -> str:
    return key.export_public_key().decode().strip()


def _write_private(path: Path, key: asyncssh.SSHKey) -> None:
    path.touch(mode=0o600)
    key.write_private_key(path)
