"""Moments as the API writes them: ISO 8601 in UTC, to the millisecond."""

from datetime import UTC, datetime


def iso_utc(unix_s: float) -> str:
    """``2026-03-01T09:30:00.000Z``."""
    text = datetime.fromtimestamp(unix_s, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def iso_utc_or_none(unix_s: float | None) -> str | None:
    return None if unix_s is None else iso_utc(unix_s)
