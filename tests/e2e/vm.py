"""One QEMU machine for the image tests: software emulation, a private user-mode network.

The guest sees the test as 10.0.2.2; its sshd is reached through a forwarded port on the loopback.
"""

import asyncio
import json
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import asyncssh

from rackwright.engine.content.template import environment
from rackwright.engine.images.artifact import Artifact

ROLES = Path(__file__).parents[2] / "rackwright" / "roles"
PRELUDE = ROLES.parent / "engine" / "executors" / "shell" / "prelude.sh"
MACHINE, NAME, MAC, TOKEN = "m-1a2b3c4d5e6f", "n1", "52:54:00:12:34:56", "one-time"
UUID, SERIAL = "11111111-2222-3333-4444-555555555555", "RW-SN-1"
DISK_BYTES = 2 << 30
BOOT_DEADLINE_S = 180.0


@dataclass
class Controller:
    """Plays the boot app: serves an image's files and answers one contact."""

    image: Artifact
    authority: asyncssh.SSHKey = field(
        default_factory=lambda: asyncssh.generate_private_key("ssh-ed25519")
    )
    client: asyncssh.SSHKey = field(
        default_factory=lambda: asyncssh.generate_private_key("ssh-ed25519")
    )
    contact: dict[str, object] = field(default_factory=dict)
    heard: threading.Event = field(default_factory=threading.Event)
    port: int = 0

    def certificate(self, principal: str) -> str:
        key = asyncssh.import_public_key(str(self.contact["host_key"]))
        certificate = self.authority.generate_host_certificate(
            key, principal, principals=[principal]
        )
        return certificate.export_certificate().decode().strip()

    def public(self) -> str:
        return self.client.export_public_key().decode().strip()

    def answer(self, contact: dict[str, object]) -> dict[str, object]:
        self.contact = contact
        return {
            "machine_id": MACHINE,
            "name": NAME,
            "time": int(time.time()),
            "authorized_key": self.public(),
            "host_certificate": self.certificate(f"{MACHINE}.ramdisk"),
            "principal": f"{MACHINE}.ramdisk",
        }


@contextmanager
def serving(controller: Controller) -> Iterator[Controller]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.send(controller.image.file(self.path.removeprefix("/")).read_bytes())

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers["Authorization"] != f"Bearer {TOKEN}":
                self.send_error(403)
                return
            self.send(json.dumps(controller.answer(json.loads(body))).encode())
            controller.heard.set()

        def send(self, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    controller.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield controller
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@dataclass
class Done:
    status: int
    stdout: str
    stderr: str

    def evidence(self) -> dict[str, object]:
        assert self.status == 0, self.stderr
        value: dict[str, object] = json.loads(self.stdout.splitlines()[-1])
        return value


@dataclass
class Vm:
    controller: Controller
    port: int
    console: Path
    principal: str

    def run(self, script: str, *, timeout_s: float = 240.0) -> Done:
        """One bash script on the machine, whose host certificate is verified."""
        return asyncio.run(self._run(script, timeout_s))

    async def _run(self, script: str, timeout_s: float) -> Done:
        known = asyncssh.import_known_hosts(
            f"@cert-authority * {self.controller.authority.export_public_key().decode()}"
        )
        async with (
            asyncio.timeout(timeout_s),
            asyncssh.connect(
                "127.0.0.1",
                self.port,
                username="root",
                client_keys=[self.controller.client],
                known_hosts=known,
                host_key_alias=self.principal,
                server_host_key_algs=["ssh-ed25519-cert-v01@openssh.com"],
                config=[],
            ) as connection,
        ):
            done = await connection.run("bash -s", input=script, encoding="utf-8")
        return Done(done.returncode or 0, str(done.stdout), str(done.stderr))

    def await_ssh(self) -> None:
        deadline = time.monotonic() + BOOT_DEADLINE_S
        while True:
            try:
                self.run("true", timeout_s=15.0)
            except (OSError, asyncssh.Error, TimeoutError):
                assert time.monotonic() < deadline, self.console.read_text(errors="replace")[-3000:]
                time.sleep(0.5)
            else:
                return

    def role(self, script: str, values: Mapping[str, object]) -> Done:
        """A role's script, rendered and with its prelude, as the executor runs it."""
        return self.run(rendered(script, values))


def rendered(script: str, values: Mapping[str, object]) -> str:
    text = environment().from_string((ROLES / script).read_text()).render(values)
    directory = "/run/rackwright/test"
    return f"mkdir -p {directory}\nexport RW_DIR={directory}\n{PRELUDE.read_text()}\n{text}\n"


@contextmanager
def machine(
    controller: Controller,
    home: Path,
    *,
    devices: Sequence[str],
    ramdisk: Artifact | None = None,
) -> Iterator[Vm]:
    """A machine that is up: in the ramdisk if one is given, else in what its drives hold."""
    port = _free_port()
    console = home / "console.log"
    command = [
        *("qemu-system-x86_64", "-machine", "q35", "-accel", "tcg,thread=multi", "-cpu", "max"),
        # Room for a second CPU keeps the guest's memory barriers: docs/decisions/0007.
        *(
            "-smp",
            "1,maxcpus=2",
            "-m",
            "2048",
            "-display",
            "none",
            "-nodefaults",
            "-serial",
            f"file:{console}",
        ),
        *("-smbios", f"type=1,uuid={UUID},serial={SERIAL}"),
        *("-netdev", f"user,id=n0,restrict=off,hostfwd=tcp:127.0.0.1:{port}-:22"),
        *("-device", f"virtio-net-pci,netdev=n0,mac={MAC},romfile="),
        *devices,
    ]
    if ramdisk:
        cmdline = (
            "console=ttyS0,115200n8 mitigations=off "
            f"rackwright.controller=http://10.0.2.2:{controller.port} rackwright.token={TOKEN}"
        )
        command += ["-kernel", str(ramdisk.file("vmlinuz")), "-append", cmdline]
        command += ["-initrd", str(ramdisk.file("initrd.zst"))]
    controller.heard.clear()
    principal = f"{MACHINE}.ramdisk" if ramdisk else MACHINE
    vm = Vm(controller, port, console, principal)
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    try:
        if ramdisk:
            heard = controller.heard.wait(BOOT_DEADLINE_S)
            assert heard, console.read_text(errors="replace")[-3000:]
        vm.await_ssh()
        yield vm
    finally:
        process.kill()
        process.wait()


def drive(path: Path, model: str) -> list[str]:
    """A drive's arguments; the file is made if it does not exist."""
    if not path.exists():
        with path.open("wb") as stream:
            stream.truncate(DISK_BYTES)
    name = path.stem
    return [
        *("-drive", f"if=none,id={name},format=raw,discard=unmap,file={path}"),
        *("-device", f"{model},drive={name},serial={serial(path)}"),
    ]


def serial(path: Path) -> str:
    return f"RW-{path.stem.upper()}"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
