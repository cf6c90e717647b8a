from typing import Any

import pytest

from rackwright.engine.drivers.power.base import BootDevice
from rackwright.engine.drivers.quirks import Quirks
from rackwright.engine.drivers.redfish_boot import (
    Wish,
    one_time_device,
    payloads,
    settings_path,
    targets_in_order,
    unmet,
)
from rackwright.engine.machine import Firmware

WISH = Wish(BootDevice.PXE, Firmware.UEFI)
MET = {
    "BootSourceOverrideTarget": "Pxe",
    "BootSourceOverrideEnabled": "Once",
    "BootSourceOverrideMode": "UEFI",
}
LINKED = {"@Redfish.Settings": {"SettingsObject": {"@odata.id": "/s"}}}


def test_mode_is_asked_for_first_and_left_out_next() -> None:
    with_mode, without = payloads(WISH, Quirks())
    assert with_mode == {"Boot": MET}
    assert "BootSourceOverrideMode" not in str(without)
    assert list(payloads(WISH, Quirks(boot_mode="omit"))) == [without]


@pytest.mark.parametrize(
    ("change", "is_met"),
    [
        ({}, True),
        ({"BootSourceOverrideMode": None}, True),  # a service that does not show it
        ({"BootSourceOverrideMode": "Legacy"}, False),
        ({"BootSourceOverrideTarget": "Hdd"}, False),
        ({"BootSourceOverrideEnabled": "Continuous"}, False),
        ({"BootSourceOverrideEnabled": "Disabled"}, False),
    ],
)
def test_what_reads_back_otherwise_is_unmet(change: dict[str, Any], is_met: bool) -> None:
    assert (unmet(WISH, {**MET, **change}, Quirks()) == "") == is_met


def test_one_time_device_is_that_of_once_alone() -> None:
    assert one_time_device(MET, Quirks()) == BootDevice.PXE
    continuous = {**MET, "BootSourceOverrideEnabled": "Continuous"}
    assert one_time_device(continuous, Quirks()) is None
    assert one_time_device(continuous, Quirks(boot_once_reads_as="Continuous")) == BootDevice.PXE
    assert one_time_device({**MET, "BootSourceOverrideTarget": "Usb"}, Quirks()) is None


@pytest.mark.parametrize(
    ("system", "settings", "order"),
    [
        ({}, {}, ("system",)),
        (LINKED, {}, ("system", "settings")),
        (LINKED, {"Boot": MET}, ("settings", "system")),
    ],
)
def test_settings_come_first_where_the_override_lives_there(
    system: dict[str, Any], settings: dict[str, Any], order: tuple[str, ...]
) -> None:
    assert targets_in_order(system, settings) == order


@pytest.mark.parametrize("value", [None, "x", [], {"SettingsObject": 1}, {"SettingsObject": {}}])
def test_odd_settings_links_are_none(value: object) -> None:
    assert settings_path({"@Redfish.Settings": value}) == ""
