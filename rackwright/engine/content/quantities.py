"""Durations, sizes and amounts as operators write them: '3m', '480GB', '10%'."""

import math
import re
from dataclasses import dataclass

_DURATION = re.compile(r"(?:(\d{1,6})h)?(?:(\d{1,6})m)?(?:(\d{1,6}(?:\.\d{1,3})?)s)?\Z", re.ASCII)
_SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,3})?) ?(B|[KMGTP]B|[KMGTP]iB)\Z", re.ASCII)
_FACTORS = {"B": 1} | {
    f"{letter}{suffix}": base ** (power + 1)
    for power, letter in enumerate("KMGTP")
    for suffix, base in (("B", 1000), ("iB", 1024))
}

DURATION_HINT = "write a duration such as '10s', '3m' or '1h30m'"
SIZE_HINT = "write a size such as '4GiB' or '480GB'"
AMOUNT_HINT = "write a number such as 3, or a percentage such as '25%'"


def duration_s(text: object) -> float | None:
    """Seconds; None if it is not a duration. '500ms' is one too."""
    if not isinstance(text, str) or not text:
        return None
    if re.fullmatch(r"[0-9]{1,6}ms", text):
        return int(text[:-2]) / 1000
    match = _DURATION.match(text)
    if match is None:
        return None
    hours, minutes, seconds = match.groups()
    return int(hours or 0) * 3600.0 + int(minutes or 0) * 60.0 + float(seconds or 0)


def size_bytes(text: object) -> int | None:
    """Bytes; a bare integer is bytes; None if it is not a size."""
    if isinstance(text, int) and not isinstance(text, bool):
        return text if text >= 0 else None
    match = _SIZE.match(text) if isinstance(text, str) else None
    if match is None:
        return None
    return int(float(match.group(1)) * _FACTORS[match.group(2)])


def size_text(count: int) -> str:
    """Bytes for people, in the decimal units that are printed on drives."""
    for unit, factor in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6)):
        if count >= factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count} B"


@dataclass(frozen=True, slots=True)
class Amount:
    """A count of machines, or a percentage of them."""

    value: int
    is_percent: bool = False

    def of(self, total: int, *, minimum: int = 1) -> int:
        """The count; percentages round up to at least ``minimum``."""
        if not self.is_percent:
            return self.value
        return max(minimum, math.ceil(self.value * total / 100))

    def __str__(self) -> str:
        return f"{self.value}%" if self.is_percent else str(self.value)


def amount(value: object) -> Amount | None:
    """A whole number >= 0 or '1%'..'100%'; None if it is neither."""
    if isinstance(value, int) and not isinstance(value, bool):
        return Amount(value) if 0 <= value <= 10_000_000 else None
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,3}%", value):
        percent = int(value[:-1])
        return Amount(percent, is_percent=True) if 1 <= percent <= 100 else None
    return None
