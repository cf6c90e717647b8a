"""Keeping credentials out of whatever a BMC or a tool says back.

A BMC may echo what it was sent; so every foreign text is passed through here before it becomes a
message.
"""

import re

_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")
MASK = "***"


def foreign_text(text: str, secrets: tuple[str, ...], limit: int = 300) -> str:
    """One line of foreign text: secrets masked, control characters gone, at most ``limit`` long."""
    masked = text
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        masked = masked.replace(secret, MASK)
    line = _CONTROL.sub(" ", masked).strip()
    return line if len(line) <= limit else f"{line[:limit]}..."
