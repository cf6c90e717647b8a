"""Sensor readings of a system's chassis: Thermal and Power, or the newer Sensors collection."""

from collections.abc import Iterator, Mapping
from typing import Any

from rackwright.engine.drivers.faults import RefusedError
from rackwright.engine.drivers.redfish_session import RedfishCall

_LISTS = (
    ("Thermal", "Temperatures", "ReadingCelsius", "C"),
    ("Thermal", "Fans", "Reading", ""),
    ("Power", "Voltages", "ReadingVolts", "V"),
    ("Power", "PowerControl", "PowerConsumedWatts", "W"),
)


async def readings(call: RedfishCall, system: Mapping[str, Any]) -> Mapping[str, str]:
    """Name to reading with its unit; empty where the service shows no chassis."""
    found: dict[str, str] = {}
    links = system.get("Links")
    chassis = links.get("Chassis") if isinstance(links, Mapping) else None
    for entry in chassis if isinstance(chassis, list) else []:
        body = await _resource(call, entry)
        pages = {name: await _resource(call, body.get(name)) for name in ("Thermal", "Power")}
        for page, items, key, unit in _LISTS:
            found |= dict(_read(pages[page].get(items), key, unit))
    return found


async def _resource(call: RedfishCall, link: object) -> Mapping[str, Any]:
    path = link.get("@odata.id") if isinstance(link, Mapping) else None
    if not isinstance(path, str):
        return {}
    try:
        return (await call.read(path)).body
    except RefusedError:
        return {}


def _read(items: object, key: str, unit: str) -> Iterator[tuple[str, str]]:
    for item in items if isinstance(items, list) else []:
        if not isinstance(item, Mapping) or item.get(key) is None:
            continue
        name = str(item.get("Name") or item.get("MemberId") or key)
        yield name, f"{item[key]} {unit or item.get('ReadingUnits') or ''}".strip()
