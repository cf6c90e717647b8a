"""The audit for the API: who did what to what, the newest first."""

from typing import Any

from rackwright.api.timestamps import iso_utc
from rackwright.inventory.errors import NotFoundError
from rackwright.inventory.facade import Inventory


class AuditService:
    def __init__(self, inventory: Inventory) -> None:
        self._inventory = inventory

    def page(self, subject: str, before: int | None, limit: int) -> list[dict[str, Any]]:
        """``subject``: a machine by name or id, a run's id, or ``kind:name``; "" for all.

        Rows say a machine's name too, where it is still known.
        """
        rows = self._inventory.audit(before=before, subject=self._id_of(subject), limit=limit)
        names = self._inventory.machine_names(sorted({row["subject"] for row in rows}))
        return [
            {**row, "at": iso_utc(row["at"]), "name": names.get(row["subject"], "")} for row in rows
        ]

    def _id_of(self, subject: str) -> str:
        try:
            return self._inventory.machine(subject).id if subject else ""
        except NotFoundError:
            return subject  # a run, a cluster, or a machine that was forgotten since
