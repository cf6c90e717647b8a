"""Clusters and segments, as recorded."""

from typing import Any

from fastapi import APIRouter

from rackwright.api.admin.access import Owner

router = APIRouter(tags=["clusters"])


@router.get("/clusters")
async def list_clusters(owner: Owner) -> dict[str, Any]:
    return {"items": owner.clusters.page()}


@router.get("/clusters/{name}")
async def show(owner: Owner, name: str) -> dict[str, Any]:
    return owner.clusters.show(name)


@router.get("/segments")
async def list_segments(owner: Owner) -> dict[str, Any]:
    return {"items": owner.clusters.segments()}


@router.get("/workflows")
async def list_workflows(owner: Owner) -> dict[str, Any]:
    return {"items": [{"name": name} for name in owner.plans.workflow_names()]}


@router.get("/workflows/{name}")
async def check_workflow(owner: Owner, name: str) -> dict[str, Any]:
    """Read a workflow with all its roles; answers its stages, or what is wrong and where."""
    return owner.plans.check_workflow(name)
