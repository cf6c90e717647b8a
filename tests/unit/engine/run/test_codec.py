import json

import pytest

from rackwright.engine.run import codec
from rackwright.engine.run.ports import Outcome
from rackwright.engine.schedule.events import Cause, Marked, Result, TaskState


def test_an_outcome_keeps_its_evidence_and_says_only_what_there_is() -> None:
    prefix = codec.at_prefix(12.3456)
    plain = codec.ended_payload(prefix, Outcome(0, 1, Result.CHANGED, b'{"disk":"X"}'))
    assert plain == b'{"at":12.346,"evidence":{"disk":"X"}}'
    full = codec.ended_payload(
        prefix, Outcome(0, 1, Result.FAILED, b"", {"a": [1]}, 'it "broke"', "panic\n\u00e9")
    )
    assert json.loads(full) == {
        "at": 12.346,
        "evidence": {},
        "outputs": {"a": [1]},
        "error": 'it "broke"',
        "console": "panic\n\u00e9",
    }


def test_evidence_past_its_limit_is_dropped_and_said_so() -> None:
    big = b'"' + b"x" * codec.EVIDENCE_LIMIT_BYTES + b'"'
    payload = codec.ended_payload(codec.at_prefix(0), Outcome(0, 1, Result.CHANGED, big))
    assert codec.decode(payload)["evidence"] == {"dropped": "more than 64 KiB"}


@pytest.mark.parametrize("cause", list(Cause))
def test_marks_come_back(cause: Cause) -> None:
    payload = codec.marked_payload(1.0, Marked(5, TaskState.BLOCKED, cause, -1), "")
    assert codec.cause_of(codec.decode(payload)) == (cause, -1)


@pytest.mark.parametrize("payload", [b"", b"[]", b"nonsense", b"{"])
def test_what_it_did_not_write_is_refused(payload: bytes) -> None:
    with pytest.raises(ValueError, match=r".*"):
        codec.decode(payload)


def test_issued_says_until_when_and_whose() -> None:
    payload = codec.decode(codec.issued_payload(1.0, 61.0, 3))
    assert payload == {"at": 1.0, "deadline": 61.0, "epoch": 3}
