"""Clusters and segments, as recorded."""

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

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


class WorkflowText(BaseModel):
    name: str = Field(max_length=100)
    text: str = Field(max_length=4 * 1024 * 1024)
    filename: str = Field(min_length=1, max_length=4096)


@router.post("/workflows/check")
async def check_workflow_text(owner: Owner, body: WorkflowText) -> dict[str, Any]:
    """As below, of a workflow that lies in no content directory (yet)."""
    return owner.plans.check_workflow(body.name, body.text, body.filename)


@router.get("/workflows/{name}")
async def check_workflow(owner: Owner, name: str) -> dict[str, Any]:
    """Read a workflow with all its roles; answers its stages, or what is wrong and where."""
    return owner.plans.check_workflow(name)
