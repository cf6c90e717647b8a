"""The machine's BMC as a Redfish service: one ASGI application, no I/O but the machine's.

Source: DMTF DSP0266 1.20: section 6 (protocol), 13 (security: sessions and Basic).
"""

import base64
import binascii
import hmac
import json
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from rackwright.lab.bmc import redfish_resources as resources
from rackwright.lab.chassis.boot import Device, Override
from rackwright.lab.errors import LabError
from rackwright.lab.spec import MachineSpec

_MAX_SESSIONS = 16
_MAX_BODY_BYTES = 64 << 10
_IPMI_PORT = 623


class Power(Protocol):
    """What the service needs of its machine; see ``chassis.machine.Machine``."""

    spec: MachineSpec

    @property
    def is_on(self) -> bool: ...
    @property
    def override(self) -> Override: ...
    def set_override(self, override: Override) -> None: ...
    async def power_on(self) -> None: ...
    async def power_off(self) -> None: ...
    async def power_cycle(self) -> None: ...
    def press_power_button(self) -> None: ...
    def interrupt(self) -> None: ...


@dataclass(slots=True)
class _Session:
    token: str
    last_seen_s: float


class _RefusedError(Exception):
    """A request that gets an error body."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class Service:
    """The service's state: its sessions, and the machine behind it."""

    def __init__(
        self,
        machine: Power,
        username: str,
        password: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._machine = machine
        self._username = username
        self._password = password
        self._clock = clock
        self._sessions: dict[str, _Session] = {}

    def app(self) -> Starlette:
        root = resources.ROOT
        routes = [
            Route("/redfish", self._answering(self._versions), methods=["GET"]),
            Route("/redfish/", self._answering(self._versions), methods=["GET"]),
            Route(root, self._answering(self._service_root), methods=["GET"]),
            Route(f"{root}/", self._answering(self._service_root), methods=["GET"]),
            Route(resources.SESSIONS, self._answering(self._log_in), methods=["POST"]),
            Route(f"{root}/SessionService", self._guarded(self._session_service), methods=["GET"]),
            Route(resources.SESSIONS, self._guarded(self._list_sessions), methods=["GET"]),
            Route(
                resources.SESSIONS + "/{id}",
                self._guarded(self._one_session),
                methods=["GET", "DELETE"],
            ),
            Route(resources.SYSTEM, self._guarded(self._get_system), methods=["GET"]),
            Route(resources.SYSTEM, self._guarded(self._patch_system), methods=["PATCH"]),
            Route(resources.RESET, self._guarded(self._reset), methods=["POST"]),
            Route("/{path:path}", self._guarded(self._read), methods=["GET"]),
        ]
        return Starlette(routes=routes)

    # -- who may

    def _answering(
        self, handler: Callable[[Request], Awaitable[Response]]
    ) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            try:
                response = await handler(request)
            except _RefusedError as refused:
                body = resources.error(refused.code, str(refused))
                response = JSONResponse(body, refused.status)
            except LabError as error:
                response = JSONResponse(resources.error("InternalError", error.message), 500)
            response.headers["OData-Version"] = "4.0"
            response.headers["Cache-Control"] = "no-cache"
            return response

        return answer

    def _guarded(
        self, handler: Callable[[Request], Awaitable[Response]]
    ) -> Callable[[Request], Awaitable[Response]]:
        async def checked(request: Request) -> Response:
            if not self._is_authorised(request):
                raise _RefusedError(401, "NoValidSession", "There is no valid session")
            return await handler(request)

        return self._answering(checked)

    def _is_authorised(self, request: Request) -> bool:
        self._forget_idle()
        token = request.headers.get("x-auth-token")
        if token is not None:
            for session in self._sessions.values():
                if hmac.compare_digest(session.token.encode(), token.encode()):
                    session.last_seen_s = self._clock()
                    return True
            return False
        scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "basic":
            return False
        try:
            username, _, password = base64.b64decode(encoded).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return False
        return self._is_known(username, password)

    def _is_known(self, username: str, password: str) -> bool:
        right_name = hmac.compare_digest(username.encode(), self._username.encode())
        return hmac.compare_digest(password.encode(), self._password.encode()) and right_name

    def _forget_idle(self) -> None:
        limit = self._clock() - resources.SESSION_TIMEOUT_S
        for key in [key for key, item in self._sessions.items() if item.last_seen_s < limit]:
            del self._sessions[key]

    # -- resources

    async def _versions(self, _request: Request) -> Response:
        return JSONResponse(resources.versions())

    async def _service_root(self, _request: Request) -> Response:
        return JSONResponse(resources.service_root(self._machine.spec))

    async def _session_service(self, _request: Request) -> Response:
        return JSONResponse(resources.session_service())

    async def _list_sessions(self, _request: Request) -> Response:
        return JSONResponse(resources.sessions(list(self._sessions)))

    async def _log_in(self, request: Request) -> Response:
        body = await _body(request)
        username, password = body.get("UserName"), body.get("Password")
        if not isinstance(username, str) or not isinstance(password, str):
            raise _RefusedError(400, "PropertyMissing", "UserName and Password are required")
        if not self._is_known(username, password):
            raise _RefusedError(401, "ResourceAtUriUnauthorized", "Wrong user name or password")
        self._forget_idle()
        if len(self._sessions) >= _MAX_SESSIONS:
            raise _RefusedError(503, "SessionLimitExceeded", "Too many sessions are open")
        identifier, token = secrets.token_hex(8), secrets.token_urlsafe(32)
        self._sessions[identifier] = _Session(token, self._clock())
        session = resources.session(identifier, username)
        headers = {"X-Auth-Token": token, "Location": session["@odata.id"]}
        return JSONResponse(session, 201, headers=headers)

    async def _one_session(self, request: Request) -> Response:
        identifier = request.path_params["id"]
        if identifier not in self._sessions:
            raise _RefusedError(404, "ResourceMissingAtURI", "There is no such session")
        if request.method == "DELETE":
            del self._sessions[identifier]
            return Response(status_code=204)
        return JSONResponse(resources.session(identifier, self._username))

    def _system(self) -> resources.Resource:
        machine = self._machine
        return resources.system(
            machine.spec, is_on=machine.is_on, override=machine.override, ipmi_port=_IPMI_PORT
        )

    async def _get_system(self, _request: Request) -> Response:
        system = self._system()
        tag = resources.etag(system)
        return JSONResponse({**system, "@odata.etag": tag}, headers={"ETag": tag})

    async def _patch_system(self, request: Request) -> Response:
        expected = request.headers.get("if-match", "*")
        # a weak tag of the same content is accepted, as clients strip or add W/
        if expected != "*" and expected.removeprefix("W/") != resources.etag(self._system()):
            raise _RefusedError(412, "PreconditionFailed", "The resource has changed since")
        body = await _body(request)
        if set(body) != {"Boot"} or not isinstance(body["Boot"], dict):
            raise _RefusedError(400, "PropertyNotWritable", "Only Boot can be set")
        self._machine.set_override(_override(self._machine.override, body["Boot"]))
        return await self._get_system(request)

    async def _reset(self, request: Request) -> Response:
        kind = (await _body(request)).get("ResetType")
        if kind not in resources.RESET_TYPES:
            raise _RefusedError(400, "ActionParameterNotSupported", "No such ResetType")
        machine = self._machine
        if not machine.is_on and kind not in ("On", "ForceOn", "ForceOff", "PushPowerButton"):
            raise _RefusedError(409, "ResourceInStandby", f"{kind} needs the system to be on")
        match kind:
            case "On" | "ForceOn":
                await machine.power_on()
            case "ForceOff":
                await machine.power_off()
            case "ForceRestart" | "PowerCycle":
                await machine.power_cycle()
            case "PushPowerButton" if not machine.is_on:
                await machine.power_on()
            case "Nmi":
                machine.interrupt()
            case _:
                machine.press_power_button()
        return Response(status_code=204)

    async def _read(self, request: Request) -> Response:
        path = request.url.path.rstrip("/")
        found = resources.tree(self._machine.spec, is_on=self._machine.is_on).get(path)
        if found is None:
            raise _RefusedError(404, "ResourceMissingAtURI", f"There is no {path}")
        return JSONResponse(found)


async def _body(request: Request) -> dict[str, Any]:
    data = await request.body()
    try:
        body = json.loads(data) if len(data) <= _MAX_BODY_BYTES else None
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise _RefusedError(400, "MalformedJSON", "The body is not a JSON object")
    return body


def _override(now: Override, boot: dict[str, Any]) -> Override:
    """The override after a PATCH of Boot; properties not given stay as they are."""
    current = resources.ENABLED[1 + now.is_persistent]
    if now.device is Device.NONE:
        current = "Disabled"
    enabled = boot.pop("BootSourceOverrideEnabled", None)
    target = boot.pop("BootSourceOverrideTarget", None)
    mode = boot.pop("BootSourceOverrideMode", None)
    if boot:
        raise _RefusedError(400, "PropertyUnknown", f"Unknown properties: {sorted(boot)}")
    for value, allowed in (
        (enabled, resources.ENABLED),
        (target, resources.TARGETS),
        (mode, resources.MODES),
    ):
        if value is not None and value not in allowed:
            raise _RefusedError(400, "PropertyValueNotInList", f"{value!r} is not allowed")
    device = now.device if target is None else resources.TARGETS[target]
    # a target alone means one boot, as many services take it
    chosen = enabled or ("Once" if target and current == "Disabled" else current)
    if chosen == "Disabled":
        device = Device.NONE
    firmware = now.mode if mode is None else resources.MODES[mode]
    return Override(device, is_persistent=chosen == "Continuous", mode=firmware)
