"""Machines, their labels, and how they are reached."""

from typing import Any

from sqlalchemy import JSON, Column, ForeignKeyConstraint, Index
from sqlmodel import Field

from rackwright.inventory.tables.base import Row


class Machine(Row, table=True):
    """``uuid`` and ``serial`` are the operator's; what a ramdisk reported stands in ``facts``."""

    __tablename__ = "machine"
    __table_args__ = (
        ForeignKeyConstraint(["site"], ["site.name"]),
        ForeignKeyConstraint(["site", "rack"], ["rack.site", "rack.name"]),
    )

    id: str = Field(primary_key=True)
    name: str = Field(unique=True)
    site: str
    rack: str | None = None
    machine_class: str = Field(default="", index=True)
    state: str = Field(index=True)
    origin: str
    firmware: str | None = None
    protected: bool = False
    uuid: str | None = Field(default=None, unique=True)
    serial: str | None = Field(default=None, unique=True)
    vendor: str = ""
    product: str = ""
    memory_bytes: int | None = None
    cpu_count: int | None = None
    console: str
    boot_method: str = "pxe"
    boot_deadline_s: float
    leave_netboot: str = Field(default="auto", sa_column_kwargs={"server_default": "auto"})
    bios_disk: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    enrolled_at: float
    discovered_at: float | None = None
    data_accepted: bool = False  # an operator released the disks that hold data
    facts: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))


class Label(Row, table=True):
    __tablename__ = "label"
    __table_args__ = (Index(None, "key", "value"),)

    machine_id: str = Field(primary_key=True, foreign_key="machine.id")
    key: str = Field(primary_key=True)
    value: str


class Nic(Row, table=True):
    __tablename__ = "nic"

    mac: str = Field(primary_key=True)
    machine_id: str = Field(foreign_key="machine.id", index=True)
    position: int
    is_enrolled: bool  # named by the operator, not only seen by a ramdisk
    name: str = ""
    driver: str = ""
    speed_mbps: int | None = None


class Link(Row, table=True):
    """A NIC, bond, VLAN or bridge; addresses belong to links."""

    __tablename__ = "link"
    __table_args__ = (ForeignKeyConstraint(["parent_id"], ["link.id"]),)

    id: int | None = Field(default=None, primary_key=True)
    machine_id: str = Field(foreign_key="machine.id", index=True)
    kind: str  # nic, bond, vlan, bridge
    name: str = ""
    mac: str | None = None
    parent_id: int | None = None
    vlan: int | None = None


class Address(Row, table=True):
    __tablename__ = "address"

    id: int | None = Field(default=None, primary_key=True)
    link_id: int = Field(foreign_key="link.id", index=True)
    segment: str | None = Field(default=None, foreign_key="segment.name")
    site: str = Field(foreign_key="site.name")
    ip: str = Field(index=True)
    prefix: int


class MachineNetwork(Row, table=True):
    """PXE NIC, management address and cluster address: separate references."""

    __tablename__ = "machine_network"

    machine_id: str = Field(primary_key=True, foreign_key="machine.id")
    pxe_mac: str | None = Field(default=None, foreign_key="nic.mac")
    management_address_id: int | None = Field(default=None, foreign_key="address.id")
    cluster_address_id: int | None = Field(default=None, foreign_key="address.id")


class SshBinding(Row, table=True):
    """A machine that came with an OS: where it is reached and the host key it was pinned to."""

    __tablename__ = "ssh_binding"

    machine_id: str = Field(primary_key=True, foreign_key="machine.id")
    address: str
    port: int
    user: str
    host_key: str
