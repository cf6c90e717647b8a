"""A run's standing to bytes and back: what a restart reads in place of all facts up to there.

Compressed: a header of JSON, then the columns as they are. Written with the commit it follows from,
so that it can be neither ahead of the journal nor behind its number.
"""

import json
import struct
import zlib
from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from rackwright.engine.run.knowledge import Knowledge
from rackwright.engine.schedule.events import Cause
from rackwright.engine.schedule.standing import Standing

_VERSION: Final = 1
_LENGTH: Final = struct.Struct("<I")


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
        "known": knowledge.told(),
        "due": list(due.items()),
        "approvals": list(approvals.items()),
    }
    text = json.dumps(header, separators=(",", ":")).encode()
    return zlib.compress(b"".join((_LENGTH.pack(len(text)), text, *columns.values())), 1)


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
