"""Child processes that a cancellation in mid-creation does not leave behind."""

import asyncio
from asyncio.subprocess import Process
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any


async def spawned(
    creation: Coroutine[Any, Any, Process], end: Callable[[Process], Awaitable[None]]
) -> Process:
    """What ``creation`` (``asyncio.create_subprocess_exec(...)``) makes. A caller that is cancelled
    meanwhile waits until the process is there and ``end`` has ended it.

    asyncio by itself would kill that one process, then wait until nobody holds its pipes any more:
    what it had started by then goes on, and holds them.
    """
    creating = asyncio.create_task(creation)
    is_cancelled = False
    while not creating.done():
        try:
            await asyncio.wait([creating])
        except asyncio.CancelledError:
            is_cancelled = True
    if is_cancelled:
        if not creating.cancelled() and creating.exception() is None:
            await end(creating.result())
        raise asyncio.CancelledError
    return creating.result()
