from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rackwright.engine.machine import Drive
from rackwright.engine.plan.disks import DiskError, choose_drive, distinct_drives, drive_type
from rackwright.engine.plan.spec import DiskRule
from tests.unit.engine.plan.rack import drive, machine, select

NVME = drive("NV1", wwn="eui.0025385b71b1c8d4", transport="nvme", size_bytes=960 * 10**9)
SATA = drive("SA1", wwn="0x5000c500a1b2c3d4", transport="sata", size_bytes=480_103_981_056)
DISK = drive("HD1", transport="sas", rotational=True, size_bytes=4 * 10**12)
USB = drive("US1", wwn="0x5000000000000001", transport="usb", size_bytes=64 * 10**9)


def chosen(drives: tuple[Drive, ...], *rules: DiskRule) -> str:
    return choose_drive(machine(1, drives=drives), rules, select).serial


def refusal(drives: tuple[Drive, ...], *rules: DiskRule) -> str:
    with pytest.raises(DiskError) as caught:
        chosen(drives, *rules)
    assert caught.value.machine == "n1"
    return str(caught.value)


def test_the_only_internal_drive_needs_no_rule() -> None:
    assert chosen((NVME,)) == "NV1"


def test_ambiguity_is_refused_with_all_candidates() -> None:
    text = refusal((NVME, SATA))
    assert "2 drives fit any internal drive" in text
    assert "serial NV1 (QEMU HARDDISK, 960.0 GB)" in text
    assert "serial SA1 (QEMU HARDDISK, 480.1 GB)" in text
    assert 'selector: "name=n1", serial: NV1' in text


@pytest.mark.parametrize(
    ("rule", "serial"),
    [
        (DiskRule(type="nvme"), "NV1"),
        (DiskRule(type="ssd"), "SA1"),
        (DiskRule(type="hdd"), "HD1"),
        (DiskRule(size_bytes=480 * 10**9), "SA1"),
        (DiskRule(min_size_bytes=10**12), "HD1"),
        (DiskRule(max_size_bytes=5 * 10**11), "SA1"),
        (DiskRule(serial="HD1"), "HD1"),
        (DiskRule(wwn="5000C500A1B2C3D4"), "SA1"),
        (DiskRule(wwn="0x0025385b71b1c8d4"), "NV1"),
        (DiskRule(wwn="0x5000000000000001"), "US1"),
    ],
)
def test_rules(rule: DiskRule, serial: str) -> None:
    assert chosen((NVME, SATA, DISK, USB), rule) == serial


def test_the_first_rule_whose_selector_matches_wins() -> None:
    rules = (
        DiskRule(selector="name=n2", type="hdd"),
        DiskRule(selector="name=n1", type="nvme"),
        DiskRule(type="ssd"),
    )
    assert chosen((NVME, SATA, DISK), *rules) == "NV1"


@pytest.mark.parametrize(
    "changes",
    [
        {"transport": "usb"},
        {"transport": "iscsi"},
        {"transport": "fc"},
        {"removable": True},
        {"model": "AMI Virtual HDISK0"},
        {"model": "Virtual Floppy"},
    ],
)
def test_drives_from_outside_match_only_by_wwn(changes: dict[str, Any]) -> None:
    outside = drive("X1", wwn="0x5000abcd00000001", **changes)
    for rule in (DiskRule(), DiskRule(serial="X1"), DiskRule(min_size_bytes=1)):
        assert "no drive fits" in refusal((outside,), rule)
    assert chosen((outside,), DiskRule(wwn="0x5000abcd00000001")) == "X1"
    assert chosen((outside, NVME)) == "NV1"


def test_paths_to_one_drive_count_once() -> None:
    paths = tuple(
        drive("MP1", wwn=wwn, path=f"/dev/sd{letter}")
        for letter, wwn in zip(
            "abcd", ("0x5000c500000000aa", "naa.5000c500000000aa") * 2, strict=True
        )
    )
    assert len(distinct_drives(paths)) == 1
    assert chosen(paths) == "MP1"
    by_serial = tuple(drive("MP2", path=f"/dev/sd{x}") for x in "ab")
    assert chosen(by_serial) == "MP2"


def test_two_drives_of_one_serial_are_told_apart_by_wwn_alone() -> None:
    twins = (
        drive("S1", wwn="eui.0000000000000001", size_bytes=1 * 10**12),
        drive("S1", wwn="eui.0000000000000002", size_bytes=2 * 10**12),
    )
    assert "2 drives report one serial" in refusal(twins, DiskRule(min_size_bytes=2 * 10**12))
    found = choose_drive(machine(1, drives=twins), (DiskRule(wwn="eui.0000000000000002"),), select)
    assert found.size_bytes == 2 * 10**12


@pytest.mark.parametrize("serial", ["", "0000000000", "None", "Default string"])
def test_a_drive_without_a_serial_of_its_own_is_not_written(serial: str) -> None:
    assert "no serial of its own" in refusal((drive(serial),))


def test_no_drive_at_all_and_none_that_fits() -> None:
    assert "it has no drives" in refusal(())
    text = refusal((NVME,), DiskRule(type="hdd", min_size_bytes=1))
    assert "no drive fits {type: hdd, min_size: 1}: serial NV1" in text
    assert "no drive fits" in refusal((drive("Z1", size_bytes=0),))


def test_virtio_drives_are_a_type_of_their_own() -> None:
    assert drive_type(drive("V1", rotational=True)) == "virtio"


drives = st.builds(
    drive,
    st.sampled_from(["A1", "B2", "C3", ""]),
    wwn=st.sampled_from(["", "0x5000000000000001", "0x5000000000000002"]),
    transport=st.sampled_from(["nvme", "sata", "usb", "fc", "virtio"]),
    removable=st.booleans(),
    size_bytes=st.integers(0, 10**12),
)


@given(st.lists(drives, max_size=5), st.randoms())
def test_the_choice_does_not_depend_on_the_order_of_drives(found: list[Drive], random: Any) -> None:
    def outcome(ordered: list[Drive]) -> str:
        try:
            return repr(choose_drive(machine(1, drives=tuple(ordered)), (), select))
        except DiskError as error:
            return str(error)

    shuffled = list(found)
    random.shuffle(shuffled)
    assert outcome(found) == outcome(shuffled)


@given(st.lists(drives, max_size=5))
def test_without_a_wwn_in_the_rule_only_internal_drives_with_a_serial_are_chosen(
    found: list[Drive],
) -> None:
    try:
        choice = choose_drive(
            machine(1, drives=tuple(found)), (DiskRule(min_size_bytes=1),), select
        )
    except DiskError:
        return
    assert choice.transport not in ("usb", "fc")
    assert not choice.removable
    assert choice.serial
