"""Schema migrations, run programmatically by ``upgrade``; they ship inside the package."""

from sqlalchemy import Engine, inspect, text

from rackwright.inventory.errors import NewerSchemaError

HEAD = "0004"  # the newest revision under versions/; a test holds it there


def upgrade(engine: Engine) -> None:
    """Bring the schema to this version's. Raises NewerSchemaError when it is ahead of us."""
    with engine.begin() as connection:  # all of it or nothing: SQLite's DDL is transactional
        revision = None
        if inspect(connection).has_table("alembic_version"):
            revision = connection.scalar(text("SELECT version_num FROM alembic_version"))
        if revision == HEAD:
            return
        # alembic is half of this package's import time, and needed only here
        from rackwright.inventory.migrations import runner

        if revision is not None and revision not in runner.known_revisions():
            raise NewerSchemaError(
                f"the database has schema {revision}, which this version does not know",
                hint="a newer Rackwright made it: use that version, or restore an older backup",
            )
        runner.run(connection)
