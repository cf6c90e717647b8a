"""What holds stages of a run besides other stages: maintenance windows and approvals.

Knows the clock's side of them, of which the scheduler knows nothing: when a window opens, until
when an approval is waited for; and how both are journaled. Decides nothing about tasks.

Facts: "window", status 1 opened, 0 closed, payload window (name); "approval", stage, status an
``Answer``; payload text and due (unix seconds, 0 for ever) where it was asked, by and reason where
it was given.
"""

from collections.abc import Sequence
from enum import IntEnum
from typing import Final

from rackwright.engine.content.windows import is_any_open, parse_window
from rackwright.engine.errors import OperatorError
from rackwright.engine.plan.model import Plan
from rackwright.engine.run import codec
from rackwright.engine.run.ports import Fact
from rackwright.engine.schedule import board as b
from rackwright.engine.schedule.events import Decided, HoldChanged
from rackwright.engine.schedule.topology import plan_holds

LOOK_AGAIN_S: Final = 600.0  # clocks are set; a window is looked at no later than this
DEADLINE: Final = "deadline"


class Answer(IntEnum):
    ASKED = 0
    APPROVED = 1
    REFUSED = 2


class Holds:
    """``due``: approvals that were asked for -> until when they may be given, 0.0 for ever.
    ``refused``: those that were refused -> by whom and why."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._windows = tuple(tuple(map(parse_window, texts)) for texts in plan.windows.values())
        self._names = tuple(plan.windows)
        self._stages = tuple(hold.stage for hold in plan_holds(plan))
        self.due: dict[int, float] = {}
        self.refused: dict[int, str] = {}

    # windows -------------------------------------------------------------------------------------

    @property
    def has_windows(self) -> bool:
        return bool(self._windows)

    def changes(self, at: float, holds: Sequence[int]) -> list[HoldChanged]:
        """What opened or closed since ``holds`` was so; ``at``: unix seconds."""
        found = []
        for hold, windows in enumerate(self._windows):
            is_open = is_any_open(windows, at)
            if is_open != (holds[hold] == b.OPEN):
                found.append(HoldChanged(hold, is_open))
        return found

    def look_again_s(self, at: float) -> float:
        """Seconds until a window may open or close."""
        edges = [w.next_change(at) for windows in self._windows for w in windows]
        return max(0.001, min(min(edges) - at, LOOK_AGAIN_S))

    def changed_fact(self, change: HoldChanged, at: float) -> Fact:
        payload = codec.encode({"at": round(at, 3), "window": self._names[change.hold]})
        return Fact("window", -1, -1, 0, int(change.is_open), payload)

    # approvals -----------------------------------------------------------------------------------

    def hold_of(self, stage: str) -> int:
        """Raises OperatorError for a stage that waits for no approval."""
        for hold, number in enumerate(self._stages):
            if number >= 0 and self._plan.stages[number].name == stage:
                return hold
        asking = ", ".join(s.name for s in self._plan.stages if s.approve) or "none"
        raise OperatorError(
            f"stage {stage} waits for no approval", hint=f"stages that do: {asking}", stage=stage
        )

    def approvals(self) -> tuple[int, ...]:
        return tuple(hold for hold, stage in enumerate(self._stages) if stage >= 0)

    def asked_fact(self, hold: int, at: float) -> Fact | None:
        """None where it was asked before this controller came."""
        if hold in self.due:
            return None
        stage = self._plan.stages[self._stages[hold]]
        due = round(at + stage.approve_deadline_s, 3) if stage.approve_deadline_s else 0.0
        self.due[hold] = due
        payload = {"at": round(at, 3), "text": stage.approve, "due": due}
        return Fact("approval", self._stages[hold], -1, 0, Answer.ASKED, codec.encode(payload))

    def decided_fact(self, answer: Decided, at: float, by: str, reason: str) -> Fact:
        status = Answer.APPROVED if answer.is_approved else Answer.REFUSED
        if not answer.is_approved:
            self.due.pop(answer.hold, None)  # a retry asks again
            self.refused[answer.hold] = _by_and_why(by, reason)
        payload = {"at": round(at, 3), "by": by, "reason": reason}
        return Fact(
            "approval", self._stages[answer.hold], -1, 0, int(status), codec.encode(payload)
        )

    # a restart -----------------------------------------------------------------------------------

    def restored(self, fact: Fact) -> HoldChanged | Decided | None:
        """The event that a fact of ours records; None for a question."""
        payload = codec.decode(fact.payload)
        if fact.kind == "window":
            return HoldChanged(self._names.index(str(payload["window"])), bool(fact.status))
        hold = self._stages.index(fact.stage)
        match Answer(fact.status):
            case Answer.ASKED:
                self.due[hold] = codec.seconds(payload, "due")
                return None
            case Answer.APPROVED:
                return Decided(hold, True)
            case Answer.REFUSED:
                self.due.pop(hold, None)
                self.refused[hold] = _by_and_why(
                    str(payload.get("by", "")), str(payload.get("reason", ""))
                )
                return Decided(hold, False)


def _by_and_why(by: str, reason: str) -> str:
    return f"{by}: {reason}" if reason else by
