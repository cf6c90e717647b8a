"""What the faces ask of a rack's state directory: is it up, and in which namespace."""

from pathlib import Path

from rackwright.api.doctor.checks import Target
from rackwright.api.doctor.gate import require
from rackwright.api.doctor.probes import Probes
from rackwright.lab import network, rack
from rackwright.lab import state as rack_state
from rackwright.lab.spec import RackSpec


def namespace_of(directory: Path) -> str:
    """Raises LabError if there is no rack."""
    return rack_state.load(directory).spec.namespace


def is_up(directory: Path) -> bool:
    """Whether a whole rack lives there: its namespace, and every chassis."""
    if not rack_state.has_record(directory):
        return False
    state = rack_state.load(directory)
    if state.namespace is None or network.identify(state.spec.namespace) != state.namespace:
        return False
    return all(machine["chassis_pid"] for machine in rack.status(directory))


def require_room(spec: RackSpec, directory: Path, *, probes: Probes | None = None) -> None:
    """Return where this machine can hold the rack in ``directory``. Raises OperatorError.

    A rack that is in ``directory`` already is the lab's to tell of.
    """
    namespace = "" if rack_state.has_record(directory) else spec.namespace
    require("lab", Target(data_dir=directory, namespace=namespace), probes=probes)
