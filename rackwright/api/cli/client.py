"""The CLI's side of the API: a live owner's socket, or an owner that lives as long as the call."""

import contextlib
import json
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from typing import Any

import httpx2

from rackwright.api.settings import Settings
from rackwright.inventory.errors import OwnedElsewhereError

# Compiling a plan for thousands of machines, or a BMC that answers after a minute.
REQUEST_TIMEOUT_S = 300.0


class ApiError(Exception):
    """The owner refused. ``detail`` is the problem document it sent."""

    def __init__(self, status: int, detail: Mapping[str, Any]) -> None:
        self.status = status
        self.detail = detail
        super().__init__(str(detail.get("message") or detail))

    @property
    def hint(self) -> str:
        return str(self.detail.get("hint") or "")


class Client:
    """Typed enough for the CLI: JSON in, JSON out, errors raised."""

    def __init__(self, http: httpx2.Client, *, is_owner_ours: bool = False) -> None:
        self._http = http
        self.is_owner_ours = is_owner_ours
        """Whether the owner ends with this call."""

    def get(self, path: str, **params: Any) -> Any:
        wanted = {k: v for k, v in params.items() if v is not None}
        return _answer(self._http.get(path, params=wanted))

    def post(self, path: str, body: object = None, **params: Any) -> Any:
        return _answer(self._http.post(path, json=body, params=params))

    def delete(self, path: str) -> Any:
        return _answer(self._http.delete(path))

    def events(self, path: str, last_event_id: int = 0) -> Iterator[dict[str, Any]]:
        """Server-sent events as dicts, until the server ends the stream."""
        headers = {"Accept": "text/event-stream", "Last-Event-ID": str(last_event_id)}
        timeout = httpx2.Timeout(REQUEST_TIMEOUT_S, read=None)
        with self._http.stream("GET", path, headers=headers, timeout=timeout) as response:
            if response.status_code >= httpx2.codes.BAD_REQUEST:
                response.read()
                _answer(response)
            for line in response.iter_lines():
                if line.startswith("data:"):
                    yield json.loads(line[5:])


@contextlib.contextmanager
def connect(settings: Settings) -> Iterator[Client]:
    """A client of the data directory's owner. With no live owner, this call becomes it."""
    with contextlib.ExitStack() as stack:
        is_ours = not is_live(settings) and _own(stack, settings)
        http = stack.enter_context(_http(settings))
        yield Client(http, is_owner_ours=is_ours)


def is_live(settings: Settings) -> bool:
    """Whether an owner answers on the data directory's socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(settings.socket_path))
        except OSError:
            return False
    return True


def _own(stack: contextlib.ExitStack, settings: Settings) -> bool:
    """Become the owner until ``stack`` unwinds; False if another did so in the meantime.

    Raises OwnedElsewhereError if a process holds the directory and does not answer.
    """
    # Here, since the owner brings the engine and the database: seconds, where a live owner makes
    # this a call of milliseconds.
    from rackwright.api.owner.thread import OwnerThread

    try:
        stack.enter_context(OwnerThread(settings))
    except OwnedElsewhereError:
        # It may be starting: the lock comes first, the socket last.
        deadline = time.monotonic() + settings.owner_wait_s
        while not is_live(settings):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        return False
    return True


def _http(settings: Settings) -> httpx2.Client:
    # A context without certificates: nothing is encrypted here, and loading them takes time.
    transport = httpx2.HTTPTransport(
        uds=str(settings.socket_path), verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    )
    return httpx2.Client(
        transport=transport,
        base_url="http://rackwright",
        timeout=REQUEST_TIMEOUT_S,
        trust_env=False,
    )


def _answer(response: httpx2.Response) -> Any:
    if response.status_code == httpx2.codes.NO_CONTENT:
        return None
    try:
        body = response.json()
    except ValueError:
        body = {"message": response.text[:500]}
    if response.status_code >= httpx2.codes.BAD_REQUEST:
        detail = body.get("detail", body) if isinstance(body, dict) else {"message": str(body)}
        if not isinstance(detail, dict):
            detail = {"message": json.dumps(detail)}
        raise ApiError(response.status_code, detail)
    return body
