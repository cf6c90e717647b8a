"""How a machine that is not armed is given back to its firmware: as its enrolment says."""

import pytest

from rackwright.api.owner.convert import not_armed_of
from rackwright.inventory.facade import Inventory
from tests.integration.api.controller import Controller

MACHINE = """\
machines:
- {{name: n1, nics: [{{mac: "52:54:00:00:00:01"}}]{more}}}
"""


@pytest.mark.parametrize(
    ("more", "leave"),
    [
        ("", ("auto", 0)),
        (", firmware: bios", ("sanboot", 0)),
        (", firmware: uefi", ("exit", 0)),
        (", firmware: bios, leave_netboot: exit", ("exit", 0)),
        (", firmware: bios, bios_disk: 1", ("sanboot", 1)),
        (", firmware: uefi, leave_netboot: sanboot, bios_disk: 2", ("sanboot", 2)),
    ],
)
def test_the_enrolment_wins_over_the_firmware(
    controller: Controller, more: str, leave: tuple[str, int]
) -> None:
    controller.enrol(MACHINE.format(more=""))
    controller.enrol(MACHINE.format(more=more))
    inventory = Inventory.open(controller.data)
    try:
        found = not_armed_of(inventory.machine("n1"))
    finally:
        inventory.close()
    assert (found.leave, found.bios_disk) == leave
