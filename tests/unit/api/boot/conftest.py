"""A rack of one armed machine behind the boot app, spoken to through an ASGI client."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import pytest
from starlette.applications import Starlette

from rackwright.api.boot.app import boot_app
from rackwright.api.boot.files import ArtifactFiles
from rackwright.api.boot.ports import (
    Acceptance,
    Contact,
    ExpiredTokenError,
    IdentityMismatchError,
    KeyConflictError,
    MintedBoot,
    NotArmed,
    UnknownTokenError,
)

MAC = "52:54:00:77:01:02"
UUID = "7d0b1f2e-0000-4000-8000-000000000001"
HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI" + "a" * 43
OTHER_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI" + "b" * 43
BASE = "http://10.77.0.1:8480"


@dataclass
class Window:
    token: str
    machine_id: str
    uuid: str
    expires_at: float
    key: str = ""


@dataclass
class FakeWindows:
    """BootWindows in memory: one machine a MAC, one live token a machine."""

    now: list[float]
    armed: dict[str, str] = field(default_factory=dict)  # mac -> machine id
    known: dict[str, NotArmed] = field(default_factory=dict)
    uuids: dict[str, str] = field(default_factory=dict)
    windows: dict[str, Window] = field(default_factory=dict)
    ramdisk: str = "a" * 64
    kernel_args: tuple[str, ...] = ("console=ttyS0,115200n8",)
    transitions: int = 0
    quarantined: set[str] = field(default_factory=set)
    peers: list[str] = field(default_factory=list)
    minted: int = 0

    async def mint(self, mac: str) -> MintedBoot | NotArmed | None:
        machine_id = self.armed.get(mac)
        if machine_id is None:
            return self.known.get(mac)
        self.minted += 1
        token = hashlib.sha256(f"{machine_id}{self.minted}".encode()).hexdigest()
        self.windows = {t: w for t, w in self.windows.items() if w.machine_id != machine_id}
        self.windows[token] = Window(
            token, machine_id, self.uuids.get(machine_id, ""), self.now[0] + 600
        )
        return MintedBoot(token, machine_id, self.ramdisk, self.kernel_args, "uefi")

    async def accept_contact(self, token: str, contact: Contact, peer_address: str) -> Acceptance:
        window = self.windows.get(token)
        if window is None:
            raise UnknownTokenError("no such window")
        if self.now[0] > window.expires_at:
            raise ExpiredTokenError(window.machine_id)
        if window.uuid and window.uuid != contact.uuid:
            raise IdentityMismatchError(window.machine_id)
        if window.key and window.key != contact.host_key:
            self.quarantined.add(window.machine_id)
            raise KeyConflictError(window.machine_id)
        if not window.key:
            self.transitions += 1
        window.key = contact.host_key
        self.peers.append(peer_address)
        return Acceptance(
            window.machine_id, "n1", f"{window.machine_id}.ramdisk", "ssh-ed25519 AAAAours"
        )


@dataclass
class Rack:
    client: httpx2.AsyncClient
    windows: FakeWindows
    audited: list[tuple[str, Mapping[str, str]]]
    now: list[float]
    artifacts: Path
    certified: list[str]
    app: Starlette

    async def token(self, mac: str = MAC) -> str:
        script = (await self.client.get(f"/boot/ipxe/{mac}")).text
        return script.split("rackwright.token=")[1].split()[0]

    async def post(self, token: str | None, body: object, **headers: str) -> httpx2.Response:
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return await self.client.post("/boot/contact", content=content, headers=headers)


def contact_body(**changes: object) -> dict[str, object]:
    body: dict[str, object] = {
        "uuid": UUID,
        "serial": "SN1",
        "vendor": "QEMU",
        "product": "Standard PC",
        "macs": [MAC],
        "boot_id": "01234567-89ab-cdef-0123-456789abcdef",
        "machine_id": "f" * 32,
        "firmware": "uefi",
        "host_key": HOST_KEY,
        "ramdisk": "",
    }
    return body | changes


def write_artifact(root: Path, name: str, files: Mapping[str, bytes]) -> str:
    digest = hashlib.sha256(repr(sorted(files.items())).encode()).hexdigest()
    directory = root / name / digest
    directory.mkdir(parents=True)
    listed = {}
    for filename, content in files.items():
        (directory / filename).write_bytes(content)
        listed[filename] = {
            "sha256": hashlib.sha256(content).hexdigest(),
            "size_bytes": len(content),
        }
    (directory / "manifest.json").write_text(json.dumps({"name": name, "files": listed}))
    return digest


@pytest.fixture
def rack(tmp_path: Path) -> Rack:
    now = [1_700_000_000.5]
    windows = FakeWindows(now, armed={MAC: "m-1"}, uuids={"m-1": UUID})
    audited: list[tuple[str, Mapping[str, str]]] = []
    certified: list[str] = []

    async def certify(acceptance: Acceptance, host_key: str) -> str:
        certified.append(host_key)
        return f"cert-{len(certified)} for {acceptance.principal}"

    app = boot_app(
        base_url=BASE,
        windows=windows,
        files=ArtifactFiles(tmp_path),
        clock=lambda: now[0],
        certify=certify,
        audit=lambda event, fields: audited.append((event, fields)),
    )
    transport = httpx2.ASGITransport(app=app, client=("10.77.0.101", 40000))
    client = httpx2.AsyncClient(transport=transport, base_url=BASE)
    return Rack(client, windows, audited, now, tmp_path, certified, app)
