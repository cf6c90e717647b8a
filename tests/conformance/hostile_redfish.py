"""A Redfish service over HTTPS that misbehaves by name, and counts what is done to it.

Faults are those of BMCs in the field: see ``FAULTS``. It runs in a thread with a loop of its own
and speaks HTTP/1.1 by hand, because a BMC's connection may hang, trickle or be reset.
"""

import asyncio
import base64
import json
import socket
import ssl
import struct
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from rackwright.engine.drivers.power.base import Credentials
from tests.conformance.certificates import Identity

FAULTS: Mapping[str, str] = {
    "slow": "every answer takes 0.15 s",
    "busy": "the first two authenticated requests get 503 and Retry-After",
    "busy-action": "the first reset gets 503, and is not applied",
    "sessions-full": "the first two logins get RAC0218",
    "hang-after-apply": "a reset is applied and its answer never comes",
    "cut-after-apply": "a reset is applied and its connection is reset",
    "error-after-apply": "a reset is applied and answered with 500",
    "cut-before-apply": "a reset is not applied and its connection is reset",
    "no-trace": "a restart leaves no trace in the system resource",
    "lag": "the power state shown is 0.6 s old",
    "transition": "a power change shows PoweringOn or PoweringOff for 0.6 s",
    "patch-refused": "PATCH of the system gets 405 and there is no Settings resource",
    "mode-refused": "BootSourceOverrideMode gets 400",
    "mode-needed": "boot settings without BootSourceOverrideMode get 400",
    "boot-ignored": "boot settings are accepted and not applied",
    "mode-ignored": "the mode is accepted and stays Legacy",
    "etag": "PATCH needs the right If-Match: 428 without, 412 with another",
    "etag-weak": "the ETag is shown weak and wanted strong",
    "settings-only": "boot settings live in the Settings resource; PATCH elsewhere gets 405",
    "settings-empty": "as settings-only, and Settings shows no Boot until it was set",
    "boot-slow": "boot settings read back half a second after they were accepted",
    "no-force-restart": "ForceRestart is not among the allowable values",
    "restart-lies": "ForceRestart is listed and gets 400",
    "graceful-only": "ForceOff is not among the allowable values",
    "expiring": "a session dies after four requests",
    "expired-action": "the first reset gets 401, and is not applied",
    "foreign-location": "Location names the session by an address of its own",
    "no-location": "the login's answer has no Location, only an Id",
    "no-sessions": "there is no session service: HTTP Basic alone",
    "login-cut": "the first login opens a session and its connection is reset",
    "logout-busy": "the first logout gets 503",
    "echo": "errors repeat the credentials that were sent",
    "garbage": "errors are not JSON objects",
    "drip": "the reset's answer trickles, a byte a second",
    "blades": "two systems behind one service",
}

_SYSTEMS = "/redfish/v1/Systems"
_SESSIONS = "/redfish/v1/SessionService/Sessions"
_RESTARTS = ("ForceRestart", "PowerCycle", "GracefulRestart")


@dataclass
class Request:
    method: str
    path: str
    headers: Mapping[str, str]
    body: Mapping[str, Any]


@dataclass
class Reply:
    status: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    hang: bool = False
    cut: bool = False
    drip: bool = False


@dataclass
class System:
    power: str = "Off"
    boot: dict[str, Any] = field(
        default_factory=lambda: {
            "BootSourceOverrideEnabled": "Disabled",
            "BootSourceOverrideTarget": "None",
            "BootSourceOverrideMode": "Legacy",
        }
    )
    pending: dict[str, Any] = field(default_factory=dict)
    resets: int = 0
    changed_at: float = -1e9
    before: str = "Off"
    version: int = 1
    boot_before: dict[str, Any] = field(default_factory=dict)
    boot_changed_at: float = -1e9


class HostileRedfish:
    """``with HostileRedfish(identity, {"lag"}) as bmc: ... bmc.address``."""

    def __init__(self, identity: Identity, faults: frozenset[str] = frozenset()) -> None:
        unknown = faults - FAULTS.keys()
        assert not unknown, f"unknown faults: {unknown}"
        self._identity = identity
        self.faults = faults
        self.username, self.password = "admin", "c4n4ry-p@ss"
        self.systems = {"1": System()} | ({"2": System()} if "blades" in faults else {})
        self.sessions: dict[str, str] = {}  # id to token
        self.created: dict[str, str] = {}  # session id to time
        self.actions: list[str] = []  # every reset that arrived, applied or not
        self.logins = 0
        self._uses: dict[str, int] = {}
        self._counts: dict[str, int] = {}
        self.at_once = 0
        self.most_at_once = 0
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._port = 0

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._port}"

    @property
    def credentials(self) -> Credentials:
        return Credentials(
            self.address,
            self.username,
            self.password,
            certificate_pem=self._identity.pem,
        )

    def __enter__(self) -> "HostileRedfish":
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)
        self._loop.close()

    def _run(self) -> None:
        self._loop.run_until_complete(self._serve())

    async def _serve(self) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._identity.certificate, self._identity.key)
        server = await asyncio.start_server(self._connection, "127.0.0.1", 0, ssl=context)
        self._port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()
        current = asyncio.current_task()
        pending = [task for task in asyncio.all_tasks() if task is not current]
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = await _read_request(reader)
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
            try:
                if "slow" in self.faults:
                    await asyncio.sleep(0.15)
                reply = self._answer(request)
            finally:
                self.at_once -= 1
            if reply.hang:
                await reader.read()  # until the client gives up
            elif reply.cut:
                _reset(writer)
            else:
                await _write_reply(writer, reply)
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            pass
        finally:
            writer.close()

    def _answer(self, request: Request) -> Reply:
        path = request.path.rstrip("/")
        if path == "/redfish/v1":
            return Reply(200, self._root())
        if path == _SESSIONS and request.method == "POST":
            return self._login(request)
        if not self._is_known(request):
            return self._error(401, "Base.1.0.NoValidSession", request)
        if path.startswith(_SESSIONS + "/") and request.method == "DELETE":
            return self._logout(path)
        if path.startswith(_SESSIONS):
            return self._session_answer(path, request)
        if "busy" in self.faults and self._first("busy", 2):
            return Reply(503, {}, {"Retry-After": "1"})
        if path == _SYSTEMS:
            members = [{"@odata.id": f"{_SYSTEMS}/{name}"} for name in self.systems]
            return Reply(200, {"Members": members})
        return self._system_answer(path, request)

    def _system_answer(self, path: str, request: Request) -> Reply:
        name, _, rest = path.removeprefix(_SYSTEMS + "/").partition("/")
        system = self.systems.get(name)
        if system is None or not path.startswith(_SYSTEMS):
            return self._error(404, "Base.1.0.ResourceMissingAtURI", request)
        if rest == "Actions/ComputerSystem.Reset" and request.method == "POST":
            return self._reset(system, request)
        if rest == "" and request.method == "GET":
            return Reply(200, self._system(name, system), {"ETag": self._etag(system, shown=True)})
        if rest == "" and request.method == "PATCH":
            return self._patch(system, request, in_settings=False)
        if rest == "Settings" and self._has_settings():
            if request.method == "PATCH":
                return self._patch(system, request, in_settings=True)
            return Reply(200, self._settings(system), {"ETag": self._etag(system, shown=True)})
        return self._error(404, "Base.1.0.ResourceMissingAtURI", request)

    def _root(self) -> Mapping[str, Any]:
        root: dict[str, Any] = {"Id": "RootService", "Systems": {"@odata.id": _SYSTEMS}}
        if "no-sessions" not in self.faults:
            root["Links"] = {"Sessions": {"@odata.id": _SESSIONS}}
        return root

    def _login(self, request: Request) -> Reply:
        self.logins += 1
        if "no-sessions" in self.faults:
            return self._error(404, "Base.1.0.ResourceMissingAtURI", request)
        if "sessions-full" in self.faults and self._first("sessions-full", 2):
            return self._error(503, "IDRAC.2.8.RAC0218", request)
        wanted = {"UserName": self.username, "Password": self.password}
        if dict(request.body) != wanted:
            return self._error(401, "Base.1.0.InvalidLogin", request)
        name = str(self.logins)
        self.created[name] = datetime.now(UTC).isoformat(timespec="seconds")
        self.sessions[name] = f"token-{name}-c4n4ry"
        if "login-cut" in self.faults and self._first("login-cut", 1):
            return Reply(201, cut=True)
        headers = {"X-Auth-Token": self.sessions[name], "Location": f"{_SESSIONS}/{name}"}
        if "foreign-location" in self.faults:
            headers["Location"] = f"https://192.168.255.254{_SESSIONS}/{name}"
        if "no-location" in self.faults:
            del headers["Location"]
        return Reply(201, {"Id": name, **self._session_facts(name)}, headers)

    def _session_facts(self, name: str) -> Mapping[str, Any]:
        return {
            "UserName": self.username,
            "ClientOriginIPAddress": "127.0.0.1",
            "CreatedTime": self.created[name],
        }

    def _session_answer(self, path: str, request: Request) -> Reply:
        if path == _SESSIONS:
            return Reply(
                200, {"Members": [{"@odata.id": f"{_SESSIONS}/{name}"} for name in self.sessions]}
            )
        name = path.rsplit("/", 1)[-1]
        if name not in self.sessions:
            return self._error(404, "Base.1.0.ResourceMissingAtURI", request)
        return Reply(200, {"Id": name, **self._session_facts(name)})

    def _logout(self, path: str) -> Reply:
        if "logout-busy" in self.faults and self._first("logout-busy", 1):
            return Reply(503, {}, {"Retry-After": "0"})
        gone = self.sessions.pop(path.rsplit("/", 1)[-1], None)
        return Reply(204 if gone else 404)

    def _is_known(self, request: Request) -> bool:
        basic = request.headers.get("authorization", "")
        expected = base64.b64encode(f"{self.username}:{self.password}".encode()).decode()
        if "no-sessions" in self.faults:
            return basic == f"Basic {expected}"
        token = request.headers.get("x-auth-token", "")
        if token not in self.sessions.values():
            return False
        self._uses[token] = self._uses.get(token, 0) + 1
        if "expiring" in self.faults and self._uses[token] > 4:
            self.sessions = {key: held for key, held in self.sessions.items() if held != token}
            return False
        return True

    def _reset(self, system: System, request: Request) -> Reply:
        kind = str(request.body.get("ResetType"))
        self.actions.append(kind)
        if "busy-action" in self.faults and self._first("busy-action", 1):
            return Reply(503, {}, {"Retry-After": "1"})
        if "expired-action" in self.faults and self._first("expired-action", 1):
            self.sessions.clear()
            return self._error(401, "Base.1.0.NoValidSession", request)
        if "cut-before-apply" in self.faults:
            return Reply(200, cut=True)
        listed = self._reset_types()
        if kind not in listed or ("restart-lies" in self.faults and kind == "ForceRestart"):
            return self._error(400, "Base.1.0.ActionParameterNotSupported", request)
        self._apply(system, kind)
        if "error-after-apply" in self.faults:
            return self._error(500, "Base.1.0.InternalError", request)
        return Reply(
            204,
            hang="hang-after-apply" in self.faults,
            cut="cut-after-apply" in self.faults,
            drip="drip" in self.faults,
        )

    def _apply(self, system: System, kind: str) -> None:
        system.before = self._shown(system)
        system.changed_at = time.monotonic()
        if kind in _RESTARTS:
            system.power = "On"
        else:
            system.power = "On" if kind in ("On", "ForceOn") else "Off"
        if system.power == "On":
            system.resets += 1
            if system.pending:
                system.boot |= system.pending
                system.pending = {}
            if system.boot["BootSourceOverrideEnabled"] == "Once":
                system.boot["BootSourceOverrideEnabled"] = "Disabled"

    def _shown(self, system: System) -> str:
        age_s = time.monotonic() - system.changed_at
        if "lag" in self.faults and age_s < 0.6:
            return system.before
        if "transition" in self.faults and age_s < 0.6:
            return f"Powering{system.power}"
        return system.power

    def _reset_types(self) -> list[str]:
        listed = ["On", "ForceOff", "ForceRestart", "GracefulShutdown", "Nmi"]
        if "no-force-restart" in self.faults:
            listed.remove("ForceRestart")
        if "graceful-only" in self.faults:
            listed.remove("ForceOff")
        return listed

    def _system(self, name: str, system: System) -> Mapping[str, Any]:
        path = f"{_SYSTEMS}/{name}"
        boot = system.boot
        if "boot-slow" in self.faults and time.monotonic() - system.boot_changed_at < 0.5:
            boot = system.boot_before
        shown: dict[str, Any] = {
            "Id": name,
            "Name": f"Blade {name}",
            "UUID": f"00000000-0000-0000-0000-00000000000{name}",
            "Manufacturer": "Hostile",
            "Model": "H1",
            "PowerState": self._shown(system),
            "Boot": dict(boot),
            "Actions": {
                "#ComputerSystem.Reset": {
                    "target": f"{path}/Actions/ComputerSystem.Reset",
                    "ResetType@Redfish.AllowableValues": self._reset_types(),
                }
            },
        }
        if "no-trace" not in self.faults:
            shown["LastResetTime"] = f"2026-01-01T00:00:{system.resets:02d}Z"
        if self._has_settings():
            shown["@Redfish.Settings"] = {"SettingsObject": {"@odata.id": f"{path}/Settings"}}
        return shown

    def _has_settings(self) -> bool:
        return bool(self.faults & {"settings-only", "settings-empty"})

    def _settings(self, system: System) -> Mapping[str, Any]:
        if "settings-empty" in self.faults and not system.pending:
            return {"Id": "Settings"}
        return {"Id": "Settings", "Boot": {**system.boot, **system.pending}}

    def _etag(self, system: System, *, shown: bool) -> str:
        weak = "W/" if shown and "etag-weak" in self.faults else ""
        return f'{weak}"{system.version}"'

    def _patch(self, system: System, request: Request, *, in_settings: bool) -> Reply:
        if "patch-refused" in self.faults or (self._has_settings() and not in_settings):
            return self._error(405, "Base.1.0.OperationNotAllowed", request)
        boot = dict(request.body.get("Boot", {}))
        has_mode = "BootSourceOverrideMode" in boot
        if self.faults & {"etag", "etag-weak"}:
            match = request.headers.get("if-match")
            if match != self._etag(system, shown=False):
                return self._error(428 if match is None else 412, "Base.1.0.Precondition", request)
        if ("mode-refused" in self.faults and has_mode) or (
            "mode-needed" in self.faults and not has_mode
        ):
            return self._error(400, "Base.1.0.PropertyNotWritable", request)
        if "boot-ignored" in self.faults:
            return Reply(200, {})
        if "mode-ignored" in self.faults:
            boot.pop("BootSourceOverrideMode", None)
        if "mode-refused" in self.faults:
            system.boot.pop("BootSourceOverrideMode", None)
        system.version += 1
        system.boot_before, system.boot_changed_at = dict(system.boot), time.monotonic()
        target = system.pending if in_settings else system.boot
        target |= boot
        return Reply(204)

    def _error(self, status: int, code: str, request: Request) -> Reply:
        if "garbage" in self.faults:
            return Reply(status, ["<html>error</html>"])
        message = f"error {code}"
        if "echo" in self.faults:
            sent = dict(request.body), dict(request.headers)
            message += f" for {sent} with {self.password}"
        info = [{"MessageId": code, "Message": message, "Severity": "Critical"}]
        return Reply(
            status, {"error": {"code": code, "message": message, "@Message.ExtendedInfo": info}}
        )

    def _first(self, what: str, times: int) -> bool:
        self._counts[what] = self._counts.get(what, 0) + 1
        return self._counts[what] <= times


async def _read_request(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, path, _ = head[0].split(" ")
    headers = {
        key.strip().lower(): value.strip()
        for key, _, value in (line.partition(":") for line in head[1:] if line)
    }
    raw = await reader.readexactly(int(headers.get("content-length", "0")))
    body = json.loads(raw) if raw else {}
    return Request(method, path, headers, body)


async def _write_reply(writer: asyncio.StreamWriter, reply: Reply) -> None:
    body = b"" if reply.body is None else json.dumps(reply.body).encode()
    if reply.drip:
        body = b"{}" + b" " * 60
        reply.status = 200
    headers = {"Content-Length": str(len(body)), "Connection": "close", **reply.headers}
    if reply.status == 204:
        del headers["Content-Length"]
    head = f"HTTP/1.1 {reply.status} X\r\n"
    head += "".join(f"{key}: {value}\r\n" for key, value in headers.items())
    writer.write(head.encode() + b"\r\n")
    if reply.drip:
        for byte in body:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(1.0)
        return
    writer.write(body)
    await writer.drain()


def _reset(writer: asyncio.StreamWriter) -> None:
    """End the connection by a TCP reset (linger 0), without a TLS goodbye."""
    sock: socket.socket = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
