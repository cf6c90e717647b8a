"""Runs: start, look at, resume, cancel, pause, retry, skip, approve, bound, delete."""

from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import BaseModel

from rackwright.api.admin.access import ExistingRun, LastEventId, Owner
from rackwright.api.owner.run_progress import TOP_MAX

router = APIRouter(tags=["runs"])


class RunRequest(BaseModel):
    """``accept`` must repeat the digest: it is the operator's word for the disks in the plan."""

    plan_digest: str
    accept: str = ""


class Cancel(BaseModel):
    reason: str = ""


class Pause(BaseModel):
    paused: bool = True
    reason: str = ""


class Retry(BaseModel):
    machine: str = ""
    reason: str = ""


class Skip(BaseModel):
    machine: str
    stage: str
    reason: str


class Decision(BaseModel):
    """``reason`` is required to refuse."""

    stage: str
    approved: bool = True
    reason: str = ""


class Limit(BaseModel):
    name: str
    capacity: int
    reason: str = ""


@router.post("/runs", status_code=201)
async def start(owner: Owner, body: RunRequest) -> dict[str, Any]:
    """Reserve the plan's machines and start its run, unless the plan has gone stale. Answers, as
    all orders do, without what grows with the number of machines."""
    return await owner.runs.start(body.plan_digest, accepted=body.accept)


@router.get("/runs")
async def list_runs(
    owner: Owner, limit: Annotated[int, Query(ge=1, le=1000)] = 50
) -> dict[str, Any]:
    return {"items": owner.runs.page(limit)}


@router.get("/runs/{run_id}")
def show(owner: Owner, run_id: str, machines: bool = True) -> dict[str, Any]:
    """In a thread of the server's: a large run takes seconds. ``machines=false`` leaves out what
    grows with their number."""
    return owner.runs.show(run_id, machines=machines)


@router.get("/runs/{run_id}/progress")
async def progress(
    owner: Owner, run_id: str, top: Annotated[int, Query(ge=0, le=TOP_MAX)] = 10
) -> dict[str, Any]:
    """In bounded size for any number of machines: counts and latencies by stage, the ``top``
    slowest and last failing tasks, and how long the run will still take."""
    return await owner.runs.progress(run_id, top)


@router.get("/runs/{run_id}/tasks")
def tasks(owner: Owner, run_id: str) -> dict[str, Any]:
    return {"items": owner.runs.tasks(run_id)}


@router.get("/runs/{run_id}/events", response_class=EventSourceResponse)
async def events(
    owner: Owner,
    run_id: ExistingRun,
    last_event_id: LastEventId = 0,
) -> AsyncIterator[ServerSentEvent]:
    """The run's events from ``Last-Event-ID`` on, until it has ended."""
    async for event in owner.events.of_run(run_id, last_event_id):
        yield ServerSentEvent(data=event, id=str(event["seq"]), event=str(event["kind"]))


@router.post("/runs/{run_id}/resume")
async def resume(owner: Owner, run_id: str) -> dict[str, Any]:
    """Drive a run on that its controller left; retry what failed in one that ended degraded."""
    return await owner.runs.resume(run_id)


@router.post("/runs/{run_id}/cancel")
async def cancel(owner: Owner, run_id: str, body: Cancel | None = None) -> dict[str, Any]:
    return await owner.runs.cancel(run_id, body.reason if body is not None else "")


@router.post("/runs/{run_id}/pause")
async def pause(owner: Owner, run_id: str, body: Pause) -> dict[str, Any]:
    return await owner.runs.pause(run_id, paused=body.paused, reason=body.reason)


@router.post("/runs/{run_id}/retry")
async def retry(owner: Owner, run_id: str, body: Retry) -> dict[str, Any]:
    return await owner.runs.retry(run_id, body.machine, body.reason)


@router.post("/runs/{run_id}/skip")
async def skip(owner: Owner, run_id: str, body: Skip) -> dict[str, Any]:
    return await owner.runs.skip(run_id, body.machine, body.stage, body.reason)


@router.post("/runs/{run_id}/approve")
async def approve(owner: Owner, run_id: str, body: Decision) -> dict[str, Any]:
    """Answer what a stage asks an operator for, before or after it asks."""
    return await owner.runs.decide(run_id, body.stage, approved=body.approved, reason=body.reason)


@router.post("/runs/{run_id}/limit")
async def limit(owner: Owner, run_id: str, body: Limit) -> dict[str, Any]:
    """Another capacity for one limit of a live run; 0 starts nothing more that needs it."""
    return await owner.runs.set_limit(run_id, body.name, body.capacity, body.reason)


@router.delete("/runs/{run_id}", status_code=204)
async def delete(owner: Owner, run_id: str) -> Response:
    await owner.runs.delete(run_id)
    return Response(status_code=204)
