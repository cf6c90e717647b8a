from ipaddress import IPv4Address
from pathlib import Path

import pytest

from rackwright.api.dnsmasq.hosts import Reservations

MAC = "52:54:00:77:01:02"
OTHER = "52:54:00:77:01:03"


@pytest.fixture
def reloads() -> list[None]:
    return []


@pytest.fixture
def reservations(tmp_path: Path, reloads: list[None]) -> Reservations:
    return Reservations(tmp_path, lambda: reloads.append(None))


def test_arming_writes_one_file_and_needs_no_reload(
    reservations: Reservations, tmp_path: Path, reloads: list[None]
) -> None:
    reservations.arm("m-1", [MAC, OTHER], IPv4Address("10.77.0.11"))
    assert [p.name for p in tmp_path.iterdir()] == ["m-1"]
    assert (tmp_path / "m-1").read_text() == f"{MAC},{OTHER},10.77.0.11\n"
    assert (tmp_path / "m-1").stat().st_mode & 0o777 == 0o644
    reservations.arm("m-1", [MAC, OTHER], IPv4Address("10.77.0.11"))
    assert reloads == []


def test_what_dnsmasq_would_not_forget_by_itself_reloads(
    reservations: Reservations, reloads: list[None]
) -> None:
    reservations.arm("m-1", [MAC])
    reservations.arm("m-1", [OTHER])
    assert len(reloads) == 1
    reservations.disarm("m-1")
    assert len(reloads) == 2
    reservations.disarm("m-1")
    assert len(reloads) == 2
    assert reservations.armed() == frozenset()


def test_after_a_restart_only_the_windows_still_open_stay(
    reservations: Reservations, tmp_path: Path, reloads: list[None]
) -> None:
    for number in range(3):
        reservations.arm(f"m-{number}", [f"52:54:00:00:00:0{number}"])
    (tmp_path / ".m-9").write_text("a draft of a killed controller")
    heir = Reservations(tmp_path, lambda: reloads.append(None))
    assert heir.retain({"m-1", "m-7"}) == {"m-0", "m-2"}
    assert heir.armed() == {"m-1"}
    assert len(reloads) == 1
    assert heir.retain({"m-1"}) == frozenset()
    assert len(reloads) == 1


@pytest.mark.parametrize("machine_id", ["../x", "a/b", "", ".x", "a\nb"])
def test_machine_id_is_no_path(reservations: Reservations, machine_id: str) -> None:
    with pytest.raises(ValueError, match="machine id"):
        reservations.arm(machine_id, [MAC])
    with pytest.raises(ValueError, match="machine id"):
        reservations.disarm(machine_id)


@pytest.mark.parametrize(
    "macs", [[], ["x"], [MAC.upper() + "A"], [MAC + ",ignore"], [MAC, "*:*:*:*:*:*"], [MAC + "\n"]]
)
def test_only_macs_are_written(reservations: Reservations, tmp_path: Path, macs: list[str]) -> None:
    with pytest.raises(ValueError, match="MACs"):
        reservations.arm("m-1", macs)
    assert list(tmp_path.iterdir()) == []
