"""Segments, as the DHCP supervisor and the planner read them."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, select

from rackwright.inventory.errors import NotFoundError
from rackwright.inventory.tables import SEGMENT
from rackwright.inventory.values import SegmentView


def every(connection: Connection) -> list[SegmentView]:
    """All segments, by name."""
    query = select(SEGMENT).order_by(SEGMENT.c.name)
    return [_view(dict(row)) for row in connection.execute(query).mappings()]


def get(connection: Connection, name: str) -> SegmentView:
    """Raises NotFoundError."""
    row = connection.execute(select(SEGMENT).where(SEGMENT.c.name == name)).mappings().first()
    if row is None:
        raise NotFoundError(f"there is no segment {name!r}", hint="enrol a file that defines it")
    return _view(dict(row))


def _view(row: Mapping[str, Any]) -> SegmentView:
    return SegmentView(**{**row, "dns": tuple(row["dns"]), "ntp": tuple(row["ntp"])})
