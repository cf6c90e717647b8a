"""Plans: make, check, look at. Nothing is touched by any of these."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from rackwright.api.admin.access import Owner

router = APIRouter(tags=["plans"])


class PlanRequest(BaseModel):
    """``spec`` and ``reinstall`` for a cluster; ``machines`` and ``selector`` for a discovery;
    ``cluster``, ``machines`` and ``dead`` for machines that leave it. ``dynamic``: where disks are
    not known yet, a discovery that the cluster follows."""

    kind: Literal["cluster", "discover", "leave"]
    spec: str = Field(default="", max_length=4 * 1024 * 1024)
    filename: str = "request"
    reinstall: list[str] = []
    machines: list[str] = []
    selector: str = ""
    cluster: str = ""
    dead: list[str] = []
    dynamic: bool = False


class PlanDocument(BaseModel):
    plan: dict[str, Any]


@router.post("/plans", status_code=201)
async def make(owner: Owner, body: PlanRequest) -> dict[str, Any]:
    """Compile a plan and store it."""
    if body.kind == "discover":
        return await owner.plans.discover(body.machines, body.selector)
    if body.kind == "leave":
        return await owner.plans.leave(body.cluster, body.machines, body.dead)
    return await owner.plans.cluster(body.spec, body.filename, body.reinstall, dynamic=body.dynamic)


@router.post("/plans/check")
async def check(owner: Owner, body: PlanDocument) -> dict[str, Any]:
    """Take a plan file in: its digest must be that of its decisions."""
    return await owner.plans.take_in(body.plan)


@router.get("/plans")
async def list_plans(
    owner: Owner, limit: Annotated[int, Query(ge=1, le=1000)] = 100
) -> dict[str, Any]:
    return {"items": owner.plans.page(limit)}


@router.get("/plans/{digest}")
async def show(owner: Owner, digest: str) -> dict[str, Any]:
    return owner.plans.show(digest)


@router.post("/plans/{digest}/supplement")
async def supplement(owner: Owner, digest: str) -> dict[str, Any]:
    """What follows a discovery that has ended; it starts where its parent's rule accepts it all."""
    return await owner.runs.supplement(digest)
