"""pytest-alembic's own checks on the packaged migrations, beside ours."""

from collections.abc import Iterator

import pytest
from pytest_alembic.config import Config
from pytest_alembic.tests import (  # noqa: F401
    test_model_definitions_match_ddl,
    test_single_head_revision,
    test_up_down_consistency,
    test_upgrade,
)
from sqlalchemy import Engine, create_engine, inspect
from sqlalchemy.pool import StaticPool

from rackwright.inventory import tables
from rackwright.inventory.migrations import HEAD, upgrade
from rackwright.inventory.migrations.runner import config, known_revisions


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
