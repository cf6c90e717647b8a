"""Telling our own lost Redfish sessions from other people's. Pure.

Source: DSP2046, Session: UserName, ClientOriginIPAddress (v1.3), CreatedTime (v1.4).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

_SLACK_S = 3.0  # clocks of one second's resolution, and the way there and back


@dataclass(frozen=True, slots=True)
class SessionFacts:
    user: str
    origin: str
    created_epoch_s: float | None

    def is_kin(self, other: "SessionFacts", windows: Sequence[tuple[float, float]]) -> bool:
        """Whether ``other`` was made by us in one of ``windows``, seconds relative to this one."""
        if not self.user or not self.origin:
            return False
        if (self.user, self.origin) != (other.user, other.origin):
            return False
        if self.created_epoch_s is None or other.created_epoch_s is None:
            return False
        age_s = other.created_epoch_s - self.created_epoch_s
        return any(start - _SLACK_S <= age_s <= end + _SLACK_S for start, end in windows)


def session_facts(body: Mapping[str, Any]) -> SessionFacts:
    def text(key: str) -> str:
        value = body.get(key)
        return value if isinstance(value, str) else ""

    try:
        created = datetime.fromisoformat(text("CreatedTime")).timestamp()
    except ValueError:
        return SessionFacts(text("UserName"), text("ClientOriginIPAddress"), None)
    return SessionFacts(text("UserName"), text("ClientOriginIPAddress"), created)
