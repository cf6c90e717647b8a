import asyncio
import secrets
import time
from pathlib import Path

import pytest

from rackwright.engine.executors.shell.local import LocalShell
from rackwright.engine.processes import spawned

WITHIN_S = 20.0  # a script that nobody ends lives for a minute


def alive(marker: str) -> list[str]:
    """Command lines of processes that carry the marker."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if marker in words:
            found.append(words)
    return found


@pytest.mark.parametrize("steps", range(12))
def test_a_script_that_is_cancelled_at_any_moment_of_its_birth_leaves_nothing(steps: int) -> None:
    marker = f"m{secrets.token_hex(8)}"

    async def main() -> None:
        shell = LocalShell()
        running = asyncio.create_task(shell.run("sleep 60", marker, timeout_s=60.0))
        for _ in range(steps):
            await asyncio.sleep(0)
        running.cancel()
        done, _ = await asyncio.wait([running], timeout=WITHIN_S)
        assert done, "the cancellation waits for the script"
        assert running.cancelled()

    asyncio.run(main())
    deadline = time.monotonic() + WITHIN_S
    while left := alive(marker):
        assert time.monotonic() < deadline, left
        time.sleep(0.05)


def test_who_is_cancelled_waits_for_the_end_of_what_was_begun() -> None:
    ended = []

    async def end(process: asyncio.subprocess.Process) -> None:
        process.kill()
        ended.append(await process.wait())

    async def main() -> None:
        creation = asyncio.create_subprocess_exec("sleep", "60")
        waiting = asyncio.create_task(spawned(creation, end))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    asyncio.run(main())
    assert ended == [-9]


def test_what_cannot_be_begun_says_why() -> None:
    async def main() -> None:
        with pytest.raises(FileNotFoundError):
            await spawned(asyncio.create_subprocess_exec("/no/such/program"), _never)

    async def _never(_: asyncio.subprocess.Process) -> None:
        raise AssertionError("there is nothing to end")

    asyncio.run(main())
