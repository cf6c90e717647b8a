"""What a ramdisk discovered, and what we installed: the facts behind plans.

An erasure is recorded before the first write; from then on the machine counts as not installed
until a passed verify says otherwise.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update
from sqlalchemy.dialects.sqlite import insert as upsert
from sqlalchemy.exc import IntegrityError

from rackwright.inventory import journal, machines
from rackwright.inventory.errors import ConflictError
from rackwright.inventory.identity import mac_of
from rackwright.inventory.lifecycle import State
from rackwright.inventory.machines import ENGINE
from rackwright.inventory.tables import (
    CONTROLLER,
    DRIVE,
    INSTALLATION,
    MACHINE,
    NIC,
    VOLUME,
)

_TEXT_MAX = 256  # of anything that a machine says about itself
_OWN_KEYS = ("firmware", "memory_bytes", "cpu_count", "product", "vendor", "nics", "drives")


def record_discovered(
    connection: Connection, machine_id: str, facts: Mapping[str, object], now: float
) -> None:
    """What the stage hardware/discover reported. Replaces what was reported before.

    Keys: firmware, memory_bytes, cpu_count, product, vendor, serial, uuid, nics [{mac, name,
    driver, speed_mbps}], drives [as the engine's Drive], controllers, volumes; others are kept as
    facts. An enrolled machine becomes discovered, and available where no disk holds data (or an
    operator has accepted that). Raises ConflictError when the report contradicts itself or the
    inventory.
    """
    view = machines.by_ids(connection, [machine_id])[0]
    _replace_drives(connection, machine_id, facts)
    _replace_nics(connection, machine_id, _items(facts, "nics"))
    kept = {key: _bounded(value) for key, value in facts.items() if key not in _OWN_KEYS}
    firmware = facts.get("firmware")
    if firmware not in (None, "", "bios", "uefi"):
        raise ConflictError(f"{firmware!r} is no firmware", machine=machine_id)
    connection.execute(
        update(MACHINE)
        .where(MACHINE.c.id == machine_id)
        .values(
            firmware=firmware or view.firmware,
            memory_bytes=_whole(facts.get("memory_bytes")),
            cpu_count=_whole(facts.get("cpu_count")),
            product=_text(facts.get("product")),
            vendor=_text(facts.get("vendor")),
            facts=kept,
            discovered_at=now,
        )
    )
    journal.record(connection, "machine.discovered", machine_id, now)
    _settle(connection, machine_id, now)


def _settle(connection: Connection, machine_id: str, now: float) -> None:
    """The rule: a disk that holds data keeps its machine discovered."""

    def move(target: State, reason: str) -> None:
        machines.set_state(connection, machine_id, target, actor=ENGINE, reason=reason, now=now)

    query = select(MACHINE.c.state, MACHINE.c.data_accepted).where(MACHINE.c.id == machine_id)
    row = connection.execute(query).one()
    state = State(row.state)
    if state not in (State.ENROLLED, State.DISCOVERED, State.AVAILABLE):
        return
    if state is State.ENROLLED:
        move(State.DISCOVERED, "a ramdisk reported its hardware")
        state = State.DISCOVERED
    holds_data = select(DRIVE.c.id).where(DRIVE.c.machine_id == machine_id, DRIVE.c.has_data)
    if connection.scalar(holds_data) is None or row.data_accepted:
        if state is State.DISCOVERED:
            move(State.AVAILABLE, "no disk holds data that was not released")
    elif state is State.AVAILABLE:
        move(State.DISCOVERED, "a disk holds data")


def _replace_drives(connection: Connection, machine_id: str, facts: Mapping[str, object]) -> None:
    for table in (VOLUME, DRIVE, CONTROLLER):
        connection.execute(delete(table).where(table.c.machine_id == machine_id))
    controllers: dict[str, int] = {}
    for item in _items(facts, "controllers"):
        slot = _text(item.get("slot"))
        values: dict[str, Any] = {
            "machine_id": machine_id,
            "slot": slot,
            "driver": _text(item.get("driver")),
            "model": _text(item.get("model")),
        }
        key = connection.execute(insert(CONTROLLER).values(values)).inserted_primary_key
        controllers[slot] = int(key[0]) if key is not None else 0
    drives = [
        {
            "machine_id": machine_id,
            "controller_id": controllers.get(_text(item.get("controller"))),
            **_drive(item, position),
        }
        for position, item in enumerate(_items(facts, "drives"))
    ]
    if drives:
        connection.execute(insert(DRIVE), drives)
    for item in _items(facts, "volumes"):
        values = {
            "machine_id": machine_id,
            "controller_id": controllers.get(_text(item.get("controller"))),
            "name": _text(item.get("name")),
            "level": _text(item.get("level")),
            "size_bytes": _whole(item.get("size_bytes")) or 0,
        }
        connection.execute(insert(VOLUME).values(values))


def _drive(item: Mapping[str, Any], position: int) -> dict[str, Any]:
    signatures = item.get("signatures") or []
    return {
        "position": position,
        "serial": _text(item.get("serial")),
        "wwn": _text(item.get("wwn")),
        "path": _text(item.get("path")),
        "model": _text(item.get("model")),
        "size_bytes": _whole(item.get("size_bytes")) or 0,
        "sector_bytes": _whole(item.get("sector_bytes")) or 512,
        "transport": _text(item.get("transport")),
        "rotational": bool(item.get("rotational")),
        "removable": bool(item.get("removable")),
        # what is not said to be blank may hold data
        "has_data": bool(item.get("has_data", True)) or bool(signatures),
        "signatures": [_text(signature) for signature in signatures],
    }


def _replace_nics(
    connection: Connection, machine_id: str, items: Sequence[Mapping[str, Any]]
) -> None:
    """Enrolled NICs stay, and learn name and driver; those seen before and gone now go."""
    seen: list[str] = []
    for position, item in enumerate(items):
        try:
            mac = mac_of(str(item.get("mac", "")))
        except ValueError:
            continue  # InfiniBand and the like have none that we could use
        owner = connection.scalar(select(NIC.c.machine_id).where(NIC.c.mac == mac))
        if owner not in (None, machine_id):
            raise ConflictError(
                f"machine {machine_id} reports MAC {mac}, which is machine {owner}'s",
                machine=machine_id,
                hint="a NIC was moved, or two machines were enrolled with each other's MACs",
            )
        values = {
            "name": _text(item.get("name")),
            "driver": _text(item.get("driver")),
            "speed_mbps": _whole(item.get("speed_mbps")),
            "position": position,
        }
        row = upsert(NIC).values(mac=mac, machine_id=machine_id, is_enrolled=False, **values)
        connection.execute(row.on_conflict_do_update(index_elements=["mac"], set_=values))
        seen.append(mac)
    connection.execute(
        delete(NIC).where(
            NIC.c.machine_id == machine_id, NIC.c.is_enrolled.is_(False), NIC.c.mac.not_in(seen)
        )
    )


def record_erasing(
    connection: Connection, machine_id: str, install_id: str, drive_serial: str, now: float
) -> None:
    """The installed record no longer holds. Twice with one install id does nothing more."""
    last = _last(connection, machine_id)
    if last is not None and last["install_id"] == install_id:
        if last["drive_serial"] != drive_serial:
            raise ConflictError(
                f"installation {install_id} is of drive {last['drive_serial']}, not {drive_serial}",
                machine=machine_id,
            )
        changed = {"state": "erasing", "erased_at": now}
        connection.execute(
            update(INSTALLATION).where(INSTALLATION.c.install_id == install_id).values(changed)
        )
    else:
        values: dict[str, Any] = {
            "install_id": install_id,
            "machine_id": machine_id,
            "generation": (last["generation"] if last else 0) + 1,
            "state": "erasing",
            "drive_serial": drive_serial,
            "image_digest": "",
            "os": "",
            "erased_at": now,
            "evidence": {},
        }
        _insert(connection, machine_id, install_id, values)
    state = State(machines.by_ids(connection, [machine_id])[0].state)
    if state in (State.ALLOCATED, State.ACTIVE):
        machines.set_state(
            connection,
            machine_id,
            State.DEPLOYING,
            actor=ENGINE,
            reason=f"drive {drive_serial} is erased for {install_id}",
            now=now,
        )
    journal.record(
        connection, "machine.erasing", machine_id, now, install_id=install_id, drive=drive_serial
    )


def record_installed(
    connection: Connection, machine_id: str, evidence: Mapping[str, object], now: float
) -> None:
    """A passed verify of an install: ``evidence`` has install_id, image_digest, drive_serial, os.

    Idempotent. Raises ConflictError when it speaks of another installation than the last begun.
    """
    install_id, drive_serial = (
        _text(evidence.get("install_id")),
        _text(evidence.get("drive_serial")),
    )
    last = _last(connection, machine_id)
    if not install_id or not drive_serial:
        raise ConflictError(
            "the evidence of an installation names no install_id or drive_serial",
            machine=machine_id,
        )
    values = {
        "state": "installed",
        "image_digest": _text(evidence.get("image_digest")),
        "os": _text(evidence.get("os")),
        "installed_at": now,
        "evidence": _bounded(dict(evidence)),
    }
    if last is None:
        generation = _whole(evidence.get("generation")) or 1
        found = {"install_id": install_id, "machine_id": machine_id, "drive_serial": drive_serial}
        _insert(connection, machine_id, install_id, {**found, "generation": generation, **values})
    elif (last["install_id"], last["drive_serial"]) != (install_id, drive_serial):
        raise ConflictError(
            f"the evidence is of installation {install_id} on drive {drive_serial}, "
            f"but {last['install_id']} on {last['drive_serial']} was begun last",
            machine=machine_id,
        )
    else:
        if last["state"] == "installed":
            values["installed_at"] = last["installed_at"]
        connection.execute(
            update(INSTALLATION).where(INSTALLATION.c.install_id == install_id).values(values)
        )
        if last["state"] == "installed":
            return
    # what the disk holds now is ours: a later discovery must not withhold the machine for it
    connection.execute(update(MACHINE).where(MACHINE.c.id == machine_id).values(data_accepted=True))
    journal.record(connection, "machine.installed", machine_id, now, install_id=install_id)


def _insert(
    connection: Connection, machine_id: str, install_id: str, values: Mapping[str, Any]
) -> None:
    try:
        connection.execute(insert(INSTALLATION).values(**values))
    except IntegrityError as error:
        raise ConflictError(
            f"installation {install_id} is recorded already, of another machine or time",
            machine=machine_id,
        ) from error


def _last(connection: Connection, machine_id: str) -> Mapping[str, Any] | None:
    query = (
        select(INSTALLATION)
        .where(INSTALLATION.c.machine_id == machine_id)
        .order_by(INSTALLATION.c.generation.desc())
        .limit(1)
    )
    row = connection.execute(query).mappings().first()
    return None if row is None else dict(row)


def _items(facts: Mapping[str, object], key: str) -> list[Mapping[str, Any]]:
    value = facts.get(key) or []
    if not isinstance(value, list | tuple) or not all(isinstance(item, Mapping) for item in value):
        raise ConflictError(f"the reported {key} are not a list of mappings")
    return list(value)


def _text(value: object) -> str:
    return "" if value is None else str(value).strip()[:_TEXT_MAX]


def _whole(value: object) -> int | None:
    if value is None or value == "":
        return None
    try:
        return int(str(value))
    except ValueError as error:
        raise ConflictError(f"{str(value)[:40]!r} is not a whole number") from error


def _bounded(value: object, depth: int = 6) -> Any:
    """JSON-like values with long texts cut and nesting bounded: a machine says what it likes."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if depth and isinstance(value, Mapping):
        return {str(key)[:_TEXT_MAX]: _bounded(item, depth - 1) for key, item in value.items()}
    if depth and isinstance(value, list | tuple):
        return [_bounded(item, depth - 1) for item in value[:256]]
    return str(value)[:_TEXT_MAX]
