"""A run's standing to bytes and back: what a restart reads in place of all facts up to there.

Compressed: a header of JSON, the columns as they are, and what is known, in JSON again: who only
asks how the run stands leaves that unread. Written with the commit it follows from, so that it can
be neither ahead of the journal nor behind its number.
"""

import json
import struct
import zlib
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from rackwright.engine.json_writer import json_bytes
from rackwright.engine.run.knowledge import Knowledge
from rackwright.engine.schedule.events import Cause
from rackwright.engine.schedule.standing import Standing

_VERSION: Final = 2
_KNOWN_IN_HEADER: Final = 1  # the version before
_LENGTH: Final = struct.Struct("<I")
_PIECE: Final = 1000  # machines or intents in one piece of JSON


@dataclass(frozen=True, slots=True)
class Snapshot:
    """``known``: what ``Knowledge.told`` gave, None if it was not asked for. ``due``: task -> when
    its retry is, unix seconds."""

    standing: Standing
    known: Mapping[str, Any] | None
    due: Mapping[int, float]
    approvals: Mapping[int, float]  # ``Holds.due``


def encode(
    standing: Standing,
    knowledge: Knowledge,
    due: Mapping[int, float],
    approvals: Mapping[int, float],
) -> bytes:
    columns = dict(standing.columns)
    columns["cause.task"] = array("I", standing.causes).tobytes()
    columns["cause.why"] = bytes(cause for cause, _ in standing.causes.values())
    subjects = array("i", [subject for _, subject in standing.causes.values()])
    columns["cause.subject"] = subjects.tobytes()
    header = {
        "version": _VERSION,
        "columns": {name: len(column) for name, column in columns.items()},
        "capacity": standing.capacity,
        "leader": standing.leader,
        "cancelled": standing.cancelled,
        "paused": standing.paused,
        "finished": standing.finished,
        "shared": standing.shared,
        "due": list(due.items()),
        "approvals": list(approvals.items()),
    }
    text = json_bytes(header)
    compressor = zlib.compressobj(1)
    found = [compressor.compress(_LENGTH.pack(len(text)) + text)]
    found += map(compressor.compress, columns.values())
    found += map(compressor.compress, _known(knowledge.told()))
    return b"".join((*found, compressor.flush()))


def _known(told: Mapping[str, Any]) -> Iterator[bytes]:
    """As JSON, in pieces: of 70,000 machines it is 30 MB."""
    yield b'{"leaders":' + json_bytes(told["leaders"]) + b',"intents":['
    yield from _joined(told["intents"][at : at + _PIECE] for at in _starts(told["intents"]))
    yield b'],"outputs":{'
    separator = b""
    for stage, by_machine in told["outputs"].items():
        yield separator + json_bytes(stage) + b":{"
        items = list(by_machine.items())
        yield from _joined(dict(items[at : at + _PIECE]) for at in _starts(items))
        yield b"}"
        separator = b","
    yield b"}}"


def _starts(items: Sequence[object]) -> range:
    return range(0, len(items), _PIECE)


def _joined(parts: Iterable[object]) -> Iterator[bytes]:
    """Parts of a list or an object, without the brackets of each."""
    separator = b""
    for part in parts:
        yield separator + json_bytes(part)[1:-1]
        separator = b","


def decode(blob: bytes, *, with_known: bool = True) -> Snapshot:
    """Raises ValueError for what ``encode`` did not make."""
    reader = _Reader(blob)
    (length,) = _LENGTH.unpack(reader.take(_LENGTH.size))
    header = json.loads(reader.take(length))
    if header["version"] not in (_VERSION, _KNOWN_IN_HEADER):
        raise ValueError(f"a snapshot of the unknown version {header['version']}")
    columns = {name: reader.take(size) for name, size in header["columns"].items()}
    known = None
    if with_known:
        is_old = header["version"] == _KNOWN_IN_HEADER
        known = header["known"] if is_old else json.loads(reader.rest())
    tasks, subjects = array("I"), array("i")
    tasks.frombytes(columns.pop("cause.task"))
    subjects.frombytes(columns.pop("cause.subject"))
    reasons = zip(map(Cause, columns.pop("cause.why")), subjects, strict=True)
    standing = Standing(
        columns=columns,
        capacity=header["capacity"],
        leader=header["leader"],
        cancelled=header["cancelled"],
        paused=header["paused"],
        finished=header["finished"],
        causes=dict(zip(tasks, reasons, strict=True)),
        shared=[(r, granted, owed) for r, granted, owed in header.get("shared", ())],
    )
    return Snapshot(
        standing,
        known,
        {int(task): at for task, at in header["due"]},
        {int(hold): at for hold, at in header.get("approvals", ())},
    )


class _Reader:
    """Decompresses no more than is asked for."""

    def __init__(self, blob: bytes) -> None:
        self._stream = zlib.decompressobj()
        self._left = blob

    def take(self, size: int) -> bytes:
        found = self._some(size) if size else b""  # a limit of 0 is none
        if len(found) != size:
            raise ValueError("a damaged snapshot: it ends too early")
        return found

    def rest(self) -> bytes:
        found = self._some(0)
        if not self._stream.eof:
            raise ValueError("a damaged snapshot: it ends too early")
        return found

    def _some(self, most: int) -> bytes:
        try:
            found = self._stream.decompress(self._left, most)
        except zlib.error as error:
            raise ValueError(f"a damaged snapshot: {error}") from error
        self._left = self._stream.unconsumed_tail
        return found
