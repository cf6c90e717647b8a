"""check -> (satisfied? verify : apply) -> verify: the decisions of one attempt, and no I/O.

A check that cannot be answered never leads to apply. A destructive apply needs the plan's word.
"""

import json
import math
from collections.abc import Mapping, Sequence
from enum import Enum, IntEnum
from typing import NamedTuple

from rackwright.engine.machine import Installed, Machine, Origin
from rackwright.engine.plan.model import Erasure, PlannedStage
from rackwright.engine.run.ports import Outcome
from rackwright.engine.schedule.events import Mode, Result

EVIDENCE_BYTES = 64 * 1024
CHECK_UNSATISFIED = 10


class Answer(IntEnum):
    """The three answers of a check."""

    SATISFIED = 0
    UNSATISFIED = 1
    UNKNOWN = 2


class Move(Enum):
    APPLY = "apply"
    VERIFY = "verify"


class Verdict(NamedTuple):
    """How an attempt ends."""

    result: Result
    error: str = ""
    evidence: bytes = b"{}"
    outputs: Mapping[str, object] | None = None
    pressed: bool = False  # see ``Outcome``

    def outcome(self, task: int, attempt: int, console: str = "") -> Outcome:
        result, error, evidence, outputs, pressed = self
        return Outcome(task, attempt, result, evidence, outputs, error, console, pressed)


def answer(status: int | None) -> Answer:
    """Exit 0: satisfied, 10: unsatisfied; anything else, a signal too, is no answer."""
    match status:
        case 0:
            return Answer.SATISFIED
        case 10:
            return Answer.UNSATISFIED
        case _:
            return Answer.UNKNOWN


def after_check(
    said: Answer, mode: Mode, *, why: str, refusal: str, applies: bool
) -> Move | Verdict:
    """``refusal`` says why apply may not run, "" if it may; ``applies``: the stage has an apply."""
    if said is Answer.UNKNOWN:
        return Verdict(Result.UNKNOWN, f"the check gave no answer: {why or 'no reason given'}")
    if said is Answer.SATISFIED:
        return Move.VERIFY
    if mode is Mode.PROBE:
        return Verdict(Result.UNSATISFIED, evidence=canonical({"why": why}))
    if not applies:
        return Move.VERIFY
    if refusal:
        return Verdict(Result.REFUSED, refusal)
    return Move.APPLY


def after_apply(status: int | None, stderr: str) -> Verdict | None:
    """None: go on to verify."""
    if status == 0:
        return None
    how = {124: "ran out of time", 143: "was ended", None: "was killed"}.get(
        status, f"exited with {status}"
    )
    return Verdict(Result.FAILED, f"apply {how}: {stderr or 'it wrote nothing to stderr'}")


def after_verify(
    stage: PlannedStage,
    status: int | None,
    *,
    stdout: bytes,
    stderr: str,
    changed: bool,
    checked: bool,
    extra: Mapping[str, object] | None = None,
) -> Verdict:
    """``checked``: a check said satisfied just before. ``extra`` joins the evidence."""
    if status != 0:
        how = "verify refutes check" if checked else "verify failed"
        code = "a signal" if status is None else str(status)
        return Verdict(Result.FAILED, f"{how} (exit {code}): {stderr or 'no reason given'}")
    evidence = evidence_of(stdout)
    if evidence is None:
        return Verdict(
            Result.FAILED, "verify's last line of stdout is not one JSON object: it proves nothing"
        )
    if missing := [name for name in stage.outputs if name not in evidence]:
        return Verdict(Result.FAILED, f"verify's evidence lacks outputs: {', '.join(missing)}")
    outputs = {name: evidence[name] for name in stage.outputs}
    encoded = canonical({**evidence, **(extra or {})})
    if len(encoded) > EVIDENCE_BYTES:
        return Verdict(Result.FAILED, f"verify's evidence is over {EVIDENCE_BYTES} bytes")
    result = Result.CHANGED if changed else Result.SATISFIED
    return Verdict(result, "", encoded, outputs or None)


def evidence_of(stdout: bytes) -> dict[str, object] | None:
    """The JSON object on the last line that is not blank, None if there is none."""
    lines = stdout.rstrip().rsplit(b"\n", 1)
    try:
        value = json.loads(lines[-1], parse_constant=_finite, parse_float=_finite)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _finite(word: str) -> float:
    """NaN and infinity are no JSON, and 1e999 would become one."""
    value = float(word)
    if not math.isfinite(value):
        raise ValueError(f"{word} is no finite number")
    return value


def canonical(value: Mapping[str, object]) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def not_applicable(reason: str) -> Verdict:
    evidence = canonical({"not_applicable": True, "reason": reason})
    return Verdict(Result.SATISFIED, evidence=evidence)


# what may be done to which machine ------------------------------------------------------------


def checks_in_ramdisk(stage: PlannedStage) -> bool:
    """check and verify run in the OS, unless the stage's work ends in the ramdisk."""
    return stage.apply_in == "ramdisk" and not stage.reboots


def is_ours(machine: Machine) -> bool:
    return machine.origin is Origin.NETBOOT


def record_answers(stage: PlannedStage, machine: Machine, erasure: Erasure | None) -> Answer | None:
    """What the record alone says of a check that would run in the OS; None: ask the machine.

    A machine that was never installed by us has no OS of ours: that is an answer, where a failure
    to connect is none.
    """
    if not is_ours(machine) or checks_in_ramdisk(stage):
        return None
    if machine.installed is None:
        return Answer.UNSATISFIED
    if stage.destructive and erasure and erasure.generation > machine.installed.generation:
        return Answer.UNSATISFIED
    return None


def refusal(
    stage: PlannedStage,
    machine: Machine,
    *,
    erasure: Erasure | None,
    cluster_id: str,
) -> str:
    """Why apply may not run on this machine, "" if it may."""
    if stage.cluster_scoped and cluster_id:
        return (
            f"cluster id {cluster_id} is recorded, and a new cluster would stand beside it; "
            "bring a member back, or remove the cluster from the inventory"
        )
    if not stage.destructive:
        return ""
    if machine.protected:
        return f"{machine.name} is protected: nothing may erase it"
    if erasure is None:
        return (
            f"drift: the plan took {machine.name} for installed, its check now says otherwise; "
            "make a new plan"
        )
    if already_installed(machine.installed, erasure):
        return (
            f"drift: installation {erasure.install_id} of {machine.name} was verified, "
            "its check now says otherwise; make a new plan"
        )
    return ""


def already_installed(installed: Installed | None, erasure: Erasure) -> bool:
    """A passed verify of this very installation (or of a later one) is on record."""
    return installed is not None and (
        installed.install_id == erasure.install_id or installed.generation >= erasure.generation
    )


def choice(
    answers: Sequence[tuple[int, Answer, str]], *, cluster_id: str, scoped: bool
) -> tuple[int, str] | None:
    """Who leads, from each candidate's (index, answer, cluster id it knows): (index, error).

    None: a candidate did not answer and it matters; ask again. With an id recorded only a member
    of that cluster may lead; without one any member may, and failing that the first stranger,
    but only when every candidate has answered.
    """
    members = [(index, known) for index, said, known in answers if said is Answer.SATISFIED]
    unknown = any(said is Answer.UNKNOWN for _, said, _ in answers)
    if not scoped:
        able = [index for index, said, _ in answers if said is not Answer.UNKNOWN]
        leaders = [index for index, _ in members] or able
        return (leaders[0], "") if leaders else None
    if cluster_id:
        for index, known in members:
            if known == cluster_id:
                return index, ""
        if unknown:
            return None
        return -1, f"cluster id {cluster_id} is recorded, but no candidate is a member of it; stop"
    if len({known for _, known in members}) > 1:
        return -1, "candidates are members of different clusters; stop"
    if members:
        return members[0][0], ""
    if unknown or not answers:
        return None
    return answers[0][0], ""
