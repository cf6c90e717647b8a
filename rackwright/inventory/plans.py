"""Accepted and proposed plans, by digest. The document is the engine's canonical JSON.

It is stored compressed (zlib; documents of older versions are plain, and begin with a brace):
70,000 machines have 35 MB of it.
"""

import zlib
from dataclasses import dataclass

from sqlalchemy import Connection, delete, select
from sqlalchemy.dialects.sqlite import insert

from rackwright.inventory.errors import AmbiguousError, NotFoundError
from rackwright.inventory.tables import PLAN, RUN


@dataclass(frozen=True, slots=True)
class PlanRecord:
    """``document`` as the engine wrote it; ``created_at`` unix seconds."""

    digest: str
    kind: str
    workflow: str
    cluster: str
    fingerprint: str
    document: bytes
    created_at: float


def put(connection: Connection, plan: PlanRecord) -> None:
    """Idempotent: the same digest is the same plan."""
    fields = {name: getattr(plan, name) for name in PlanRecord.__dataclass_fields__}
    fields["document"] = zlib.compress(plan.document, 1)
    # beside the statement: what stands in it, SQLAlchemy's cache of statements keeps
    connection.execute(insert(PLAN).on_conflict_do_nothing(), fields)


def get(connection: Connection, digest: str) -> PlanRecord:
    """By digest or an unambiguous beginning of it (8 characters or more)."""
    exact = digest if len(digest) < 8 else None
    condition = (
        PLAN.c.digest == digest if exact else PLAN.c.digest.startswith(digest, autoescape=True)
    )
    rows = connection.execute(select(PLAN).where(condition).limit(2)).mappings().all()
    if not rows:
        hint = "give at least 8 of its digits: " if exact else ""
        raise NotFoundError(
            f"no plan has the digest {digest!r}", hint=f"{hint}rackwright plan list"
        )
    if len(rows) > 1:
        raise AmbiguousError(f"several plans begin with {digest!r}", hint="give more of the digest")
    stored = rows[0]["document"]
    plain = stored if stored.startswith(b"{") else zlib.decompress(stored)
    return PlanRecord(**{**rows[0], "document": plain})


def newest(connection: Connection, limit: int = 50) -> list[PlanRecord]:
    """The newest first, with empty documents: ``get`` reads one."""
    columns = [column for column in PLAN.c if column.name != "document"]
    query = select(*columns).order_by(PLAN.c.created_at.desc(), PLAN.c.digest).limit(limit)
    return [PlanRecord(**row, document=b"") for row in connection.execute(query).mappings()]


def drop_unused(connection: Connection, digest: str) -> None:
    """Delete the plan unless a run still refers to it."""
    used = select(RUN.c.no).where(RUN.c.plan_digest == digest)
    if connection.scalar(used) is None:
        connection.execute(delete(PLAN).where(PLAN.c.digest == digest))
