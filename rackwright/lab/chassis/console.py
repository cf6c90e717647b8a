"""The machine's serial line: one end is whichever QEMU runs now, the other every listener.

It outlives QEMU, as a BMC's serial-over-LAN outlives a power cycle. What the machine printed is
also kept in ``console.log`` for whoever debugs the lab; the product must not read it.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path

_LOG_LIMIT_BYTES = 4 << 20


class Console:
    def __init__(self, log: Path) -> None:
        self._log_path = log
        self._log = log.open("ab", buffering=0)
        self._writer: asyncio.StreamWriter | None = None
        self._listeners: list[Callable[[bytes], None]] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one QEMU's serial line until it hangs up."""
        self._writer = writer
        try:
            while data := await reader.read(4096):
                self._keep(data)
                for listener in tuple(self._listeners):
                    listener(data)
        except OSError:
            return  # QEMU was killed
        finally:
            if self._writer is writer:
                self._writer = None
            writer.close()

    def write(self, data: bytes) -> None:
        """Type to the machine; lost if it is off, as on a real serial line."""
        if self._writer is not None and not self._writer.is_closing():
            self._writer.write(data)

    def listen(self, listener: Callable[[bytes], None]) -> None:
        self._listeners.append(listener)

    def unlisten(self, listener: Callable[[bytes], None]) -> None:
        if listener in self._listeners:
            self._listeners.remove(listener)

    def _keep(self, data: bytes) -> None:
        if self._log.tell() > _LOG_LIMIT_BYTES:
            self._log.close()
            self._log_path.replace(self._log_path.with_suffix(".log.1"))
            self._log = self._log_path.open("ab", buffering=0)
        self._log.write(data)

    def close(self) -> None:
        self._log.close()
