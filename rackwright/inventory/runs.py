"""Runs: begun with all their machines reserved or not at all, ended with none.

``status`` is the engine's RunStatus; of its values this room knows only which mean "not ended".
"""

import secrets
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from rackwright.inventory import audit, clusters, journal, machines, plans
from rackwright.inventory.errors import (
    ConflictError,
    NotFoundError,
    ReservedError,
    StalePlanError,
)
from rackwright.inventory.lifecycle import State
from rackwright.inventory.machines import ENGINE
from rackwright.inventory.projection import (
    SILENT,
    LastWord,
    Projections,
    Summary,
    TaskState,
    last_words,
)
from rackwright.inventory.tables import (
    JOURNAL,
    PLAN,
    RESERVATION,
    RUN,
    RUN_MACHINE,
    RUN_STAGE,
    SNAPSHOT,
)
from rackwright.inventory.values import ClusterView, MachineView, RunView, TaskView

RUNNING, PAUSED = 0, 5  # RunStatus values of a run that has not ended
_REFUSED = (State.QUARANTINED, State.RETIRED, State.MAINTENANCE, State.RELEASING)
_DISCOVERABLE = (
    State.ENROLLED,
    State.DISCOVERED,
    State.AVAILABLE,
    State.FAILED,
)
_CLUSTERABLE = (State.AVAILABLE, State.ALLOCATED, State.ACTIVE, State.DEPLOYING, State.FAILED)


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
    _refuse_held(connection, views)
    if (
        new.fingerprint is not None
        and new.fingerprint(Snapshot(connection)) != new.plan.fingerprint
    ):
        raise StalePlanError(
            f"plan {new.plan.digest[:12]} is stale: what it was decided from has changed",
            hint="make a new plan, look at it, and apply that",
        )
    _refuse_states(views, new.plan.kind)
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
    _reserve(connection, run_no, views, new.plan.kind, new.actor, now)
    detail = {"plan": new.plan.digest, "machines": len(views)}
    audit.record(
        connection, actor=new.actor, action="run.begin", subject=run_id, now=now, detail=detail
    )
    journal.record(connection, "run.begun", run_id, now, plan=new.plan.digest)
    return get(connection, run_id)


def resume(connection: Connection, run_id: str, *, actor: str, epoch: int, now: float) -> RunView:
    """Take a run up again: reserve its machines anew if it had ended. Compares nothing.

    Raises ReservedError, NotFoundError, ConflictError.
    """
    run = get(connection, run_id)
    views = machines.by_ids(connection, [machine_id for machine_id, _ in run.machines])
    mine = [view for view in views if view.run == run.id]
    others = [view for view in views if view.run != run.id]
    _refuse_held(connection, others)
    _refuse_states([view for view in others if view.state in _REFUSED], run.kind)
    _reserve(connection, run.no, others, run.kind, actor, now)
    _allocate(connection, mine, run.kind, actor, now)
    changed = {"status": RUNNING, "ended_at": None, "owner_epoch": epoch}
    connection.execute(update(RUN).where(RUN.c.no == run.no).values(changed))
    detail = {"machines_held": len(mine), "machines_reserved": len(others)}
    audit.record(
        connection, actor=actor, action="run.resume", subject=run_id, now=now, detail=detail
    )
    journal.record(connection, "run.resumed", run_id, now)
    return get(connection, run_id)


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
    run = get(connection, run_id)
    held = select(RESERVATION.c.machine_id).where(RESERVATION.c.run_no == run.no)
    ids = list(connection.scalars(held.order_by(RESERVATION.c.machine_id)))
    if run.kind == "cluster":
        for view in machines.by_ids(connection, ids):
            _settle(connection, view, run_id, succeeded, failed, now)
    connection.execute(delete(RESERVATION).where(RESERVATION.c.run_no == run.no))
    changed = {"status": status, "ended_at": run.ended_at or now}
    connection.execute(update(RUN).where(RUN.c.no == run.no).values(changed))
    if run.ended_at is None:
        journal.record(connection, "run.ended", run_id, now, status=status)


def _settle(
    connection: Connection,
    view: MachineView,
    run_id: str,
    succeeded: Collection[str],
    failed: Collection[str],
    now: float,
) -> None:
    state = State(view.state)
    target: State | None = None
    if view.id in failed and state in (State.ALLOCATED, State.DEPLOYING, State.ACTIVE):
        target = State.FAILED
    elif view.id in succeeded and state in (State.ALLOCATED, State.DEPLOYING):
        target = State.ACTIVE
    elif view.id not in succeeded and state is State.ALLOCATED:
        target = State.AVAILABLE
    elif view.id not in succeeded and state is State.DEPLOYING:
        target = State.FAILED  # its disk was touched, and nobody proved what is on it
    if target is not None:
        machines.set_state(
            connection, view.id, target, actor=ENGINE, reason=f"run {run_id} ended", now=now
        )


def head(connection: Connection, run_id: str) -> RunView:
    """Without its stages and machines: cheap for any size. Raises NotFoundError."""
    found = _list(connection, RUN.c.id == run_id, 1)
    if not found:
        raise NotFoundError(f"there is no run {run_id!r}", hint="rackwright run list", run=run_id)
    return RunView(**found[0])


def get(connection: Connection, run_id: str) -> RunView:
    """With its stages and machines. Raises NotFoundError."""
    found = _list(connection, RUN.c.id == run_id, 1)
    if not found:
        raise NotFoundError(f"there is no run {run_id!r}", hint="rackwright run list", run=run_id)
    run = found[0]
    stages = select(RUN_STAGE.c.name).where(RUN_STAGE.c.run_no == run["no"])
    members = (
        select(RUN_MACHINE.c.machine_id, RUN_MACHINE.c.name)
        .where(RUN_MACHINE.c.run_no == run["no"])
        .order_by(RUN_MACHINE.c.machine)
    )
    return RunView(
        **run,
        stages=tuple(connection.scalars(stages.order_by(RUN_STAGE.c.stage))),
        machines=tuple((row.machine_id, row.name) for row in connection.execute(members)),
    )


def newest(connection: Connection, *, limit: int = 50, before: int | None = None) -> list[RunView]:
    """The newest first, without stages and machines; ``before`` is the last ``no`` seen."""
    condition = RUN.c.no < before if before is not None else RUN.c.no > 0
    return [RunView(**row) for row in _list(connection, condition, limit)]


def unfinished(connection: Connection) -> list[RunView]:
    """Runs that have not ended, oldest first: what a new owner finds and may resume."""
    rows = _list(connection, RUN.c.ended_at.is_(None), 1000)
    return [RunView(**row) for row in reversed(rows)]


def tasks(
    connection: Connection,
    projections: Projections,
    run_id: str,
    *,
    stage: int | None = None,
    machine: int | None = None,
    states: Sequence[int] = (),
    limit: int = 10_000,
) -> list[TaskView]:
    """What became of the run's tasks, by stage and machine, with what they said last."""
    run = get(connection, run_id)
    found = projections.tasks(
        connection,
        run.no,
        run.first_seq,
        stage=stage,
        machine=machine,
        states=states,
        limit=limit,
    )
    words = last_words(connection, found)
    return [_task_view(run, task, words.get(task.seq, SILENT)) for task in found]


def _task_view(run: RunView, task: TaskState, word: LastWord) -> TaskView:
    return TaskView(
        stage=task.stage,
        machine=task.machine,
        stage_name=run.stages[task.stage],
        machine_name=run.machines[task.machine][1],
        state=task.state,
        attempt=task.attempt,
        error=word.error,
        evidence=word.evidence,
        updated_at=word.at,
        console=word.console,
    )


def task_states(connection: Connection, projections: Projections, run_id: str) -> list[TaskState]:
    """Every task that a fact has told of, without its words: cheap for any number."""
    run = get(connection, run_id)
    return projections.tasks(connection, run.no, run.first_seq)


def summary(
    connection: Connection,
    projections: Projections,
    run_id: str,
    *,
    oldest: int,
    newest: Sequence[int],
    top: int,
) -> tuple[Summary, dict[int, LastWord]]:
    """A run in bounded size, and the last words of the tasks that it names, by ``seq``."""
    run = head(connection, run_id)
    found = projections.summary(
        connection, run.no, run.first_seq, oldest=oldest, newest=newest, top=top
    )
    return found, last_words(connection, found.newest)


def delete_history(connection: Connection, run_id: str, *, actor: str, now: float) -> None:
    """Forget an ended run: its journal, tasks and (if unused) plan. What it made stays recorded.

    Raises ConflictError for a run that has not ended.
    """
    run = get(connection, run_id)
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


def _list(connection: Connection, condition: Any, limit: int) -> list[dict[str, Any]]:
    query = (
        select(
            RUN.c.id,
            RUN.c.no,
            RUN.c.plan_digest,
            PLAN.c.kind,
            PLAN.c.workflow,
            PLAN.c.cluster,
            RUN.c.status,
            RUN.c.actor,
            RUN.c.created_at,
            RUN.c.ended_at,
            RUN.c.first_seq,
        )
        .join(PLAN)
        .where(condition)
        .order_by(RUN.c.no.desc())
        .limit(limit)
    )
    return [dict(row) for row in connection.execute(query).mappings()]


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


def _reserve(
    connection: Connection,
    run_no: int,
    views: Sequence[MachineView],
    kind: str,
    actor: str,
    now: float,
) -> None:
    if not views:
        return
    rows = [{"machine_id": view.id, "run_no": run_no, "reserved_at": now} for view in views]
    connection.execute(insert(RESERVATION), rows)
    _allocate(connection, views, kind, actor, now)


def _allocate(
    connection: Connection, views: Sequence[MachineView], kind: str, actor: str, now: float
) -> None:
    """A cluster's run takes available machines; failed ones only because a person began it."""
    if kind != "cluster":
        return
    for view in views:
        if view.state in (State.AVAILABLE, State.FAILED):
            machines.set_state(
                connection,
                view.id,
                State.ALLOCATED,
                actor=ENGINE if view.state == State.AVAILABLE else actor,
                reason="reserved by a run",
                now=now,
            )


def _refuse_held(connection: Connection, views: Sequence[MachineView]) -> None:
    for view in views:
        if view.run:
            raise ReservedError(
                f"machine {view.name} is reserved by run {view.run}",
                machine=view.id,
                run=view.run,
                hint=f"wait for it, or cancel it: rackwright run cancel {view.run}",
            )


def _refuse_states(views: Sequence[MachineView], kind: str) -> None:
    allowed = _DISCOVERABLE if kind == "discover" else _CLUSTERABLE
    for view in views:
        if view.state in _REFUSED or view.state not in allowed:
            raise ConflictError(
                f"machine {view.name} is {view.state}: a {kind} run may not take it",
                machine=view.id,
                hint=f"allowed are {', '.join(state.value for state in allowed)}",
            )
