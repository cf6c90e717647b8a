"""BMC endpoints and the systems behind them. Credentials are in ``secret``, never here."""

from typing import Any

from sqlalchemy import JSON, Column, UniqueConstraint
from sqlmodel import Field

from rackwright.inventory.tables.base import Row


class BmcEndpoint(Row, table=True):
    """An address that manages one or more systems; blades share one."""

    __tablename__ = "bmc_endpoint"
    __table_args__ = (UniqueConstraint("protocol", "address"),)

    id: str = Field(primary_key=True)
    protocol: str  # redfish, ipmi, manual, none
    address: str  # host or host:port
    certificate_pem: str = ""
    cipher_suite: int = 17
    quirks: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))


class BmcSystem(Row, table=True):
    """Which system of which endpoint is which machine."""

    __tablename__ = "bmc_system"
    __table_args__ = (UniqueConstraint("endpoint_id", "system"),)

    machine_id: str = Field(primary_key=True, foreign_key="machine.id")
    endpoint_id: str = Field(primary_key=True, foreign_key="bmc_endpoint.id")
    system: str = ""  # Redfish system id; "" means the only one
