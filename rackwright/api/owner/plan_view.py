"""A plan as the API gives it: the document, and the same as tables for people."""

from collections.abc import Sequence
from typing import Any

from rackwright.engine.plan.codec import plan_to_json
from rackwright.engine.plan.model import Plan
from rackwright.engine.plan.show import Table, summarise


def plan_view(plan: Plan) -> dict[str, Any]:
    """``plan`` is the file that ``apply`` takes; ``show`` is made from it."""
    summary = summarise(plan)
    return {
        "digest": plan.digest,
        "kind": plan.kind,
        "workflow": plan.workflow,
        "cluster": plan.cluster,
        "plan": plan_to_json(plan),
        "show": {
            "facts": dict(summary.facts),
            "tables": [_table(table) for table in summary.tables],
            "warnings": list(summary.warnings),
            "erasures": len(plan.erasures),
            "changes": _changes(plan),
        },
    }


def _table(table: Table) -> dict[str, Any]:
    rows: Sequence[dict[str, str]] = [
        dict(zip(table.columns, row, strict=True)) for row in table.rows
    ]
    return {
        "title": table.title,
        "columns": list(table.columns),
        "rows": rows,
        "empty": table.empty,
    }


def _changes(plan: Plan) -> bool:
    """Does the plan expect to apply anything? ``check`` stages may still find something."""
    return any("apply" in machine.expected.values() for machine in plan.machines)
