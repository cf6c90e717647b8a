from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rackwright.engine.content.windows import Window, parse_window


def at(text: str, zone: str = "UTC") -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


@pytest.mark.parametrize(
    ("text", "moment", "expected"),
    [
        ("Sat 01:00-05:00 UTC", "2026-11-21T01:00", True),
        ("Sat 01:00-05:00 UTC", "2026-11-21T00:59:59", False),
        ("Sat 01:00-05:00 UTC", "2026-11-21T05:00", False),
        ("Sat 01:00-05:00 UTC", "2026-11-22T02:00", False),
        ("Fri-Sun 01:00-05:00", "2026-11-22T02:00", True),
        ("Fri-Mon 01:00-05:00", "2026-11-23T02:00", True),
        ("Mon,wed 01:00-05:00", "2026-11-25T02:00", True),
        ("Fri 22:00-04:00 UTC", "2026-11-21T03:59", True),
        ("Fri 22:00-04:00 UTC", "2026-11-20T03:59", False),
        ("daily 00:00-00:00", "2026-11-20T12:00", True),
        ("Sat 01:00-05:00 Europe/Berlin", "2026-11-21T00:30", True),
        ("Sat 01:00-05:00 Europe/Berlin", "2026-07-25T03:30", False),
    ],
)
def test_a_window_is_open_between_its_times(text: str, moment: str, expected: bool) -> None:
    assert parse_window(text).is_open(at(moment)) is expected


@pytest.mark.parametrize(
    "text",
    [
        *("", "Sat", "Sat 1:00-5:00", "Sat 01:00-25:00", "Sat 01:00-05:61", "Foo 01:00-05:00"),
        *("Sat 01:00-05:00 Mars/Base", "Sat 01:00-05:00 ../../etc/passwd", "Sat 01:00 05:00"),
        *("Sat,,Sun 01:00-05:00", "Sat 01:00-05:00 UTC x"),
    ],
)
def test_what_is_no_window_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no "):
        parse_window(text)


def test_a_night_that_the_clocks_shorten_is_an_hour_shorter() -> None:
    window = parse_window("Sun 01:00-05:00 Europe/Berlin")
    opens = window.next_change(at("2026-03-28T12:00"))
    closes = window.next_change(opens)
    assert (closes - opens) / 3600 == 3
    assert opens == at("2026-03-29T00:00")


TEXTS = st.builds(
    "{} {:02}:{:02}-{:02}:{:02} {}".format,
    st.sampled_from(["daily", "Sat", "Mon-Fri", "Sun,Tue"]),
    *(st.integers(0, 23), st.integers(0, 59), st.integers(0, 23), st.integers(0, 59)),
    st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata"]),
)
MOMENTS = st.datetimes(datetime(2024, 1, 1), datetime(2028, 1, 1)).map(
    lambda moment: moment.replace(tzinfo=UTC).timestamp()
)


@given(TEXTS, MOMENTS)
@settings(max_examples=200, deadline=None, derandomize=True, database=None)
def test_nothing_changes_before_the_next_change(text: str, moment: float) -> None:
    window: Window = parse_window(text)
    change = window.next_change(moment)
    assert moment < change <= moment + 8 * 86400
    now = window.is_open(moment)
    for share in (0.0, 0.3, 0.9, 0.999):
        assert window.is_open(moment + (change - moment) * share) is now
