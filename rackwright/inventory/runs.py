"""Runs: begun with all their machines reserved or not at all, ended with none.

``status`` is the engine's RunStatus; of its values this room knows only which mean "not ended". How
runs are read: ``run_views``; who holds which machine: ``reservations``.
"""

import secrets
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, select, update

from rackwright.inventory import (
    audit,
    clusters,
    journal,
    machines,
    plans,
    reservations,
    run_views,
)
from rackwright.inventory.errors import ConflictError, StalePlanError
from rackwright.inventory.tables import (
    JOURNAL,
    RESERVATION,
    RUN,
    RUN_MACHINE,
    RUN_STAGE,
    SNAPSHOT,
)
from rackwright.inventory.values import ClusterView, MachineView, RunView

RUNNING, PAUSED = 0, 5  # RunStatus values of a run that has not ended


class Snapshot:
    """What a fingerprint may read: the inventory as it is inside the reserving transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def machines(self, ids: Sequence[str]) -> list[MachineView]:
        """In the order given."""
        return machines.by_ids(self._connection, ids)

    def select(self, selector: str) -> list[MachineView]:
        """Every machine that a selector matches, by name."""
        return machines.page(self._connection, selector=selector, limit=None)

    def cluster_id(self, name: str) -> str:
        """The recorded id, "" if the cluster was never formed."""
        return clusters.id_of(self._connection, name)

    def clusters(self) -> list[ClusterView]:
        return clusters.every(self._connection)


@dataclass(frozen=True, slots=True)
class NewRun:
    """``fingerprint`` recomputes the plan's from current values; None takes the plan as it is."""

    plan: plans.PlanRecord
    machine_ids: Sequence[str]  # in the plan's order: their index names them in the journal
    stages: Sequence[str]  # in the plan's order
    actor: str
    fingerprint: Callable[[Snapshot], str] | None


def begin(connection: Connection, new: NewRun, *, epoch: int, now: float) -> RunView:
    """Compare, reserve and create in one transaction.

    Raises StalePlanError, ReservedError (naming the run that holds a machine), ConflictError for a
    machine whose state forbids it.
    """
    views = machines.by_ids(connection, new.machine_ids)
    reservations.refuse_held(views)
    if (
        new.fingerprint is not None
        and new.fingerprint(Snapshot(connection)) != new.plan.fingerprint
    ):
        raise StalePlanError(
            f"plan {new.plan.digest[:12]} is stale: what it was decided from has changed",
            hint="make a new plan, look at it, and apply that",
        )
    reservations.refuse_states(views, new.plan.kind)
    plans.put(connection, new.plan)
    run_id = f"r-{secrets.token_hex(6)}"
    first_seq = journal.last_seq(connection)
    values = {
        "id": run_id,
        "plan_digest": new.plan.digest,
        "status": RUNNING,
        "actor": new.actor,
        "created_at": now,
        "ended_at": None,
        "first_seq": first_seq,
        "owner_epoch": epoch,
    }
    key = connection.execute(insert(RUN).values(values)).inserted_primary_key
    run_no = int(key[0]) if key is not None else 0
    _index(connection, run_no, new.stages, views)
    reservations.reserve(connection, run_no, views, new.plan.kind, new.actor, now)
    detail = {"plan": new.plan.digest, "machines": len(views)}
    audit.record(
        connection, actor=new.actor, action="run.begin", subject=run_id, now=now, detail=detail
    )
    journal.record(connection, "run.begun", run_id, now, plan=new.plan.digest)
    return run_views.get(connection, run_id)


def resume(connection: Connection, run_id: str, *, actor: str, epoch: int, now: float) -> RunView:
    """Take a run up again: reserve its machines anew if it had ended. Compares nothing.

    Raises ReservedError, NotFoundError, ConflictError.
    """
    run = run_views.get(connection, run_id)
    views = machines.by_ids(connection, [machine_id for machine_id, _ in run.machines])
    mine = [view for view in views if view.run == run.id]
    others = [view for view in views if view.run != run.id]
    reservations.refuse_held(others)
    refused = [view for view in others if view.state in reservations.REFUSED]
    reservations.refuse_states(refused, run.kind)
    reservations.reserve(connection, run.no, others, run.kind, actor, now)
    reservations.allocate(connection, mine, run.kind, actor, now)
    changed = {"status": RUNNING, "ended_at": None, "owner_epoch": epoch}
    connection.execute(update(RUN).where(RUN.c.no == run.no).values(changed))
    detail = {"machines_held": len(mine), "machines_reserved": len(others)}
    audit.record(
        connection, actor=actor, action="run.resume", subject=run_id, now=now, detail=detail
    )
    journal.record(connection, "run.resumed", run_id, now)
    return run_views.get(connection, run_id)


def finish(
    connection: Connection,
    run_id: str,
    *,
    status: int,
    now: float,
    succeeded: Collection[str] = (),
    failed: Collection[str] = (),
) -> None:
    """Record the end and release every machine. Idempotent.

    For a cluster's run ``succeeded`` machines become active and ``failed`` ones failed; an
    allocated machine that is neither is free again. No other kind of run changes states here.
    """
    run = run_views.get(connection, run_id)
    held = select(RESERVATION.c.machine_id).where(RESERVATION.c.run_no == run.no)
    ids = list(connection.scalars(held.order_by(RESERVATION.c.machine_id)))
    if run.kind == "cluster":
        for view in machines.by_ids(connection, ids):
            reservations.settle(connection, view, run_id, succeeded, failed, now)
    connection.execute(delete(RESERVATION).where(RESERVATION.c.run_no == run.no))
    changed = {"status": status, "ended_at": run.ended_at or now}
    connection.execute(update(RUN).where(RUN.c.no == run.no).values(changed))
    if run.ended_at is None:
        journal.record(connection, "run.ended", run_id, now, status=status)


def delete_history(connection: Connection, run_id: str, *, actor: str, now: float) -> None:
    """Forget an ended run: its journal, tasks and (if unused) plan. What it made stays recorded.

    Raises ConflictError for a run that has not ended.
    """
    run = run_views.get(connection, run_id)
    if run.ended_at is None:
        raise ConflictError(f"run {run_id} has not ended", hint="cancel it first", run=run_id)
    rows = (JOURNAL.c.run_no == run.no) & (JOURNAL.c.seq > run.first_seq)
    connection.execute(delete(JOURNAL).where(rows))
    for table in (SNAPSHOT, RUN_STAGE, RUN_MACHINE):
        connection.execute(delete(table).where(table.c.run_no == run.no))
    connection.execute(delete(RUN).where(RUN.c.no == run.no))
    plans.drop_unused(connection, run.plan_digest)
    audit.record(connection, actor=actor, action="run.delete", subject=run_id, now=now)
    journal.record(connection, "run.deleted", run_id, now)


def _index(
    connection: Connection, run_no: int, stages: Sequence[str], views: Sequence[MachineView]
) -> None:
    if stages:
        rows = [{"run_no": run_no, "stage": at, "name": name} for at, name in enumerate(stages)]
        connection.execute(insert(RUN_STAGE), rows)
    if views:
        connection.execute(
            insert(RUN_MACHINE),
            [
                {"run_no": run_no, "machine": at, "machine_id": view.id, "name": view.name}
                for at, view in enumerate(views)
            ],
        )
