"""Reads a rack file (YAML) into a ``RackSpec``, or says at file:line:column what is wrong with it.

It touches nothing but the file.
"""

import ipaddress
import re
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.reader import ReaderError

from rackwright.lab.errors import RackFileError
from rackwright.lab.spec import (
    BmcSpec,
    Content,
    DiskSpec,
    DiskType,
    Firmware,
    MachineSpec,
    NetworkSpec,
    NicSpec,
    Protocol,
    RackSpec,
    SegmentSpec,
)

DEFAULT_RACK = Path(__file__).parent / "racks" / "default.yaml"
_NAME = re.compile(r"[a-z]([a-z0-9-]{0,14}[a-z0-9])?")
_BRIDGE = re.compile(r"[a-z][a-z0-9-]{0,14}")  # IFNAMSIZ is 16 with its NUL, linux/if.h
_MAC = re.compile(r"([0-9a-f]{2}:){5}[0-9a-f]{2}")
_SERIAL = re.compile(r"[A-Za-z0-9_.-]{1,20}")  # virtio-blk shows 20 bytes, VIRTIO 1.2 section 5.2.6
_LABEL = re.compile(r"[A-Za-z0-9_./-]{1,63}")
_SIZE = re.compile(r"(\d+)\s*(MiB|GiB)")
_UNIT = {"MiB": 1 << 20, "GiB": 1 << 30}
# Every machine's uuid is made from rack and name, so that it is the same at every `up`.
_UUIDS = uuid.UUID("6f1d3c1e-7c0b-5c62-9a55-8f5a0e1b77d4")


def load(path: Path | None) -> RackSpec:
    """The rack in ``path``, or the built-in one. Raises ``RackFileError``."""
    path = path or DEFAULT_RACK
    try:
        document = YAML(typ="rt").load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RackFileError(
            f"{path}: {error.strerror}", hint="give a readable rack file"
        ) from error
    except UnicodeDecodeError as error:
        raise RackFileError(f"{path}: not UTF-8 text", hint="save it as UTF-8") from error
    except MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
        raise RackFileError(f"{where}: {error.problem}", hint="fix the YAML") from error
    except ReaderError as error:
        raise RackFileError(
            f"{_place(path, int(error.position))}: a control character stands here",
            hint="remove it",
        ) from error
    except (YAMLError, ValueError, TypeError, RecursionError) as error:
        raise RackFileError(
            f"{path}:1:1: this is not YAML that is read", hint="write plain values, without tags"
        ) from error
    if not isinstance(document, CommentedMap):
        raise RackFileError(f"{path}:1:1: a rack file is a mapping", hint="see racks/default.yaml")
    return _rack(_Map(path, document, "the rack"))


def _place(path: Path, position: int) -> str:
    before = path.read_text(encoding="utf-8")[:position]
    return f"{path}:{before.count(chr(10)) + 1}:{position - before.rfind(chr(10))}"


class _Map:
    """A mapping of the file with its place, read key by key; unknown keys are errors."""

    def __init__(self, path: Path, data: CommentedMap, what: str) -> None:
        self._path = path
        self._data = data
        self._what = what

    def error(self, message: str, key: str = "", hint: str = "") -> RackFileError:
        line, column = self._data.lc.line, self._data.lc.col
        if key in self._data:
            line, column = self._data.lc.key(key)
        return RackFileError(f"{self._path}:{line + 1}:{column + 1}: {message}", hint=hint)

    def only(self, *allowed: str) -> None:
        for key in self._data:
            if key not in allowed:
                hint = "it may hold " + ", ".join(allowed)
                raise self.error(f"{self._what} has an unknown key {key!r}", str(key), hint)

    def _value(self, key: str, kind: type, kind_name: str, default: Any) -> Any:
        if key not in self._data:
            if default is None:
                raise self.error(f"{self._what} lacks {key!r}", hint=f"add {key}: a {kind_name}")
            return default
        value = self._data[key]
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise self.error(f"{key!r} must be a {kind_name}", key)
        return value

    def text(
        self, key: str, default: str | None = None, pattern: re.Pattern[str] | None = None
    ) -> str:
        value = str(self._value(key, str, "string", default))
        if pattern and key in self._data and not pattern.fullmatch(value):
            raise self.error(
                f"{value!r} is not a valid {key}", key, f"it must match {pattern.pattern}"
            )
        return value

    def number(self, key: str, default: int, low: int, high: int) -> int:
        value = int(self._value(key, int, "number", default))
        if not low <= value <= high:
            raise self.error(f"{key!r} must be from {low} to {high}", key)
        return value

    def flag(self, key: str) -> bool:
        return bool(self._value(key, bool, "boolean", False))

    def choice(self, key: str, options: list[str], default: str | None = None) -> str:
        value = self.text(key, default)
        if value not in options:
            raise self.error(f"{value!r} is not a {key}", key, "one of " + ", ".join(options))
        return value

    def size(self, key: str, default: str | None = None) -> int:
        match = _SIZE.fullmatch(self.text(key, default))
        if not match or not int(match[1]):
            raise self.error(f"{key!r} must be a size such as 6GiB", key)
        return int(match[1]) * _UNIT[match[2]]

    def checked(self, key: str, parse: Callable[[str], object], default: str | None = None) -> str:
        value = self.text(key, default)
        try:
            return str(parse(value)) if value else value
        except ValueError as error:
            raise self.error(f"{value!r}: {error}", key) from error

    def map(self, key: str) -> "_Map":
        return _Map(self._path, self._value(key, CommentedMap, "mapping", None), key)

    def maps(self, key: str, *, empty: bool = False) -> Iterator["_Map"]:
        values = self._value(key, CommentedSeq, "list", [] if empty else None)
        if not values and not empty:
            raise self.error(f"{key!r} is empty", key)
        for value in values:
            if not isinstance(value, CommentedMap):
                raise self.error(f"{key!r} must be a list of mappings", key)
            yield _Map(self._path, value, f"an entry of {key}")

    def texts(self, key: str) -> tuple[str, ...]:
        values = self._value(key, CommentedSeq, "list", [])
        if not all(isinstance(value, str) for value in values):
            raise self.error(f"{key!r} must be a list of strings", key)
        return tuple(str(value) for value in values)

    def labels(self, key: str) -> dict[str, str]:
        values = self._value(key, CommentedMap, "mapping", {})
        for name, value in values.items():
            if not all(isinstance(part, str) and _LABEL.fullmatch(part) for part in (name, value)):
                raise self.error(f"{name!r}: {value!r} is not a label", key)
        return {str(name): str(value) for name, value in values.items()}

    @property
    def source(self) -> str:
        return str(self._path)


def _rack(file: _Map) -> RackSpec:
    file.only("name", "accel", "networks", "management", "segment", "machines")
    name = file.text("name", pattern=_NAME)
    networks = tuple(_network(entry) for entry in file.maps("networks"))
    management = _management(file.map("management"))
    entries = list(file.maps("machines"))
    machines = tuple(
        _machine(entry, name, index, {network.name for network in networks})
        for index, entry in enumerate(entries, 1)
    )
    _unique(file, "networks", "bridge", [*(n.bridge for n in networks), management.bridge])
    _unique(file, "networks", "network name", [network.name for network in networks])
    _unique(file, "machines", "machine name", [machine.name for machine in machines])
    _unique(file, "machines", "BMC address", [machine.bmc.address for machine in machines])
    _unique(file, "machines", "MAC", [nic.mac for machine in machines for nic in machine.nics])
    _unique(file, "machines", "disk", [disk.serial for m in machines for disk in m.disks])
    subnet = ipaddress.ip_interface(management.address)
    for entry, machine in zip(entries, machines, strict=True):
        address = ipaddress.ip_address(machine.bmc.address)
        if address not in subnet.network or address == subnet.ip:
            hint = f"use a free address of {subnet.network}"
            raise entry.error(
                f"BMC address {address} does not fit the management network", "bmc", hint
            )
    return RackSpec(
        name=name,
        networks=networks,
        management=management,
        segment=_segment(file.map("segment"), networks),
        machines=machines,
        accel=file.choice("accel", ["auto", "kvm", "tcg"], "auto"),
        source=file.source,
    )


def _unique(file: _Map, key: str, what: str, values: list[str]) -> None:
    seen: set[str] = set()
    for value in values:
        if value in seen:
            raise file.error(f"{what} {value} is used twice", key, "give each its own")
        seen.add(value)


def _network(entry: _Map) -> NetworkSpec:
    entry.only("name", "bridge", "address")
    return NetworkSpec(
        name=entry.text("name", pattern=_NAME),
        bridge=entry.text("bridge", pattern=_BRIDGE),
        address=entry.checked("address", ipaddress.IPv4Interface, ""),
    )


def _management(entry: _Map) -> NetworkSpec:
    entry.only("bridge", "address")
    bridge = entry.text("bridge", pattern=_BRIDGE)
    return NetworkSpec("management", bridge, entry.checked("address", ipaddress.IPv4Interface))


def _segment(entry: _Map, networks: tuple[NetworkSpec, ...]) -> SegmentSpec:
    entry.only("name", "network", "dhcp_range")
    name = entry.text("network")
    network = next((network for network in networks if network.name == name), None)
    if network is None or not network.address:
        raise entry.error(f"no network {name!r} with an address", "network", "add it to networks")
    limits = entry.texts("dhcp_range")
    subnet = ipaddress.ip_interface(network.address).network
    try:
        inside = len(limits) == 2 and all(ipaddress.ip_address(limit) in subnet for limit in limits)
    except ValueError:
        inside = False
    if not inside:
        raise entry.error(f"'dhcp_range' must be two addresses of {subnet}", "dhcp_range")
    return SegmentSpec(entry.text("name", pattern=_NAME), name, limits[0], limits[1])


def _machine(entry: _Map, rack: str, index: int, networks: set[str]) -> MachineSpec:
    entry.only(
        *("name", "firmware", "power", "vcpus", "memory", "bmc", "nics", "disks", "disk_order"),
        *("labels", "class", "site", "rack", "address", "uuid", "serial"),
    )
    name = entry.text("name", pattern=_NAME)
    disks = tuple(_disk(disk) for disk in entry.maps("disks", empty=True))
    order = entry.texts("disk_order") or tuple(disk.serial for disk in disks)
    if sorted(order) != sorted(disk.serial for disk in disks):
        raise entry.error("'disk_order' must name every disk once", "disk_order")
    nics = tuple(
        _nic(nic, f"t{index}-{number}", networks) for number, nic in enumerate(entry.maps("nics"))
    )
    if sum(nic.pxe for nic in nics) > 1:
        raise entry.error(
            "more than one NIC has pxe: true", "nics", "one NIC boots from the network"
        )
    return MachineSpec(
        name=name,
        firmware=Firmware(entry.choice("firmware", [f.value for f in Firmware])),
        bmc=_bmc(entry.map("bmc")),
        nics=nics,
        disks=disks,
        uuid=entry.checked("uuid", uuid.UUID, str(uuid.uuid5(_UUIDS, f"{rack}/{name}"))),
        serial=entry.text("serial", f"RW-{rack}-{name}".upper()),
        vcpus=entry.number("vcpus", 1, 1, 64),
        memory_mib=entry.size("memory", "2GiB") >> 20,
        powered_on=entry.flag("power"),
        disk_order=order,
        site=entry.text("site", "lab", _LABEL),
        rack=entry.text("rack", "r1", _LABEL),
        machine_class=entry.text("class", "small", _LABEL),
        labels=entry.labels("labels"),
        address=entry.checked("address", ipaddress.IPv4Interface, ""),
    )


def _bmc(entry: _Map) -> BmcSpec:
    entry.only("protocol", "address", "username")
    return BmcSpec(
        protocol=Protocol(entry.choice("protocol", [p.value for p in Protocol])),
        address=entry.checked("address", ipaddress.IPv4Address),
        # IPMI 2.0 section 22.28: a user name is at most 16 bytes
        username=entry.text("username", "admin", re.compile(r"[a-z][a-z0-9]{0,15}")),
    )


def _nic(entry: _Map, tap: str, networks: set[str]) -> NicSpec:
    entry.only("mac", "network", "pxe")
    network = entry.text("network")
    if network not in networks:
        hint = "one of " + ", ".join(sorted(networks))
        raise entry.error(f"no network {network!r}", "network", hint)
    return NicSpec(entry.text("mac", pattern=_MAC), network, entry.flag("pxe"), tap)


def _disk(entry: _Map) -> DiskSpec:
    entry.only("serial", "type", "size", "sector", "content")
    sector_bytes = entry.number("sector", 512, 512, 4096)
    if sector_bytes not in (512, 4096):
        raise entry.error("'sector' must be 512 or 4096", "sector")
    content = Content(entry.choice("content", [c.value for c in Content], Content.BLANK.value))
    size_bytes = entry.size("size")
    if content is Content.OLD_OS and (sector_bytes != 512 or size_bytes < 1 << 30):
        raise entry.error("an old-os disk has 512-byte sectors and at least 1GiB", "content")
    return DiskSpec(
        serial=entry.text("serial", pattern=_SERIAL),
        type=DiskType(entry.choice("type", [t.value for t in DiskType])),
        size_bytes=size_bytes,
        sector_bytes=sector_bytes,
        content=content,
    )
