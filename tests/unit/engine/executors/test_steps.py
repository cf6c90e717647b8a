import json

import pytest

from rackwright.engine.executors import steps
from rackwright.engine.executors.steps import Answer, Move, Verdict
from rackwright.engine.machine import Origin
from rackwright.engine.schedule.events import Mode, Result
from tests.unit.engine.executors import fakes

STAGE = fakes.stage("one", outputs=("cluster_id",))
OURS = fakes.machine("m-1", origin=Origin.NETBOOT)
S, U, X = Answer.SATISFIED, Answer.UNSATISFIED, Answer.UNKNOWN


@pytest.mark.parametrize(
    ("status", "said"),
    [(0, S), (10, U), (1, X), (124, X), (127, X), (137, X), (255, X), (None, X)],
)
def test_a_check_has_three_answers(status: int | None, said: Answer) -> None:
    assert steps.answer(status) is said


@pytest.mark.parametrize("mode", list(Mode))
def test_unknown_never_leads_to_apply(mode: Mode) -> None:
    decided = steps.after_check(X, mode, why="exit 127", refusal="", applies=True)
    assert isinstance(decided, Verdict)
    assert decided.result is Result.UNKNOWN


def test_a_probe_never_leads_to_apply() -> None:
    decided = steps.after_check(U, Mode.PROBE, why="", refusal="", applies=True)
    assert isinstance(decided, Verdict)
    assert decided.result is Result.UNSATISFIED


def test_unsatisfied_leads_to_apply_unless_refused() -> None:
    assert steps.after_check(U, Mode.FULL, why="", refusal="", applies=True) is Move.APPLY
    assert steps.after_check(U, Mode.FULL, why="", refusal="", applies=False) is Move.VERIFY
    refused = steps.after_check(U, Mode.FULL, why="", refusal="drift", applies=True)
    assert refused == Verdict(Result.REFUSED, "drift")


def test_apply_says_how_it_ended() -> None:
    assert steps.after_apply(0, "") is None
    for status, words in {
        124: "out of time",
        143: "was ended",
        None: "killed",
        7: "with 7",
    }.items():
        verdict = steps.after_apply(status, "why")
        assert verdict is not None
        assert verdict.result is Result.FAILED
        assert words in verdict.error


def verify(stdout: bytes, status: int | None = 0, *, checked: bool = False) -> Verdict:
    return steps.after_verify(
        STAGE, status, stdout=stdout, stderr="why", changed=True, checked=checked
    )


def test_evidence_is_the_last_line() -> None:
    verdict = verify(b'noise {}\n{"b": 1, "cluster_id": "x"}\n\n')
    assert verdict.result is Result.CHANGED
    assert verdict.evidence == b'{"b":1,"cluster_id":"x"}'
    assert verdict.outputs == {"cluster_id": "x"}


@pytest.mark.parametrize(
    "stdout",
    [
        b"",
        b"[]",
        b'{"cluster_id": 1}\nend',
        b"\xff\xfe",
        b"[" * 9999,
        b'{"cluster_id": NaN}',
        b'{"cluster_id": 1e999}',
    ],
)
def test_what_is_no_object_is_no_evidence(stdout: bytes) -> None:
    assert verify(stdout).result is Result.FAILED


def test_a_missing_output_fails_the_attempt() -> None:
    assert "cluster_id" in verify(b"{}").error


def test_evidence_is_bounded() -> None:
    long = json.dumps({"cluster_id": "x" * 70_000}).encode()
    assert verify(long).result is Result.FAILED


def test_verify_may_refute_the_check() -> None:
    assert "verify refutes check" in verify(b"{}", 1, checked=True).error
    assert "verify failed" in verify(b"{}", None).error


def test_the_record_answers_for_machines_never_installed() -> None:
    install = fakes.stage("install", destructive="disk", reboots="disk", apply_in="ramdisk")
    done = fakes.machine("m-1", origin=Origin.NETBOOT, installed=fakes.INSTALLED)
    existing = fakes.machine("m-1", origin=Origin.EXISTING)
    again = fakes.erasure("m-1", generation=2)
    discover = fakes.stage("discover", apply_in="ramdisk")
    assert steps.record_answers(STAGE, OURS, None) is U
    assert steps.record_answers(install, OURS, None) is U
    assert steps.record_answers(install, done, None) is None
    assert steps.record_answers(install, done, again) is U
    assert steps.record_answers(STAGE, done, again) is None
    assert steps.record_answers(STAGE, existing, None) is None
    assert steps.record_answers(discover, OURS, None) is None


def test_init_is_refused_where_a_cluster_is_known() -> None:
    init = fakes.stage("init", cluster_scoped=True)
    assert "recorded" in steps.refusal(init, OURS, erasure=None, cluster_id="abc")
    assert not steps.refusal(init, OURS, erasure=None, cluster_id="")
    assert not steps.refusal(STAGE, OURS, erasure=None, cluster_id="abc")


@pytest.mark.parametrize(
    ("answers", "cluster_id", "chosen"),
    [
        ([(0, U, ""), (1, U, "")], "", 0),
        ([(0, U, ""), (1, S, "c")], "", 1),
        ([(0, X, ""), (1, S, "c")], "", 1),
        ([(0, X, ""), (1, U, "")], "", None),
        ([(0, S, "c"), (1, S, "d")], "", -1),
        ([(0, U, ""), (1, S, "c")], "c", 1),
        ([(0, U, ""), (1, U, "")], "c", -1),
        ([(0, X, ""), (1, U, "")], "c", None),
        ([(0, S, "d"), (1, U, "")], "c", -1),
        ([], "", None),
    ],
)
def test_who_leads_a_cluster(
    answers: list[tuple[int, Answer, str]], cluster_id: str, chosen: int | None
) -> None:
    decided = steps.choice(answers, cluster_id=cluster_id, scoped=True)
    assert (decided[0] if decided else None) == chosen


def test_without_a_cluster_in_question_whoever_answers_leads() -> None:
    assert steps.choice([(0, X, ""), (1, U, "")], cluster_id="c", scoped=False) == (1, "")
    assert steps.choice([(0, U, ""), (1, S, "")], cluster_id="", scoped=False) == (1, "")
    assert steps.choice([(0, X, "")], cluster_id="", scoped=False) is None
