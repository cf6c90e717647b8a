"""Schema migrations, run programmatically by ``upgrade``; they ship inside the package."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine

from rackwright.inventory.errors import NewerSchemaError


def config() -> Config:
    """Alembic's configuration, without an ini file."""
    made = Config()
    made.set_main_option("script_location", str(Path(__file__).parent))
    made.set_main_option("path_separator", "os")
    return made


def upgrade(engine: Engine) -> None:
    """Bring the schema to this version's. Raises NewerSchemaError when it is ahead of us."""
    settings = config()
    scripts = ScriptDirectory.from_config(settings)
    with engine.begin() as connection:  # all of it or nothing: SQLite's DDL is transactional
        current = _current(connection, scripts)
        if current == scripts.get_current_head():
            return
        settings.attributes["connection"] = connection
        command.upgrade(settings, "head")


def _current(connection: Connection, scripts: ScriptDirectory) -> str | None:
    revision = MigrationContext.configure(connection).get_current_revision()
    known = {script.revision for script in scripts.walk_revisions()}
    if revision is not None and revision not in known:
        raise NewerSchemaError(
            f"the database has schema {revision}, which this version does not know",
            hint="a newer Rackwright made it: use that version, or restore an older backup",
        )
    return revision
