"""Canonical JSON and digests: the same decisions give the same bytes, in every process.

Keys sorted, no spaces, ASCII, finite numbers only; sets are refused, because they have no order.
Long lists are written a few items at a time (``Rows``): 70,000 machines make 35 MB of JSON.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Final

import orjson

from rackwright.engine.json_writer import writer

_AT_ONCE: Final = 1000  # items of a long list
_DELETE: Final = b"\x7f"  # the one ASCII character that Python escapes and orjson does not
_write: Final = writer(sort_keys=True, ensure_ascii=True, allow_nan=False)


class Rows:
    """A list in a value to be written, whose items are made only while they are. ``is_sorted``:
    their keys are in order, at every depth, and no number in them is a float: such items are
    written as they are, at a tenth of the cost."""

    def __init__(self, make: Callable[[], Iterable[object]], *, is_sorted: bool = False) -> None:
        self._make = make
        self._write = _sorted_json if is_sorted else canonical_json

    def __iter__(self) -> Iterator[object]:
        return iter(self._make())

    def pieces(self) -> Iterator[bytes]:
        items = iter(self._make())
        separator = b"["
        while some := list(islice(items, _AT_ONCE)):
            yield separator
            yield self._write(some)[1:-1]
            separator = b","
        yield b"]" if separator == b"," else b"[]"


def canonical_json(value: object) -> bytes:
    """Raises TypeError for what is not plain, ValueError for NaN and infinity."""
    return _write(value).encode("ascii")


def _sorted_json(value: object) -> bytes:
    """``canonical_json`` of a value whose keys are in order already."""
    try:
        found = orjson.dumps(value)
    except TypeError:  # integers of more than 64 bits, half a surrogate pair
        return canonical_json(value)
    is_the_same = found.isascii() and _DELETE not in found
    return found if is_the_same else canonical_json(value)


def canonical_pieces(value: Mapping[str, object]) -> Iterator[bytes]:
    """The canonical JSON of an object, whose values may be ``Rows``."""
    separator = b"{"
    for key in sorted(value):
        item = value[key]
        yield separator + canonical_json(key) + b":"
        if isinstance(item, Rows):
            yield from item.pieces()
        else:
            yield canonical_json(item)
        separator = b","
    yield b"}" if separator == b"," else b"{}"


def digest(value: object) -> str:
    """SHA-256 of the canonical JSON, in hex."""
    return hashlib.sha256(canonical_json(value)).hexdigest()


def digest_of(value: Mapping[str, object]) -> str:
    """``digest`` of an object whose values may be ``Rows``."""
    found = hashlib.sha256()
    for piece in canonical_pieces(value):
        found.update(piece)
    return found.hexdigest()


def thaw(value: object) -> object:
    """Mappings as dicts and tuples as lists, so that any frozen value can be written as JSON."""
    if isinstance(value, Mapping):
        return {str(key): thaw(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [thaw(item) for item in value]
    return value
