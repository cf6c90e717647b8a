"""Events as lines of a log."""

from io import StringIO

import pytest
from rich.console import Console

from rackwright.api.cli.progress import event_line, picture, summary_line

AT = "2026-03-01T09:30:00.000Z"


@pytest.mark.parametrize(
    ("event", "said"),
    [
        ({"kind": "issued", "status": "probe", "attempt": 1}, "asks (attempt 1)"),
        ({"kind": "issued", "status": "act", "attempt": 2}, "starts (attempt 2)"),
        ({"kind": "ended", "status": "failed", "error": "no luck"}, "failed: no luck"),
        ({"kind": "ended", "status": "changed"}, "changed"),
        ({"kind": "intent", "detail": "erase"}, "intends to erase"),
        ({"kind": "finished", "status": "degraded"}, "run degraded"),
    ],
)
def test_an_event_is_a_line(event: dict[str, object], said: str) -> None:
    assert event_line({"at": AT, "machine": "n1", "stage": "make", **event}).endswith(said)


def test_events_that_nobody_reads_are_no_line() -> None:
    assert event_line({"at": AT, "kind": "timer"}) == ""


def progress_of(stages: int, machines: int) -> dict[str, object]:
    counts = {"changed": machines - 70, "running": 50, "failed": 20}
    stage = {
        "total": machines,
        "done": machines - 70,
        "counts": counts,
        "p50_s": 61.2,
        "p99_s": 180.0,
    }
    row = {"machine": "n7", "stage": "s1", "attempt": 2}
    return {
        "id": "r-1",
        "status": "running",
        "machines": machines,
        "elapsed_s": 754.0,
        "eta_s": 125.0,
        "waits_for": ["s1", "s2"],
        "stages": [{**stage, "name": f"s{n}"} for n in range(stages)],
        "slowest": [{**row, "running_s": 300.0}] * 5,
        "failing": [{**row, "state": "failed", "error": "no [bold]luck"}] * 5,
    }


def drawn(found: dict[str, object]) -> str:
    console = Console(width=100, color_system=None, file=StringIO())
    console.print(picture(found))
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def test_a_picture_is_as_long_for_every_size() -> None:
    small, large = (drawn(progress_of(10, machines)) for machines in (100, 70_000))
    assert len(small.splitlines()) == len(large.splitlines()) <= 30
    assert max(map(len, large.splitlines())) <= 100


def test_a_picture_tells_what_an_operator_asks() -> None:
    text = drawn(progress_of(2, 70_000))
    for said in ("69930", "12m34s", "about 2m05s left (s1 -> s2)", "n7", "no [bold]luck", "180s"):
        assert said in text


def test_a_line_tells_where_the_stages_are() -> None:
    line = summary_line(progress_of(1, 1000))
    assert line == "run running 12m34s; s0 930/1000; 20 failed; about 2m05s left (s1 -> s2)"
