"""Machines: who they are, what a ramdisk said of them, and which state they are in.

Functions take a connection; those that change something run inside a write. Times are unix seconds.
"""

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, delete, func, insert, or_, select, update

from rackwright.inventory import audit, credentials, journal, lifecycle, selectors
from rackwright.inventory.errors import AmbiguousError, ConflictError, NotFoundError
from rackwright.inventory.lifecycle import State
from rackwright.inventory.machine_views import views
from rackwright.inventory.tables import (
    ADDRESS,
    BMC_SYSTEM,
    BOOT_TOKEN,
    BOOT_WINDOW,
    CLUSTER_MEMBER,
    CONTROLLER,
    DRIVE,
    INSTALLATION,
    LABEL,
    LINK,
    MACHINE,
    MACHINE_NETWORK,
    NIC,
    RAMDISK_CONTACT,
    RESERVATION,
    RUN,
    SSH_BINDING,
    VOLUME,
)
from rackwright.inventory.values import ContactView, MachineView, SshBindingView

ENGINE = "engine"  # the actor of what no person asked for
PAGE_MAX = 1000


def page(
    connection: Connection,
    *,
    selector: str = "",
    states: Sequence[str] = (),
    after: str = "",
    limit: int | None = 100,
) -> list[MachineView]:
    """Machines by name; ``after`` is the last name of the page before, ``limit`` None means all.

    Raises SelectorError.
    """
    query = select(MACHINE).where(selectors.clause(selectors.parse(selector)))
    if states:
        query = query.where(MACHINE.c.state.in_(list(states)))
    if after:
        query = query.where(MACHINE.c.name > after)
    query = query.order_by(MACHINE.c.name)
    if limit is not None:
        query = query.limit(max(1, min(limit, PAGE_MAX)))
    return views(connection, query)


def count_by_state(connection: Connection) -> dict[str, int]:
    """How many machines are in each state; states without any are left out."""
    query = select(MACHINE.c.state, func.count()).group_by(MACHINE.c.state)
    return {row[0]: row[1] for row in connection.execute(query)}


def by_ids(connection: Connection, ids: Sequence[str]) -> list[MachineView]:
    """In the order given. Raises NotFoundError for an unknown id."""
    found: dict[str, MachineView] = {}
    for start in range(0, len(ids), 500):
        chunk = ids[start : start + 500]
        query = select(MACHINE).where(MACHINE.c.id.in_(chunk))
        found.update((view.id, view) for view in views(connection, query))
    for machine_id in ids:
        if machine_id not in found:
            raise _unknown(connection, machine_id)
    return [found[machine_id] for machine_id in ids]


def get(connection: Connection, reference: str) -> MachineView:
    """By id or name. Raises NotFoundError with a near match, AmbiguousError."""
    return by_ids(connection, [id_of(connection, reference)])[0]


def id_of(connection: Connection, reference: str) -> str:
    """The id behind an id or name; see ``get``."""
    query = select(MACHINE.c.id).where(or_(MACHINE.c.id == reference, MACHINE.c.name == reference))
    found = list(connection.scalars(query))
    if len(found) > 1:
        raise AmbiguousError(
            f"{reference!r} is the name of one machine and the id of another", hint="rename one"
        )
    if not found:
        raise _unknown(connection, reference)
    return str(found[0])


def names(connection: Connection, ids: Sequence[str]) -> dict[str, str]:
    """Id -> name of those that are machines; what else is asked for is left out."""
    query = select(MACHINE.c.id, MACHINE.c.name).where(MACHINE.c.id.in_(ids))
    return {row.id: row.name for row in connection.execute(query)}


def id_by_mac(connection: Connection, mac: str) -> str | None:
    """The machine that an operator enrolled with this MAC (canonical form)."""
    query = select(NIC.c.machine_id).where(NIC.c.mac == mac, NIC.c.is_enrolled)
    found = connection.scalar(query)
    return None if found is None else str(found)


def set_state(
    connection: Connection,
    machine_id: str,
    target: State,
    *,
    actor: str,
    reason: str,
    now: float,
) -> None:
    """Move along the lifecycle's table; audited. An ``actor`` other than ``engine`` is a person.

    Raises TransitionError. A machine already in the state stays there, unaudited.
    """
    source = State(_row(connection, machine_id)["state"])
    if source is target:
        return
    by_operator = actor != ENGINE
    change = lifecycle.transition(machine_id, source, target, by_operator=by_operator)
    changed: dict[str, Any] = {"state": target.value}
    if target is State.RELEASING:
        changed["data_accepted"] = False  # what the next owner finds there was not released
    connection.execute(update(MACHINE).where(MACHINE.c.id == machine_id).values(changed))
    detail = {"from": source.value, "to": target.value, "reason": reason}
    audit.record(
        connection,
        actor=actor,
        action=f"machine.{change.action}",
        subject=machine_id,
        now=now,
        detail=detail,
    )
    journal.record(connection, "machine.state", machine_id, now, **detail)


def release(connection: Connection, machine_id: str, *, actor: str, now: float) -> None:
    """An operator accepts that the disks of a machine hold data: it is available.

    One that is active or failed is given back: what we installed on it counts no longer, and the
    next cluster installs it anew. Raises ConflictError for a machine in any other state, in a run
    or in a cluster.
    """
    state = _row(connection, machine_id)["state"]
    if state in (State.ACTIVE, State.FAILED):
        _give_back(connection, machine_id, actor=actor, now=now)
    elif state != State.DISCOVERED:
        raise ConflictError(
            f"machine {machine_id} is {state}, not discovered",
            machine=machine_id,
            hint="run a discovery first" if state == State.ENROLLED else "",
        )
    connection.execute(update(MACHINE).where(MACHINE.c.id == machine_id).values(data_accepted=True))
    reason = "an operator released the disks that hold data"
    set_state(connection, machine_id, State.AVAILABLE, actor=actor, reason=reason, now=now)


def _give_back(connection: Connection, machine_id: str, *, actor: str, now: float) -> None:
    """From active or failed to discovered, without an installation of ours."""
    view = by_ids(connection, [machine_id])[0]
    if view.run:
        raise ConflictError(
            f"machine {view.name} is in run {view.run}",
            machine=machine_id,
            hint=f"wait for it, or cancel it: rackwright run cancel {view.run}",
        )
    if view.cluster:
        raise ConflictError(
            f"machine {view.name} is a member of cluster {view.cluster}",
            machine=machine_id,
            hint=f"rackwright cluster shrink {view.cluster} {view.name} takes it out",
        )
    reason = "an operator gave it back"
    set_state(connection, machine_id, State.RELEASING, actor=actor, reason=reason, now=now)
    connection.execute(
        update(INSTALLATION)
        .where(INSTALLATION.c.machine_id == machine_id, INSTALLATION.c.state == "installed")
        .values(state="released")
    )
    reason = "what was installed counts no longer"
    set_state(connection, machine_id, State.DISCOVERED, actor=ENGINE, reason=reason, now=now)


def protect(
    connection: Connection, machine_id: str, *, protected: bool, actor: str, now: float
) -> None:
    """``protected`` blocks power and erasure; audited."""
    _row(connection, machine_id)
    connection.execute(
        update(MACHINE).where(MACHINE.c.id == machine_id).values(protected=protected)
    )
    action = "machine.protect" if protected else "machine.unprotect"
    audit.record(connection, actor=actor, action=action, subject=machine_id, now=now)
    journal.record(connection, "machine.protected", machine_id, now, protected=protected)


def set_label(
    connection: Connection, machine_id: str, key: str, value: str | None, *, actor: str, now: float
) -> None:
    """Set or (None) remove one label. Raises ConflictError for what no selector could name."""
    _row(connection, machine_id)
    check_label(key, value or "")
    connection.execute(delete(LABEL).where(LABEL.c.machine_id == machine_id, LABEL.c.key == key))
    if value is not None:
        connection.execute(insert(LABEL).values(machine_id=machine_id, key=key, value=value))
    audit.record(
        connection,
        actor=actor,
        action="machine.label",
        subject=machine_id,
        now=now,
        detail={"label": key, "value": value},
    )
    journal.record(connection, "machine.label", machine_id, now, label=key)


def check_label(key: str, value: str) -> None:
    """Raises ConflictError."""
    if key in selectors.PSEUDO_LABELS:
        raise ConflictError(
            f"{key!r} cannot be a label", hint="selectors already know it as the machine's own"
        )
    if not selectors.LABEL_KEY.fullmatch(key):
        raise ConflictError(f"{key!r} is not a label", hint="letters, digits and ._/- inside")
    if not selectors.LABEL_VALUE.fullmatch(value):
        raise ConflictError(
            f"{value!r} is not a label's value", hint="at most 63 letters, digits and ._:/+-"
        )


def ssh_binding(connection: Connection, machine_id: str) -> SshBindingView | None:
    """How a machine that came with an OS is reached; None for one that we install."""
    query = select(SSH_BINDING).where(SSH_BINDING.c.machine_id == machine_id)
    row = connection.execute(query).mappings().first()
    if row is None:
        return None
    return SshBindingView(row["address"], row["port"], row["user"], row["host_key"])


def contact(connection: Connection, machine_id: str) -> ContactView | None:
    """The last accepted contact of the machine's ramdisk."""
    query = select(RAMDISK_CONTACT).where(RAMDISK_CONTACT.c.machine_id == machine_id)
    row = connection.execute(query).mappings().first()
    if row is None:
        return None
    fields = ContactView.__dataclass_fields__
    return ContactView(**{name: row[name] for name in fields})


def forget(connection: Connection, machine_id: str, *, actor: str, now: float) -> None:
    """Remove a retired machine and all that was known of it, its secrets included.

    Audit rows and the history of runs stay. Raises ConflictError unless retired and unreserved.
    """
    row = _row(connection, machine_id)
    if row["state"] != State.RETIRED:
        raise ConflictError(
            f"machine {machine_id} is {row['state']}",
            machine=machine_id,
            hint="retire it first: rackwright machine state NAME retired --reason WHY",
        )
    holder = reserved_by(connection, machine_id)
    if holder:
        raise ConflictError(f"run {holder} holds machine {machine_id}", run=holder)
    mine = select(BMC_SYSTEM.c.endpoint_id).where(BMC_SYSTEM.c.machine_id == machine_id)
    endpoints = list(connection.scalars(mine))
    windows = select(BOOT_WINDOW.c.id).where(BOOT_WINDOW.c.machine_id == machine_id)
    connection.execute(delete(BOOT_TOKEN).where(BOOT_TOKEN.c.window_id.in_(windows)))
    connection.execute(delete(MACHINE_NETWORK).where(MACHINE_NETWORK.c.machine_id == machine_id))
    links = select(LINK.c.id).where(LINK.c.machine_id == machine_id)
    connection.execute(delete(ADDRESS).where(ADDRESS.c.link_id.in_(links)))
    for table in (
        BOOT_WINDOW,
        RAMDISK_CONTACT,
        LINK,
        NIC,
        LABEL,
        SSH_BINDING,
        BMC_SYSTEM,
        VOLUME,
        DRIVE,
        CONTROLLER,
        INSTALLATION,
        CLUSTER_MEMBER,
    ):
        connection.execute(delete(table).where(table.c.machine_id == machine_id))
    credentials.drop_unused(connection, endpoints)
    connection.execute(delete(MACHINE).where(MACHINE.c.id == machine_id))
    detail = {"name": row["name"]}
    audit.record(
        connection, actor=actor, action="machine.forget", subject=machine_id, now=now, detail=detail
    )
    journal.record(connection, "machine.forgotten", machine_id, now, **detail)


def reserved_by(connection: Connection, machine_id: str) -> str:
    """The id of the run that holds the machine, "" if none does."""
    query = select(RUN.c.id).join(RESERVATION).where(RESERVATION.c.machine_id == machine_id)
    return str(connection.scalar(query) or "")


def _row(connection: Connection, machine_id: str) -> Mapping[str, Any]:
    query = select(MACHINE).where(MACHINE.c.id == machine_id)
    row = connection.execute(query).mappings().first()
    if row is None:
        raise _unknown(connection, machine_id)
    return dict(row)


def _unknown(connection: Connection, reference: str) -> NotFoundError:
    names = list(connection.scalars(select(MACHINE.c.name).limit(20_000)))
    near = difflib.get_close_matches(reference, names, 1)
    hint = f"did you mean {near[0]}?" if near else "list them with: rackwright machine list"
    return NotFoundError(f"no machine is called {reference!r}", hint=hint, machine=reference)
