"""A second Redfish service, of another vendor's manners, written from DSP0266 and DSP2046 alone.

It differs from the first in what it is, not only in how it fails: absolute URIs with slashes at
their ends, a system whose id is a serial number, reset types in an ActionInfo resource, changes
carried out as tasks (202 with a monitor), gzip asked for or not, and few sessions. ``Manners`` says
the rest. It runs in threads, one to a connection, so that a slow answer blocks nobody.
"""

import base64
import gzip
import json
import ssl
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from rackwright.engine.drivers.power.base import Credentials
from tests.conformance.certificates import Identity

_ROOT = "/redfish/v1/"
_SERVICE = "/redfish/v1/SessionService/"
_SESSIONS = "/redfish/v1/SessionService/Sessions/"
_SYSTEM = "/redfish/v1/Systems/437XR1138R2/"
_RESET = "/redfish/v1/Systems/437XR1138R2/Actions/ComputerSystem.Reset/"
_INFO = "/redfish/v1/Systems/437XR1138R2/ResetActionInfo/"
_MONITOR = "/redfish/v1/TaskService/TaskMonitors/"
_USER, _PASSWORD = "operator", "c4n4ry-s3cret"


@dataclass(frozen=True, slots=True)
class Manners:
    delay_s: float = 0.0  # before every answer
    task_s: float = 0.0  # a reset or PATCH is a task, done after this; 0: it is done at once
    monitor_status: int = 0  # what the task's monitor answers instead
    task_fails: bool = False  # the task ends in Exception and nothing was changed
    lag_s: float = 0.0  # the power state shown is as old as this
    session_limit: int = 4
    resets: tuple[str, ...] = ("On", "ForceOff", "ForceRestart")
    lists_resets: bool = True  # in ActionInfo; else nowhere
    targets: tuple[str, ...] = ("None", "Pxe", "Hdd")
    enabled: tuple[str, ...] = ("Disabled", "Once", "Continuous")
    busy_status: int = 0  # the first reset and the first PATCH are answered so, and not done
    busy_message: str = "Base.1.13.ResourceInUse"
    patch_answer: str = "200"  # 204, 500, 500-with-mode or lost: done and the connection dropped
    page: str = ""  # what the first two reads of the system get instead: html, cut, deep or endless
    login_page: str = ""  # as ``page``, for the first login; nothing is opened
    refused_reset_page: bool = False  # the first reset is refused with a page and 400
    refusal: str = "html"  # that page
    strict_slash: bool = False  # another spelling of a path is redirected with 308
    has_login: bool = True
    is_gzip: bool = False


@dataclass
class State:
    power: str = "Off"
    changes: list[tuple[float, str]] = field(default_factory=list)
    boot: dict[str, Any] = field(
        default_factory=lambda: {
            "BootSourceOverrideEnabled": "Disabled",
            "BootSourceOverrideTarget": "None",
            "BootSourceOverrideMode": "UEFI",
        }
    )
    tasks: list[tuple[float, Any]] = field(default_factory=list)  # due, what is done then


class VendorRedfish:
    """``with VendorRedfish(identity, Manners(lag_s=1)) as bmc: ... bmc.credentials``."""

    def __init__(self, identity: Identity, manners: Manners | None = None) -> None:
        self.manners = manners or Manners()
        self.state = State()
        self.sessions: dict[str, str] = {}
        self.logins = 0
        self.resets: list[str] = []  # every reset that arrived, done or not
        self.patches: list[Any] = []
        self.requests: list[str] = []
        self.lock = threading.RLock()
        self._counts: dict[str, int] = {}
        self._server = ThreadingHTTPServer(
            ("127.0.0.1", 0), type("Bound", (Handler,), {"bmc": self})
        )
        self._server.daemon_threads = True
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(identity.certificate, identity.key)
        self._server.socket = context.wrap_socket(
            self._server.socket, server_side=True, do_handshake_on_connect=False
        )
        self.address = f"127.0.0.1:{self._server.server_address[1]}"
        self.credentials = Credentials(self.address, _USER, _PASSWORD, certificate_pem=identity.pem)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), daemon=True
        )

    def __enter__(self) -> "VendorRedfish":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

    def url(self, path: str) -> str:
        return f"https://{self.address}{path}"

    def first(self, what: str, times: int = 1) -> bool:
        with self.lock:
            self._counts[what] = self._counts.get(what, 0) + 1
            return self._counts[what] <= times

    def settle(self) -> None:
        """Do what tasks are due."""
        with self.lock:
            now = time.monotonic()
            due = [work for at, work in self.state.tasks if at <= now]
            self.state.tasks = [task for task in self.state.tasks if task[0] > now]
            for work in due:
                work()

    def shown_power(self) -> str:
        until = time.monotonic() - self.manners.lag_s
        shown = [power for at, power in self.state.changes if at <= until]
        if shown or not self.state.changes:
            return shown[-1] if shown else self.state.power
        return "Off" if self.state.changes[0][1] == "On" else "On"

    def set_power(self, power: str) -> None:
        self.state.power = power
        self.state.changes.append((time.monotonic(), power))


class Handler(BaseHTTPRequestHandler):
    """One connection. ``bmc`` is set by a subclass of each service's own."""

    bmc: VendorRedfish
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""

    def handle(self) -> None:
        with suppress(ConnectionError, ssl.SSLError, TimeoutError):
            super().handle()

    def do_GET(self) -> None:
        self._take({})

    do_DELETE = do_GET  # noqa: N815 - the name that http.server looks for

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        self._take(json.loads(raw) if raw else {})

    do_PATCH = do_POST  # noqa: N815

    def _take(self, body: Any) -> None:
        self.bmc.requests.append(f"{self.command} {self.path}")
        time.sleep(self.bmc.manners.delay_s)
        self.bmc.settle()
        path = self.path if self.path.endswith("/") else f"{self.path}/"
        if self.bmc.manners.strict_slash and path != self.path:
            self._give(308, {}, {"Location": self.bmc.url(path)})
            return
        with self.bmc.lock:
            self._route(path, body)

    def _route(self, path: str, body: Any) -> None:
        if path == _ROOT:
            self._give(200, self._root())
        elif path == _SESSIONS and self.command == "POST":
            self._login(body)
        elif not self._is_known():
            self._refuse(401, "Base.1.13.NoValidSession")
        elif path.startswith(_SESSIONS) and self.command == "DELETE":
            self.bmc.sessions.pop(path, None)
            self._give(204, None)
        elif path == "/redfish/v1/Systems/":
            self._give(200, {"Members": [{"@odata.id": self.bmc.url(_SYSTEM)}]})
        elif path == _INFO:
            self._give(200, self._info())
        elif path == _RESET and self.command == "POST":
            self._reset(body)
        elif path == _SYSTEM and self.command == "PATCH":
            self._patch(body)
        elif path == _SYSTEM:
            self._give_system()
        elif path.startswith(_MONITOR):
            self._give_monitor()
        else:
            self._refuse(404, "Base.1.13.ResourceMissingAtURI")

    def _is_known(self) -> bool:
        if self.bmc.manners.has_login:
            return self.headers.get("X-Auth-Token") in self.bmc.sessions.values()
        word = base64.b64encode(f"{_USER}:{_PASSWORD}".encode()).decode()
        return self.headers.get("Authorization") == f"Basic {word}"

    def _root(self) -> Any:
        root: dict[str, Any] = {"Systems": {"@odata.id": self.bmc.url("/redfish/v1/Systems/")}}
        if self.bmc.manners.has_login:
            root["SessionService"] = {"@odata.id": self.bmc.url(_SERVICE)}
            root["Links"] = {"Sessions": {"@odata.id": self.bmc.url(_SESSIONS)}}
        return root

    def _login(self, body: Any) -> None:
        self.bmc.logins += 1
        if self.bmc.manners.login_page and self.bmc.first("login"):
            self._give_page(self.bmc.manners.login_page, 200)
        elif body != {"UserName": _USER, "Password": _PASSWORD}:
            self._refuse(401, "Base.1.13.InvalidLogin")
        elif len(self.bmc.sessions) >= self.bmc.manners.session_limit:
            self._refuse(503, "Base.1.13.SessionLimitExceeded")
        else:
            path = f"{_SESSIONS}{self.bmc.logins}/"
            token = f"c4n4ry-token-{self.bmc.logins}"
            self.bmc.sessions[path] = token
            headers = {"X-Auth-Token": token, "Location": self.bmc.url(path)}
            self._give(201, {"@odata.id": self.bmc.url(path), "Id": str(self.bmc.logins)}, headers)

    def _info(self) -> Any:
        values = list(self.bmc.manners.resets)
        return {"Parameters": [{"Name": "ResetType", "AllowableValues": values}]}

    def _give_system(self) -> None:
        if self.bmc.manners.page and self.bmc.first("page", 2):
            self._give_page(self.bmc.manners.page, 200)
            return
        reset: dict[str, Any] = {"target": self.bmc.url(_RESET)}
        if self.bmc.manners.lists_resets:
            reset["@Redfish.ActionInfo"] = self.bmc.url(_INFO)
        boot = {
            **self.bmc.state.boot,
            "BootSourceOverrideTarget@Redfish.AllowableValues": list(self.bmc.manners.targets),
            "BootSourceOverrideEnabled@Redfish.AllowableValues": list(self.bmc.manners.enabled),
        }
        shown = {"PowerState": self.bmc.shown_power(), "Boot": boot}
        self._give(200, {**shown, "Actions": {"#ComputerSystem.Reset": reset}})

    def _is_busy(self, what: str) -> bool:
        if not self.bmc.manners.busy_status or not self.bmc.first(f"busy {what}"):
            return False
        self._refuse(self.bmc.manners.busy_status, self.bmc.manners.busy_message)
        return True

    def _reset(self, body: Any) -> None:
        kind = body.get("ResetType")
        self.bmc.resets.append(kind)
        if self.bmc.manners.refused_reset_page and self.bmc.first("refused reset"):
            self._give_page(self.bmc.manners.refusal, 400)
        elif self._is_busy("reset"):
            return
        elif kind not in self.bmc.manners.resets:
            self._refuse(400, "Base.1.13.ActionParameterValueNotInList")
        else:
            self._carry_out(lambda: self.bmc.set_power("Off" if "Off" in kind else "On"))

    def _patch(self, body: Any) -> None:
        boot = body.get("Boot", {})
        self.bmc.patches.append(boot)
        if self._is_busy("patch"):
            return
        answer = self.bmc.manners.patch_answer
        if answer == "500" or (answer == "500-with-mode" and "BootSourceOverrideMode" in boot):
            self._refuse(500, "Base.1.13.InternalError")
        elif not self._is_offered(boot):
            self._refuse(400, "Base.1.13.PropertyValueNotInList")
        elif answer == "lost":
            self.bmc.state.boot |= boot
            self._drop()
        else:
            self._carry_out(lambda: self.bmc.state.boot.update(boot))

    def _is_offered(self, boot: Any) -> bool:
        return (
            boot.get("BootSourceOverrideTarget") in self.bmc.manners.targets
            and boot.get("BootSourceOverrideEnabled") in self.bmc.manners.enabled
        )

    def _carry_out(self, work: Any) -> None:
        if not self.bmc.manners.task_s:
            work()
            self._give(204, None)
            return
        if self.bmc.manners.task_fails:
            work = list
        self.bmc.state.tasks.append((time.monotonic() + self.bmc.manners.task_s, work))
        self._give(202, {"TaskState": "Running"}, {"Location": self.bmc.url(f"{_MONITOR}1/")})

    def _give_monitor(self) -> None:
        if self.bmc.manners.monitor_status:
            self._refuse(self.bmc.manners.monitor_status, "Base.1.13.GeneralError")
        elif self.bmc.state.tasks:
            self._give(202, {"TaskState": "Running"})
        elif self.bmc.manners.task_fails:
            self._refuse(400, "Base.1.13.GeneralError")
        else:
            self._give(204, None)

    def _give_page(self, page: str, status: int) -> None:
        self.close_connection = True
        if page == "endless":
            self._give_endless()
            return
        text = {
            "html": "<html><body>c4n4ry Bad Gateway</body></html>",
            "cut": '{"PowerState": "On", "Boot": {"Boot',
            "deep": "[" * 100_000 + "]" * 100_000,
        }[page]
        self._write(status, text.encode(), {"Content-Type": "text/html"})

    def _give_endless(self) -> None:
        self.send_response(200)
        self.end_headers()
        until = time.monotonic() + 20
        while time.monotonic() < until:
            self.wfile.write(b'{"a": "' + b"x" * (1 << 20))

    def _drop(self) -> None:
        self.close_connection = True

    def _refuse(self, status: int, code: str) -> None:
        info = [{"MessageId": code, "Message": f"{code}: no", "Severity": "Critical"}]
        error = {"code": code, "message": "no", "@Message.ExtendedInfo": info}
        self._give(status, {"error": error})

    def _give(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        raw = b"" if body is None else json.dumps(body).encode()
        extra = dict(headers or {})
        if self.bmc.manners.is_gzip and raw:
            raw = gzip.compress(raw)
            extra["Content-Encoding"] = "gzip"
        self._write(status, raw, extra)

    def _write(self, status: int, raw: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)
