"""What the CLI prints where there is no terminal."""

import json
import time
from collections.abc import Iterator

import pytest
from ruamel.yaml import YAML

from rackwright.api.cli import output
from rackwright.api.cli.output import Format


@pytest.fixture
def in_kathmandu(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """UTC+5:45 all year: nobody's default."""
    monkeypatch.setenv("TZ", "Asia/Kathmandu")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def test_a_row_is_a_line_however_long(capsys: pytest.CaptureFixture[str]) -> None:
    long = "x" * 500
    output.emit(Format.TABLE, [{"name": long, "note": ""}, {"name": "b", "note": "n"}])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert lines[1].split() == [long, "-"]
    assert all(line == line.rstrip() for line in lines)


def test_markup_in_data_is_printed_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    output.emit(Format.TABLE, [{"model": "[red]DISK[/] [bold]"}])
    output.note("[red]n[/]")
    output.fail("[red]f[/]", "[red]h[/]")
    said = capsys.readouterr()
    assert "[red]DISK[/] [bold]" in said.out
    assert said.err == "[red]n[/]\nerror: [red]f[/]\nhint: [red]h[/]\n"


def test_a_long_message_is_not_wrapped(capsys: pytest.CaptureFixture[str]) -> None:
    output.fail("word " * 60 + "end")
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize("data", [[], {}, [{"a": None, "b": [1, {"c": "d: e"}]}], {"x": "yes"}])
def test_json_and_yaml_carry_the_same(data: object, capsys: pytest.CaptureFixture[str]) -> None:
    output.emit(Format.JSON, data)
    assert json.loads(capsys.readouterr().out) == data
    output.emit(Format.YAML, data)
    assert YAML(typ="safe").load(capsys.readouterr().out) == data


def test_a_stream_in_json_is_a_line_an_item(capsys: pytest.CaptureFixture[str]) -> None:
    for number in (1, 2):
        output.emit_one_of_many(Format.JSON, {"seq": number, "more": {"a": 1}})
    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line)["seq"] for line in lines] == [1, 2]


@pytest.mark.usefixtures("in_kathmandu")
def test_tables_tell_local_time_and_json_tells_utc(capsys: pytest.CaptureFixture[str]) -> None:
    row = {"created": "2026-03-01T09:30:00.000Z"}
    output.emit(Format.TABLE, [row])
    assert "2026-03-01 15:15:00" in capsys.readouterr().out
    output.emit(Format.JSON, [row])
    assert "2026-03-01T09:30:00.000Z" in capsys.readouterr().out


def test_a_digest_is_shown_by_its_beginning_in_rows_alone(
    capsys: pytest.CaptureFixture[str],
) -> None:
    output.emit(Format.TABLE, [{"digest": "a" * 64}])
    assert capsys.readouterr().out.splitlines()[1] == "a" * 12
    output.emit(Format.TABLE, {"digest": "a" * 64})
    assert "a" * 64 in capsys.readouterr().out


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [(0, "0 B"), (999, "999 B"), (4096, "4.1 kB"), (10 * 2**30, "10.7 GB"), (10**13, "10.0 TB")],
)
def test_sizes_are_decimal_as_in_plans(size_bytes: int, text: str) -> None:
    assert output.size(size_bytes) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.01, "0s"),
        (0.94, "0.9s"),
        (9.95, "9s"),
        (12.6, "12s"),
        (59, "59s"),
        (185, "3m05s"),
        (3725, "1h02m"),
    ],
)
def test_durations_are_short(seconds: float, text: str) -> None:
    assert output.duration(seconds) == text


def test_elapsed_of_what_has_not_ended_is_open() -> None:
    begin = "2026-03-01T09:30:00.000Z"
    assert output.elapsed(begin, "2026-03-01T09:31:05.000Z") == "1m05s"
    assert output.elapsed(begin, None) == "-"
