"""Recorded words of ipmitool, one file a case: tests/cases/ipmi."""

import json
from pathlib import Path

import pytest

from rackwright.engine.drivers import ipmi_output as words

CASES = sorted((Path(__file__).parents[3] / "cases" / "ipmi").glob("*.txt"))


def _read(path: Path) -> tuple[str, str, str]:
    head, _, text = path.read_text(encoding="utf-8").partition("---\n")
    values = dict(line[2:].split(": ", 1) for line in head.splitlines())
    return values["parser"], values["expect"], text


def _shown(parser: str, text: str) -> str:
    match parser:
        case "power":
            return words.parse_power(text).value
        case "boot":
            flags = words.parse_boot_flags(text)
            if flags is None:
                return "missing"
            device = flags.device.value if flags.device else "none"
            return f"{flags.is_valid} {flags.is_persistent} {flags.is_efi} {device}"
        case "identity":
            identity = words.parse_identity(text)
            return f"{identity.vendor}|{identity.model}|{identity.firmware}"
        case "records":
            return str(words.parse_record_count(text))
        case "sensors":
            return json.dumps(dict(words.parse_sensors(text)))
    raise AssertionError(parser)


@pytest.mark.parametrize("path", CASES, ids=[path.stem for path in CASES])
def test_words_mean_what_the_case_says(path: Path) -> None:
    parser, expected, text = _read(path)
    if parser != "fault":
        assert _shown(parser, text) == expected
        return
    kind, _, part = expected.partition(" ")
    fault = words.fault_of(text, "bmc")
    assert type(fault).__name__ == kind
    assert part in str(fault)


def test_there_are_cases() -> None:
    assert len(CASES) > 20


def test_fault_never_repeats_the_password() -> None:
    fault = words.fault_of("Error: user admin, password s3cret\nfailed", "bmc", ("s3cret",))
    assert "s3cret" not in str(fault)
    assert "***" in str(fault)


def test_setting_that_was_not_set_is_noticed_whatever_the_exit_code() -> None:
    _, _, text = _read(next(path for path in CASES if path.stem == "fault-boot"))
    assert words.has_refused_setting(text)
    _, _, text = _read(next(path for path in CASES if path.stem == "power-on"))
    assert not words.has_refused_setting(text)
