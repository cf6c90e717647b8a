"""Clusters: what they are meant to be, what the orchestrator calls them, and who is in them."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, delete, select, update
from sqlalchemy.dialects.sqlite import insert

from rackwright.inventory import audit, journal
from rackwright.inventory.errors import ConflictError, NotFoundError
from rackwright.inventory.tables import CLUSTER, CLUSTER_MEMBER
from rackwright.inventory.values import ClusterView


def put(
    connection: Connection, name: str, *, workflow: str, spec: Mapping[str, Any], now: float
) -> None:
    """Create the cluster, or replace its workflow and spec; its recorded id stays."""
    row = insert(CLUSTER).values(
        name=name,
        workflow=workflow,
        cluster_id="",
        spec=dict(spec),
        created_at=now,
        updated_at=now,
    )
    changed = {"workflow": workflow, "spec": dict(spec), "updated_at": now}
    connection.execute(row.on_conflict_do_update(index_elements=["name"], set_=changed))


def record_id(connection: Connection, name: str, cluster_id: str, now: float) -> None:
    """What the orchestrator calls it. Raises ConflictError when another id is recorded."""
    recorded = id_of(connection, name)
    if recorded == cluster_id:
        return
    if recorded:
        raise ConflictError(
            f"cluster {name} is {recorded}, not {cluster_id}",
            hint="a member was initialised into another cluster: find out which one is meant",
        )
    changed = connection.execute(
        update(CLUSTER).where(CLUSTER.c.name == name).values(cluster_id=cluster_id, updated_at=now)
    )
    if not changed.rowcount:
        raise _unknown(name)
    journal.record(connection, "cluster.formed", name, now, cluster_id=cluster_id)


def id_of(connection: Connection, name: str) -> str:
    """The recorded id, "" if the cluster was never formed or is not known."""
    return str(connection.scalar(select(CLUSTER.c.cluster_id).where(CLUSTER.c.name == name)) or "")


def join(connection: Connection, name: str, machine_id: str, *, pool: str, now: float) -> None:
    """Record a member. Raises ConflictError when the machine is in another cluster."""
    query = select(CLUSTER_MEMBER.c.cluster).where(CLUSTER_MEMBER.c.machine_id == machine_id)
    other = connection.scalar(query)
    if other not in (None, name):
        raise ConflictError(
            f"machine {machine_id} is a member of cluster {other}", machine=machine_id
        )
    row = insert(CLUSTER_MEMBER).values(
        cluster=name, machine_id=machine_id, pool=pool, joined_at=now
    )
    kept = {"pool": pool}
    connection.execute(
        row.on_conflict_do_update(index_elements=["cluster", "machine_id"], set_=kept)
    )
    if other is None:
        journal.record(connection, "cluster.joined", machine_id, now, cluster=name, pool=pool)


def leave(connection: Connection, name: str, machine_id: str, now: float) -> None:
    """Idempotent."""
    gone = connection.execute(
        delete(CLUSTER_MEMBER).where(
            CLUSTER_MEMBER.c.cluster == name, CLUSTER_MEMBER.c.machine_id == machine_id
        )
    )
    if gone.rowcount:
        journal.record(connection, "cluster.left", machine_id, now, cluster=name)


def remove(connection: Connection, name: str, *, actor: str, now: float) -> None:
    """Forget a cluster without members. Raises ConflictError, NotFoundError."""
    if get(connection, name).members:
        raise ConflictError(f"cluster {name} still has members", hint="release them first")
    connection.execute(delete(CLUSTER).where(CLUSTER.c.name == name))
    audit.record(
        connection, actor=actor, action="cluster.remove", subject=f"cluster:{name}", now=now
    )


def get(connection: Connection, name: str) -> ClusterView:
    """Raises NotFoundError."""
    found = [view for view in every(connection) if view.name == name]
    if not found:
        raise _unknown(name)
    return found[0]


def every(connection: Connection) -> list[ClusterView]:
    """All clusters, by name."""
    members: dict[str, list[tuple[str, str]]] = {}
    query = select(CLUSTER_MEMBER).order_by(CLUSTER_MEMBER.c.machine_id)
    for row in connection.execute(query):
        members.setdefault(row.cluster, []).append((row.machine_id, row.pool))
    rows = connection.execute(select(CLUSTER).order_by(CLUSTER.c.name)).mappings()
    return [ClusterView(**row, members=tuple(members.get(row["name"], ()))) for row in rows]


def _unknown(name: str) -> NotFoundError:
    return NotFoundError(f"there is no cluster {name!r}", hint="rackwright cluster list")
