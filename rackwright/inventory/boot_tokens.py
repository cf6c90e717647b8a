"""Who may boot our ramdisk, and whose ramdisk is speaking: arm windows and one-time tokens.

Theory of operation. ``arm`` opens a window for one machine, run and stage, and closes the one
before. Each fetch of the boot script mints a fresh token and supersedes the window's earlier ones.
The first accepted contact binds the window to its host key: the same key may repeat itself and gets
the same answer; any other key that shows a token of this window, superseded or not, proves that two
parties hold what was meant for one, and quarantines the machine. Tokens are stored as SHA-256 alone
and compared in constant time. Until Secure Boot or virtual media closes it, the first contact is
trust on first use inside the window (design, section 6.1).

A refusal is a value here, not an exception: the audit row and the quarantine that go with it must
be committed. The facade raises it afterwards.
"""

import hashlib
import hmac
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Connection, delete, func, insert, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from rackwright.inventory import audit, journal, machines
from rackwright.inventory.errors import ConflictError
from rackwright.inventory.identity import mac_of, same_uuid, serial_of, uuid_of
from rackwright.inventory.lifecycle import State
from rackwright.inventory.machines import ENGINE
from rackwright.inventory.tables import (
    BOOT_TOKEN,
    BOOT_WINDOW,
    MACHINE,
    NIC,
    RAMDISK_CONTACT,
)
from rackwright.inventory.values import ContactView

TOKEN_BYTES = 32
TTL_MAX_S = 24 * 3600.0
TOKENS_KEPT = 16  # of one window: older superseded ones need not be told from unknown ones
_MACS_MAX = 64
_TEXT_MAX = 256
_KEY_MAX = 2048


@dataclass(frozen=True, slots=True)
class Minted:
    """A fresh token for an armed machine. ``repr`` does not show it."""

    token: str
    machine_id: str
    machine_name: str
    run_id: str
    stage: str

    def __repr__(self) -> str:
        return f"Minted(machine_id={self.machine_id!r}, run_id={self.run_id!r})"


@dataclass(frozen=True, slots=True)
class Contact:
    """What a ramdisk posted with its token; ``address`` is where the request came from."""

    address: str
    host_key: str
    macs: Sequence[str]
    uuid: str = ""
    serial: str = ""
    boot_id: str = ""
    machine_id: str = ""  # the ramdisk's own /etc/machine-id
    firmware: str = ""
    ramdisk_digest: str = ""


@dataclass(frozen=True, slots=True)
class Accepted:
    """``is_repeat``: the same contact was accepted before; nothing was changed."""

    machine_id: str
    machine_name: str
    run_id: str
    stage: str
    is_repeat: bool


@dataclass(frozen=True, slots=True)
class Refused:
    """``kind`` "token" (403) or "host_key" (409, and the machine is quarantined)."""

    kind: Literal["token", "host_key"]
    reason: str
    machine_id: str = ""


def arm(
    connection: Connection, machine_id: str, *, run_id: str, stage: str, ttl_s: float, now: float
) -> int:
    """Open a window, closing the one before; returns its id. Raises ConflictError leaves."""
    view = machines.by_ids(connection, [machine_id])[0]
    if view.state in (State.QUARANTINED, State.RETIRED, State.MAINTENANCE):
        raise ConflictError(
            f"machine {view.name} is {view.state} and cannot be armed", machine=machine_id
        )
    if not 0 < ttl_s <= TTL_MAX_S:
        raise ConflictError(f"an arm window of {ttl_s} s is not within 24 h", machine=machine_id)
    disarm(connection, machine_id, now=now)
    _prune(connection, machine_id, now)
    values = {
        "machine_id": machine_id,
        "run_id": run_id,
        "stage": stage,
        "state": "armed",
        "opened_at": now,
        "expires_at": now + ttl_s,
        "host_key": "",
    }
    key = connection.execute(insert(BOOT_WINDOW).values(values)).inserted_primary_key
    journal.record(connection, "machine.armed", machine_id, now, run=run_id, stage=stage)
    return int(key[0]) if key is not None else 0


def _prune(connection: Connection, machine_id: str, now: float) -> None:
    """Windows that no token could be valid in any more."""
    is_old = (BOOT_WINDOW.c.machine_id == machine_id) & (BOOT_WINDOW.c.expires_at < now - TTL_MAX_S)
    old = select(BOOT_WINDOW.c.id).where(is_old)
    connection.execute(delete(BOOT_TOKEN).where(BOOT_TOKEN.c.window_id.in_(old)))
    connection.execute(delete(BOOT_WINDOW).where(is_old))


def disarm(connection: Connection, machine_id: str, *, now: float) -> None:
    """Close the machine's window; its tokens die with it. Idempotent."""
    closed = connection.execute(
        update(BOOT_WINDOW)
        .where(BOOT_WINDOW.c.machine_id == machine_id, BOOT_WINDOW.c.state == "armed")
        .values(state="closed")
    )
    if closed.rowcount:
        journal.record(connection, "machine.disarmed", machine_id, now)


def armed_macs(connection: Connection, now: float) -> list[tuple[str, str]]:
    """(MAC, machine id) of every enrolled NIC of a machine with an open window: for DHCP."""
    query = (
        select(NIC.c.mac, NIC.c.machine_id)
        .join(BOOT_WINDOW, BOOT_WINDOW.c.machine_id == NIC.c.machine_id)
        .where(NIC.c.is_enrolled, BOOT_WINDOW.c.state == "armed", BOOT_WINDOW.c.expires_at > now)
        .order_by(NIC.c.mac)
    )
    return [(row.mac, row.machine_id) for row in connection.execute(query)]


def is_armed(connection: Connection, mac: str, now: float) -> bool | None:
    """Whether ``mint`` would give a token; None for a MAC that nobody enrolled."""
    try:
        machine_id = machines.id_by_mac(connection, mac_of(mac))
    except ValueError:
        return None
    if machine_id is None:
        return None
    return _open_window(connection, machine_id, now) is not None


def is_known(connection: Connection, token: str) -> bool:
    """Whether a window ever gave this token."""
    return _window_of(connection, token) is not None


def mint(connection: Connection, mac: str, *, address: str, now: float) -> Minted | None:
    """A token for the machine with this MAC; None when it is unknown or not armed."""
    try:
        machine_id = machines.id_by_mac(connection, mac_of(mac))
    except ValueError:
        machine_id = None
    if machine_id is None:
        detail = {"mac": mac[:_TEXT_MAX], "address": address}
        _audit(connection, "boot.unknown", "mac:" + mac[:_TEXT_MAX], detail, now)
        return None
    window = _open_window(connection, machine_id, now)
    if window is None:
        return None
    connection.execute(
        update(BOOT_TOKEN)
        .where(BOOT_TOKEN.c.window_id == window["id"], BOOT_TOKEN.c.superseded.is_(False))
        .values(superseded=True)
    )
    token = secrets.token_urlsafe(TOKEN_BYTES)
    connection.execute(
        insert(BOOT_TOKEN).values(
            sha256=_digest(token), window_id=window["id"], minted_at=now, superseded=False
        )
    )
    mine = BOOT_TOKEN.c.window_id == window["id"]
    kept = select(BOOT_TOKEN.c.id).where(mine).order_by(BOOT_TOKEN.c.id.desc()).limit(TOKENS_KEPT)
    connection.execute(delete(BOOT_TOKEN).where(mine, BOOT_TOKEN.c.id.not_in(kept)))
    name = connection.scalar(select(MACHINE.c.name).where(MACHINE.c.id == machine_id))
    return Minted(token, machine_id, str(name), window["run_id"], window["stage"])


def contact_in_window(connection: Connection, machine_id: str, run_id: str) -> ContactView | None:
    """The contact accepted in the machine's present window of this run.

    Raises ConflictError when no window is open and none was spent: waiting on would be for ever.
    """
    query = (
        select(BOOT_WINDOW)
        .where(BOOT_WINDOW.c.machine_id == machine_id, BOOT_WINDOW.c.run_id == run_id)
        .order_by(BOOT_WINDOW.c.id.desc())
        .limit(1)
    )
    window = connection.execute(query).mappings().first()
    if window is None or (window["state"] == "closed" and not window["host_key"]):
        raise ConflictError(
            f"machine {machine_id} is not armed for run {run_id}", machine=machine_id
        )
    if window["state"] == "quarantined":
        raise ConflictError(f"machine {machine_id} is quarantined", machine=machine_id)
    if not window["host_key"]:
        return None
    return machines.contact(connection, machine_id)


def spend(
    connection: Connection, token: str, contact: Contact, *, now: float
) -> Accepted | Refused:
    """Accept a ramdisk's first contact, at most one host key per window.

    An accepted contact is recorded with the machine; every refusal is audited.
    """
    decided = _decide(connection, token, contact, now)
    if isinstance(decided, Refused):
        subject = decided.machine_id or "boot"
        detail = {"reason": decided.reason, "address": contact.address}
        _audit(connection, "boot.refused", subject, detail, now)
    return decided


def _decide(connection: Connection, token: str, contact: Contact, now: float) -> Accepted | Refused:
    found = _window_of(connection, token)
    if found is None:
        return Refused("token", "unknown token")
    window, superseded = found
    machine_id = window["machine_id"]
    if window["state"] != "armed":
        return Refused("token", "its window is closed", machine_id)
    if window["expires_at"] <= now:
        return Refused("token", "its window has expired", machine_id)
    mismatch = _mismatch(connection, machine_id, contact)
    if mismatch:
        return Refused("token", mismatch, machine_id)
    if not contact.host_key or len(contact.host_key) > _KEY_MAX:
        return Refused("token", "no usable host key was posted", machine_id)
    known = window["host_key"]
    is_same = hmac.compare_digest(known.encode(), contact.host_key.encode())
    if known and not is_same:
        _quarantine(connection, window, contact, now)
        return Refused("host_key", "a second, different host key in one window", machine_id)
    if superseded and not known:
        return Refused("token", "a later boot script superseded it", machine_id)
    name = connection.scalar(select(MACHINE.c.name).where(MACHINE.c.id == machine_id))
    if not known:
        _accept(connection, window, contact, now)
    return Accepted(machine_id, str(name), window["run_id"], window["stage"], bool(known))


def _accept(
    connection: Connection, window: Mapping[str, Any], contact: Contact, now: float
) -> None:
    machine_id = window["machine_id"]
    connection.execute(
        update(BOOT_WINDOW)
        .where(BOOT_WINDOW.c.id == window["id"])
        .values(host_key=contact.host_key)
    )
    values = {
        "window_id": window["id"],
        "run_id": window["run_id"],
        "stage": window["stage"],
        "address": contact.address[:_TEXT_MAX],
        "boot_id": contact.boot_id[:_TEXT_MAX],
        "host_key": contact.host_key,
        "ramdisk_machine_id": contact.machine_id[:_TEXT_MAX],
        "ramdisk_digest": contact.ramdisk_digest[:_TEXT_MAX],
        "firmware": contact.firmware if contact.firmware in ("bios", "uefi") else "",
        "at": now,
    }
    row = upsert(RAMDISK_CONTACT).values(machine_id=machine_id, **values)
    connection.execute(row.on_conflict_do_update(index_elements=["machine_id"], set_=values))
    detail = {"address": contact.address, "run": window["run_id"]}
    _audit(connection, "boot.contact", machine_id, detail, now)
    journal.record(connection, "machine.contact", machine_id, now, run=window["run_id"])


def _quarantine(
    connection: Connection, window: Mapping[str, Any], contact: Contact, now: float
) -> None:
    connection.execute(
        update(BOOT_WINDOW).where(BOOT_WINDOW.c.id == window["id"]).values(state="quarantined")
    )
    machines.set_state(
        connection,
        window["machine_id"],
        State.QUARANTINED,
        actor=ENGINE,
        reason=f"a second host key came from {contact.address[:_TEXT_MAX]}",
        now=now,
    )


def _mismatch(connection: Connection, machine_id: str, contact: Contact) -> str:
    """Why the posted identity is not the enrolled machine's, "" if nothing speaks against it."""
    query = select(MACHINE.c.uuid, MACHINE.c.serial).where(MACHINE.c.id == machine_id)
    enrolled = connection.execute(query).one()
    posted = set()
    for text in contact.macs[:_MACS_MAX]:
        try:
            posted.add(mac_of(text))
        except ValueError:
            continue
    rows = connection.execute(
        select(NIC.c.mac, NIC.c.machine_id).where(
            NIC.c.is_enrolled, NIC.c.mac.in_(sorted(posted)) | (NIC.c.machine_id == machine_id)
        )
    ).all()
    mine = {mac for mac, owner in rows if owner == machine_id}
    if mine and not mine & posted:
        return "none of the posted MACs is enrolled for the machine"
    if any(owner != machine_id for _, owner in rows):
        return "a posted MAC is enrolled for another machine"
    return _uuid_mismatch(connection, enrolled.uuid, contact.uuid, machine_id) or _serial_mismatch(
        connection, enrolled.serial, contact.serial, machine_id
    )


def _uuid_mismatch(connection: Connection, enrolled: str | None, text: str, machine_id: str) -> str:
    try:
        posted = uuid_of(text)
    except ValueError:
        return "the posted UUID is malformed"
    if posted is None:
        return ""
    if enrolled is not None:
        return "" if same_uuid(enrolled, posted) else "the posted UUID is not the enrolled one"
    others = MACHINE.c.id != machine_id
    if connection.scalar(select(func.count()).where(MACHINE.c.uuid == posted, others)):
        return "the posted UUID is enrolled for another machine"
    return ""


def _serial_mismatch(
    connection: Connection, enrolled: str | None, text: str, machine_id: str
) -> str:
    posted = serial_of(text)
    if posted is None:
        return ""
    if enrolled is not None:
        same = enrolled.lower() == posted.lower()
        return "" if same else "the posted serial is not the enrolled one"
    others = MACHINE.c.id != machine_id
    if connection.scalar(select(func.count()).where(MACHINE.c.serial == posted, others)):
        return "the posted serial is enrolled for another machine"
    return ""


def _open_window(connection: Connection, machine_id: str, now: float) -> dict[str, Any] | None:
    query = select(BOOT_WINDOW).where(
        BOOT_WINDOW.c.machine_id == machine_id,
        BOOT_WINDOW.c.state == "armed",
        BOOT_WINDOW.c.expires_at > now,
    )
    row = connection.execute(query).mappings().first()
    return None if row is None else dict(row)


def _window_of(connection: Connection, token: str) -> tuple[dict[str, Any], bool] | None:
    digest = _digest(token)
    query = (
        select(BOOT_WINDOW, BOOT_TOKEN.c.sha256, BOOT_TOKEN.c.superseded)
        .join(BOOT_WINDOW, BOOT_WINDOW.c.id == BOOT_TOKEN.c.window_id)
        .where(BOOT_TOKEN.c.sha256 == digest)
    )
    row = connection.execute(query).mappings().first()
    if row is None or not hmac.compare_digest(row["sha256"], digest):
        return None
    return dict(row), bool(row["superseded"])


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _audit(
    connection: Connection, action: str, subject: str, detail: Mapping[str, Any], now: float
) -> None:
    audit.record(connection, actor="boot", action=action, subject=subject, now=now, detail=detail)
