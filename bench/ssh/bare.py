"""Bare asyncssh, used as well as we know: keys read once, 200 handshakes at a time.

Usage: python -m bench.ssh.bare FOLDER COUNT [SCRIPTS [ours]]. On every machine: connect, verify its
host certificate, run one command and read its output; with SCRIPTS, so many scripts by stdin
instead, in the very words that our executor sends. ``ours``: with the ciphers of our pool.
"""

import asyncio
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

import asyncssh

from bench.ssh import site
from bench.tree import counted
from rackwright.engine.executors.pool import ENCRYPTION_ALGORITHMS
from rackwright.engine.executors.scripts import with_prelude
from rackwright.engine.executors.shell.base import command as supervised

COMMAND = "cat /proc/sys/kernel/random/boot_id"
HANDSHAKES = 200
SCRIPT = with_prelude("true", "/run/rackwright/bench/one/1").encode()
SUPERVISED = shlex.join(supervised(SCRIPT, (), 300.0, payload=False))


async def visit(
    host: site.Host,
    key: asyncssh.SSHKey,
    authority: asyncssh.SSHKey,
    scripts: int,
    ciphers: Sequence[str],
) -> str:
    async with asyncssh.connect(
        host.address,
        host.port,
        config=None,
        agent_path=None,
        username=host.user,
        client_keys=[key],
        known_hosts=([], [authority], []),
        host_key_alias=host.name,
        encryption_algs=ciphers,
    ) as connection:
        if not scripts:
            return str((await connection.run(COMMAND, check=True)).stdout)
        for _ in range(scripts):
            done = await connection.run(SUPERVISED, input=SCRIPT, encoding=None, check=True)
        return str(done.stdout)


async def main(folder: Path, count: int, scripts: int, ciphers: Sequence[str]) -> None:
    hosts = site.read(folder, count)
    with counted(machines=count):
        key = asyncssh.read_private_key(folder / "client")
        authority = asyncssh.read_public_key(folder / "ca.pub")
        gate = asyncio.Semaphore(HANDSHAKES)

        async def one(host: site.Host) -> str:
            async with gate:
                return await visit(host, key, authority, scripts, ciphers)

        said = await asyncio.gather(*map(one, hosts))
        assert all(said), "a machine said nothing"


if __name__ == "__main__":
    asyncio.run(
        main(
            Path(sys.argv[1]),
            int(sys.argv[2]),
            int((sys.argv[3:] or ["0"])[0]),
            ENCRYPTION_ALGORITHMS if sys.argv[4:] else (),
        )
    )
