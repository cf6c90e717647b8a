"""A rack's state directory: what `up` made, so that `down` can undo exactly that.

Layout: ``lab.json`` (the rack, passwords, what was made), ``enrolment.yaml``, ``lock``, and
``machines/NAME/`` with a machine's disks, firmware variables, sockets and logs. All of it is 0600
or below a 0700 directory.
"""

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rackwright.lab.errors import HostError, LabError
from rackwright.lab.network import Namespace
from rackwright.lab.spec import RackSpec, rack_from_json, to_json

_RECORD = "lab.json"
_LOCK = "lock"
_VERSION = 1


@dataclass(frozen=True, slots=True)
class RackState:
    """A rack that is up, or is being brought up or down."""

    directory: Path
    spec: RackSpec
    passwords: Mapping[str, str]  # by machine
    certificates: Mapping[str, str]  # PEM by machine, Redfish only
    namespace: Namespace | None = None  # None: intended, not yet made
    was_names_mounted: bool = True  # before us: see network.is_names_mounted
    accel: str = ""
    accel_reason: str = ""

    def __repr__(self) -> str:
        return f"RackState(directory={str(self.directory)!r}, rack={self.spec.name!r})"

    @property
    def machines(self) -> Path:
        return self.directory / "machines"

    def machine(self, name: str) -> Path:
        return self.machines / name


def save(state: RackState) -> None:
    """Write the record, whole or not at all."""
    data: dict[str, Any] = {
        "version": _VERSION,
        "spec": to_json(state.spec),
        "passwords": dict(state.passwords),
        "certificates": dict(state.certificates),
        "namespace": asdict(state.namespace) if state.namespace else None,
        "was_names_mounted": state.was_names_mounted,
        "accel": state.accel,
        "accel_reason": state.accel_reason,
    }
    write_private(state.directory / _RECORD, json.dumps(data, indent=1))


def load(directory: Path) -> RackState:
    """The rack of a state directory. Raises ``LabError`` if there is none."""
    directory = directory.absolute()
    try:
        data = json.loads((directory / _RECORD).read_text())
    except FileNotFoundError as error:
        hint = "bring one up with: rackwright lab up"
        raise LabError(f"no rack in {directory}", hint=hint) from error
    except ValueError as error:
        raise LabError(f"{directory / _RECORD} is damaged") from error
    if data.get("version") != _VERSION:
        raise LabError(
            f"{directory} was made by another version of the lab",
            hint="take it down with that version",
        )
    return RackState(
        directory=directory,
        spec=rack_from_json(data["spec"]),
        passwords=data["passwords"],
        certificates=data["certificates"],
        namespace=Namespace(**data["namespace"]) if data["namespace"] else None,
        was_names_mounted=data["was_names_mounted"],
        accel=data["accel"],
        accel_reason=data["accel_reason"],
    )


def has_record(directory: Path) -> bool:
    return (directory / _RECORD).exists()


def is_vacant(directory: Path) -> bool:
    """Whether nothing but our own lock is in the directory."""
    return not directory.exists() or all(entry.name == _LOCK for entry in directory.iterdir())


def write_private(path: Path, text: str) -> None:
    """Write a 0600 file, whole or not at all."""
    partial = path.with_name(path.name + ".partial")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    partial.replace(path)


@contextlib.contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Hold the directory for one `up` or `down`. Raises ``HostError`` if another has it."""
    with (directory / _LOCK).open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise HostError(
                f"another lab command works on {directory}", hint="wait until it has ended"
            ) from error
        yield
