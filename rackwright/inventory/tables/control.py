"""Who owns the database, what is secret in it, and who changed what."""

from typing import Any

from sqlalchemy import JSON, Column, LargeBinary
from sqlmodel import Field

from rackwright.inventory.tables.base import Row


class Owner(Row, table=True):
    """One row, id 1. ``epoch`` rises at each take-over; a lower one may write nothing.

    ``lease_until``: unix seconds; 0 when the owner left in order. ``boot_id`` and ``started`` tell
    the process ``pid`` from another of that number.
    """

    __tablename__ = "owner"

    id: int = Field(primary_key=True)
    epoch: int
    pid: int
    taken_at: float
    lease_until: float = Field(default=0.0, sa_column_kwargs={"server_default": "0"})
    boot_id: str = Field(default="", sa_column_kwargs={"server_default": ""})
    started: str = Field(default="", sa_column_kwargs={"server_default": ""})


class Secret(Row, table=True):
    __tablename__ = "secret"

    name: str = Field(primary_key=True)
    ciphertext: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    updated_at: float


class Audit(Row, table=True):
    """Append-only: triggers refuse UPDATE and DELETE. ``detail`` is masked before it gets here."""

    __tablename__ = "audit"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: int | None = Field(default=None, primary_key=True)
    at: float
    actor: str
    action: str
    subject: str = Field(index=True)
    detail: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))
