"""The sections of an enrolled machine: each compares, writes where it differs, says what did."""

import ipaddress
import secrets
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Table, delete, insert, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from rackwright.inventory import credentials
from rackwright.inventory.credentials import secret_name
from rackwright.inventory.enrol.models import BmcInput, MachineInput, SegmentInput
from rackwright.inventory.lifecycle import State
from rackwright.inventory.secrets import SecretBox
from rackwright.inventory.tables import (
    ADDRESS,
    BMC_ENDPOINT,
    BMC_SYSTEM,
    LABEL,
    LINK,
    MACHINE,
    MACHINE_NETWORK,
    NIC,
    RACK,
    SECRET,
    SEGMENT,
    SITE,
    SSH_BINDING,
)

_ROW_KEYS = {
    "site": "site",
    "rack": "rack",
    "machine_class": "class",
    "uuid": "uuid",
    "serial": "serial",
    "firmware": "firmware",
    "protected": "protected",
    "console": "console",
    "boot_method": "boot_method",
    "boot_deadline_s": "boot_deadline_s",
    "leave_netboot": "leave_netboot",
    "bios_disk": "bios_disk",
}


class SectionError(Exception):
    """What the file says contradicts what is recorded; ``key`` is the machine's key."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key


def create(connection: Connection, machine_id: str, machine: MachineInput, now: float) -> None:
    """The bare row; the sections fill it."""
    _place(connection, machine.site, None)
    connection.execute(
        insert(MACHINE).values(
            id=machine_id,
            name=machine.name,
            site=machine.site,
            state=State.ENROLLED.value,
            origin="existing" if machine.ssh else "netboot",
            console=machine.console,
            boot_deadline_s=machine.boot_deadline_s,
            machine_class="",
            protected=False,
            vendor="",
            product="",
            boot_method=machine.boot_method,
            leave_netboot=machine.leave_netboot,
            bios_disk=machine.bios_disk,
            enrolled_at=now,
            data_accepted=False,
            facts={},
        )
    )
    connection.execute(insert(MACHINE_NETWORK).values(machine_id=machine_id))


def write_row(connection: Connection, machine_id: str, machine: MachineInput) -> list[str]:
    current = connection.execute(select(MACHINE).where(MACHINE.c.id == machine_id)).mappings().one()
    wanted: dict[str, Any] = {
        field: getattr(machine, field) for field in _ROW_KEYS if field in machine.model_fields_set
    }
    wanted = {
        field: None if value == "" else value
        for field, value in wanted.items()
        if not (field == "firmware" and value is None)
    }
    if "machine_class" in wanted:
        wanted["machine_class"] = wanted["machine_class"] or ""
    changed = {field: value for field, value in wanted.items() if current[field] != value}
    if changed:
        rack = wanted.get("rack", current["rack"])
        _place(connection, wanted.get("site", current["site"]), rack)
        connection.execute(update(MACHINE).where(MACHINE.c.id == machine_id).values(changed))
    return [_ROW_KEYS[field] for field in changed]


def write_labels(connection: Connection, machine_id: str, machine: MachineInput) -> list[str]:
    if "labels" not in machine.model_fields_set:
        return []
    query = select(LABEL.c.key, LABEL.c.value).where(LABEL.c.machine_id == machine_id)
    if {row.key: row.value for row in connection.execute(query)} == machine.labels:
        return []
    connection.execute(delete(LABEL).where(LABEL.c.machine_id == machine_id))
    rows = [
        {"machine_id": machine_id, "key": key, "value": value}
        for key, value in machine.labels.items()
    ]
    if rows:
        connection.execute(insert(LABEL), rows)
    return ["labels"]


def write_nics(connection: Connection, machine_id: str, machine: MachineInput) -> list[str]:
    if "nics" not in machine.model_fields_set:
        return []
    network = select(MACHINE_NETWORK.c.pxe_mac).where(MACHINE_NETWORK.c.machine_id == machine_id)
    query = select(NIC.c.mac).where(NIC.c.machine_id == machine_id, NIC.c.is_enrolled)
    recorded = set(connection.scalars(query))
    wanted = [nic.mac for nic in machine.nics]
    if recorded == set(wanted) and connection.scalar(network) == machine.pxe_mac:
        return []
    gone = sorted(recorded - set(wanted))
    mine = MACHINE_NETWORK.c.machine_id == machine_id
    connection.execute(update(MACHINE_NETWORK).where(mine).values(pxe_mac=None))
    connection.execute(delete(NIC).where(NIC.c.mac.in_(gone)))
    for position, nic in enumerate(machine.nics):
        row = upsert(NIC).values(
            mac=nic.mac,
            machine_id=machine_id,
            position=position,
            is_enrolled=True,
            name=nic.name or "",
            driver="",
        )
        kept = {"is_enrolled": True, "position": position}
        connection.execute(row.on_conflict_do_update(index_elements=["mac"], set_=kept))
    connection.execute(update(MACHINE_NETWORK).where(mine).values(pxe_mac=machine.pxe_mac))
    return ["nics"]


def write_network(connection: Connection, machine_id: str, machine: MachineInput) -> list[str]:
    """The management address, and the cluster address (the same one unless given)."""
    keys = {"segment", "address", "cluster_address"} & machine.model_fields_set
    if not keys:
        return []
    mine = MACHINE_NETWORK.c.machine_id == machine_id
    row = connection.execute(select(MACHINE_NETWORK).where(mine)).mappings().one()
    management = _recorded(connection, row["management_address_id"])
    cluster = _recorded(connection, row["cluster_address_id"])
    address = machine.address or (management[0] if management else None)
    segment = machine.segment or (management[1] if management else None)
    cluster_address = machine.cluster_address or address
    wanted = (
        (address, segment) if address else None,
        (cluster_address, segment if cluster_address == address else None)
        if cluster_address
        else None,
    )
    if address and segment:
        _check_in_segment(connection, address, segment)
    if wanted == (management, cluster):
        return []
    connection.execute(
        update(MACHINE_NETWORK)
        .where(mine)
        .values(management_address_id=None, cluster_address_id=None)
    )
    links = select(LINK.c.id).where(LINK.c.machine_id == machine_id)
    connection.execute(delete(ADDRESS).where(ADDRESS.c.link_id.in_(links)))
    connection.execute(delete(LINK).where(LINK.c.machine_id == machine_id))
    link = _insert(
        connection, LINK, machine_id=machine_id, kind="nic", name="", mac=machine.pxe_mac
    )
    ids = [_address(connection, link, machine.site, found) for found in wanted[:1]]
    ids.append(
        ids[0] if wanted[1] == wanted[0] else _address(connection, link, machine.site, wanted[1])
    )
    connection.execute(
        update(MACHINE_NETWORK)
        .where(mine)
        .values(management_address_id=ids[0], cluster_address_id=ids[1])
    )
    return sorted(keys)


def write_bmc(
    connection: Connection, box: SecretBox, machine_id: str, machine: MachineInput, now: float
) -> list[str]:
    bmc = machine.bmc
    if bmc is None:
        return []
    address = bmc.address or machine.name  # manual: a person goes to the machine
    endpoint_id, changed = _endpoint(connection, bmc, address)
    mine = BMC_SYSTEM.c.machine_id == machine_id
    bound = connection.execute(select(BMC_SYSTEM).where(mine)).mappings().all()
    wanted = {"machine_id": machine_id, "endpoint_id": endpoint_id, "system": bmc.system}
    if [dict(row) for row in bound] != [wanted]:
        taken = select(BMC_SYSTEM.c.machine_id).where(
            BMC_SYSTEM.c.endpoint_id == endpoint_id, BMC_SYSTEM.c.system == bmc.system
        )
        other = connection.scalar(taken)
        if other not in (None, machine_id):
            raise SectionError(
                "bmc",
                f"BMC {address} is machine {other}'s already; blades that share one each name "
                "their system",
            )
        connection.execute(delete(BMC_SYSTEM).where(mine))
        connection.execute(insert(BMC_SYSTEM).values(wanted))
        # never carried over to a new address: that host is not yet known to be the same
        credentials.drop_unused(connection, [row["endpoint_id"] for row in bound])
        changed = True
    if bmc.password is not None:
        secret = {"username": bmc.username, "password": bmc.password.get_secret_value()}
        name = secret_name(endpoint_id)
        stored = connection.scalar(select(SECRET.c.name).where(SECRET.c.name == name))
        if stored is None or box.get(connection, name) != secret:
            box.put(connection, name, secret, now)
            changed = True
    return ["bmc"] if changed else []


def write_ssh(connection: Connection, machine_id: str, machine: MachineInput) -> list[str]:
    origin = connection.scalar(select(MACHINE.c.origin).where(MACHINE.c.id == machine_id))
    if machine.ssh is None:
        return []
    if origin != "existing":
        raise SectionError(
            "ssh",
            f"machine {machine.name} was enrolled to be installed by us; to keep the OS that "
            "it has, retire and forget it first",
        )
    wanted = {"machine_id": machine_id, **machine.ssh.model_dump()}
    query = select(SSH_BINDING).where(SSH_BINDING.c.machine_id == machine_id)
    current = connection.execute(query).mappings().first()
    if current is not None and dict(current) == wanted:
        return []
    row = upsert(SSH_BINDING).values(wanted)
    connection.execute(row.on_conflict_do_update(index_elements=["machine_id"], set_=wanted))
    return ["ssh"]


def write_segment(connection: Connection, segment: SegmentInput) -> bool:
    """Create or replace; returns whether anything changed."""
    _place(connection, segment.site, None)
    first, last = segment.dhcp_range or ("", "")
    wanted: dict[str, Any] = {
        "name": segment.name,
        "site": segment.site,
        "subnet": segment.subnet,
        "vlan": segment.vlan,
        "gateway": segment.gateway or "",
        "mtu_bytes": segment.mtu_bytes,
        "dns": list(segment.dns),
        "ntp": list(segment.ntp),
        "dhcp": segment.dhcp,
        "dhcp_first": first,
        "dhcp_last": last,
        "relay": segment.relay or "",
        "interface": segment.interface or "",
        "boot_server": segment.boot_server or "",
    }
    query = select(SEGMENT).where(SEGMENT.c.name == segment.name)
    current = connection.execute(query).mappings().first()
    if current is not None and dict(current) == wanted:
        return False
    row = upsert(SEGMENT).values(wanted)
    connection.execute(row.on_conflict_do_update(index_elements=["name"], set_=wanted))
    return True


def _place(connection: Connection, site: str, rack: str | None) -> None:
    connection.execute(upsert(SITE).values(name=site).on_conflict_do_nothing())
    if rack:
        connection.execute(upsert(RACK).values(site=site, name=rack).on_conflict_do_nothing())


def _endpoint(connection: Connection, bmc: BmcInput, address: str) -> tuple[str, bool]:
    same = (BMC_ENDPOINT.c.protocol == bmc.protocol) & (BMC_ENDPOINT.c.address == address)
    current = connection.execute(select(BMC_ENDPOINT).where(same)).mappings().first()
    every: dict[str, Any] = {
        "certificate_pem": bmc.certificate_pem,
        "cipher_suite": bmc.cipher_suite,
        "quirks": bmc.quirks,
    }
    if current is None:
        endpoint_id = f"b-{secrets.token_hex(6)}"
        place = {"id": endpoint_id, "protocol": bmc.protocol, "address": address}
        connection.execute(insert(BMC_ENDPOINT).values(**place, **every))
        return endpoint_id, True
    wanted = {key: value for key, value in every.items() if key in bmc.model_fields_set}
    if _subset(current, wanted):
        return current["id"], False
    connection.execute(update(BMC_ENDPOINT).where(same).values(wanted))
    return current["id"], True


def _subset(current: Mapping[Any, Any], wanted: Mapping[str, Any]) -> bool:
    return all(current[key] == value for key, value in wanted.items())


def _recorded(
    connection: Connection, address_id: int | None
) -> tuple[str | None, str | None] | None:
    if address_id is None:
        return None
    row = connection.execute(select(ADDRESS).where(ADDRESS.c.id == address_id)).mappings().one()
    return f"{row['ip']}/{row['prefix']}", row["segment"]


def _address(
    connection: Connection, link: int, site: str, wanted: tuple[str | None, str | None] | None
) -> int | None:
    if wanted is None or wanted[0] is None:
        return None
    found = ipaddress.ip_interface(wanted[0])
    return _insert(
        connection,
        ADDRESS,
        link_id=link,
        segment=wanted[1],
        site=site,
        ip=str(found.ip),
        prefix=found.network.prefixlen,
    )


def _check_in_segment(connection: Connection, address: str, name: str) -> None:
    segment = connection.execute(select(SEGMENT).where(SEGMENT.c.name == name)).mappings().one()
    found = ipaddress.ip_interface(address)
    network = ipaddress.ip_network(segment["subnet"])
    if found.network != network:
        raise SectionError("address", f"{address} is not in segment {name} ({network})")
    if str(found.ip) in (segment["gateway"], segment["boot_server"]):
        raise SectionError("address", f"{found.ip} is segment {name}'s gateway or boot server")
    if segment["dhcp_first"] and int(ipaddress.ip_address(segment["dhcp_first"])) <= int(
        found.ip
    ) <= int(ipaddress.ip_address(segment["dhcp_last"])):
        raise SectionError(
            "address", f"{found.ip} is in segment {name}'s dhcp_range: static addresses lie outside"
        )


def _insert(connection: Connection, table: Table, **values: Any) -> int:
    key = connection.execute(insert(table).values(values)).inserted_primary_key
    return int(key[0]) if key is not None else 0
