"""Machines: enrol, list, release, protect, forget, power."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from rackwright.api.admin.access import Owner

router = APIRouter(tags=["machines"])


class Enrolment(BaseModel):
    """``text`` for yaml and csv, ``machines`` for json."""

    format: Literal["yaml", "csv", "json"] = "yaml"
    filename: str = "request"
    text: str = Field(default="", max_length=16 * 1024 * 1024)
    machines: list[dict[str, Any]] = []


class Acceptance(BaseModel):
    """Serials of the drives whose data the operator has seen."""

    accept: list[str] = []


class Protection(BaseModel):
    protected: bool


class StateChange(BaseModel):
    state: str
    reason: str = Field(min_length=1, max_length=500)


class PowerAction(BaseModel):
    action: Literal["on", "off", "reset"]


@router.post("/machines/enrol")
async def enrol(owner: Owner, body: Enrolment) -> dict[str, list[str]]:
    """Enrol all machines of a document, or none."""
    return await owner.machines.enrol(body.format, body.text, body.filename, body.machines)


@router.get("/machines")
async def list_machines(
    owner: Owner,
    selector: str = "",
    state: str = "",
    after: str = "",
    limit: Annotated[int, Query(ge=1, le=1000)] = 200,
) -> dict[str, Any]:
    return owner.machines.page(selector=selector, state=state, after=after, limit=limit)


@router.get("/machines/{name}")
async def show(owner: Owner, name: str) -> dict[str, Any]:
    return owner.machines.show(name)


@router.post("/machines/{name}/release")
async def release(owner: Owner, name: str, body: Acceptance) -> dict[str, Any]:
    return await owner.machines.release(name, body.accept)


@router.post("/machines/{name}/protect")
async def protect(owner: Owner, name: str, body: Protection) -> dict[str, Any]:
    return await owner.machines.protect(name, protected=body.protected)


@router.post("/machines/{name}/state")
async def change_state(owner: Owner, name: str, body: StateChange) -> dict[str, Any]:
    """One of the lifecycle's transitions that a person may ask for."""
    return await owner.machines.change_state(name, body.state, body.reason)


@router.delete("/machines/{name}", status_code=204)
async def forget(owner: Owner, name: str) -> Response:
    await owner.machines.forget(name)
    return Response(status_code=204)


@router.get("/machines/{name}/power")
async def power_state(owner: Owner, name: str) -> dict[str, str]:
    return {"power": await owner.machines.power_state(name)}


@router.post("/machines/{name}/power")
async def power(owner: Owner, name: str, body: PowerAction) -> dict[str, str]:
    await owner.machines.power(name, body.action)
    return {"power": await owner.machines.power_state(name)}


@router.get("/machines/{name}/sensors")
async def sensors(owner: Owner, name: str) -> dict[str, str]:
    return dict(await owner.machines.sensors(name))
