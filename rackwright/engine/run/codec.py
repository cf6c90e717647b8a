"""Facts to bytes and back. The only place that knows what a payload looks like.

Every payload is a JSON object with "at" (unix seconds) and, by kind:

- issued: status = Mode; deadline (unix seconds), epoch
- ended: status = Result; evidence; where present outputs, error, console
- elected: machine = the leader, -1 for none; group (index), error
- timer: a retry was decided on; due (unix seconds)
- marked: status = TaskState; cause (name), subject; error (the cause in words) where it ends
- intent: status = 0; kind, detail
- asked: status = ``Asked``; stage and machine where it is about a task or machine; by, reason
- allowance: status = amount; what (granted, recalled, returned), resource (a number)
- window, approval: see ``holds``
- limit: status = capacity; limit (name)
- finished: status = RunStatus

JSON of one journal is deterministic: keys in a fixed order, no spaces. Times are rounded to the
millisecond.
"""

import json
from collections.abc import Mapping
from enum import IntEnum
from typing import Final

from rackwright.engine.json_writer import json_bytes
from rackwright.engine.run.ports import Fact, Outcome
from rackwright.engine.schedule.events import Cause, Granted, Marked, Recalled, Returned

EVIDENCE_LIMIT_BYTES = 64 * 1024


class Asked(IntEnum):
    """What an operator asked for."""

    CANCEL = 0
    PAUSE = 1
    UNPAUSE = 2
    RETRY = 3
    SKIP = 4


def encode(payload: Mapping[str, object]) -> bytes:
    return json_bytes(payload)


def decode(payload: bytes) -> dict[str, object]:
    """Raises ValueError for what this module did not write."""
    value = json.loads(payload)
    if not isinstance(value, dict):
        raise ValueError("a fact's payload is a JSON object")
    return value


def issued_payload(at: float, deadline: float, epoch: int) -> bytes:
    return b'{"at":%.3f,"deadline":%.3f,"epoch":%d}' % (at, deadline, epoch)


def at_prefix(at: float) -> bytes:
    """The start of an ended payload, shared by a batch."""
    return b'{"at":%.3f,"evidence":' % at


def ended_payload(prefix: bytes, outcome: Outcome) -> bytes:
    """The evidence's bytes are JSON already and go in as they are."""
    _, _, _, evidence, outputs, error, console, _ = outcome
    if len(evidence) > EVIDENCE_LIMIT_BYTES:
        evidence = b'{"dropped":"more than 64 KiB"}'
    payload = prefix + (evidence or b"{}")
    if not (outputs or error or console):
        return payload + b"}"
    rest: dict[str, object] = {}
    if outputs:
        rest["outputs"] = dict(outputs)
    if error:
        rest["error"] = error
    if console:
        rest["console"] = console
    return payload + b"," + encode(rest)[1:]


def marked_payload(at: float, mark: Marked, error: str) -> bytes:
    """``error``: the cause in words, where the mark ends its task."""
    payload: dict[str, object] = {
        "at": round(at, 3),
        "cause": Cause(mark.cause).name.lower(),
        "subject": mark.subject,
    }
    if error:
        payload["error"] = error
    return encode(payload)


_Account = type[Granted] | type[Recalled] | type[Returned]
_ACCOUNTS: Final[dict[str, _Account]] = {
    "granted": Granted,
    "recalled": Recalled,
    "returned": Returned,
}


def account_fact(at: float, said: Granted | Recalled | Returned) -> Fact:
    """A shard's allowance that was granted, recalled, or given back."""
    what = type(said).__name__.lower()
    payload = encode({"at": round(at, 3), "what": what, "resource": said.resource})
    return Fact("allowance", -1, -1, 0, said.amount, payload)


def account_of(fact: Fact) -> Granted | Recalled | Returned:
    payload = decode(fact.payload)
    found: Granted | Recalled | Returned = _ACCOUNTS[str(payload["what"])](
        integer(payload, "resource"), fact.status
    )
    return found


def cause_of(payload: Mapping[str, object]) -> tuple[Cause, int]:
    return Cause[str(payload["cause"]).upper()], integer(payload, "subject")


def integer(payload: Mapping[str, object], key: str) -> int:
    value = payload[key]
    if not isinstance(value, int):
        raise ValueError(f"{key} is not an integer")
    return value


def seconds(payload: Mapping[str, object], key: str) -> float:
    value = payload[key]
    if not isinstance(value, int | float):
        raise ValueError(f"{key} is not a number")
    return float(value)


def mapping(payload: Mapping[str, object], key: str) -> Mapping[str, object]:
    """Empty where the key is missing."""
    value = payload.get(key, {})
    if not isinstance(value, dict):
        raise ValueError(f"{key} is not an object")
    return value


def has_outputs(fact: Fact) -> bool:
    """A cheap look, which may say yes for a text that only mentions them."""
    return b'"outputs":' in fact.payload
