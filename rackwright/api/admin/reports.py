"""Reports, explanations, differences and drawings. Nothing is touched by any of these."""

from typing import Any, Literal

from fastapi import APIRouter

from rackwright.api.admin.access import Owner

router = APIRouter(tags=["reports"])


@router.get("/runs/{run_id}/report")
async def of_run(owner: Owner, run_id: str) -> dict[str, Any]:
    return await owner.reports.of_run(run_id)


@router.get("/runs/{run_id}/explain/{machine}")
async def explain(owner: Owner, run_id: str, machine: str) -> dict[str, Any]:
    return {"items": await owner.reports.explain(run_id, machine)}


@router.get("/plans/{old}/diff/{new}")
async def diff(owner: Owner, old: str, new: str) -> dict[str, Any]:
    return {"items": owner.reports.diff(old, new)}


@router.get("/workflows/{name}/graph")
async def graph(
    owner: Owner, name: str, style: Literal["text", "mermaid", "svg"] = "text"
) -> dict[str, Any]:
    return {"workflow": name, "style": style, "drawing": owner.reports.graph(name, style)}
