"""An owner inside this process, on a thread of its own: what a CLI call starts when none lives."""

import asyncio
import threading
from types import TracebackType

from rackwright.api.owner.owner import Owner
from rackwright.api.settings import Settings


class OwnerThread:
    """Context manager: the owner serves between enter and exit.

    Leaving stops it as a crash would, in order: runs keep their journal and can be resumed.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._thread = threading.Thread(target=self._run, name="owner", daemon=True)

    def __enter__(self) -> "OwnerThread":
        self._thread.start()
        self._ready.wait()
        if self._failure is not None:
            self._thread.join()
            raise self._failure
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._loop is not None and self._stop is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:  # noqa: BLE001 - carried to the thread that waits for it
            self._failure = error
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        async with Owner(self._settings):
            self._ready.set()
            await self._stop.wait()
