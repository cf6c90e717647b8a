"""What differs between two plans: decisions by name, for people and for tests."""

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


def _dicts(what: str, a: dict[str, object], b: dict[str, object]) -> list[tuple[str, str, str]]:
    found = []
    for key in sorted({*a, *b}):
        if a.get(key) != b.get(key):
            old = str(a[key]) if key in a else ""
            new = str(b[key]) if key in b else ""
            found.append((f"{what}.{key}", old, new))
    return found
