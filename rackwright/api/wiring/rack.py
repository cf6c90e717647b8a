"""What the faces ask of a rack's state directory: is it up, and in which namespace."""

from pathlib import Path

from rackwright.lab import network, rack
from rackwright.lab import state as rack_state


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
