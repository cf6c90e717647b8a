"""A real sshd on a loopback port: host key, host certificate and client key of its own."""

import os
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import asyncssh

from rackwright.engine.executors.ports import SshTarget


@dataclass
class Keys:
    """One controller: its SSH CA and its client key."""

    directory: Path
    authority: asyncssh.SSHKey
    client: asyncssh.SSHKey

    @classmethod
    def make(cls, directory: Path) -> "Keys":
        authority = asyncssh.generate_private_key("ssh-ed25519")
        client = asyncssh.generate_private_key("ssh-ed25519")
        path = directory / "client"
        path.touch(mode=0o600)
        client.write_private_key(path)
        return cls(directory, authority, client)

    @property
    def client_path(self) -> Path:
        return self.directory / "client"

    @property
    def client_line(self) -> str:
        return line(self.client)

    @property
    def authority_line(self) -> str:
        return line(self.authority)


@dataclass
class Sshd:
    process: subprocess.Popen[bytes]
    port: int
    host_key: asyncssh.SSHKey
    keys: Keys
    principal: str

    @classmethod
    def start(cls, directory: Path, keys: Keys, principal: str, *, inside: str = "") -> "Sshd":
        """``inside``: shell commands that make its mount namespace, which it then has to itself."""
        directory.mkdir()
        host_key = asyncssh.generate_private_key("ssh-ed25519")
        certificate = keys.authority.generate_host_certificate(
            host_key, principal, principals=[principal]
        )
        key_path = directory / "host"
        key_path.touch(mode=0o600)
        host_key.write_private_key(key_path)
        certificate.write_certificate(directory / "host-cert.pub")
        (directory / "authorized").write_text(keys.client_line + "\n")
        port = free_port()
        (directory / "config").write_text(
            f"ListenAddress 127.0.0.1\nPort {port}\n"
            f"HostKey {key_path}\nHostCertificate {directory}/host-cert.pub\n"
            f"AuthorizedKeysFile {directory}/authorized\nPidFile none\n"
            "StrictModes no\nUsePAM no\nPasswordAuthentication no\n"
            # a nested shell reads no start-up file: what this host's root has in its is not tested
            "SetEnv SHLVL=2\n"
            "PermitRootLogin prohibit-password\nMaxStartups 200\nLogLevel ERROR\n"
        )
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        command = ["/usr/sbin/sshd", "-D", "-e", "-f", str(directory / "config")]
        if inside:
            made = f'{inside} && exec "$@"'
            command = ["unshare", "--mount", "bash", "-c", made, "inside", *command]
        with (directory / "log").open("wb") as log:
            process = subprocess.Popen(
                command,
                stderr=log,
                start_new_session=True,
            )
        wait_for_port(port, process)
        return cls(process, port, host_key, keys, principal)

    def target(self, **changes: str) -> SshTarget:
        values = {"principal": self.principal, "certificate_authority": self.keys.authority_line}
        return SshTarget("127.0.0.1", self.port, "root", **{**values, **changes})

    def pinned(self) -> SshTarget:
        return SshTarget("127.0.0.1", self.port, "root", "", pinned_host_key=line(self.host_key))

    def sessions(self) -> list[int]:
        """The sshd processes of open connections."""
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        try:
            return [int(pid) for pid in path.read_text().split()]
        except OSError:
            return []

    def drop_sessions(self) -> None:
        """As if every connection was lost."""
        for pid in self.sessions():
            for child in _tree(pid):
                if "sshd" in _comm(child):
                    _kill(child)

    def stop(self) -> None:
        self.drop_sessions()
        self.process.kill()
        self.process.wait()


def line(key: asyncssh.SSHKey) -> str:
    return key.export_public_key().decode().strip()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for_port(port: int, process: subprocess.Popen[bytes]) -> None:
    for _ in range(500):
        assert process.poll() is None, "sshd ended"
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.01)
        else:
            return
    raise AssertionError("sshd does not listen")


def _tree(pid: int) -> list[int]:
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        return []
    return [pid, *(found for child in text.split() for found in _tree(int(child)))]


def _comm(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text()
    except OSError:
        return ""


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
