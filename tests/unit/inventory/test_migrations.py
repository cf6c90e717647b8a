"""pytest-alembic's own checks on the packaged migrations, beside ours."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic import command
from pytest_alembic.config import Config
from pytest_alembic.tests import (  # noqa: F401
    test_model_definitions_match_ddl,
    test_single_head_revision,
    test_up_down_consistency,
    test_upgrade,
)
from sqlalchemy import Engine, create_engine, inspect
from sqlalchemy.pool import StaticPool

from rackwright.inventory import journal, run_views, tables
from rackwright.inventory.database import open_database
from rackwright.inventory.migrations import HEAD, upgrade
from rackwright.inventory.migrations.runner import config, known_revisions
from rackwright.inventory.projection import Projections


@pytest.fixture
def alembic_config() -> Config:
    return Config(alembic_config=config())


@pytest.fixture
def alembic_engine() -> Iterator[Engine]:
    engine = create_engine("sqlite://", poolclass=StaticPool)
    yield engine
    engine.dispose()


def test_an_upgrade_makes_every_table_and_a_second_changes_nothing(alembic_engine: Engine) -> None:
    upgrade(alembic_engine)
    upgrade(alembic_engine)
    made = set(inspect(alembic_engine).get_table_names()) - {"alembic_version"}
    assert made == set(tables.metadata.tables)


def test_every_constraint_is_named() -> None:
    for table in tables.metadata.tables.values():
        assert all(constraint.name for constraint in table.constraints), table.name


def test_the_head_is_the_newest_revision() -> None:
    assert known_revisions()[0] == HEAD


def test_a_journal_of_rows_is_packed_and_tells_what_the_tasks_told(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'rackwright.db'}")
    made = config()
    with engine.begin() as connection:
        made.attributes["connection"] = connection
        command.upgrade(made, "0001")
        connection.exec_driver_sql(
            "INSERT INTO plan VALUES ('d', 'cluster', 'w', '', 'f', x'7b7d', 0.0)"
        )
        connection.exec_driver_sql(
            "INSERT INTO run (no, id, plan_digest, status, actor, created_at, first_seq, "
            "owner_epoch) VALUES (1, 'r-1', 'd', 3, '', 0.0, 1, 1)"
        )
        connection.exec_driver_sql("INSERT INTO run_stage VALUES (1, 0, 'install')")
        connection.exec_driver_sql("INSERT INTO run_machine VALUES (1, 0, 'm-0', 'n0')")
        for seq, (run, kind, status, payload) in enumerate(
            [
                (0, "run.begun", 0, b'{"subject":"r-1"}'),
                (1, "issued", 0, b'{"at":1.000}'),
                (0, "machine.label", 0, b"{}"),
                (1, "ended", 4, b'{"at":2.000,"error":"no"}'),
                (1, "finished", 3, b'{"at":2.000}'),
            ],
            1,
        ):
            place = (0, 0, 1) if kind in ("issued", "ended") else (-1, -1, 0)
            connection.exec_driver_sql(
                "INSERT INTO journal VALUES (?,?,?,?,?,?,?,?,?)",
                (seq, run, kind, *place, status, float(seq), payload),
            )
        connection.exec_driver_sql("INSERT INTO task VALUES (1, 0, 0, 9, 1, 'no', x'', 4.0)")
    engine.dispose()
    database = open_database(tmp_path, now=0.0)
    with database.read() as connection:
        events = journal.events_after(connection, 0, run="", limit=10)
        assert [(e.seq, e.run, e.kind) for e in events] == [
            (1, "", "run.begun"),
            (2, "r-1", "issued"),
            (3, "", "machine.label"),
            (4, "r-1", "ended"),
            (5, "r-1", "finished"),
        ]
        (task,) = run_views.tasks(connection, Projections(), "r-1")
        assert (task.state, task.attempt, task.error) == (9, 1, "no")
    facts = journal.RunJournal(database, "r-1", fact=journal.FactRow).read()
    assert [fact.kind for fact in facts] == ["issued", "ended", "finished"]
    database.close()
