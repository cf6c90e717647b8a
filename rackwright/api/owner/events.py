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

    def page(self, run: str, after: int, limit: int) -> list[dict[str, Any]]:
        names: dict[str, RunView] = {}
        events = self._inventory.feed.events_after(after, run=run, limit=limit)
        return [self._view(event, names) for event in events]

    async def stream(self, run: str, after: int) -> AsyncIterator[dict[str, Any]]:
        """From ``after`` on, for ever."""
        names: dict[str, RunView] = {}
        while True:
            seen = self._inventory.feed.last_seq
            events = self._inventory.feed.events_after(after, run=run, limit=PAGE)
            for event in events:
                after = event.seq
                yield self._view(event, names)
            if len(events) < PAGE:
                await self._inventory.feed.wait_for_new(seen)

    async def of_run(self, run: str, after: int) -> AsyncIterator[dict[str, Any]]:
        """One run's, until it has ended or nobody drives it any more."""
        names: dict[str, RunView] = {}
        while True:
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
            await self._something_new(seen)

    async def _something_new(self, seen: int) -> None:
        """A run can also stop without a last event; look again now and then."""
        try:
            async with asyncio.timeout(LOOK_AGAIN_S):
                await self._inventory.feed.wait_for_new(seen)
        except TimeoutError:
            return

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
            shown["detail"] = shown["status"]
        return shown
