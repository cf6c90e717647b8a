"""Clusters and segments for the API."""

from dataclasses import asdict
from typing import Any

from rackwright.api.timestamps import iso_utc
from rackwright.inventory.facade import Inventory
from rackwright.inventory.values import ClusterView


class ClusterService:
    def __init__(self, inventory: Inventory) -> None:
        self._inventory = inventory

    def page(self) -> list[dict[str, Any]]:
        return [self._view(found) for found in self._inventory.clusters()]

    def show(self, name: str) -> dict[str, Any]:
        return self._view(self._inventory.cluster(name))

    def segments(self) -> list[dict[str, Any]]:
        return [asdict(segment) for segment in self._inventory.segments()]

    def _view(self, found: ClusterView) -> dict[str, Any]:
        ids = [machine_id for machine_id, _ in found.members]
        names = {view.id: view.name for view in self._inventory.machines_by_id(ids)}
        return {
            "name": found.name,
            "workflow": found.workflow,
            "cluster_id": found.cluster_id,
            "members": {names[machine_id]: pool for machine_id, pool in found.members},
            "created": iso_utc(found.created_at),
            "updated": iso_utc(found.updated_at),
        }
