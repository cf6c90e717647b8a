"""Controllers, drives, volumes as a ramdisk reported them; images; installations of ours."""

from typing import Any

from sqlalchemy import JSON, Column, UniqueConstraint
from sqlmodel import Field

from rackwright.inventory.tables.base import Row


class Controller(Row, table=True):
    __tablename__ = "controller"

    id: int | None = Field(default=None, primary_key=True)
    machine_id: str = Field(foreign_key="machine.id", index=True)
    slot: str
    driver: str = ""
    model: str = ""


class Drive(Row, table=True):
    __tablename__ = "drive"

    id: int | None = Field(default=None, primary_key=True)
    machine_id: str = Field(foreign_key="machine.id", index=True)
    controller_id: int | None = Field(default=None, foreign_key="controller.id")
    position: int
    serial: str
    wwn: str
    path: str
    model: str
    size_bytes: int
    sector_bytes: int
    transport: str
    rotational: bool
    removable: bool
    has_data: bool
    signatures: list[str] = Field(sa_column=Column(JSON, nullable=False))


class Volume(Row, table=True):
    """A RAID volume or the like that a controller offers in place of its drives."""

    __tablename__ = "volume"

    id: int | None = Field(default=None, primary_key=True)
    machine_id: str = Field(foreign_key="machine.id", index=True)
    controller_id: int | None = Field(default=None, foreign_key="controller.id")
    name: str
    level: str
    size_bytes: int


class Image(Row, table=True):
    __tablename__ = "image"

    digest: str = Field(primary_key=True)
    name: str = Field(index=True)
    variant: str = ""
    created_at: float


class Installation(Row, table=True):
    """One installation of a machine by us; the one with the highest generation holds."""

    __tablename__ = "installation"
    __table_args__ = (UniqueConstraint("machine_id", "generation"),)

    install_id: str = Field(primary_key=True)
    machine_id: str = Field(foreign_key="machine.id")
    generation: int  # counts installations of this machine by us, from 1
    state: str  # erasing, installed, released
    drive_serial: str
    image_digest: str = ""
    os: str = ""
    erased_at: float | None = None
    installed_at: float | None = None
    evidence: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))
