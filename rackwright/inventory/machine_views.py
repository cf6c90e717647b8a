"""Reads machines as views: a bounded number of queries for any number of machines."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Select, Table, select

from rackwright.inventory.tables import (
    ADDRESS,
    BMC_ENDPOINT,
    BMC_SYSTEM,
    CLUSTER_MEMBER,
    DRIVE,
    INSTALLATION,
    LABEL,
    MACHINE_NETWORK,
    NIC,
    RESERVATION,
    RUN,
    SEGMENT,
    SSH_BINDING,
)
from rackwright.inventory.values import (
    BmcView,
    DriveView,
    InstalledView,
    MachineView,
    NicView,
)

_CHUNK = 500  # ids in one IN (...)
Rows = dict[str, list[Mapping[str, Any]]]


def views(connection: Connection, query: Select[Any]) -> list[MachineView]:
    """``query`` selects whole rows of the machine table; its order is kept."""
    rows = [dict(row) for row in connection.execute(query).mappings()]
    related = _related(connection, [row["id"] for row in rows])
    return [_view(row, related) for row in rows]


def _related(connection: Connection, ids: Sequence[str]) -> dict[str, Rows]:
    queries: dict[str, tuple[Select[Any], Table]] = {
        "labels": (select(LABEL), LABEL),
        "nics": (select(NIC).order_by(NIC.c.position), NIC),
        "drives": (select(DRIVE).order_by(DRIVE.c.position), DRIVE),
        "installed": (select(INSTALLATION).order_by(INSTALLATION.c.generation), INSTALLATION),
        "network": (select(MACHINE_NETWORK), MACHINE_NETWORK),
        "ssh": (select(SSH_BINDING), SSH_BINDING),
        "member": (select(CLUSTER_MEMBER), CLUSTER_MEMBER),
        "bmc": (select(BMC_SYSTEM.c.machine_id, BMC_ENDPOINT).join(BMC_ENDPOINT), BMC_SYSTEM),
        "reservation": (
            select(RESERVATION.c.machine_id, RUN.c.id.label("run_id")).join(RUN),
            RESERVATION,
        ),
        "address": (
            select(
                MACHINE_NETWORK.c.machine_id,
                ADDRESS.c.id,
                ADDRESS.c.ip,
                ADDRESS.c.prefix,
                ADDRESS.c.segment,
                SEGMENT.c.gateway,
                SEGMENT.c.dns,
            )
            .join(
                ADDRESS,
                (ADDRESS.c.id == MACHINE_NETWORK.c.management_address_id)
                | (ADDRESS.c.id == MACHINE_NETWORK.c.cluster_address_id),
            )
            .outerjoin(SEGMENT, SEGMENT.c.name == ADDRESS.c.segment),
            MACHINE_NETWORK,
        ),
    }
    return {
        name: _grouped(connection, query, table, ids) for name, (query, table) in queries.items()
    }


def _grouped(connection: Connection, query: Select[Any], table: Table, ids: Sequence[str]) -> Rows:
    grouped: Rows = defaultdict(list)
    for chunk in _chunks(ids):
        found = connection.execute(query.where(table.c.machine_id.in_(chunk))).mappings()
        for row in found:
            grouped[row["machine_id"]].append(dict(row))
    return grouped


def _chunks(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(ids), _CHUNK):
        yield ids[start : start + _CHUNK]


def _view(row: Mapping[str, Any], related: Mapping[str, Rows]) -> MachineView:
    machine_id = row["id"]

    def rows(name: str) -> list[Mapping[str, Any]]:
        return related[name].get(machine_id, [])

    network = next(iter(rows("network")), {})
    addresses = {found["id"]: found for found in rows("address")}
    management = addresses.get(network.get("management_address_id"))
    cluster_address = addresses.get(network.get("cluster_address_id"))
    ssh = next(iter(rows("ssh")), None)
    member = next(iter(rows("member")), {})
    installations = rows("installed")
    return MachineView(
        id=machine_id,
        name=row["name"],
        site=row["site"],
        rack=row["rack"] or "",
        machine_class=row["machine_class"],
        labels={label["key"]: label["value"] for label in rows("labels")},
        state=row["state"],
        origin=row["origin"],
        firmware=row["firmware"],
        pxe_mac=network.get("pxe_mac") or "",
        management_address=f"{management['ip']}/{management['prefix']}" if management else "",
        cluster_address=cluster_address["ip"]
        if cluster_address
        else (ssh or {}).get("address", ""),
        gateway=(management["gateway"] or "") if management else "",
        dns=tuple(management["dns"] or ()) if management else (),
        bmc=next((_bmc(found) for found in rows("bmc")), None),
        nics=tuple(
            NicView(nic["mac"], nic["name"], nic["driver"], nic["speed_mbps"])
            for nic in rows("nics")
        ),
        drives=None if row["discovered_at"] is None else tuple(map(_drive, rows("drives"))),
        installed=_installed(installations),
        protected=row["protected"],
        product=row["product"],
        memory_bytes=row["memory_bytes"],
        cpu_count=row["cpu_count"],
        console=row["console"],
        boot_deadline_s=row["boot_deadline_s"],
        facts=row["facts"],
        vendor=row["vendor"],
        uuid=row["uuid"] or "",
        serial=row["serial"] or "",
        segment=(management["segment"] or "") if management else "",
        boot_method=row["boot_method"],
        leave_netboot=row["leave_netboot"],
        bios_disk=row["bios_disk"],
        cluster=member.get("cluster", ""),
        pool=member.get("pool", ""),
        run=next((found["run_id"] for found in rows("reservation")), ""),
        generation=installations[-1]["generation"] if installations else 0,
        enrolled_at=row["enrolled_at"],
        discovered_at=row["discovered_at"],
    )


def _bmc(row: Mapping[str, Any]) -> BmcView:
    return BmcView(row["id"], row["protocol"], row["address"])


def _drive(row: Mapping[str, Any]) -> DriveView:
    return DriveView(
        serial=row["serial"],
        wwn=row["wwn"],
        path=row["path"],
        model=row["model"],
        size_bytes=row["size_bytes"],
        sector_bytes=row["sector_bytes"],
        transport=row["transport"],
        rotational=row["rotational"],
        removable=row["removable"],
        has_data=row["has_data"],
        signatures=tuple(row["signatures"]),
    )


def _installed(installations: Sequence[Mapping[str, Any]]) -> InstalledView | None:
    """The last installation begun, if its verify passed: an erased disk holds nothing."""
    if not installations or installations[-1]["state"] != "installed":
        return None
    last = installations[-1]
    return InstalledView(
        install_id=last["install_id"],
        image_digest=last["image_digest"],
        drive_serial=last["drive_serial"],
        generation=last["generation"],
        os=last["os"],
    )
