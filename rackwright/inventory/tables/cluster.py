"""Clusters and their members."""

from typing import Any

from sqlalchemy import JSON, Column
from sqlmodel import Field

from rackwright.inventory.tables.base import Row


class Cluster(Row, table=True):
    """``cluster_id`` is what the orchestrator calls it, "" until it was formed."""

    __tablename__ = "cluster"

    name: str = Field(primary_key=True)
    workflow: str
    cluster_id: str = ""
    spec: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))
    created_at: float
    updated_at: float


class ClusterMember(Row, table=True):
    __tablename__ = "cluster_member"

    cluster: str = Field(primary_key=True, foreign_key="cluster.name")
    machine_id: str = Field(primary_key=True, foreign_key="machine.id", unique=True)
    pool: str = ""
    joined_at: float
