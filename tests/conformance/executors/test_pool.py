"""What only a busy controller sees: a machine's patience does not run while it waits its turn."""

import asyncio

import pytest

from rackwright.engine.errors import UnreachableError
from rackwright.engine.executors.pool import Pool
from rackwright.engine.executors.ports import SshTarget
from tests.conformance.executors.sshd import Keys, Sshd


def test_waiting_for_a_handshakes_turn_is_not_the_machines_silence(
    keys: Keys,
) -> None:
    async def scenario() -> int:
        tries = 0

        async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()  # until the client gives up
            writer.close()

        async def rude(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal tries
            tries += 1
            writer.close()

        async with (
            await asyncio.start_server(silent, "127.0.0.1", 0) as first,
            await asyncio.start_server(rude, "127.0.0.1", 0) as second,
        ):
            pool = Pool(lambda: keys.client_path, handshakes=1, login_timeout_s=1.5)
            holder = asyncio.create_task(pool.link("m-2", "os", target(first)))
            await asyncio.sleep(0.1)
            with pytest.raises(UnreachableError):  # its turn comes after 1.4 s
                await pool.link("m-3", "os", target(second), patience_s=0.5)
            with pytest.raises(UnreachableError):
                await holder
            await pool.close()
        return tries

    def target(server: asyncio.Server) -> SshTarget:
        port = server.sockets[0].getsockname()[1]
        return SshTarget("127.0.0.1", port, "root", "m", certificate_authority=keys.authority_line)

    assert asyncio.run(scenario()) == 2


def test_aes_gcm_is_preferred(own_sshd: Sshd, keys: Keys) -> None:
    async def cipher() -> object:
        pool = Pool(lambda: keys.client_path)
        link = await pool.link("m-1", "os", own_sshd.target())
        try:
            return link.shell._connection.get_extra_info("send_cipher")
        finally:
            await pool.close()

    assert asyncio.run(cipher()) == "aes256-gcm@openssh.com"
