"""OpenStack Ironic on its fake hardware: nodes from enrol to active, by its HTTP API.

Usage: ... COUNT. API and conductor in one process, SQLite, no authentication, no cleaning, no
delays of the fake hardware: what is left is Ironic's own work.
"""

import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

from bench.tree import counted

AT_ONCE = 8
TIMEOUT_S = 280.0
STEPS = (("manage", "manageable"), ("provide", "available"), ("active", "active"))
FAKE = ("bios", "boot", "console", "deploy", "firmware", "inspect", "management", "power", "raid")
HEADERS = {"Content-Type": "application/json", "X-OpenStack-Ironic-API-Version": "1.80"}
BIN = Path(sys.executable).parent


def configuration(folder: Path, port: int) -> str:
    interfaces = "".join(
        f"enabled_{kind}_interfaces = fake\n" for kind in (*FAKE, "rescue", "vendor")
    )
    return f"""[DEFAULT]
auth_strategy = noauth
host = bench
my_ip = 127.0.0.1
state_path = {folder}
rpc_transport = none
enabled_hardware_types = fake-hardware
{interfaces}enabled_network_interfaces = noop
enabled_storage_interfaces = noop
minimum_memory_warning_only = true
default_log_levels = ironic=ERROR
[api]
host_ip = 127.0.0.1
port = {port}
[conductor]
automated_clean = false
sync_power_state_interval = 0
[database]
connection = sqlite:///{folder}/ironic.sqlite
[oslo_concurrency]
lock_path = {folder}
"""


class Api:
    """A kept connection a thread: its server's backlog is five."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._own = threading.local()

    def call(self, method: str, path: str, body: object = None) -> Any:
        """Asks again while Ironic is busy with the node or with too many of them (409, 503)."""
        data = None if body is None else json.dumps(body)
        for _ in range(200):
            if not hasattr(self._own, "connection"):
                self._own.connection = HTTPConnection("127.0.0.1", self._port, timeout=60)
            try:
                self._own.connection.request(method, f"/v1{path}", data, HEADERS)
                answer = self._own.connection.getresponse()
                status, text = answer.status, answer.read()
            except (HTTPException, OSError):
                self._own.connection.close()
                raise
            if status < 400:
                return json.loads(text) if text else None
            if status not in (409, 503):
                raise RuntimeError(f"{method} {path}: {status} {text[:500]!r}")
            time.sleep(0.1)
        raise TimeoutError(f"{method} {path}: busy")

    def states(self) -> dict[str, str]:
        found: dict[str, str] = {}
        path = "/nodes?fields=uuid,provision_state&limit=1000"
        while path:
            page = self.call("GET", path)
            found |= {node["uuid"]: node["provision_state"] for node in page["nodes"]}
            path = page.get("next", "").partition("/v1")[2]
        return found


def until(claim: Callable[[], bool], every_s: float = 0.2) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not claim():
        if time.monotonic() > deadline:
            raise TimeoutError("Ironic did not come to it")
        time.sleep(every_s)


def provision(api: Api, count: int) -> None:
    def enrol(number: int) -> str:
        node = {"driver": "fake-hardware", "name": f"node-{number}"}
        return str(api.call("POST", "/nodes", node)["uuid"])

    with ThreadPoolExecutor(AT_ONCE) as threads:
        uuids = list(threads.map(enrol, range(count)))
        for target, state in STEPS:

            def ask(uuid: str, target: str = target) -> None:
                api.call("PUT", f"/nodes/{uuid}/states/provision", {"target": target})

            list(threads.map(ask, uuids))
            until(lambda state=state: set(api.states().values()) == {state})  # type: ignore[misc]


def is_up(api: Api) -> bool:
    try:
        return bool(api.call("GET", "/drivers")["drivers"])
    except (HTTPException, OSError, RuntimeError):
        return False


def main(count: int) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = folder / "ironic.conf"
        config.write_text(configuration(folder, port))
        options = ["--config-file", str(config)]
        environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"}
        subprocess.run(
            [BIN / "ironic-dbsync", *options, "create_schema"],
            check=True,
            env=environment,
            capture_output=True,
        )
        log = (folder / "log").open("wb")
        with (
            log,
            subprocess.Popen([BIN / "ironic", *options], env=environment, stderr=log) as server,
        ):
            try:
                api = Api(port)
                until(lambda: is_up(api) or server.poll() is not None)
                with counted(nodes=count):
                    provision(api, count)
            except BaseException:
                print((folder / "log").read_text(errors="replace")[-1200:])
                raise
            finally:
                server.terminate()


if __name__ == "__main__":
    main(int(sys.argv[1]))
