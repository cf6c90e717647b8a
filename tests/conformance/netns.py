"""Network namespaces for tests: a server's and a client's, joined by a veth pair."""

import ctypes
import os
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_CLONE_NEWNET = 0x40000000
_LIBC = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Wire:
    """``server`` has interface rw0 with 10.99.0.1/24; ``client`` has its other end, c0."""

    server: str
    client: str


@contextmanager
def inside(namespace: str) -> Iterator[None]:
    """This thread, and what it starts, lives in the namespace."""
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    target = os.open(Path("/run/netns") / namespace, os.O_RDONLY)
    try:
        _enter(target)
        try:
            yield
        finally:
            _enter(before)
    finally:
        os.close(before)
        os.close(target)


@contextmanager
def wire() -> Iterator[Wire]:
    """Two namespaces of unique names; both are gone afterwards."""
    key = secrets.token_hex(4)
    made = Wire(f"rwt-{key}-s", f"rwt-{key}-c")
    try:
        _ip("netns", "add", made.server)
        _ip("netns", "add", made.client)
        _ip("-n", made.server, "link", "add", "rw0", "type", "veth", "peer", "name", "c0")
        _ip("-n", made.server, "link", "set", "c0", "netns", made.client)
        _ip("-n", made.server, "addr", "add", "10.99.0.1/24", "dev", "rw0")
        for namespace, link in ((made.server, "rw0"), (made.client, "c0")):
            _ip("-n", namespace, "link", "set", "lo", "up")
            _ip("-n", namespace, "link", "set", link, "up")
        yield made
    finally:
        for namespace in (made.server, made.client):
            subprocess.run(["ip", "netns", "del", namespace], check=False, capture_output=True)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


def _enter(descriptor: int) -> None:
    if _LIBC.setns(descriptor, _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")
