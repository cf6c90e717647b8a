"""Which machine serves in which pool, and why; and why the others do not.

Only available machines and the cluster's own are seen. The cluster's own come first, then natural
order of names, so that the same inventory always gives the same plan.
"""

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

from rackwright.engine.content.errors import ContentError, Problems, near
from rackwright.engine.errors import OperatorError
from rackwright.engine.machine import Machine, Origin
from rackwright.engine.plan.disks import Select, drive_text
from rackwright.engine.plan.spec import ClusterSpec, PoolSpec

OWN_STATES = frozenset(("available", "allocated", "deploying", "active"))
_MAY_LEAVE = frozenset(("failed",))
_SHOWN = 10  # machines named in one message


class NeedsDiscoveryError(OperatorError):
    """No ramdisk has reported the drives of ``machines`` (names): a discovery plan comes first."""

    def __init__(self, machines: Sequence[Machine]) -> None:
        names = [m.name for m in machines]
        super().__init__(
            f"the drives of {_listed(names)} are not known yet: a discovery plan comes first",
            hint="run `rackwright discover`, or apply, which does both",
        )
        self.machines = tuple(names)
        self.machine_ids = tuple(str(m.id) for m in machines)


class Standing(IntEnum):
    OWN = 0
    FREE = 1
    UNDISCOVERED = 2
    OUT = 3


@dataclass(frozen=True, slots=True)
class Chosen:
    machine: Machine
    pool: str
    why: str


def natural_key(name: str) -> tuple[tuple[int, int, str], ...]:
    """n2 before n10."""
    return tuple(
        (0, int(part), part) if part.isdigit() and part.isascii() else (1, 0, part)
        for part in re.split(r"([0-9]+)", name[:200])
    )


def in_order(machines: Iterable[Machine]) -> list[Machine]:
    return sorted(machines, key=lambda m: (natural_key(m.name), m.id))


@dataclass(frozen=True, slots=True)
class Pick:
    """What selection is made from. ``members``: machine id -> pool, of this cluster;
    ``will_erase`` says whether the plan would power and erase the machine; ``leaving``: the pools
    whose machines are taken out of the cluster, which they may serve in by any other pool."""

    spec: ClusterSpec
    machines: Sequence[Machine]
    members: Mapping[str, str]
    select: Select
    will_erase: Callable[[Machine], bool]
    leaving: frozenset[str] = frozenset()

    def standing(self, machine: Machine) -> tuple[Standing, str]:
        """Where a machine stands, and the reason if it does not count."""
        if machine.protected and self.will_erase(machine):
            return Standing.OUT, "protected: it may be neither powered nor erased"
        is_blind = machine.drives is None and self.will_erase(machine)
        if machine.id in self.members:
            if machine.state in (OWN_STATES | _MAY_LEAVE if self.leaving else OWN_STATES):
                return (Standing.UNDISCOVERED if is_blind else Standing.OWN), ""
            return Standing.OUT, _out_reason(machine)
        if machine.state == "available":
            return (Standing.UNDISCOVERED if is_blind else Standing.FREE), ""
        if machine.state == "enrolled" and is_blind:
            return Standing.UNDISCOVERED, "not discovered yet"
        return Standing.OUT, _out_reason(machine)


def select_machines(pick: Pick) -> tuple[Chosen, ...]:
    """All pools filled, machines in natural order. Raises ContentErrors or NeedsDiscoveryError."""
    problems = Problems()
    chosen: dict[str, Chosen] = {}
    blind: list[Machine] = []
    ordered = in_order(pick.machines)
    by_name = {m.name: m for m in ordered}
    named = _named_in(pick.spec, problems)
    for pool in pick.spec.pools.values():
        if pool.machines is not None:
            _take_named(pick, pool, by_name, chosen, blind, problems)
    for pool in pick.spec.pools.values():
        if pool.machines is None:
            _take_matching(pick, pool, ordered, named, chosen, blind, problems)
    problems.check()
    if blind:
        raise NeedsDiscoveryError(in_order(blind))
    return tuple(chosen[m.id] for m in ordered if m.id in chosen)


def _named_in(spec: ClusterSpec, problems: Problems) -> Mapping[str, str]:
    """Machines that the spec names -> their pool; naming one in two pools is a mistake."""
    named: dict[str, str] = {}
    for pool in spec.pools.values():
        for name, mark in pool.machines or ():
            if named.get(name, pool.name) != pool.name:
                problems.add(mark, f"machine {name} is in two pools: {named[name]} and {pool.name}")
            named.setdefault(name, pool.name)
    return named


def _take_named(
    pick: Pick,
    pool: PoolSpec,
    by_name: Mapping[str, Machine],
    chosen: dict[str, Chosen],
    blind: list[Machine],
    problems: Problems,
) -> None:
    for name, mark in pool.machines or ():
        machine = by_name.get(name)
        if machine is None:
            problems.add(mark, f"there is no machine '{name[:60]}'", near(name, by_name))
            continue
        other = pick.members.get(machine.id) or pool.name
        if other != pool.name and other in pick.spec.pools and pool.name not in pick.leaving:
            problems.add(
                mark,
                f"machine {name} serves in pool {other} of cluster {pick.spec.cluster}",
                f"leave it there, or `rackwright machine release {name}` first",
            )
            continue
        standing, reason = pick.standing(machine)
        if standing is Standing.OUT:
            problems.add(mark, f"machine {name} cannot serve: {reason}")
        elif standing is Standing.UNDISCOVERED:
            blind.append(machine)
        else:
            why = f"pool {pool.name}: named in the spec; {_was(pick, machine)}"
            chosen.setdefault(machine.id, Chosen(machine, pool.name, why))


def _take_matching(
    pick: Pick,
    pool: PoolSpec,
    ordered: Sequence[Machine],
    named: Mapping[str, str],
    chosen: dict[str, Chosen],
    blind: list[Machine],
    problems: Problems,
) -> None:
    own: list[Machine] = []
    free: list[Machine] = []
    unseen: list[Machine] = []
    out: dict[str, list[str]] = {}
    unmatched = 0
    taken = {m.id for m in blind}
    for machine in ordered:
        if machine.id in chosen or machine.id in taken or machine.name in named:
            continue
        in_pool = pick.members.get(machine.id, "")
        if in_pool and in_pool != pool.name and in_pool in pick.spec.pools:
            continue
        is_own = in_pool == pool.name
        if not is_own and not pick.select(pool.selector, machine):
            unmatched += 1
            continue
        standing, reason = pick.standing(machine)
        if standing is Standing.OWN:
            own.append(machine)
        elif standing is Standing.FREE:
            free.append(machine)
        elif standing is Standing.UNDISCOVERED:
            unseen.append(machine)
        else:
            out.setdefault(reason, []).append(machine.name)
    members = [m for m in (*own, *unseen) if pick.members.get(m.id) == pool.name]
    if len(members) > pool.count:
        problems.add(
            pool.mark,
            f"pool {pool.name} asks for {pool.count}, but {len(members)} serve in it: "
            f"{_listed([m.name for m in members])}",
            f"a plan never removes a machine: `rackwright cluster shrink {pick.spec.cluster} NAME`",
        )
        return
    take = (own + free)[: pool.count]
    missing = pool.count - len(take)
    if missing > len(unseen):
        problems.take(_too_few(pool, len(take), len(unseen), out, unmatched))
        return
    blind.extend(unseen[:missing])
    asked = f"selector {pool.selector}" if pool.selector else "any machine"
    whys: dict[str, str] = {}  # one string for all machines that it is true of
    for machine in take:
        why = f"pool {pool.name}: {pool.count} of {asked}; {_was(pick, machine)}"
        chosen[machine.id] = Chosen(machine, pool.name, whys.setdefault(why, why))


def _was(pick: Pick, machine: Machine) -> str:
    return "already a member" if machine.id in pick.members else machine.state


def _too_few(
    pool: PoolSpec, usable: int, unseen: int, out: Mapping[str, list[str]], unmatched: int
) -> ContentError:
    count = f"{usable} available" + (f", {unseen} to be discovered" if unseen else "")
    parts = [f"{_listed(names)}: {reason}" for reason, names in out.items()]
    if unmatched:
        parts.append(f"{unmatched} do not match the selector '{pool.selector}'")
    listed = f". Not counted: {'; '.join(parts[:20])}" if parts else ""
    return ContentError(
        pool.mark,
        f"pool {pool.name} needs {pool.count} machines, and there are {count}{listed}",
        hint="release or enrol machines, or ask for fewer",
    )


def _out_reason(machine: Machine) -> str:
    release = f"`rackwright machine release {machine.name}`"
    match machine.state:
        case "enrolled":
            is_existing = machine.origin is Origin.EXISTING
            return "enrolled, not reached yet" if is_existing else "enrolled: discover it first"
        case "discovered":
            held = [d for d in machine.drives or () if d.has_data]
            if held:
                return f"disk {drive_text(held[0])}: release it with {release}"
            return f"discovered, not released: {release}"
        case "allocated" | "deploying" | "active":
            return f"{machine.state}: reserved by another cluster or run"
        case "available":
            return "available"
        case "failed":
            return (
                f"failed: `rackwright run resume` takes it up again, or repair it, then {release}"
            )
        case "releasing":
            return "being released: wait until it is available"
        case "maintenance":
            return "in maintenance"
        case state:
            return state


def _listed(names: Collection[str]) -> str:
    shown = ", ".join(list(names)[:_SHOWN])
    return f"{shown} and {len(names) - _SHOWN} more" if len(names) > _SHOWN else shown
