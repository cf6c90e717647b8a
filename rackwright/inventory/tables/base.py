"""The metadata that all tables share, with its naming convention.

Tables are schema: they do not validate (sqlmodel's ``table=True`` models accept anything), they are
read and written through Core, and they declare no relationships, so that nothing loads lazily.
Times are unix seconds (float); JSON columns hold plain values.
"""

from sqlalchemy import MetaData, Table, inspect
from sqlalchemy.orm import registry
from sqlmodel import SQLModel

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}
metadata = MetaData(naming_convention=NAMING)


class Row(SQLModel, registry=registry(metadata=metadata)):
    """Base of every table."""


def table_of(row: type[Row]) -> Table:
    """The Core table behind a table model."""
    table = inspect(row).local_table
    if not isinstance(table, Table):
        raise TypeError(f"{row.__name__} has no table of its own")
    return table
