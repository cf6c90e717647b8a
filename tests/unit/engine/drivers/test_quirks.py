from pathlib import Path

import pytest

from rackwright.engine.drivers.quirks import Identity, Quirks, QuirkTable, load_quirks
from rackwright.engine.errors import OperatorError

RULES = """
- {vendor: ^Acme, why: because, seen: 2026-01, set: {boot_mode: omit}}
- {vendor: ^Acme, model: R2, why: because, seen: 2026-01, set: {boot_mode: send, reset_type: On}}
- {vendor: ^Acme, firmware: '^1\\.', why: because, seen: 2026-01, set: {tls_min_version: '1.0'}}
"""


def _table(tmp_path: Path, text: str) -> QuirkTable:
    path = tmp_path / "own.yaml"
    path.write_text(text, encoding="utf-8")
    return load_quirks(path)


def test_shipped_quirks_hold_for_those_they_name_alone() -> None:
    table = load_quirks()
    assert table.of(Identity("Sushy Emulator")).boot_once_reads_as == "Continuous"
    assert table.of(Identity("MontaVista Software, Inc.")).boot_flags == "device"
    assert table.of(Identity("Other")) == Quirks()


def test_later_rules_win_setting_by_setting(tmp_path: Path) -> None:
    table = _table(tmp_path, RULES)
    assert table.of(Identity("ACME Inc.")).boot_mode == "omit"
    found = table.of(Identity("Acme", "R2", "1.4"))
    assert (found.boot_mode, found.reset_type, found.tls_min_version) == ("send", "On", "1.0")
    assert table.of(Identity("Acme", "R2", "2.1")).tls_min_version == ""


def test_machines_own_quirks_win(tmp_path: Path) -> None:
    table = _table(tmp_path, RULES)
    assert table.of(Identity("Acme"), {"boot_mode": "send"}).boot_mode == "send"


@pytest.mark.parametrize(
    "text",
    [
        "a: b",
        "- 1",
        "- {vendor: x, why: y, set: {}}",
        "- {vendor: x, why: y, seen: z, set: []}",
        "- {vendor: x, why: y, seen: z, set: {nonsense: 1}}",
        "- {vendor: x, why: y, seen: z, set: {boot_mode: 7}}",
        "- {vendor: x, why: y, seen: z, set: {boot_mode: maybe}}",
        "- {vendor: '(', why: y, seen: z, set: {}}",
        "- {",
    ],
)
def test_bad_files_are_refused_by_name(tmp_path: Path, text: str) -> None:
    with pytest.raises(OperatorError, match=r"own\.yaml"):
        _table(tmp_path, text)


def test_missing_file_is_the_operators(tmp_path: Path) -> None:
    with pytest.raises(OperatorError):
        load_quirks(tmp_path / "none.yaml")
