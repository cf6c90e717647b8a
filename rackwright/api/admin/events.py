"""Events of all runs, as a list and as a stream that resumes by ``Last-Event-ID``."""

from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.sse import EventSourceResponse, ServerSentEvent

from rackwright.api.admin.access import SEQ_MAX, ExistingRunOrAll, LastEventId, Owner

router = APIRouter(tags=["events"])


@router.get("/events/list")
async def list_events(
    owner: Owner,
    run: ExistingRunOrAll,
    after: Annotated[int, Query(ge=0, le=SEQ_MAX)] = 0,
    limit: Annotated[int, Query(ge=1, le=5000)] = 1000,
) -> dict[str, Any]:
    return {"items": owner.events.page(run, after, limit)}


@router.get("/events", response_class=EventSourceResponse)
async def stream(
    owner: Owner,
    run: ExistingRunOrAll,
    last_event_id: LastEventId = 0,
) -> AsyncIterator[ServerSentEvent]:
    async for event in owner.events.stream(run, last_event_id):
        yield ServerSentEvent(data=event, id=str(event["seq"]), event=str(event["kind"]))
