"""The fingerprint: a hash over the inventory values that a plan was decided from.

Covered: who the machines are, where they are reached, whether they may be powered and erased, what
is installed, the labels that selectors use, the cluster's id; for machines to be erased also every
drive. Never leases, power state, heartbeats, or the place of a drive under /dev.
"""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

from rackwright.engine.machine import Drive, Machine
from rackwright.engine.plan.canonical import Rows, digest_of
from rackwright.engine.plan.conditions import facts_of
from rackwright.engine.plan.model import Plan


def labels_in(selectors: Iterable[str], machines: Iterable[Machine]) -> tuple[str, ...]:
    """The label keys that occur in the selectors' text."""
    words = {w for s in selectors for w in re.findall(r"[A-Za-z0-9_./-]+", s)}
    return tuple(sorted({key for m in machines for key in m.labels if key in words}))


def fingerprint(
    machines: Sequence[Machine],
    *,
    members: Mapping[str, str],
    erased: Collection[str],
    labels: Sequence[str],
    cluster_id: str,
    facts_used: tuple[tuple[str, ...], ...] = (),
) -> str:
    """``machines``: the plan's, in any order; ``erased``: ids of those with an erasure;
    ``facts_used``: what the workflow's conditions read."""
    ordered = sorted(machines, key=lambda machine: machine.id)

    def values() -> Iterator[list[object]]:
        for machine in ordered:
            value = _values(machine, members, machine.id in erased, labels)
            if facts_used:
                value.append(facts_of(machine, facts_used))
            yield value

    rows = Rows(values, is_sorted=not facts_used)
    return digest_of({"cluster_id": cluster_id, "machines": rows})


def plan_fingerprint(
    plan: Plan, machine: Callable[[str], Machine], *, members: Mapping[str, str], cluster_id: str
) -> str:
    """The same, computed again for a plan: it is stale if this differs from its own.

    ``machine`` gives a machine by id as the inventory holds it now; what it raises is passed on.
    """
    return fingerprint(
        [machine(m.id) for m in plan.machines],
        members=members,
        erased={e.machine_id for e in plan.erasures},
        labels=plan.labels_used,
        cluster_id=cluster_id,
        facts_used=plan.facts_used,
    )


def _values(
    machine: Machine, members: Mapping[str, str], is_erased: bool, labels: Sequence[str]
) -> list[object]:
    keys = machine.labels if "*" in labels else labels
    installed = machine.installed
    return [
        machine.id,
        machine.name,
        machine.site,
        machine.rack,
        machine.machine_class,
        # a member's state moves on while it serves; a stranger must be available
        "own" if machine.id in members else machine.state,
        machine.origin.value,
        machine.protected,
        machine.pxe_mac,
        machine.management_address,
        machine.cluster_address,
        machine.gateway,
        list(machine.dns),
        [machine.bmc.endpoint, machine.bmc.protocol, machine.bmc.address] if machine.bmc else None,
        [
            installed.install_id,
            installed.image_digest,
            installed.drive_serial,
            installed.generation,
        ]
        if installed
        else None,
        {key: machine.labels[key] for key in sorted(keys) if key in machine.labels},
        [_drive(d) for d in sorted(machine.drives or (), key=lambda d: (d.serial, d.wwn, d.path))]
        if is_erased
        else None,
        machine.firmware.value if is_erased and machine.firmware else None,
    ]


def _drive(drive: Drive) -> list[object]:
    return [
        drive.serial,
        drive.wwn,
        drive.model,
        drive.size_bytes,
        drive.sector_bytes,
        drive.transport,
        drive.removable,
        drive.has_data,
        sorted(drive.signatures),
    ]
