"""One conversation with a Redfish service: HTTPS to a pinned certificate, one session, no resends.

Theory of operation. sushy's Connector does the HTTP (identity encoding, OData headers, its retry
without identity encoding for HPE), with its own resending switched off: it would repeat a POST
after a timeout. Every URL that the service names is taken as a path on the address that we were
given, so that a token goes nowhere else: a redirect is followed there too, and only where it says
that nothing was done (RFC 9110 sections 15.4.8 and 15.4.9). All methods of ``Conversation`` block
and run in a pool thread; only ``cut`` is called from outside, and ends a request that is waiting,
but never a login: a login's answer is waited for, because only it names the session that must be
closed.
"""

import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import requests
import sushy.connector
import sushy.exceptions
import urllib3.exceptions

from rackwright.engine.drivers.endpoint import parse_address
from rackwright.engine.drivers.faults import (
    BusyError,
    NotSentError,
    RefusedError,
    UnansweredError,
)
from rackwright.engine.drivers.power.base import Credentials
from rackwright.engine.drivers.quirks import Quirks
from rackwright.engine.drivers.redfish_faults import fault_of, retry_after_s
from rackwright.engine.drivers.redfish_orphans import SessionFacts, session_facts
from rackwright.engine.drivers.redfish_tls import PinnedAdapter, tls_context
from rackwright.engine.drivers.redfish_transport_faults import transport_fault
from rackwright.engine.drivers.timing import Timing
from rackwright.engine.errors import EngineError, MachineError, OperatorError, UnreachableError

# sushy logs error bodies as they come, at ERROR; a BMC may echo credentials in them.
logging.getLogger("sushy").setLevel(logging.CRITICAL + 1)

ROOT = "/redfish/v1/"
_SESSIONS = "/redfish/v1/SessionService/Sessions"
_LOGOUT_TRIES = 3
_REDIRECTS = 3
_FOLLOWED = {False: (307, 308), True: (301, 302, 303, 307, 308)}  # by whether it is a GET


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]  # keys in lower case
    body: Mapping[str, Any] = field(default_factory=dict)
    is_object: bool = True  # False: the body was no JSON object (an error page, half an answer)


class _Connector(sushy.connector.Connector):  # type: ignore[misc]
    """sushy's connector, sending each request once."""

    def _op(self, method: str, path: str = "", *args: Any, **kwargs: Any) -> Any:
        # sushy 5.14: server_side_retries=0 would mean three tries, 1 means one; the other
        # counter is for its own resending after a 5xx or a "not ready".
        kwargs |= {"server_side_retries_left": 0, "allow_reauth": False}
        return super()._op(method, path, *args, **kwargs)


class Conversation:
    """Blocking. Logs in at the first request that needs it; ``logout`` ends every session."""

    def __init__(self, credentials: Credentials, quirks: Quirks, timing: Timing) -> None:
        address = parse_address(credentials.address)
        context, fingerprint = tls_context(credentials.certificate_pem, quirks)
        self._credentials = credentials
        self._timing = timing
        self._name = str(address)
        self._adapter = PinnedAdapter(context, fingerprint)
        self._connector = _Connector(
            f"https://{address}",
            server_side_retries=1,
            default_request_timeout=timing.request_timeout_s,
            connect_timeout=timing.connect_timeout_s,
            response_callback=self._remember,
        )
        self._response: requests.Response | None = None
        session = self._connector._session
        session.trust_env = False  # no proxy, no netrc, no bundle from the environment
        session.adapters.clear()
        session.mount(f"https://{address}/", self._adapter)
        self._talking = threading.Lock()
        self._aborted = False
        self._logging_in = False
        self._authenticated = False
        self._lost_logins: list[tuple[float, float]] = []  # asked, given up: monotonic seconds
        self._sessions: list[str] = []  # paths of sessions that we opened, newest last
        self._token = ""
        self._root: Answer | None = None

    def request(
        self,
        method: str,
        path: str,
        data: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = 0.0,
    ) -> Answer:
        """One authenticated request; logs in first, and once more when the session has expired.

        A POST is not repeated after a 401: it raises NotSentError, for the caller to look at the
        state first. Raises the leaves of ``faults`` and OperatorError.
        """
        with self._talking:
            if not self._authenticated:
                self._login()
            if (method, path) == ("GET", ROOT) and self._root is not None:
                return self._root
            try:
                return self._send(method, path, data, headers, timeout_s)
            except _ExpiredError:
                if not self._sessions:
                    raise self._denied() from None
            self._login()
            if method == "POST":
                raise NotSentError(f"{self._name}: the session had expired")
            try:
                return self._send(method, path, data, headers, timeout_s)
            except _ExpiredError:
                raise self._denied() from None

    def cut(self) -> None:
        """End the request that is waiting. From any thread; a login is let finish."""
        if not self._logging_in:
            self._adapter.cut()

    def abort(self) -> None:
        """As ``cut``, and refuse all further requests but those that log out."""
        self._aborted = True
        self.cut()

    @property
    def is_authenticated(self) -> bool:
        return self._authenticated

    def logout(self) -> tuple[str, ...]:
        """Close our sessions and connections; the paths of sessions that would not close."""
        with self._talking:
            lost = self._find_lost_sessions() if self._lost_logins else []
            ours = (*lost, *reversed(self._sessions))
            left = tuple(uri for uri in ours if not self._close_session(uri))
            self._sessions.clear()
            self._token = ""
            self._authenticated = False
            self._connector._session.headers.pop("X-Auth-Token", None)
            self._connector._session.auth = None
            self._connector.close()
            return left

    def _login(self) -> None:
        session = self._connector._session
        session.headers.pop("X-Auth-Token", None)
        session.auth = None
        self._authenticated = False
        sessions_path = self._sessions_path()
        if sessions_path is None:
            session.auth = self._basic()
            self._authenticated = True
            return
        body = {"UserName": self._credentials.username, "Password": self._credentials.password}
        self._logging_in = True
        asked_at = time.monotonic()
        try:
            answer = self._send("POST", sessions_path, body, None, 0.0)
            if not answer.body and "x-auth-token" not in answer.headers:
                raise UnansweredError(f"{self._name}: the answer to the login cannot be read")
        except _ExpiredError:
            raise self._denied() from None
        except UnansweredError:
            self._lost_logins.append((asked_at, time.monotonic()))
            raise
        except RefusedError as error:
            if error.status not in (404, 405, 501):
                raise
            session.auth = self._basic()  # a service without sessions
            self._authenticated = True
            return
        finally:
            self._logging_in = False
        location = answer.headers.get("location") or _text(answer.body.get("@odata.id"))
        if not location and answer.body.get("Id"):
            location = f"{sessions_path.rstrip('/')}/{answer.body['Id']}"
        if location:
            self._sessions.append(_path_of(location))
        self._token = answer.headers.get("x-auth-token", "")
        if not self._token:
            raise MachineError(f"{self._name}: the BMC opened a session and gave no token")
        session.headers["X-Auth-Token"] = self._token
        self._authenticated = True
        self._refuse_when_aborted()

    def _sessions_path(self) -> str | None:
        try:
            answer = self._send("GET", ROOT, None, None, 0.0)
        except _ExpiredError:
            return _SESSIONS  # a root that wants a login, against DSP0266 section 13.3.2
        root = answer.body
        self._root = answer if _link(root.get("Systems")) else None
        links = root.get("Links")
        found = _link(links.get("Sessions")) if isinstance(links, Mapping) else ""
        if found:
            return found
        return _SESSIONS if "SessionService" in root else None

    def _basic(self) -> tuple[bytes, bytes]:
        return self._credentials.username.encode(), self._credentials.password.encode()

    def _close_session(self, uri: str) -> bool:
        for count in range(_LOGOUT_TRIES):
            try:
                self._send("DELETE", uri, None, None, self._timing.grace_s, wanted=True)
            except _ExpiredError:
                return True  # the token, and with it the session, is gone
            except RefusedError as error:
                if error.status in (404, 410):
                    return True
            except BusyError:
                pass
            except UnreachableError:
                pass
            else:
                return True
            time.sleep(min(2.0, self._timing.busy_after(count)))
        return False

    def _find_lost_sessions(self) -> list[str]:
        """Sessions that a login opened whose answer never came.

        Found by opening one more: ours are those of our user, from where that one came, and made,
        by the BMC's own clock, while a lost login was under way. Whose else they could be is not
        touched; a BMC that does not tell leaves the session to its timeout.
        """
        self._aborted = False
        try:
            asked_at = time.monotonic()
            if not self._authenticated:
                self._login()
            if not self._sessions:
                return []
            reference = self._facts(self._sessions[-1])
            windows = [(asked - asked_at, ended - asked_at) for asked, ended in self._lost_logins]
            collection = self._sessions[-1].rsplit("/", 1)[0]
            members = self._send("GET", collection, None, None, 0.0).body.get("Members")
            paths = [_path_of(_link(item)) for item in members or () if _link(item)]
            return [
                path
                for path in paths
                if path not in self._sessions and reference.is_kin(self._facts(path), windows)
            ]
        except (EngineError, _ExpiredError):
            return []
        finally:
            self._lost_logins.clear()

    def _facts(self, path: str) -> SessionFacts:
        return session_facts(self._send("GET", path, None, None, 0.0).body)

    def _refuse_when_aborted(self) -> None:
        if self._aborted:
            raise NotSentError(f"{self._name}: the call was given up")

    def _send(
        self,
        method: str,
        path: str,
        data: Mapping[str, object] | None,
        headers: Mapping[str, str] | None,
        timeout_s: float,
        wanted: bool = False,
    ) -> Answer:
        """One request, and where it is redirected without having been done, there."""
        target = _path_of(path)
        for _ in range(_REDIRECTS):
            answer = self._send_once(method, target, data, headers, timeout_s, wanted)
            location = answer.headers.get("location", "")
            if answer.status not in _FOLLOWED[method == "GET"] or not location:
                break
            target = _path_of(location)
        if 300 <= answer.status < 400:
            raise RefusedError(f"{self._name}: {method} was redirected; the BMC did nothing")
        if method == "GET" and answer.status == 200 and not answer.is_object:
            raise UnansweredError(f"{self._name}: what {target} answered is no JSON object")
        return answer

    def _send_once(
        self,
        method: str,
        target: str,
        data: Mapping[str, object] | None,
        headers: Mapping[str, str] | None,
        timeout_s: float,
        wanted: bool,
    ) -> Answer:
        if not wanted:
            self._refuse_when_aborted()
        self._adapter.sockets.clear()
        self._adapter.is_cut = False
        self._response = None
        fault: Exception
        try:
            response = self._connector._op(
                method,
                target,
                data=dict(data) if data is not None else None,
                headers=dict(headers or {}),
                timeout=timeout_s or self._timing.request_timeout_s,
                allow_redirects=False,
            )
        except sushy.exceptions.HTTPError as error:
            known = fault_of(error, self._name, self._secrets(), self._retry_after())
            fault = known or _ExpiredError()
        except sushy.exceptions.ConnectionError as error:
            fault = self._transport_fault(error.__context__)
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            fault = self._transport_fault(error)
        except (AttributeError, TypeError, KeyError, ValueError, OSError, RecursionError) as error:
            fault = self._unreadable(method, error)
        else:
            return self._answer(response)
        raise fault  # outside the handlers: a cause could carry what the BMC echoed

    def _answer(self, response: requests.Response) -> Answer:
        body = _json_object(response)
        return Answer(
            response.status_code,
            {key.lower(): value for key, value in response.headers.items()},
            body or {},
            is_object=body is not None,
        )

    def _remember(self, response: requests.Response) -> None:
        self._response = response

    def _retry_after(self) -> float | None:
        if self._response is None:
            return None
        return retry_after_s(self._response.headers.get("Retry-After", ""), time.time())

    def _unreadable(self, method: str, error: Exception) -> Exception:
        """sushy reads error bodies as it expects them to be, and stumbles over others."""
        status = 0 if self._response is None else self._response.status_code
        message = f"{self._name}: {method} got an unreadable answer ({type(error).__name__})"
        if status == 503:
            return BusyError(message, retry_after_s=self._retry_after())
        if status in (401, 403):
            return _ExpiredError()
        if 400 <= status < 500:
            return RefusedError(f"{message}, HTTP {status}", status=status)
        return UnansweredError(message)

    def _transport_fault(self, cause: BaseException | None) -> EngineError:
        return transport_fault(cause, self._name, self._secrets())

    def _denied(self) -> OperatorError:
        return OperatorError(
            f"{self._name}: the BMC rejected the credentials of user {self._credentials.username}",
            hint="check user name, password and that the account may use Redfish",
        )

    def _secrets(self) -> tuple[str, ...]:
        return (self._credentials.password, self._token)


class _ExpiredError(Exception):
    """401 or a plain 403: the BMC does not know us (any more)."""


def _path_of(url: str) -> str:
    """The path of a URL that a service named; where it says it lives does not matter."""
    parts = urlsplit(url)
    path = parts.path if parts.path.startswith("/") else f"{ROOT}{parts.path}"
    return f"{path}?{parts.query}" if parts.query else path


def _link(value: object) -> str:
    return _text(value.get("@odata.id")) if isinstance(value, Mapping) else ""


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _json_object(response: requests.Response) -> Mapping[str, Any] | None:
    try:
        body = response.json()
    except (ValueError, RecursionError):
        return None
    return body if isinstance(body, dict) else None
