"""The Redfish resources of one machine's BMC, as plain dictionaries. Pure.

Source: DMTF DSP0266 1.20 (protocol) and the DSP8010 schemas named in each ``@odata.type``.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from rackwright.lab.bmc.sensors import SENSORS, Sensor
from rackwright.lab.chassis.boot import Device, Override
from rackwright.lab.spec import Firmware, MachineSpec

ROOT = "/redfish/v1"
SYSTEM = f"{ROOT}/Systems/1"
RESET = f"{SYSTEM}/Actions/ComputerSystem.Reset"
SESSIONS = f"{ROOT}/SessionService/Sessions"
RESET_TYPES = (
    *("On", "ForceOff", "ForceOn", "ForceRestart", "GracefulShutdown"),
    *("PushPowerButton", "PowerCycle", "Nmi"),
)
TARGETS = {"None": Device.NONE, "Pxe": Device.PXE, "Hdd": Device.DISK}
_TARGET_NAMES = {device: name for name, device in TARGETS.items()}
MODES = {"UEFI": Firmware.UEFI, "Legacy": Firmware.BIOS}
_MODE_NAMES = {firmware: name for name, firmware in MODES.items()}
ENABLED = ("Disabled", "Once", "Continuous")
SESSION_TIMEOUT_S = 1800

Resource = dict[str, Any]


def etag(resource: Mapping[str, Any]) -> str:
    """A strong entity tag over the resource's content (RFC 9110 section 8.8.3)."""
    content = json.dumps(resource, sort_keys=True, separators=(",", ":")).encode()
    return f'"{hashlib.sha256(content).hexdigest()[:16]}"'


def versions() -> Resource:
    return {"v1": f"{ROOT}/"}


def _resource(path: str, kind: str, name: str, **properties: Any) -> Resource:
    identifier = path.rstrip("/").rpartition("/")[2]
    base = {"@odata.id": path, "@odata.type": f"#{kind}", "Id": identifier, "Name": name}
    return {**base, **properties}


def _link(path: str) -> dict[str, str]:
    return {"@odata.id": path}


def _collection(path: str, kind: str, name: str, members: Sequence[str]) -> Resource:
    collection = _resource(
        path,
        f"{kind}.{kind}",
        name,
        Members=[_link(member) for member in members],
        **{"Members@odata.count": len(members)},
    )
    del collection["Id"]
    return collection


def service_root(machine: MachineSpec) -> Resource:
    return _resource(
        f"{ROOT}/",
        "ServiceRoot.v1_15_0.ServiceRoot",
        "Root Service",
        Id="RootService",
        RedfishVersion="1.17.0",
        UUID=machine.uuid,
        Vendor="Rackwright",
        Product="Virtual BMC",
        Systems=_link(f"{ROOT}/Systems"),
        Chassis=_link(f"{ROOT}/Chassis"),
        Managers=_link(f"{ROOT}/Managers"),
        SessionService=_link(f"{ROOT}/SessionService"),
        Links={"Sessions": _link(SESSIONS)},
    )


def system(machine: MachineSpec, *, is_on: bool, override: Override, ipmi_port: int) -> Resource:
    """The ComputerSystem with its boot override; ``ipmi_port`` is where SOL is served."""
    is_set = override.device is not Device.NONE
    enabled = ("Continuous" if override.is_persistent else "Once") if is_set else "Disabled"
    return _resource(
        SYSTEM,
        "ComputerSystem.v1_20_0.ComputerSystem",
        machine.name,
        SystemType="Physical",
        Manufacturer="Rackwright",
        Model="Virtual server",
        SerialNumber=machine.serial,
        UUID=machine.uuid,
        PowerState="On" if is_on else "Off",
        Status={"State": "Enabled", "Health": "OK"},
        ProcessorSummary={"Count": 1, "CoreCount": machine.vcpus},
        MemorySummary={"TotalSystemMemoryGiB": machine.memory_mib / 1024},
        EthernetInterfaces=_link(f"{SYSTEM}/EthernetInterfaces"),
        Boot={
            "BootSourceOverrideEnabled": enabled,
            "BootSourceOverrideEnabled@Redfish.AllowableValues": list(ENABLED),
            "BootSourceOverrideTarget": _TARGET_NAMES[override.device],
            "BootSourceOverrideTarget@Redfish.AllowableValues": list(TARGETS),
            "BootSourceOverrideMode": _MODE_NAMES[override.mode],
            "BootSourceOverrideMode@Redfish.AllowableValues": list(MODES),
        },
        SerialConsole={
            "MaxConcurrentSessions": 1,
            "IPMI": {"ServiceEnabled": True, "Port": ipmi_port},
        },
        Links={"Chassis": [_link(f"{ROOT}/Chassis/1")], "ManagedBy": [_link(f"{ROOT}/Managers/1")]},
        Actions={
            "#ComputerSystem.Reset": {
                "target": RESET,
                "ResetType@Redfish.AllowableValues": list(RESET_TYPES),
            }
        },
    )


def session_service() -> Resource:
    return _resource(
        f"{ROOT}/SessionService",
        "SessionService.v1_1_9.SessionService",
        "Session Service",
        ServiceEnabled=True,
        SessionTimeout=SESSION_TIMEOUT_S,
        Sessions=_link(SESSIONS),
    )


def session(identifier: str, username: str) -> Resource:
    return _resource(
        f"{SESSIONS}/{identifier}", "Session.v1_6_0.Session", "User Session", UserName=username
    )


def sessions(identifiers: Sequence[str]) -> Resource:
    members = [f"{SESSIONS}/{identifier}" for identifier in identifiers]
    return _collection(SESSIONS, "SessionCollection", "Sessions", members)


def tree(machine: MachineSpec, *, is_on: bool) -> dict[str, Resource]:
    """Everything that is only read, by path: collections, manager, chassis, NICs, sensors."""
    chassis, manager = f"{ROOT}/Chassis/1", f"{ROOT}/Managers/1"
    nics = f"{SYSTEM}/EthernetInterfaces"
    resources = [
        _collection(f"{ROOT}/Systems", "ComputerSystemCollection", "Systems", [SYSTEM]),
        _collection(f"{ROOT}/Chassis", "ChassisCollection", "Chassis", [chassis]),
        _collection(f"{ROOT}/Managers", "ManagerCollection", "Managers", [manager]),
        _manager(manager, chassis),
        _chassis(machine, chassis, manager, is_on=is_on),
        _thermal(f"{chassis}/Thermal", is_on=is_on),
        _power(f"{chassis}/Power", is_on=is_on),
        _collection(
            f"{chassis}/Sensors",
            "SensorCollection",
            "Sensors",
            [f"{chassis}/Sensors/{_slug(sensor)}" for sensor in SENSORS],
        ),
        *(_sensor(f"{chassis}/Sensors/{_slug(sensor)}", sensor, is_on=is_on) for sensor in SENSORS),
        _collection(
            nics,
            "EthernetInterfaceCollection",
            "Ethernet Interfaces",
            [f"{nics}/{number}" for number in range(1, len(machine.nics) + 1)],
        ),
        *(
            _resource(
                f"{nics}/{number}",
                "EthernetInterface.v1_9_0.EthernetInterface",
                f"NIC {number}",
                MACAddress=nic.mac.upper(),
                PermanentMACAddress=nic.mac.upper(),
            )
            for number, nic in enumerate(machine.nics, 1)
        ),
    ]
    return {str(resource["@odata.id"]): resource for resource in resources}


def _manager(path: str, chassis: str) -> Resource:
    return _resource(
        path,
        "Manager.v1_18_0.Manager",
        "BMC",
        ManagerType="BMC",
        FirmwareVersion="1.0",
        PowerState="On",
        Status={"State": "Enabled", "Health": "OK"},
        Links={"ManagerForServers": [_link(SYSTEM)], "ManagerForChassis": [_link(chassis)]},
    )


def _chassis(machine: MachineSpec, path: str, manager: str, *, is_on: bool) -> Resource:
    return _resource(
        path,
        "Chassis.v1_23_0.Chassis",
        "Chassis",
        ChassisType="RackMount",
        SerialNumber=machine.serial,
        PowerState="On" if is_on else "Off",
        Status={"State": "Enabled", "Health": "OK"},
        Thermal=_link(f"{path}/Thermal"),
        Power=_link(f"{path}/Power"),
        Sensors=_link(f"{path}/Sensors"),
        Links={"ComputerSystems": [_link(SYSTEM)], "ManagedBy": [_link(manager)]},
    )


def _thermal(path: str, *, is_on: bool) -> Resource:
    status = {"State": "Enabled", "Health": "OK"}
    temperatures = [sensor for sensor in SENSORS if sensor.unit == "Cel"]
    fans = [sensor for sensor in SENSORS if sensor.unit == "{rev}/min"]
    return _resource(
        path,
        "Thermal.v1_7_1.Thermal",
        "Thermal",
        Temperatures=[
            {
                "@odata.id": f"{path}#/Temperatures/{index}",
                "MemberId": str(index),
                "Name": sensor.name,
                "SensorNumber": sensor.number,
                "ReadingCelsius": sensor.reading(is_on),
                "UpperThresholdCritical": sensor.upper_critical,
                "Status": status,
            }
            for index, sensor in enumerate(temperatures)
        ],
        Fans=[
            {
                "@odata.id": f"{path}#/Fans/{index}",
                "MemberId": str(index),
                "Name": sensor.name,
                "Reading": sensor.reading(is_on),
                "ReadingUnits": "RPM",
                "Status": status,
            }
            for index, sensor in enumerate(fans)
        ],
    )


def _power(path: str, *, is_on: bool) -> Resource:
    watts = next(sensor for sensor in SENSORS if sensor.unit == "W")
    control = {
        "@odata.id": f"{path}#/PowerControl/0",
        "MemberId": "0",
        "Name": "System Power",
        "PowerConsumedWatts": watts.reading(is_on),
    }
    return _resource(path, "Power.v1_7_1.Power", "Power", PowerControl=[control])


def _slug(sensor: Sensor) -> str:
    return sensor.name.replace(" ", "")


def _sensor(path: str, sensor: Sensor, *, is_on: bool) -> Resource:
    return _resource(
        path,
        "Sensor.v1_7_0.Sensor",
        sensor.name,
        Reading=sensor.reading(is_on),
        ReadingUnits=sensor.unit,
        Thresholds={"UpperCritical": {"Reading": sensor.upper_critical}},
        Status={"State": "Enabled", "Health": "OK"},
    )


def error(code: str, message: str) -> Resource:
    """An error body, DSP0266 section 8.6; ``code`` is a message of the Base registry."""
    registry = "Base.1.17.0"
    info = {"@odata.type": "#Message.v1_1_2.Message", "MessageId": f"{registry}.{code}"}
    return {
        "error": {
            "code": f"{registry}.{code}",
            "message": message,
            "@Message.ExtendedInfo": [{**info, "Message": message, "Severity": "Warning"}],
        }
    }
