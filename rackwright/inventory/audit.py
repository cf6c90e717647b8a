"""Append-only audit rows, masked, written in the transaction of the change that they tell of."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, insert, select

from rackwright.inventory.tables import AUDIT

MASK = "***"
_SECRET_WORDS = ("password", "passwd", "secret", "token", "credential", "private_key", "community")
_TEXT_MAX = 1024


def record(
    connection: Connection,
    *,
    actor: str,
    action: str,
    subject: str,
    now: float,
    detail: Mapping[str, Any] | None = None,
) -> None:
    """``subject`` is a machine id, run id or ``kind:name``; secret values are masked."""
    connection.execute(
        insert(AUDIT).values(
            at=now,
            actor=actor[:_TEXT_MAX],
            action=action,
            subject=subject[:_TEXT_MAX],
            detail=masked(dict(detail or {})),
        )
    )


def masked(value: Any) -> Any:
    """A copy without secret values, with long texts cut."""
    if isinstance(value, Mapping):
        return {str(key): MASK if _is_secret(str(key)) else masked(v) for key, v in value.items()}
    if isinstance(value, str):
        return value if len(value) <= _TEXT_MAX else value[:_TEXT_MAX] + "..."
    if isinstance(value, bytes):
        return f"<{len(value)} bytes>"
    if isinstance(value, Sequence):
        return [masked(item) for item in value]
    return value


def page(
    connection: Connection, *, before: int | None = None, subject: str = "", limit: int = 100
) -> list[dict[str, Any]]:
    """The newest rows first; ``before`` is the last id of the page before."""
    query = select(AUDIT).order_by(AUDIT.c.id.desc()).limit(limit)
    if before is not None:
        query = query.where(AUDIT.c.id < before)
    if subject:
        query = query.where(AUDIT.c.subject == subject)
    return [dict(row) for row in connection.execute(query).mappings()]


def _is_secret(key: str) -> bool:
    lowered = key.lower()
    return any(word in lowered for word in _SECRET_WORDS)
