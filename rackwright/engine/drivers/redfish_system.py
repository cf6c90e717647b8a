"""Which ComputerSystem of a Redfish service is meant: blades share one service."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from rackwright.engine.drivers.quirks import Identity
from rackwright.engine.drivers.redfish_session import RedfishCall
from rackwright.engine.errors import MachineError, OperatorError

_SYSTEMS = "/redfish/v1/Systems"
_MAX_PAGES = 100


async def choose_system(call: RedfishCall, root: Mapping[str, Any], wanted: str, name: str) -> str:
    """The path of the system meant by ``wanted``.

    ``wanted`` is an id, path, name, UUID or serial number, or "" for the only one.
    Raises OperatorError, listing the systems, when none or several fit.
    """
    paths = await _members(call, _link(root.get("Systems")) or _SYSTEMS)
    if not paths:
        raise MachineError(f"{name}: the BMC lists no systems", hint="it may still be starting")
    if not wanted:
        if len(paths) == 1:
            return paths[0]
        raise OperatorError(
            f"{name}: several systems, and none was chosen: {_listed(paths)}",
            hint="set the BMC's system to one of them",
        )
    asked = _plain_path(wanted)
    exact = [path for path in paths if asked in (_plain_path(path), _last(path))]
    if not exact:
        exact = [path for path in paths if wanted in await _other_names(call, path)]
    if len(exact) == 1:
        return exact[0]
    count = "several systems are" if exact else "no system is"
    raise OperatorError(
        f"{name}: {count} {wanted!r}: {_listed(paths)}",
        hint="set the BMC's system to one of them",
    )


def system_identity(system: Mapping[str, Any]) -> Identity:
    def text(key: str) -> str:
        value = system.get(key)
        return value if isinstance(value, str) else ""

    return Identity(text("Manufacturer"), text("Model"), text("BiosVersion"))


async def _members(call: RedfishCall, path: str) -> list[str]:
    found: list[str] = []
    for _ in range(_MAX_PAGES):
        body = (await call.read(path)).body
        members = body.get("Members")
        found += filter(None, map(_link, members if isinstance(members, list) else []))
        following = body.get("Members@odata.nextLink")
        if not isinstance(following, str) or not following:
            break
        path = following
    return found


async def _other_names(call: RedfishCall, path: str) -> tuple[str, ...]:
    system = (await call.read(path)).body
    return tuple(str(system.get(key, "")) for key in ("Id", "Name", "UUID", "SerialNumber"))


def _link(value: object) -> str:
    found = value.get("@odata.id") if isinstance(value, Mapping) else None
    return found if isinstance(found, str) else ""


def _plain_path(url: str) -> str:
    """A URL's path without a slash at its end: services and people differ about both."""
    return urlsplit(url).path.rstrip("/")


def _last(path: str) -> str:
    return path.rstrip("/").rsplit("/", 1)[-1]


def _listed(paths: list[str]) -> str:
    return ", ".join(_last(path) for path in paths[:50])
