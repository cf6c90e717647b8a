"""Events as lines of a log."""

import pytest

from rackwright.api.cli.progress import event_line

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
