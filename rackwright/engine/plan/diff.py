"""What differs between two plans: decisions by name, for people and for tests."""

from collections.abc import Mapping

from rackwright.engine.plan.codec import plan_to_json
from rackwright.engine.plan.model import Plan

_BY_KEY = {"stages": "name", "erasures": "machine_id"}
_SKIPPED = frozenset(("digest", "estimate_s", "machines", "profiles", "content_digest"))


def plan_diff(old: Plan, new: Plan) -> tuple[tuple[str, str, str], ...]:
    """Rows of (what, old, new), in a fixed order; "" where one side has nothing."""
    rows: list[tuple[str, str, str]] = []
    ours, theirs = plan_to_json(old), plan_to_json(new)
    for key in sorted(set(ours) - _SKIPPED):
        a, b = ours[key], theirs[key]
        if key in _BY_KEY:
            a, b = ({row[_BY_KEY[key]]: row for row in side} for side in (a, b))
        if isinstance(a, dict) and isinstance(b, dict):
            rows += _dicts(key, a, b)
        elif a != b:
            rows.append((key, str(a), str(b)))
    before = {m.name: m for m in old.machines}
    after = {m.name: m for m in new.machines}
    for name in sorted({*before, *after}):
        x, y = before.get(name), after.get(name)
        if x is None or y is None:
            rows.append((f"machine {name}", x.why if x else "", y.why if y else ""))
        elif x != y:
            rows += _dicts(f"machine {name}", dict(x.expected), dict(y.expected))
    return tuple(rows)


def _dicts(
    what: str, a: Mapping[str, object], b: Mapping[str, object]
) -> list[tuple[str, str, str]]:
    """One row for each value that differs, also within values that are dicts on both sides."""
    found: list[tuple[str, str, str]] = []
    for key in sorted({*a, *b}):
        x, y = a.get(key), b.get(key)
        if isinstance(x, dict) and isinstance(y, dict):
            found += _dicts(f"{what}.{key}", x, y)
        elif x != y or (key in a) != (key in b):
            found.append((f"{what}.{key}", _value(a, key), _value(b, key)))
    return found


def _value(side: Mapping[str, object], key: str) -> str:
    """What stands there, a whole stage or erasure by what names it."""
    if key not in side:
        return ""
    value = side[key]
    if isinstance(value, dict) and "role" in value:
        return f"{value['role']}#{value['role_stage']} on {value['group']}"
    if isinstance(value, dict) and "drive_serial" in value:
        return f"erases {value['drive_serial']}"
    return str(value)
