"""Writes a validated enrolment: finds what it collides with, then creates and updates.

One transaction, all or nothing. A section (the machine's row, labels, NICs, network, BMC, SSH) is
written only where it differs, so that enrolling the same file again changes nothing.
"""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import Connection, or_, select

from rackwright.inventory import audit, journal, machines
from rackwright.inventory.enrol import sections
from rackwright.inventory.enrol.models import MachineInput
from rackwright.inventory.enrol.parse import Enrolment
from rackwright.inventory.errors import EnrolError, Problem
from rackwright.inventory.lifecycle import State
from rackwright.inventory.secrets import SecretBox
from rackwright.inventory.tables import (
    ADDRESS,
    LINK,
    MACHINE,
    NIC,
    SEGMENT,
)


@dataclass(frozen=True, slots=True)
class MachineReport:
    """``changed`` names the keys that differed."""

    id: str
    name: str
    outcome: Literal["created", "updated", "unchanged"]
    changed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EnrolReport:
    machines: tuple[MachineReport, ...]
    segments_changed: tuple[str, ...]

    def count(self, outcome: str) -> int:
        return sum(machine.outcome == outcome for machine in self.machines)


def apply(
    connection: Connection, box: SecretBox, enrolment: Enrolment, *, actor: str, now: float
) -> EnrolReport:
    """Raises EnrolError with every collision, at its line; then nothing was written."""
    known = _known(connection)
    problems = list(_collisions(connection, enrolment, known))
    if problems:
        raise EnrolError(problems)
    changed_segments = tuple(
        segment.name
        for segment in enrolment.input.segments
        if sections.write_segment(connection, segment)
    )
    reports = []
    for at, machine in enumerate(enrolment.input.machines):
        try:
            reports.append(_write(connection, box, machine, known.get(machine.name), actor, now))
        except sections.SectionError as error:
            path = ("machines", at, error.key)
            raise EnrolError([enrolment.source.problem(path, str(error))]) from error
    return EnrolReport(tuple(reports), changed_segments)


def _write(
    connection: Connection,
    box: SecretBox,
    machine: MachineInput,
    machine_id: str | None,
    actor: str,
    now: float,
) -> MachineReport:
    is_new = machine_id is None
    if machine_id is None:
        machine_id = f"m-{secrets.token_hex(6)}"
        sections.create(connection, machine_id, machine, now)
    changed = [
        *sections.write_row(connection, machine_id, machine),
        *sections.write_labels(connection, machine_id, machine),
        *sections.write_nics(connection, machine_id, machine),
        *sections.write_network(connection, machine_id, machine),
        *sections.write_bmc(connection, box, machine_id, machine, now),
        *sections.write_ssh(connection, machine_id, machine),
    ]
    _move(connection, machine_id, machine, is_new, actor, now)
    if not is_new and not changed:
        return MachineReport(machine_id, machine.name, "unchanged")
    action = "machine.enrol" if is_new else "machine.update"
    audit.record(
        connection,
        actor=actor,
        action=action,
        subject=machine_id,
        now=now,
        detail={"name": machine.name, "changed": changed},
    )
    journal.record(connection, "machine.enrolled", machine_id, now, name=machine.name)
    outcome: Literal["created", "updated"] = "created" if is_new else "updated"
    return MachineReport(machine_id, machine.name, outcome, tuple(changed))


def _move(
    connection: Connection,
    machine_id: str,
    machine: MachineInput,
    is_new: bool,
    actor: str,
    now: float,
) -> None:
    """A retired machine is enrolled again; one that came with an OS is available at once."""
    state = connection.scalar(select(MACHINE.c.state).where(MACHINE.c.id == machine_id))
    target: State | None = None
    if state == State.RETIRED:
        target = State.ENROLLED
    elif is_new and machine.ssh is not None:
        target = State.AVAILABLE
    if target is not None:
        reason = "enrolled again" if state == State.RETIRED else "it came with an OS"
        machines.set_state(connection, machine_id, target, actor=actor, reason=reason, now=now)


def _known(connection: Connection) -> dict[str, str]:
    return {row.name: row.id for row in connection.execute(select(MACHINE.c.name, MACHINE.c.id))}


def _collisions(
    connection: Connection, enrolment: Enrolment, known: dict[str, str]
) -> Iterator[Problem]:
    names = {machine_id: name for name, machine_id in known.items()}
    source = enrolment.source
    for at, machine in enumerate(enrolment.input.machines):
        own = known.get(machine.name, "")
        path = ("machines", at)
        for key, message, owner in _taken(connection, machine):
            if owner != own:
                hint = "machines are matched by name: was it enrolled under another one?"
                yield source.problem((*path, key), f"{message} is machine {names[owner]}'s", hint)
        if machine.segment and not _has_segment(connection, enrolment, machine.segment):
            message = f"there is no segment {machine.segment!r}"
            yield source.problem((*path, "segment"), message, "define it under segments")


def _taken(connection: Connection, machine: MachineInput) -> Iterator[tuple[str, str, str]]:
    """(key, what, machine id) of everything in the inventory that has this machine's identities."""
    macs = [nic.mac for nic in machine.nics]
    if macs:
        query = select(NIC.c.mac, NIC.c.machine_id).where(NIC.c.mac.in_(macs)).order_by(NIC.c.mac)
        for mac, owner in connection.execute(query):
            yield "nics", f"MAC {mac}", owner
    identities = []
    if machine.uuid:
        identities.append(MACHINE.c.uuid == machine.uuid)
    if machine.serial:
        identities.append(MACHINE.c.serial == machine.serial)
    if identities:
        columns = select(MACHINE.c.id, MACHINE.c.uuid, MACHINE.c.serial)
        for row in connection.execute(columns.where(or_(*identities))):
            is_uuid = machine.uuid is not None and row.uuid == machine.uuid
            what = f"uuid {machine.uuid}" if is_uuid else f"serial {machine.serial}"
            yield ("uuid" if is_uuid else "serial"), what, row.id
    for key, text in (("address", machine.address), ("cluster_address", machine.cluster_address)):
        if text:
            taken = (
                select(ADDRESS.c.ip, LINK.c.machine_id)
                .join(LINK)
                .where(ADDRESS.c.ip == text.partition("/")[0], ADDRESS.c.site == machine.site)
            )
            for ip, owner in connection.execute(taken):
                yield key, f"address {ip}", owner


def _has_segment(connection: Connection, enrolment: Enrolment, name: str) -> bool:
    if any(segment.name == name for segment in enrolment.input.segments):
        return True
    return connection.scalar(select(SEGMENT.c.name).where(SEGMENT.c.name == name)) is not None
