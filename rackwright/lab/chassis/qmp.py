"""QEMU's monitor protocol, as much of it as a chassis needs.

Source: QEMU's docs/interop/qmp-spec.rst and qapi/run-state.json (SHUTDOWN, ShutdownCause).
"""

import asyncio
import json
from typing import Any

_READ_LIMIT_BYTES = 1 << 20


class Monitor:
    """One connection from one QEMU. ``shutdown_reason`` is "" until QEMU announces its end."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.shutdown_reason = ""
        self.ready = asyncio.Event()  # QEMU has its devices and runs its main loop
        self.closed = asyncio.Event()

    async def run(self) -> None:
        """Negotiate and read events until QEMU hangs up."""
        self.send("qmp_capabilities")
        try:
            while line := await self._reader.readline():
                self._got(json.loads(line))
        except (OSError, ValueError):
            return  # a killed QEMU leaves half a line or a reset connection; its exit says the rest
        finally:
            self.closed.set()
            self._writer.close()

    def _got(self, message: dict[str, Any]) -> None:
        if "return" in message:
            self.ready.set()
        if message.get("event") == "SHUTDOWN":
            self.shutdown_reason = str(message["data"].get("reason", ""))

    def send(self, command: str) -> None:
        """Send a command without arguments; its answer is not waited for."""
        if not self._writer.is_closing():
            self._writer.write(json.dumps({"execute": command}).encode() + b"\n")
