"""Machines that cost next to nothing: asyncssh servers in one process, an address and a key each.

Usage: python -m bench.ssh.fleet FOLDER. They run nothing: every command, ours with its script on
stdin too, is answered with the same three lines and exit 0, which a hello, a check and a verify
accept. So what is measured is the client, and not a thousand shells on the same two cores.
"""

import asyncio
import sys
from pathlib import Path

import asyncssh

from bench.ssh import site

ANSWER = b"boot 5d4e3c2b-0000-4000-8000-000000000001\nID=debian\n{}\n"
OURS = " rackwright "
"""In our command: after it the length of the script that comes by stdin."""


async def answer(process: asyncssh.SSHServerProcess[bytes]) -> None:
    command = process.command or ""
    if OURS in command:
        size = int(command.rpartition(OURS)[2].split(maxsplit=1)[0])
        await process.stdin.readexactly(size)
    process.stdout.write(ANSWER)
    process.exit(0)


async def serve(folder: Path) -> None:
    authorized = asyncssh.import_authorized_keys((folder / "client.pub").read_text())
    for host in site.read(folder, 1 << 30):
        key = folder / "host" / host.name
        await asyncssh.listen(
            host.address,
            host.port,
            server_host_keys=[(str(key), f"{key}-cert.pub")],
            authorized_client_keys=authorized,
            process_factory=answer,
            encoding=None,
            gss_host=None,
            login_timeout=600,
        )
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.read)  # until whoever started us is done, or dead


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1])))
