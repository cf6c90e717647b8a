"""Which boot override to ask a Redfish service for, whether what it reports is that, and what else
it offers.

Pure. Source: DSP2046, ComputerSystem, "Boot"; DSP0266 section 9.10 for the Settings resource.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rackwright.engine.drivers.power.base import BootDevice
from rackwright.engine.drivers.quirks import Quirks
from rackwright.engine.drivers.redaction import foreign_text
from rackwright.engine.machine import Firmware

TARGETS = {BootDevice.PXE: "Pxe", BootDevice.DISK: "Hdd"}
_DEVICES = {target: device for device, target in TARGETS.items()}
_MODES = {Firmware.UEFI: "UEFI", Firmware.BIOS: "Legacy"}


@dataclass(frozen=True, slots=True)
class Wish:
    device: BootDevice
    firmware: Firmware

    @property
    def target(self) -> str:
        return TARGETS[self.device]

    @property
    def mode(self) -> str:
        return _MODES[self.firmware]


def payloads(wish: Wish, quirks: Quirks) -> Iterator[Mapping[str, object]]:
    """What to ask for, in the order to try: a service may want the mode, or refuse it."""
    plain = {"BootSourceOverrideTarget": wish.target, "BootSourceOverrideEnabled": "Once"}
    if quirks.boot_mode == "send":
        yield {"Boot": {**plain, "BootSourceOverrideMode": wish.mode}}
    yield {"Boot": plain}


def boot_of(resource: Mapping[str, Any]) -> Mapping[str, Any]:
    boot = resource.get("Boot")
    return boot if isinstance(boot, Mapping) else {}


def settings_path(system: Mapping[str, Any]) -> str:
    """The path of the Settings resource, "" if the service names none."""
    settings = system.get("@Redfish.Settings")
    link = settings.get("SettingsObject") if isinstance(settings, Mapping) else None
    path = link.get("@odata.id") if isinstance(link, Mapping) else None
    return path if isinstance(path, str) else ""


def targets_in_order(system: Mapping[str, Any], settings: Mapping[str, Any]) -> tuple[str, ...]:
    """Which resource to write first: "settings" where the override lives there."""
    if "BootSourceOverrideTarget" in boot_of(settings):
        return ("settings", "system")
    return ("system", "settings") if settings_path(system) else ("system",)


def unmet(wish: Wish, boot: Mapping[str, Any], quirks: Quirks) -> str:
    """Why ``boot`` is not what was wished for, "" if it is."""
    target = boot.get("BootSourceOverrideTarget")
    enabled = boot.get("BootSourceOverrideEnabled")
    mode = boot.get("BootSourceOverrideMode")
    if target != wish.target:
        return f"target is {target}, not {wish.target}"
    if enabled not in ("Once", quirks.boot_once_reads_as):
        return f"the override is {enabled}, not Once"
    if mode is not None and mode != wish.mode:
        return f"mode is {mode}, not {wish.mode}"
    return ""


def one_time_device(boot: Mapping[str, Any], quirks: Quirks) -> BootDevice | None:
    if boot.get("BootSourceOverrideEnabled") not in ("Once", quirks.boot_once_reads_as):
        return None
    return _DEVICES.get(str(boot.get("BootSourceOverrideTarget")))


def restart_traces(system: Mapping[str, Any]) -> tuple[object, ...]:
    """What a restart changes in a ComputerSystem, as far as the service reports it."""
    progress = system.get("BootProgress")
    progress = progress if isinstance(progress, Mapping) else {}
    return (
        system.get("LastResetTime"),
        progress.get("LastState"),
        progress.get("LastStateTime"),
        boot_of(system).get("BootSourceOverrideEnabled"),
    )


def offered_boots(resource: Mapping[str, Any]) -> str:
    """The boot sources and their lifetimes that the service says it takes, "" if it says none."""
    boot = boot_of(resource)
    lists = [
        boot.get(f"BootSourceOverride{what}@Redfish.AllowableValues")
        for what in ("Target", "Enabled")
    ]
    found = [", ".join(map(str, values[:20])) for values in lists if isinstance(values, list)]
    return foreign_text(" / ".join(found), ())


def reset_types(info: Mapping[str, Any]) -> tuple[str, ...]:
    """The reset types of an ActionInfo resource (DSP2046, ActionInfo, Parameters)."""
    parameters = info.get("Parameters")
    for parameter in parameters if isinstance(parameters, list) else ():
        if isinstance(parameter, Mapping) and parameter.get("Name") == "ResetType":
            values = parameter.get("AllowableValues")
            return tuple(map(str, values)) if isinstance(values, list) else ()
    return ()
