"""Maintenance windows: 'Sat 01:00-05:00 UTC' to a value, and when it is open.

Pure: the moment comes as an argument. A window belongs to the day that it begins on, and may pass
midnight; its clock is that of its time zone, whatever that does in March and October.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, tzinfo
from functools import cache
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
HINT: Final = (
    "write DAYS HH:MM-HH:MM ZONE, such as 'Sat,Sun 01:00-05:00 UTC' or 'daily 22:00-04:00'"
)
_TEXT: Final = re.compile(
    r"(?P<days>[A-Za-z][A-Za-z,-]*) +(?P<begin>\d\d:\d\d)-(?P<end>\d\d:\d\d)(?: +(?P<zone>\S+))?\Z",
    re.ASCII,
)
_DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Window:
    """``days``: numbers of the days that it begins on, Monday is 0. An ``end`` that is not after
    its ``begin`` is on the next day."""

    days: tuple[int, ...]
    begin: time
    end: time
    zone: str

    def is_open(self, at: float) -> bool:
        """``at``: unix seconds."""
        return any(begin <= at < end for begin, end in self._around(at))

    def next_change(self, at: float) -> float:
        """When it next opens or closes, unix seconds, after ``at``."""
        edges = [edge for pair in self._around(at) for edge in pair if edge > at]
        return min(edges)

    def _around(self, at: float) -> list[tuple[float, float]]:
        """Its openings from the day before ``at`` to eight days after it."""
        zone = _zone(self.zone)
        today = datetime.fromtimestamp(at, zone).date()
        found = []
        for ahead in range(-1, 9):
            day = today + ahead * _DAY
            if day.weekday() in self.days:
                last = day if self.end > self.begin else day + _DAY
                begin = datetime.combine(day, self.begin, zone).timestamp()
                end = datetime.combine(last, self.end, zone).timestamp()
                if end > begin:  # not one that a change of the clocks swallows
                    found.append((begin, end))
        return found


def parse_window(text: str) -> Window:
    """Raises ValueError, saying what is wrong."""
    match = _TEXT.match(text.strip())
    if match is None:
        raise ValueError(f"'{text[:60]}' is no window")
    zone = match["zone"] or "UTC"
    try:
        _zone(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"'{zone[:40]}' is no time zone") from error
    return Window(_days(match["days"].lower()), _clock(match["begin"]), _clock(match["end"]), zone)


def parse_site_windows(text: str) -> dict[str, tuple[str, ...]]:
    """``SITE=WINDOW|WINDOW; SITE=WINDOW`` to texts by site. Raises ValueError."""
    found: dict[str, tuple[str, ...]] = {}
    for part in filter(None, (p.strip() for p in text.split(";"))):
        site, equals, windows = part.partition("=")
        if not equals or not site.strip():
            raise ValueError(f"'{part[:60]}' is no SITE=WINDOW")
        texts = tuple(one.strip() for one in windows.split("|"))
        for one in texts:
            parse_window(one)
        found[site.strip()] = texts
    return found


def is_any_open(windows: Iterable[Window], at: float) -> bool:
    return any(window.is_open(at) for window in windows)


def _days(text: str) -> tuple[int, ...]:
    if text == "daily":
        return tuple(range(7))
    found: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        if first not in DAYS or (last or first) not in DAYS:
            raise ValueError(f"'{part[:20]}' is no day")
        begin, end = DAYS.index(first), DAYS.index(last or first)
        found.update(day % 7 for day in range(begin, end + 1 if end >= begin else end + 8))
    return tuple(sorted(found))


def _clock(text: str) -> time:
    hour, minute = map(int, text.split(":"))
    if hour > 23 or minute > 59:
        raise ValueError(f"'{text}' is no time of a day")
    return time(hour, minute)


@cache
def _zone(name: str) -> tzinfo:
    return UTC if name == "UTC" else ZoneInfo(name)
