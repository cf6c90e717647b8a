"""The hands-on side of a chassis: a Unix socket in its directory, for the lab alone.

It stands for what a technician does at the rack (reading the lights, clearing the CMOS). One line
of JSON asks, one answers. The product never uses it.
"""

import asyncio
import json
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rackwright.lab.chassis.machine import Machine
from rackwright.lab.errors import HardwareError, LabError

SOCKET = "control.sock"
_TIMEOUT_S = 30.0


class Control:
    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._verbs: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "status": self._status,
            "wipe_nvram": self._wipe_nvram,
        }

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request."""
        try:
            request = json.loads(await reader.readline())
            answer = self._verbs[request["verb"]](request)
        except LabError as error:
            answer = {"error": error.message, "hint": error.hint}
        except (ValueError, KeyError, TypeError):
            answer = {"error": "not a request", "hint": ""}
        writer.write(json.dumps(answer).encode() + b"\n")
        try:
            await writer.drain()
        except OSError:
            return
        finally:
            writer.close()

    def _status(self, _request: dict[str, Any]) -> dict[str, Any]:
        override = self._machine.override
        return {
            "power": "on" if self._machine.is_on else "off",
            "qemu_pid": self._machine.pid,
            "boot_device": override.device,
            "boot_persistent": override.is_persistent,
            "boot_mode": override.mode,
        }

    def _wipe_nvram(self, request: dict[str, Any]) -> dict[str, Any]:
        self._machine.wipe_nvram(pxe_first=bool(request["pxe_first"]))
        return {}


def ask(directory: Path, verb: str, **arguments: Any) -> dict[str, Any]:
    """Ask the chassis of ``directory``. Raises ``HardwareError`` if it refuses or is not there."""
    request = json.dumps({"verb": verb, **arguments}).encode() + b"\n"
    # A Unix socket's path is short (108 bytes, unix(7)); the directory's may not be.
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(_TIMEOUT_S)
        try:
            _connect(client, directory)
            client.sendall(request)
            answer = json.loads(client.makefile("rb").readline())
        except (OSError, ValueError) as error:
            raise HardwareError(
                f"the chassis of {directory.name} does not answer",
                hint="rackwright lab down, then up",
            ) from error
    if "error" in answer:
        raise HardwareError(str(answer["error"]), hint=str(answer["hint"]))
    return dict(answer)


def _connect(client: socket.socket, directory: Path) -> None:
    descriptor = os.open(directory, os.O_PATH | os.O_DIRECTORY)
    try:
        client.connect(f"/proc/self/fd/{descriptor}/{SOCKET}")
    finally:
        os.close(descriptor)
