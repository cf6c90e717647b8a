"""Runs and their tasks as they are read: one, the newest, those that have not ended."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, select

from rackwright.inventory.errors import NotFoundError
from rackwright.inventory.projection import (
    SILENT,
    LastWord,
    Projections,
    Summary,
    TaskState,
    last_words,
)
from rackwright.inventory.tables import PLAN, RUN, RUN_MACHINE, RUN_STAGE
from rackwright.inventory.values import RunView, TaskView


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
