"""What the inventory hands out fits what the engine takes, field by field."""

from dataclasses import fields

import pytest

from rackwright.engine import machine
from rackwright.engine.run.ports import Fact, Journal
from rackwright.inventory import values
from rackwright.inventory.facade import Inventory
from rackwright.inventory.journal import FactRow


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        (machine.Machine, values.MachineView),
        (machine.Drive, values.DriveView),
        (machine.Nic, values.NicView),
        (machine.Bmc, values.BmcView),
        (machine.Installed, values.InstalledView),
    ],
)
def test_a_view_has_every_field_of_the_engines_value(theirs: type, ours: type) -> None:
    assert {field.name for field in fields(theirs)} <= {field.name for field in fields(ours)}


def test_a_fact_row_is_the_engines_fact() -> None:
    assert FactRow._fields == Fact._fields


def journal_of(inventory: Inventory, run: str) -> Journal:
    """For the type checker: a run's journal is the engine's Journal."""
    return inventory.journal(run, fact=Fact)
