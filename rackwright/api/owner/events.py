"""The journal as events for people: names in place of indices. It holds no secrets."""

import asyncio
from collections.abc import AsyncIterator, Callable
from enum import IntEnum
from typing import Any

from rackwright.api.owner.run_view import is_over
from rackwright.api.timestamps import iso_utc
from rackwright.engine.run import codec
from rackwright.engine.run.codec import Asked
from rackwright.engine.run.holds import Answer
from rackwright.engine.schedule.events import Mode, Result, RunStatus, TaskState
from rackwright.inventory.facade import Inventory
from rackwright.inventory.journal import Event
from rackwright.inventory.values import RunView

PAGE = 500
LOOK_AGAIN_S = 0.25
_STATUS: dict[str, type[IntEnum]] = {
    "issued": Mode,
    "ended": Result,
    "marked": TaskState,
    "finished": RunStatus,
    "asked": Asked,
    "approval": Answer,
}
_OPENED = ("closed", "opened")


class EventService:
    """``is_live`` tells whether this owner drives a run now."""

    def __init__(self, inventory: Inventory, is_live: Callable[[str], bool]) -> None:
        self._inventory = inventory
        self._is_live = is_live
        self._closed = asyncio.Event()

    def close(self) -> None:
        """End every stream: the owner stops, and whoever listens is to know at once."""
        self._closed.set()

    def page(self, run: str, after: int, limit: int) -> list[dict[str, Any]]:
        names: dict[str, RunView] = {}
        events = self._inventory.feed.events_after(after, run=run, limit=limit)
        return [self._view(event, names) for event in events]

    async def stream(self, run: str, after: int) -> AsyncIterator[dict[str, Any]]:
        """From ``after`` on, until the owner stops."""
        names: dict[str, RunView] = {}
        while not self._closed.is_set():
            seen = self._inventory.feed.last_seq
            events = self._inventory.feed.events_after(after, run=run, limit=PAGE)
            for event in events:
                after = event.seq
                yield self._view(event, names)
            if len(events) < PAGE:
                await self._something_new(seen, None)

    async def of_run(self, run: str, after: int) -> AsyncIterator[dict[str, Any]]:
        """One run's, until it has ended or nobody drives it any more."""
        names: dict[str, RunView] = {}
        while not self._closed.is_set():
            seen = self._inventory.feed.last_seq
            ends = is_over(self._inventory.run_head(run)) or not self._is_live(run)
            events = self._inventory.feed.events_after(after, run=run, limit=PAGE)
            for event in events:
                after = event.seq
                yield self._view(event, names)
            if len(events) == PAGE:
                continue
            if ends:
                return
            # A run can also stop without a last event; look again now and then.
            await self._something_new(seen, LOOK_AGAIN_S)

    async def _something_new(self, seen: int, within_s: float | None) -> None:
        """Until an event after ``seen``, or the owner stops, or ``within_s`` have passed."""
        waits = {
            asyncio.ensure_future(self._inventory.feed.wait_for_new(seen)),
            asyncio.ensure_future(self._closed.wait()),
        }
        try:
            await asyncio.wait(waits, timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in waits:
                one.cancel()

    def _view(self, event: Event, names: dict[str, RunView]) -> dict[str, Any]:
        try:
            payload = codec.decode(event.payload) if event.payload else {}
        except ValueError:
            payload = {}
        shown: dict[str, Any] = {
            "seq": event.seq,
            "at": iso_utc(event.at),
            "run": event.run,
            "kind": event.kind,
        }
        if not event.run:
            return {**shown, **payload}
        if event.run not in names:
            names[event.run] = self._inventory.run(event.run)
        run = names[event.run]
        shown["stage"] = run.stages[event.stage] if event.stage >= 0 else ""
        shown["machine"] = run.machines[event.machine][1] if event.machine >= 0 else ""
        shown["attempt"] = event.attempt
        words = _STATUS.get(event.kind)
        shown["status"] = words(event.status).name.lower() if words else event.status
        for key in ("error", "console", "detail", "evidence", "reason", "cause", "text", "by"):
            if payload.get(key):
                shown[key] = payload[key]
        if event.kind == "intent":
            shown["detail"] = payload.get("kind")
        if event.kind == "window":
            shown["detail"], shown["status"] = payload.get("window"), _OPENED[event.status]
        if event.kind == "limit":
            shown["detail"] = payload.get("limit")
        if event.kind == "asked":
            shown["detail"] = shown["status"]  # its stage and machine, where it is about one
        return shown
