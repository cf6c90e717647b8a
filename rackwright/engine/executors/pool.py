"""Connections: one per machine and place (its OS, its ramdisk), kept and reused across stages.

Host keys are always verified: against the one pinned key, or against certificates of our CA that
carry the machine's principal. Nothing of the operator's own SSH set-up takes part. A connection is
never used to ask "is port 22 open?": OpenSSH >= 9.8 punishes that (PerSourcePenalties: 5 s for a
failed login, 1 s for none, shared by all behind one address), so attempts on a machine are at
least a second apart, and five after a refused login.
"""

import asyncio
import ipaddress
import random
import socket
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Literal

import asyncssh
from asyncssh.encryption import get_default_encryption_algs
from asyncssh.public_key import (
    get_certificate_algs,
    get_default_certificate_algs,
    get_public_key_algs,
)

from rackwright.engine.errors import EngineError, Fault, MachineError, UnreachableError
from rackwright.engine.executors.ports import SshTarget
from rackwright.engine.executors.shell.base import from_marker, script
from rackwright.engine.executors.shell.remote import SshShell

Place = Literal["os", "ramdisk"]
Trusted = tuple[list[asyncssh.SSHKey], list[asyncssh.SSHKey], list[asyncssh.SSHKey]]
"""As asyncssh takes them: host keys, certificate authorities, revoked keys."""

HANDSHAKES = 200
CONNECT_TIMEOUT_S = 10.0
LOGIN_TIMEOUT_S = 30.0
ENCRYPTION_ALGORITHMS = sorted(
    (name.decode() for name in get_default_encryption_algs()), key=lambda name: "-gcm@" not in name
)
"""AES-GCM before asyncssh's own first choice, chacha20-poly1305, which it makes of four ciphers a
packet in Python: a fan-out costs a fifth less CPU (measured, bench/ssh)."""
KEEPALIVE_S = 10.0
KEEPALIVE_COUNT = 4
PAUSE_S = 1.0
REFUSED_PAUSE_S = 5.0
HELLO_TIMEOUT_S = 30.0


class HostKeyError(MachineError):
    """The machine that answers is not the one that is meant. Never retried quietly."""

    retryable = False


class LoginRefusedError(EngineError):
    """The right machine answers, and does not let us in."""

    fault = Fault.MACHINE
    retryable = True


@dataclass(frozen=True, slots=True)
class Link:
    """An open connection and what the machine said of itself when it was opened."""

    shell: SshShell
    boot_id: str
    families: tuple[str, ...]  # os-release's ID, then ID_LIKE
    target: SshTarget


class Pool:
    """``client_key`` is read once, when the first connection is made."""

    def __init__(
        self,
        client_key: Callable[[], Path],
        *,
        handshakes: int = HANDSHAKES,
        login_timeout_s: float = LOGIN_TIMEOUT_S,
        rng: random.Random | None = None,
    ) -> None:
        self._client_key = client_key
        self._login_timeout_s = login_timeout_s
        self._key: asyncssh.SSHKey | None = None
        self._handshakes = asyncio.Semaphore(handshakes)
        self._rng = rng or random.Random()  # noqa: S311  # jitter
        self._links: dict[tuple[str, Place], Link] = {}
        self._connections: dict[tuple[str, Place], asyncssh.SSHClientConnection] = {}
        self._locks: defaultdict[tuple[str, Place], asyncio.Lock] = defaultdict(asyncio.Lock)
        self._not_before: dict[tuple[str, int], float] = {}

    async def link(
        self, machine_id: str, place: Place, target: SshTarget, *, patience_s: float = 0.0
    ) -> Link:
        """The machine's open connection, or a new one.

        Tries again for ``patience_s`` seconds while nothing answers, from the first try on: waiting
        behind a thousand others for it is not the machine's silence. Raises ``UnreachableError``,
        ``HostKeyError`` at once, ``LoginRefusedError`` at the end of patience.
        """
        key = (machine_id, place)
        async with self._locks[key]:
            link = self._links.get(key)
            if link is not None and not link.shell.is_closed() and link.target == target:
                return link
            await self._forget(key)
            patience = _Patience(patience_s)
            while True:
                try:
                    return await self._open(key, target, patience)
                except (UnreachableError, LoginRefusedError):
                    if patience.is_over():
                        raise

    async def drop(self, machine_id: str, place: Place) -> None:
        """Close one connection: the machine goes away, or has a new address."""
        key = (machine_id, place)
        async with self._locks[key]:
            await self._forget(key)

    async def close(self) -> None:
        for key in list(self._connections):
            await self._forget(key)

    async def _forget(self, key: tuple[str, Place]) -> None:
        self._links.pop(key, None)
        connection = self._connections.pop(key, None)
        if connection is not None:
            connection.abort()
            await connection.wait_closed()

    async def _open(self, key: tuple[str, Place], target: SshTarget, patience: "_Patience") -> Link:
        await self._wait_turn(target)
        try:
            async with self._handshakes:
                patience.begin()
                connection = await self._connect(target)
        except LoginRefusedError:
            self._pause(target, REFUSED_PAUSE_S)
            raise
        except EngineError:
            self._pause(target, PAUSE_S)
            raise
        self._connections[key] = connection
        link = await _hello(SshShell(connection, target.user), target)
        self._links[key] = link
        return link

    async def _wait_turn(self, target: SshTarget) -> None:
        now = asyncio.get_running_loop().time()
        wait_s = self._not_before.get((target.address, target.port), 0.0) - now
        if wait_s > 0:
            await asyncio.sleep(wait_s)

    def _pause(self, target: SshTarget, pause_s: float) -> None:
        now = asyncio.get_running_loop().time()
        jittered_s = pause_s * (1.0 + self._rng.random() / 2)
        self._not_before[target.address, target.port] = now + jittered_s

    async def _connect(self, target: SshTarget) -> asyncssh.SSHClientConnection:
        known_hosts = trusted_keys(target)
        if self._key is None:
            self._key = await asyncio.to_thread(asyncssh.read_private_key, self._client_key())
        where = f"{target.address} port {target.port}"
        try:
            sock = await _dial(target)
        except (OSError, TimeoutError) as error:
            raise UnreachableError(f"no answer by SSH from {where}: {_reason(error)}") from error
        try:
            return await asyncssh.connect(
                target.address,
                target.port,
                sock=sock,
                config=None,
                agent_path=None,
                username=target.user,
                client_keys=[self._key],
                known_hosts=known_hosts,
                host_key_alias=target.principal or None,
                server_host_key_algs=host_key_algorithms(known_hosts),
                encryption_algs=ENCRYPTION_ALGORITHMS,
                x509_trusted_certs=None,
                x509_trusted_cert_paths=[],
                gss_host=None,
                preferred_auth="publickey",
                # asyncssh's connect_timeout spans the login too, and a controller with hundreds of
                # handshakes on its hands is slower than a machine that is not there
                login_timeout=self._login_timeout_s,
                keepalive_interval=KEEPALIVE_S,
                keepalive_count_max=KEEPALIVE_COUNT,
            )
        except asyncssh.HostKeyNotVerifiable as error:
            raise HostKeyError(
                f"the host key at {where} is not that of {target.principal or 'the machine'}: "
                f"{error.reason}",
                hint="find out which machine answers there before anything is run on it",
            ) from error
        except asyncssh.PermissionDenied as error:
            raise LoginRefusedError(
                f"{where} refuses our key for user {target.user}",
                hint="add the controller's public key to its authorized_keys",
            ) from error
        except (asyncssh.Error, OSError, TimeoutError) as error:
            raise UnreachableError(f"no answer by SSH from {where}: {_reason(error)}") from error


class _Patience:
    """How long a machine may be silent, counted from the first try."""

    def __init__(self, patience_s: float) -> None:
        self._patience_s = patience_s
        self._deadline: float | None = None

    def begin(self) -> None:
        if self._deadline is None:
            self._deadline = asyncio.get_running_loop().time() + self._patience_s

    def is_over(self) -> bool:
        return self._deadline is None or asyncio.get_running_loop().time() >= self._deadline


async def _dial(target: SshTarget) -> socket.socket:
    """A TCP connection. Raises ``OSError``, or ``TimeoutError`` after ``CONNECT_TIMEOUT_S``."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(CONNECT_TIMEOUT_S):
        error = OSError("the name has no address")
        for family, address in await _addresses(target):
            sock = socket.socket(family, socket.SOCK_STREAM)
            sock.setblocking(False)
            try:
                await loop.sock_connect(sock, address)
            except OSError as refused:
                sock.close()
                error = refused
            except BaseException:
                sock.close()
                raise
            else:
                return sock
        raise error


async def _addresses(target: SshTarget) -> list[tuple[int, Any]]:
    """(family, address) to try; only a name has to be resolved."""
    try:
        version = ipaddress.ip_address(target.address).version
    except ValueError:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(target.address, target.port, type=socket.SOCK_STREAM)
        return [(family, address) for family, _, _, _, address in found]
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    return [(family, (target.address, target.port))]


def trusted_keys(target: SshTarget) -> Trusted:
    """What asyncssh may accept: (host keys, certificate authorities, revoked keys).

    Raises ``HostKeyError`` for a target that says nothing checkable, rather than accept anything.
    """
    if bool(target.pinned_host_key) == bool(target.certificate_authority):
        raise HostKeyError("a target needs either a pinned host key or a certificate authority")
    if target.certificate_authority and not target.principal:
        raise HostKeyError("a certificate without a principal to check proves nothing")
    try:
        key = _imported(target.pinned_host_key or target.certificate_authority)
    except asyncssh.KeyImportError as error:
        raise HostKeyError("the recorded host key is not an OpenSSH public key") from error
    return ([key], [], []) if target.pinned_host_key else ([], [key], [])


@lru_cache(maxsize=64)  # a rack's authority, again and again
def _imported(line: str) -> asyncssh.SSHKey:
    return asyncssh.import_public_key(line)


def host_key_algorithms(trusted: Trusted) -> list[str]:
    """Those of the trusted keys, then all others: so that a machine that has no trusted key is seen
    as the wrong machine, and not as one that went away in mid-handshake."""
    pinned, authorities, _ = trusted
    first = [name for key in pinned for name in key.sig_algorithms]
    return _ordered((*(get_default_certificate_algs() if authorities else ()), *first))


@cache
def _ordered(first: tuple[bytes, ...]) -> list[str]:
    """By name, since asyncssh would match each pattern against each name on each connect."""
    known = (*get_certificate_algs(), *get_public_key_algs())
    others = [name for name in known if name.startswith((b"ssh-", b"rsa-sha2-", b"ecdsa-"))]
    return [name.decode() for name in dict.fromkeys((*first, *others))]


async def _hello(shell: SshShell, target: SshTarget) -> Link:
    said = await shell.run(script("hello"), timeout_s=HELLO_TIMEOUT_S)
    lines = from_marker(said.stdout, "boot ")
    if said.status != 0 or not lines:
        raise MachineError(
            f"{target.address} runs no bash for user {target.user}: {said.complaint()}"
        )
    return Link(shell, lines[0].removeprefix("boot ").strip(), families(lines[1:]), target)


def families(os_release: list[str]) -> tuple[str, ...]:
    """ID, then ID_LIKE of os-release(5), unquoted and in lower case."""
    values: dict[str, str] = {}
    for line in os_release:
        name, _, value = line.partition("=")
        values[name.strip()] = value.strip().strip("\"'")
    return tuple(f"{values.get('ID', '')} {values.get('ID_LIKE', '')}".lower().split())


def _reason(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "timed out"
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return str(error) or type(error).__name__
