"""Our SSH certificate authority and client key: who signs host keys, and who we are to machines.

Keys live in ``<data>/keys``, mode 0600, made at first use. Private host keys never come here: a
machine makes its own and sends the public half. asyncssh is imported when a key is first wanted: a
controller at rest does without.
"""

import os
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncssh

RAMDISK_CERTIFICATE_S = 24 * 3600
OS_CERTIFICATE_S = 10 * 365 * 24 * 3600
# Machines boot with clocks that are off by hours; validity begins before now.
CLOCK_SLACK_S = 24 * 3600
CLIENT_COMMENT = "rackwright controller"


class CertificateAuthority:
    """Signs host certificates and holds the controller's client key."""

    def __init__(self, keys_dir: Path) -> None:
        keys_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._keys_dir = keys_dir

    @property
    def client_key_path(self) -> Path:
        """The private client key's file, made where missing."""
        path = self._keys_dir / "ssh_client"
        if not path.exists():
            _load_or_make(path, CLIENT_COMMENT)
        return path

    @property
    def authority(self) -> str:
        """The CA's public key, an OpenSSH line."""
        return _public_line(self._ca)

    @property
    def authorized_key(self) -> str:
        """The controller's public client key, an OpenSSH line."""
        return _public_line(self._client)

    def sign_ramdisk(self, host_key: str, machine_id: str, now_s: float) -> str:
        """A short host certificate whose only principal is the machine's ramdisk."""
        return self._sign(host_key, ramdisk_principal(machine_id), now_s, RAMDISK_CERTIFICATE_S)

    def sign_os(self, host_key: str, machine_id: str, now_s: float) -> str:
        """A long host certificate whose only principal is the machine's installed OS."""
        return self._sign(host_key, os_principal(machine_id), now_s, OS_CERTIFICATE_S)

    @cached_property
    def _ca(self) -> "asyncssh.SSHKey":
        return _load_or_make(self._keys_dir / "ssh_ca", "rackwright host CA")

    @cached_property
    def _client(self) -> "asyncssh.SSHKey":
        return _load_or_make(self._keys_dir / "ssh_client", CLIENT_COMMENT)

    def _sign(self, host_key: str, principal: str, now_s: float, valid_s: int) -> str:
        import asyncssh

        key = asyncssh.import_public_key(host_key)
        certificate = self._ca.generate_host_certificate(
            key,
            principal,
            principals=[principal],
            valid_after=int(now_s) - CLOCK_SLACK_S,
            valid_before=int(now_s) + valid_s,
        )
        return certificate.export_certificate().decode().strip()


def ramdisk_principal(machine_id: str) -> str:
    return f"{machine_id}.ramdisk"


def os_principal(machine_id: str) -> str:
    return machine_id


def _public_line(key: "asyncssh.SSHKey") -> str:
    return key.export_public_key().decode().strip()


def _load_or_make(path: Path, comment: str) -> "asyncssh.SSHKey":
    import asyncssh

    if path.exists():
        return asyncssh.read_private_key(str(path))
    key = asyncssh.generate_private_key("ssh-ed25519", comment=comment)
    partial = path.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    handle = os.open(partial, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600)
    try:
        os.write(handle, key.export_private_key())
        os.fsync(handle)
    finally:
        os.close(handle)
    partial.rename(path)
    return key
