"""The Redfish service as a client sees it, over ASGI."""

from typing import Any

import pytest
from starlette.testclient import TestClient

from rackwright.lab import rackfile
from rackwright.lab.bmc.redfish import Service
from rackwright.lab.chassis.boot import Device, Override
from rackwright.lab.spec import Firmware, MachineSpec

SYSTEM = "/redfish/v1/Systems/1"
RESET = f"{SYSTEM}/Actions/ComputerSystem.Reset"
SESSIONS = "/redfish/v1/SessionService/Sessions"
ADMIN = ("admin", "secret")


class Board:
    """A machine that remembers what was done to it."""

    def __init__(self) -> None:
        self.spec: MachineSpec = rackfile.load(None).machines[1]
        self._is_on = False
        self._override = Override(mode=Firmware.UEFI)
        self.done: list[str] = []

    @property
    def is_on(self) -> bool:
        return self._is_on

    @property
    def override(self) -> Override:
        return self._override

    def set_override(self, override: Override) -> None:
        self._override = override

    async def power_on(self) -> None:
        self._is_on = True
        self.done.append("on")

    async def power_off(self) -> None:
        self._is_on = False
        self.done.append("off")

    async def power_cycle(self) -> None:
        self.done.append("cycle")

    def press_power_button(self) -> None:
        self.done.append("button")

    def interrupt(self) -> None:
        self.done.append("nmi")


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def board() -> Board:
    return Board()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def client(board: Board, clock: Clock) -> TestClient:
    return TestClient(Service(board, *ADMIN, clock=clock).app(), base_url="https://bmc")


def test_only_root_and_login_answer_without_credentials(client: TestClient) -> None:
    assert client.get("/redfish").json() == {"v1": "/redfish/v1/"}
    assert client.get("/redfish/v1/").json()["RedfishVersion"]
    for path in (SYSTEM, SESSIONS, "/redfish/v1/Systems", "/redfish/v1/Managers/1", "/nowhere"):
        assert client.get(path).status_code == 401
    assert client.post(RESET, json={"ResetType": "On"}).status_code == 401


def test_every_link_leads_somewhere(client: TestClient) -> None:
    client.auth = ADMIN
    waiting, seen = ["/redfish/v1/"], set()
    while waiting:
        path = waiting.pop()
        seen.add(path)
        response = client.get(path)
        assert response.status_code == 200, path
        waiting += [link for link in _links(response.json()) if link not in seen]
    assert f"{SYSTEM}/EthernetInterfaces/1" in seen
    assert "/redfish/v1/Chassis/1/Sensors/CPUTemp" in seen


def _links(value: Any) -> list[str]:
    if isinstance(value, list):
        return [link for item in value for link in _links(item)]
    if not isinstance(value, dict):
        return []
    own = [value["@odata.id"]] if "@odata.id" in value and "#" not in value["@odata.id"] else []
    return own + [link for item in value.values() for link in _links(item)]


def test_session_is_opened_used_and_closed(client: TestClient) -> None:
    login = client.post(SESSIONS, json={"UserName": ADMIN[0], "Password": ADMIN[1]})
    assert login.status_code == 201
    token = {"X-Auth-Token": login.headers["X-Auth-Token"]}
    assert client.get(SESSIONS, headers=token).json()["Members@odata.count"] == 1
    assert client.delete(login.headers["Location"], headers=token).status_code == 204
    assert client.get(SYSTEM, headers=token).status_code == 401


def test_idle_session_ends(client: TestClient, clock: Clock) -> None:
    login = client.post(SESSIONS, json={"UserName": ADMIN[0], "Password": ADMIN[1]})
    token = {"X-Auth-Token": login.headers["X-Auth-Token"]}
    clock.now_s = 1799
    assert client.get(SYSTEM, headers=token).status_code == 200
    clock.now_s += 1801
    assert client.get(SYSTEM, headers=token).status_code == 401


def test_wrong_credentials_are_refused(client: TestClient) -> None:
    bad = client.post(SESSIONS, json={"UserName": ADMIN[0], "Password": "guess"})
    assert bad.status_code == 401
    assert "secret" not in bad.text
    assert client.get(SYSTEM, auth=("admin", "guess")).status_code == 401


def test_sessions_run_out(client: TestClient) -> None:
    answers = [
        client.post(SESSIONS, json={"UserName": ADMIN[0], "Password": ADMIN[1]}).status_code
        for _ in range(17)
    ]
    assert answers == [201] * 16 + [503]


def test_boot_override_is_set_under_its_etag_and_read_back(
    client: TestClient, board: Board
) -> None:
    client.auth = ADMIN
    etag = client.get(SYSTEM).headers["ETag"]
    boot = {
        "BootSourceOverrideTarget": "Pxe",
        "BootSourceOverrideEnabled": "Once",
        "BootSourceOverrideMode": "UEFI",
    }
    done = client.patch(SYSTEM, json={"Boot": boot}, headers={"If-Match": etag})
    assert done.status_code == 200
    assert board.override == Override(Device.PXE, False, Firmware.UEFI)
    assert client.get(SYSTEM).json()["Boot"].items() >= boot.items()
    stale = client.patch(SYSTEM, json={"Boot": boot}, headers={"If-Match": etag})
    assert stale.status_code == 412


@pytest.mark.parametrize(
    "body",
    [
        {"Boot": {"BootSourceOverrideTarget": "Floppy"}},
        {"Boot": {"BootSourceOverrideEnabled": "Sometimes"}},
        {"Boot": {"Nonsense": 1}},
        {"AssetTag": "x"},
        {"Boot": "Pxe"},
    ],
)
def test_patch_of_something_else_changes_nothing(
    client: TestClient, board: Board, body: dict[str, Any]
) -> None:
    before = board.override
    assert client.patch(SYSTEM, json=body, auth=ADMIN).status_code == 400
    assert board.override == before


def test_disabling_the_override_clears_it(client: TestClient, board: Board) -> None:
    board.set_override(Override(Device.PXE, True, Firmware.UEFI))
    body = {"Boot": {"BootSourceOverrideEnabled": "Disabled"}}
    assert client.patch(SYSTEM, json=body, auth=ADMIN).status_code == 200
    assert board.override.device is Device.NONE


@pytest.mark.parametrize(
    ("is_on", "kind", "status", "done"),
    [
        (False, "On", 204, ["on"]),
        (False, "ForceOff", 204, ["off"]),
        (False, "PushPowerButton", 204, ["on"]),
        (True, "PushPowerButton", 204, ["button"]),
        (True, "ForceRestart", 204, ["cycle"]),
        (True, "PowerCycle", 204, ["cycle"]),
        (True, "GracefulShutdown", 204, ["button"]),
        (True, "Nmi", 204, ["nmi"]),
        (False, "ForceRestart", 409, []),
        (True, "Explode", 400, []),
    ],
)
def test_reset(
    client: TestClient, board: Board, is_on: bool, kind: str, status: int, done: list[str]
) -> None:
    board._is_on = is_on
    assert client.post(RESET, json={"ResetType": kind}, auth=ADMIN).status_code == status
    assert board.done == done


def test_malformed_body_is_refused(client: TestClient) -> None:
    assert client.post(RESET, content=b"{", auth=ADMIN).status_code == 400
    assert client.post(RESET, content=b"[]", auth=ADMIN).status_code == 400
