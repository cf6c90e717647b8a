"""The audit: what was asked of this controller, by whom, and what it did of its own accord."""

from typing import Annotated, Any

from fastapi import APIRouter, Query

from rackwright.api.admin.access import SEQ_MAX, Owner

router = APIRouter(tags=["audit"])


@router.get("/audit")
async def list_audit(
    owner: Owner,
    subject: str = "",
    before: Annotated[int | None, Query(ge=1, le=SEQ_MAX)] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> dict[str, Any]:
    """The newest first; ``before`` is the last id of the page before."""
    return {"items": owner.audit.page(subject, before, limit)}
