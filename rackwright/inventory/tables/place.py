"""Sites, racks, and the segments machines are attached to."""

from sqlalchemy import JSON, Column, ForeignKeyConstraint
from sqlmodel import Field

from rackwright.inventory.tables.base import Row


class Site(Row, table=True):
    __tablename__ = "site"

    name: str = Field(primary_key=True)


class Rack(Row, table=True):
    __tablename__ = "rack"

    site: str = Field(primary_key=True, foreign_key="site.name")
    name: str = Field(primary_key=True)


class Segment(Row, table=True):
    """DHCP is off (``dhcp`` "none") until a segment names interface and mode."""

    __tablename__ = "segment"
    __table_args__ = (ForeignKeyConstraint(["site"], ["site.name"]),)

    name: str = Field(primary_key=True)
    site: str
    subnet: str
    vlan: int | None = None
    gateway: str = ""
    mtu_bytes: int = 1500
    dns: list[str] = Field(sa_column=Column(JSON, nullable=False))
    ntp: list[str] = Field(sa_column=Column(JSON, nullable=False))
    dhcp: str = "none"  # full, proxy, external, none
    dhcp_first: str = ""
    dhcp_last: str = ""
    relay: str = ""
    interface: str = ""
    boot_server: str = ""
