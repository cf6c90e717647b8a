"""A plan as the API gives it: the document, and the same as tables for people."""

import hashlib
from collections.abc import Sequence
from typing import Any

from rackwright.engine.plan.codec import plan_to_json
from rackwright.engine.plan.model import Plan
from rackwright.engine.plan.show import Table, summarise

# The engine's table of every file; people get a row a role or workflow, the document has them all.
CONTENT = "Content"


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
            "tables": [
                _table(_by_folder(plan) if table.title == CONTENT else table)
                for table in summary.tables
            ],
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


def _by_folder(plan: Plan) -> Table:
    """A row a role or workflow, with one hash over its files."""
    folders: dict[str, list[str]] = {}
    for path in sorted(plan.content):
        parts = path.split("/")
        folders.setdefault("/".join(parts[:3]) if len(parts) > 3 else path, []).append(path)
    rows = []
    for folder, paths in folders.items():
        lines = "".join(f"{path} {plan.content[path]}\n" for path in paths)
        origins = dict.fromkeys(plan.content[path].rpartition(":")[0] for path in paths)
        digest = hashlib.sha256(lines.encode()).hexdigest()
        rows.append((folder, str(len(paths)), ", ".join(origins), digest))
    return Table(CONTENT, ("content", "files", "from", "sha256"), tuple(rows))


def _changes(plan: Plan) -> bool:
    """Does the plan expect to apply anything? ``check`` stages may still find something."""
    return any("apply" in machine.expected.values() for machine in plan.machines)
