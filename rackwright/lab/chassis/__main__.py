"""``python -m rackwright.lab.chassis --directory DIR``: one machine's chassis, in the foreground.

It reads ``machine.json`` in its directory (it holds the BMC's password, mode 0600) and runs until
SIGTERM, upon which its machine loses power.
"""

import argparse
import asyncio
import contextlib
import json
import os
import signal
import socket
import ssl
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import uvicorn

from rackwright.lab.bmc.ipmi import PORT, IpmiBmc
from rackwright.lab.bmc.redfish import Service
from rackwright.lab.chassis.control import SOCKET, Control
from rackwright.lab.chassis.machine import Build, Machine
from rackwright.lab.errors import LabError
from rackwright.lab.spec import Protocol, machine_from_json

_HTTPS_PORT = 443


class _Server(uvicorn.Server):
    """uvicorn without signal handlers: the chassis has its own."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def run(directory: Path, config: dict[str, Any]) -> None:
    """Serve one machine until SIGTERM or SIGINT."""
    spec = machine_from_json(config["spec"])
    build = Build(
        rack=config["rack"],
        accel=config["accel"],
        firmware_code=Path(config["firmware_code"]) if config["firmware_code"] else None,
        vars_template=Path(config["vars_template"]) if config["vars_template"] else None,
    )
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    username, password = spec.bmc.username, str(config["password"])
    async with asyncio.TaskGroup() as tasks:
        machine = Machine(spec, build, directory, tasks)
        await machine.open()
        bmc = IpmiBmc(machine, username, password)
        transport, _ = await loop.create_datagram_endpoint(
            lambda: bmc, local_addr=(spec.bmc.address, PORT)
        )
        background = [tasks.create_task(bmc.run())]
        server = None
        if spec.bmc.protocol is Protocol.REDFISH:
            server = _https(Service(machine, username, password), directory)
            listener = socket.create_server((spec.bmc.address, _HTTPS_PORT))
            background.append(tasks.create_task(server.serve(sockets=[listener])))
        if spec.powered_on:
            await machine.power_on()
        # last: whoever finds this socket finds everything else up
        control = await asyncio.start_unix_server(Control(machine).serve, SOCKET)
        await stop.wait()
        if server is not None:
            server.should_exit = True
            server.force_exit = True
        control.close()
        await machine.close()
        transport.close()
        background[0].cancel()


def _https(service: Service, directory: Path) -> uvicorn.Server:
    config = uvicorn.Config(
        service.app(),
        http="h11",
        lifespan="off",
        access_log=False,
        log_level="warning",
        ssl_certfile=str(directory / "bmc.pem"),
        ssl_keyfile=str(directory / "bmc.key"),
        ssl_version=ssl.PROTOCOL_TLS_SERVER,
        server_header=False,
    )
    return _Server(config)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m rackwright.lab.chassis")
    parser.add_argument("--directory", type=Path, required=True)
    directory = parser.parse_args().directory
    os.umask(0o077)
    os.chdir(directory)
    config = json.loads((directory / "machine.json").read_text())
    try:
        asyncio.run(run(directory, config))
    except* (LabError, OSError) as group:
        errors = group.exceptions
        sys.exit("; ".join(str(error) for error in errors))


if __name__ == "__main__":
    main()
