"""Alembic's environment: always online, on the connection that ``upgrade`` hands over."""

from alembic import context
from sqlalchemy import Connection, Engine

from rackwright.inventory import tables


def run(connection: Connection) -> None:
    context.configure(connection=connection, target_metadata=tables.metadata, render_as_batch=True)
    with context.begin_transaction():
        context.run_migrations()


_given = context.config.attributes["connection"]
if isinstance(_given, Engine):
    with _given.begin() as _connection:
        run(_connection)
else:
    run(_given)
