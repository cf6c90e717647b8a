"""A run's standing to bytes and back: what a restart reads in place of all facts up to there.

Compressed: a header of JSON, then the columns as they are. Written with the commit it follows from,
so that it can be neither ahead of the journal nor behind its number.
"""

import json
import struct
import zlib
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from rackwright.engine.json_writer import writer
from rackwright.engine.run.knowledge import Knowledge
from rackwright.engine.schedule.events import Cause
from rackwright.engine.schedule.standing import Standing

_VERSION: Final = 1
_LENGTH: Final = struct.Struct("<I")
_PIECE: Final = 1000  # machines or intents in one piece of JSON
_write: Final = writer()


@dataclass(frozen=True, slots=True)
class Snapshot:
    """``known``: what ``Knowledge.told`` gave. ``due``: task -> when its retry is, unix seconds."""

    standing: Standing
    known: Mapping[str, Any]
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
    text = [_json(header)[:-1], b',"known":', *_known(knowledge.told()), b"}"]
    compressor = zlib.compressobj(1)
    found = [compressor.compress(_LENGTH.pack(sum(map(len, text))))]
    found += map(compressor.compress, text)
    found += map(compressor.compress, columns.values())
    return b"".join((*found, compressor.flush()))


def _known(told: Mapping[str, Any]) -> Iterator[bytes]:
    """As JSON, in pieces: of 70,000 machines it is 30 MB."""
    yield b'{"leaders":' + _json(told["leaders"]) + b',"intents":['
    yield from _joined(told["intents"][at : at + _PIECE] for at in _starts(told["intents"]))
    yield b'],"outputs":{'
    separator = b""
    for stage, by_machine in told["outputs"].items():
        yield separator + _json(stage) + b":{"
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
        yield separator + _json(part)[1:-1]
        separator = b","


def _json(value: object) -> bytes:
    return _write(value).encode()


def decode(blob: bytes) -> Snapshot:
    """Raises ValueError for what ``encode`` did not make."""
    try:
        raw = zlib.decompress(blob)
        (length,) = _LENGTH.unpack_from(raw)
        header = json.loads(raw[_LENGTH.size : _LENGTH.size + length])
    except (zlib.error, struct.error) as error:
        raise ValueError(f"a damaged snapshot: {error}") from error
    if header["version"] != _VERSION:
        raise ValueError(f"a snapshot of the unknown version {header['version']}")
    at = _LENGTH.size + length
    columns = {}
    for name, size in header["columns"].items():
        columns[name] = raw[at : at + size]
        at += size
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
        header["known"],
        {int(task): at for task, at in header["due"]},
        {int(hold): at for hold, at in header.get("approvals", ())},
    )
