"""Canonical JSON and digests: the same decisions give the same bytes, in every process.

Keys sorted, no spaces, ASCII, finite numbers only; sets are refused, because they have no order.
"""

import hashlib
import json
from collections.abc import Mapping


def canonical_json(value: object) -> bytes:
    """Raises TypeError for what is not plain, ValueError for NaN and infinity."""
    text = json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False
    )
    return text.encode("ascii")


def digest(value: object) -> str:
    """SHA-256 of the canonical JSON, in hex."""
    return hashlib.sha256(canonical_json(value)).hexdigest()


def thaw(value: object) -> object:
    """Mappings as dicts and tuples as lists, so that any frozen value can be written as JSON."""
    if isinstance(value, Mapping):
        return {str(key): thaw(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [thaw(item) for item in value]
    return value
