import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rackwright.engine.content.quantities import Amount, amount, duration_s, size_bytes, size_text


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("10s", 10), ("3m", 180), ("1h", 3600), ("1h30m", 5400), ("500ms", 0.5), ("1.5s", 1.5)],
)
def test_durations(text: str, seconds: float) -> None:
    assert duration_s(text) == seconds


@pytest.mark.parametrize("text", ["", "3", "3 m", "m", "-3m", "3d", "1m1h", 3, None, "٣m", "3m\n"])
def test_what_is_no_duration(text: object) -> None:
    assert duration_s(text) is None


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("4GiB", 2**32),
        ("480GB", 480 * 10**9),
        ("480 GB", 480 * 10**9),
        ("1.5TB", 15 * 10**11),
        ("512B", 512),
        (512, 512),
    ],
)
def test_sizes(text: object, count: int) -> None:
    assert size_bytes(text) == count


@pytest.mark.parametrize("text", ["4", "4G", "GiB", "-1GB", True, -1, None, "4gib", "4GiB\n"])
def test_what_is_no_size(text: object) -> None:
    assert size_bytes(text) is None


@pytest.mark.parametrize("value", ["0%", "101%", "5 %", "%", -1, True, 1.5, None, "5%\n"])
def test_what_is_no_amount(value: object) -> None:
    assert amount(value) is None


@given(st.integers(1, 100), st.integers(0, 100_000))
def test_percentages_round_up_to_at_least_one(percent: int, total: int) -> None:
    found = Amount(percent, is_percent=True).of(total)
    assert found >= 1
    assert found == max(1, math.ceil(percent * total / 100))


def test_sizes_are_shown_as_drives_print_them() -> None:
    assert size_text(480_103_981_056) == "480.1 GB"
