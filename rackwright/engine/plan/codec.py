"""Plans as JSON and back. Machines in one condition share a profile, so that the JSON grows with
machines + stages, not with their product. ``estimate_s`` stands beside the digest, not under it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from operator import attrgetter
from typing import Any, Final

from rackwright.engine.errors import OperatorError
from rackwright.engine.plan.canonical import Rows, canonical_pieces, digest_of, thaw
from rackwright.engine.plan.model import (
    Erasure,
    Need,
    Plan,
    PlannedMachine,
    PlannedStage,
    Retries,
    SecretSource,
    Target,
    Waves,
)

FORMAT = 1
_PROFILE = ("pools", "groups", "stages", "expected", "reboots")
_OUTSIDE_DIGEST = frozenset(("digest", "estimate_s"))
# Not written where they are empty: plans made before they existed stay what they were.
_PLAN_LATER = ("adaptive", "facts_used", "parent", "target", "windows")
_STAGE_LATER = ("approve", "approve_deadline_s", "when", "windows")
_ERASURE: Final = tuple(sorted(f.name for f in fields(Erasure)))
_erasure_values: Final = attrgetter(*_ERASURE)


def plan_to_json(plan: Plan) -> dict[str, Any]:
    """Plain dicts, lists, tuples and scalars; ``json.dumps`` takes it as it is."""
    found = _document(plan)
    return {key: list(item) if isinstance(item, Rows) else item for key, item in found.items()}


def plan_document(plan: Plan) -> bytes:
    """The canonical JSON of ``plan_to_json``, without making that."""
    return b"".join(canonical_pieces(_document(plan)))


def plan_digest(plan: Plan) -> str:
    """SHA-256 over the decisions."""
    return digest_of(_decisions(plan))


def plan_from_json(document: Mapping[str, Any]) -> Plan:
    """The plan again. Raises OperatorError if it is no plan, or was altered after it was made."""
    try:
        plan = _read(document)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise OperatorError(
            f"this is not a plan of ours: {type(error).__name__}", hint="make a new plan"
        ) from error
    if plan_digest(plan) != plan.digest:
        raise OperatorError(
            "the plan was altered: its digest does not match", hint="make a new plan"
        )
    return plan


def _document(plan: Plan) -> dict[str, Any]:
    return {**_decisions(plan), "digest": plan.digest, "estimate_s": plan.estimate_s}


def _decisions(plan: Plan) -> dict[str, Any]:
    names = [f.name for f in fields(Plan) if f.name not in _OUTSIDE_DIGEST]
    found: dict[str, Any] = {"format": FORMAT}
    for name in names:
        is_unset = name in _PLAN_LATER and not getattr(plan, name)
        if name not in ("machines", "stages", "erasures") and not is_unset:
            value = getattr(plan, name)
            found[name] = _flat(value) if isinstance(value, Target) else thaw(value)
    profiles, places = _profiles(plan.machines)
    found["profiles"] = profiles
    found["machines"] = Rows(lambda: _machine_rows(plan.machines, places), is_sorted=True)
    found["stages"] = [
        {k: v for k, v in _flat(stage).items() if v or k not in _STAGE_LATER}
        for stage in plan.stages
    ]
    found["erasures"] = Rows(lambda: map(_erasure_row, plan.erasures), is_sorted=True)
    return found


def _profiles(machines: Sequence[PlannedMachine]) -> tuple[list[Any], list[int]]:
    """What machines share, each once; and for each machine its place in that list."""
    profiles: list[Any] = []
    places: dict[object, int] = {}
    by_object: dict[tuple[int, ...], int] = {}
    of_machines = []
    for m in machines:
        # the compiler shares these values, so identity answers almost always
        identity = (id(m.pools), id(m.groups), id(m.stages), id(m.expected), m.reboots)
        place = by_object.get(identity)
        if place is None:
            key = (m.pools, m.groups, m.stages, tuple(sorted(m.expected.items())), m.reboots)
            place = by_object[identity] = places.setdefault(key, len(profiles))
            if place == len(profiles):
                profiles.append({name: thaw(getattr(m, name)) for name in _PROFILE})
        of_machines.append(place)
    return profiles, of_machines


def _machine_rows(
    machines: Sequence[PlannedMachine], places: Sequence[int]
) -> Iterator[dict[str, object]]:
    for machine, place in zip(machines, places, strict=True):
        yield {
            "id": machine.id,
            "limits": machine.limits,
            "name": machine.name,
            "origin": machine.origin,
            "profile": place,
            "why": machine.why,
            **({"windows": machine.windows} if machine.windows else {}),
        }


def _erasure_row(erasure: Erasure) -> dict[str, object]:
    return dict(zip(_ERASURE, _erasure_values(erasure), strict=True))


def _flat(value: Any) -> Any:
    """A dataclass as a dict, nested ones too."""
    if hasattr(value, "__dataclass_fields__"):
        return {f.name: _flat(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _flat(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_flat(item) for item in value]
    return value


def _read(document: Mapping[str, Any]) -> Plan:
    if document["format"] != FORMAT:
        raise ValueError("another format")
    profiles = [
        {
            "pools": tuple(p["pools"]),
            "groups": tuple(p["groups"]),
            "stages": tuple(p["stages"]),
            "expected": dict(p["expected"]),
            "reboots": int(p["reboots"]),
        }
        for p in document["profiles"]
    ]
    given = {
        f.name: document[f.name]
        for f in fields(Plan)
        if f.name in document or f.name not in _PLAN_LATER
    }
    given["windows"] = {k: tuple(v) for k, v in given.get("windows", {}).items()}
    target = given.get("target")
    given["target"] = None if target is None else Target(**target)
    given["adaptive"] = {k: (v[0], v[1]) for k, v in given.get("adaptive", {}).items()}
    given["facts_used"] = tuple(map(tuple, given.get("facts_used", ())))
    given["machines"] = tuple(_machine(row, profiles) for row in document["machines"])
    given["stages"] = tuple(_stage(row) for row in document["stages"])
    given["erasures"] = tuple(
        Erasure(**{**row, "signatures": tuple(row["signatures"])}) for row in document["erasures"]
    )
    for name in ("groups", "labels_used"):
        given[name] = tuple(given[name])
    return Plan(**given)


def _machine(row: Mapping[str, Any], profiles: list[dict[str, Any]]) -> PlannedMachine:
    place = row["profile"]
    if not isinstance(place, int) or place < 0:
        raise ValueError("no profile")
    return PlannedMachine(
        id=row["id"],
        name=row["name"],
        why=row["why"],
        origin=row["origin"],
        limits=tuple(row["limits"]),
        windows=tuple(row.get("windows", ())),
        **profiles[place],
    )


def _stage(row: Mapping[str, Any]) -> PlannedStage:
    given = dict(row)
    given["needs"] = tuple(Need(**need) for need in row["needs"])
    given["waves"] = Waves(**row["waves"]) if row["waves"] is not None else None
    given["retries"] = Retries(**row["retries"])
    given["secrets"] = {name: SecretSource(**s) for name, s in row["secrets"].items()}
    for name in ("means_to", "outputs", "limits", "artifacts"):
        given[name] = tuple(row[name])
    given["windows"] = tuple(row.get("windows", ()))
    return PlannedStage(**given)
