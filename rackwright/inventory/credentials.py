"""BMC credentials: stored encrypted, read by power drivers alone."""

from collections.abc import Collection
from typing import Any

from sqlalchemy import Connection, delete, select

from rackwright.inventory import audit
from rackwright.inventory.errors import NotFoundError
from rackwright.inventory.secrets import SecretBox
from rackwright.inventory.tables import BMC_ENDPOINT, BMC_SYSTEM, SECRET
from rackwright.inventory.values import BmcCredentials


def secret_name(endpoint_id: str) -> str:
    return f"bmc:{endpoint_id}"


def put(
    connection: Connection,
    box: SecretBox,
    machine_id: str,
    *,
    username: str,
    password: str,
    actor: str,
    now: float,
) -> None:
    """Replace the credentials of the machine's BMC endpoint; audited, without them.

    Blades on one endpoint share its credentials. Raises NotFoundError for a machine without a BMC.
    """
    row = _endpoint(connection, machine_id)
    value = {"username": username, "password": password}
    box.put(connection, secret_name(row["id"]), value, now)
    audit.record(
        connection,
        actor=actor,
        action="bmc.credentials",
        subject=machine_id,
        now=now,
        detail={"endpoint": row["id"]},
    )


def get(connection: Connection, box: SecretBox, machine_id: str) -> BmcCredentials:
    """Raises NotFoundError for a machine without a BMC, SecretKeyError."""
    row = _endpoint(connection, machine_id)
    name = secret_name(row["id"])
    has_secret = connection.scalar(select(SECRET.c.name).where(SECRET.c.name == name))
    secret = box.get(connection, name) if has_secret else {}
    return BmcCredentials(
        protocol=row["protocol"],
        endpoint=row["id"],
        address=row["address"],
        username=secret.get("username", ""),
        password=secret.get("password", ""),
        system=row["system"],
        certificate_pem=row["certificate_pem"],
        cipher_suite=row["cipher_suite"],
        quirks=row["quirks"],
    )


def drop_unused(connection: Connection, endpoint_ids: Collection[str]) -> None:
    """Of these endpoints forget those that manage no machine any more, with their credentials."""
    query = select(BMC_SYSTEM.c.endpoint_id).where(BMC_SYSTEM.c.endpoint_id.in_(endpoint_ids))
    for endpoint_id in sorted(set(endpoint_ids) - set(connection.scalars(query))):
        connection.execute(delete(SECRET).where(SECRET.c.name == secret_name(endpoint_id)))
        connection.execute(delete(BMC_ENDPOINT).where(BMC_ENDPOINT.c.id == endpoint_id))


def _endpoint(connection: Connection, machine_id: str) -> dict[str, Any]:
    query = (
        select(BMC_ENDPOINT, BMC_SYSTEM.c.system)
        .join(BMC_SYSTEM)
        .where(BMC_SYSTEM.c.machine_id == machine_id)
        .order_by(BMC_ENDPOINT.c.id)
    )
    row = connection.execute(query).mappings().first()
    if row is None:
        raise NotFoundError(
            f"machine {machine_id} has no BMC", machine=machine_id, hint="enrol it with one"
        )
    return dict(row)
