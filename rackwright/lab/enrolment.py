"""What an operator would know of the rack's machines, as the product's enrolment YAML.

Addresses, credentials, MACs, labels; never what is on or of the disks: that a ramdisk finds out.
"""

import io
import ipaddress
from typing import Any

from ruamel.yaml import YAML

from rackwright.lab.spec import MachineSpec, Protocol, RackSpec
from rackwright.lab.state import RackState

CONSOLE = "ttyS0,115200n8"
CIPHER_SUITE = 17
_MTU_BYTES = 1500


def render(state: RackState) -> str:
    """The enrolment's text; it holds BMC passwords."""
    document = {
        "segments": [_segment(state.spec)],
        "machines": [_machine(state, machine) for machine in state.spec.machines],
    }
    text = io.StringIO()
    yaml = YAML(typ="safe")
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    yaml.dump(document, text)
    return text.getvalue()


def _segment(spec: RackSpec) -> dict[str, Any]:
    network = next(item for item in spec.networks if item.name == spec.segment.network)
    interface = ipaddress.ip_interface(network.address)
    return {
        "name": spec.segment.name,
        "site": spec.machines[0].site,
        "subnet": str(interface.network),
        "gateway": str(interface.ip),
        "interface": network.bridge,
        "dhcp": "full",
        "dhcp_range": [spec.segment.dhcp_first, spec.segment.dhcp_last],
        "boot_server": str(interface.ip),
        "mtu_bytes": _MTU_BYTES,
    }


def _machine(state: RackState, machine: MachineSpec) -> dict[str, Any]:
    bmc: dict[str, Any] = {
        "protocol": machine.bmc.protocol.value,
        "address": machine.bmc.address,
        "username": machine.bmc.username,
        "password": state.passwords[machine.name],
        "cipher_suite": CIPHER_SUITE,
    }
    if machine.bmc.protocol is Protocol.REDFISH:
        bmc["certificate_pem"] = state.certificates[machine.name]
    enrolled = {
        "name": machine.name,
        "site": machine.site,
        "rack": machine.rack,
        "class": machine.machine_class,
        "labels": dict(machine.labels),
        "bmc": bmc,
        "nics": [{"mac": nic.mac, **({"pxe": True} if nic.pxe else {})} for nic in machine.nics],
        "segment": state.spec.segment.name,
        "address": machine.address,
        "uuid": machine.uuid,
        "serial": machine.serial,
        "protected": False,
        "console": CONSOLE,
    }
    return {key: value for key, value in enrolled.items() if value != ""}
