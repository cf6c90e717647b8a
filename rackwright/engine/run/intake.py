"""What comes in, as facts and events: outcomes, answers to elections, orders, intents, deadlines.

An outcome of an attempt that is not under way any more is dropped before it is journaled.
"""

from collections.abc import Iterable
from typing import Final, assert_never

from rackwright.engine.errors import OperatorError
from rackwright.engine.run import codec
from rackwright.engine.run.adaptive import Adaptive
from rackwright.engine.run.codec import Asked
from rackwright.engine.run.course import Course
from rackwright.engine.run.errors import AttemptOverError
from rackwright.engine.run.holds import DEADLINE
from rackwright.engine.run.ports import Fact, Outcome
from rackwright.engine.run.turn import (
    ApprovalDeadline,
    Deadline,
    ElectionDeadline,
    Order,
    Reply,
    Turn,
    WindowsDue,
    Wish,
)
from rackwright.engine.schedule import board as b
from rackwright.engine.schedule.events import (
    CancelAsked,
    Decided,
    Elected,
    Granted,
    LimitChanged,
    PauseAsked,
    Recalled,
    Result,
    RetryAsked,
    SkipAsked,
    TimerFired,
)

_CHANGED: Final = Result.CHANGED  # looked up anew for each use of it
_RUNNING: Final = b.RUNNING
_make = tuple.__new__


class Intake:
    """Feeds the scheduler, and tells the turn what to commit."""

    def __init__(self, course: Course) -> None:
        self._course = course
        self._adaptive = Adaptive(course.plan)
        self._adapts = bool(course.plan.adaptive)

    def take(self, turn: Turn, items: Iterable[Outcome | Reply | Order | Wish]) -> None:
        """The loop that every outcome goes through: what it uses has a name here."""
        course, board = self._course, self._course.board
        state, attempts, count = board.state, board.attempts, course.topology.task_count
        machines, ended = course.machines, course.scheduler.ended
        tell, tell_task = turn.facts.append, turn.tasks.append
        prefix, payload_of = codec.at_prefix(turn.at), codec.ended_payload
        for item in items:
            if type(item) is not Outcome:
                self._take_rare(turn, item)
                continue
            task, attempt, result, _, outputs, _, _, pressed = item
            if not 0 <= task < count or state[task] != _RUNNING or attempts[task] != attempt:
                continue  # not under way any more
            stage, machine = divmod(task, machines)
            payload = payload_of(prefix, item)
            tell(_make(Fact, ("ended", stage, machine, attempt, int(result), payload)))
            tell_task(task)
            if outputs and result <= _CHANGED:
                course.knowledge.learn_outputs(stage, machine, outputs)
            ended((task, attempt, result))
            if self._adapts:
                self._adapt(turn, stage, machine, pressed)

    def _take_rare(self, turn: Turn, item: Outcome | Reply | Order | Wish) -> None:
        match item:
            case Reply():
                self._take_answer(turn, item)
            case Order():
                self._take_order(turn, item)
            case Wish():
                self._take_wish(turn, item)
            case Outcome():
                raise AssertionError("outcomes are handled by the caller")
            case _:
                assert_never(item)

    def _adapt(self, turn: Turn, stage: int, machine: int, pressed: bool) -> None:
        board = self._course.board
        rows = self._course.topology.stages[stage].limits
        held = rows[machine] if rows is not None else ()
        for limit, capacity, why in self._adaptive.ended(held, pressed, board.capacity, board.used):
            self._tell_limit(turn, LimitChanged(limit, capacity), "adaptive", why)

    def _tell_limit(self, turn: Turn, change: LimitChanged, by: str, reason: str) -> None:
        name = self._course.limits[change.limit]
        note = {"at": round(turn.at, 3), "by": by, "reason": reason, "limit": name}
        turn.tell(Fact("limit", -1, -1, 0, change.capacity, codec.encode(note)))
        self._course.scheduler.feed(change)

    def _take_answer(self, turn: Turn, answer: Reply) -> None:
        group, machine, error = answer
        leaders = self._course.board.leader
        if not 0 <= group < len(leaders) or leaders[group] != b.ELECTING:
            return
        self._course.scheduler.feed(Elected(group, machine))
        leader = max(-1, leaders[group])
        self._course.knowledge.learn_leader(group, leader)
        payload = codec.encode({"at": round(turn.at, 3), "group": group, "error": error})
        turn.tell(Fact("elected", -1, leader, 0, 0, payload))

    def _take_order(self, turn: Turn, order: Order) -> None:
        note = {"at": round(turn.at, 3), "by": order.by, "reason": order.reason}
        stage = machine = -1
        match order.event:
            case LimitChanged():
                self._tell_limit(turn, order.event, order.by, order.reason)
                turn.orders.append(order)
                return
            case Decided():
                self._take_decision(turn, order)
                return
            case Granted() | Recalled():
                turn.tell(codec.account_fact(turn.at, order.event))
                self._course.scheduler.feed(order.event)
                turn.orders.append(order)
                return
            case CancelAsked():
                asked = Asked.CANCEL
            case PauseAsked(paused):
                asked = Asked.PAUSE if paused else Asked.UNPAUSE
            case RetryAsked(machine):
                asked = Asked.RETRY
            case SkipAsked(task):
                asked = Asked.SKIP
                stage, machine = divmod(task, self._course.machines)
            case _:
                assert_never(order.event)
        turn.tell(Fact("asked", stage, machine, 0, int(asked), codec.encode(note)))
        self._course.scheduler.feed(order.event)
        if not self._course.board.finished:
            turn.status = self._course.status()
        turn.orders.append(order)

    def _take_decision(self, turn: Turn, order: Order) -> None:
        """The first answer counts; what comes later is told so."""
        answer = order.event
        if not isinstance(answer, Decided):
            raise TypeError("no answer to an approval")
        if self._course.board.holds[answer.hold] != b.CLOSED:
            if order.done is not None and not order.done.done():
                order.done.set_exception(OperatorError("somebody else answered first"))
        else:
            turn.orders.append(order)
            turn.tell(self._course.holds.decided_fact(answer, turn.at, order.by, order.reason))
            self._course.scheduler.feed(answer)

    def _take_wish(self, turn: Turn, wish: Wish) -> None:
        if wish.attempt and not self._course.is_in_flight(wish.task, wish.attempt):
            wish.told(wish.task, wish.attempt, attempt_over(wish.task, wish.attempt))
            return
        stage, machine = divmod(wish.task, self._course.machines)
        payload = codec.encode(
            {"at": round(turn.at, 3), "kind": wish.kind, "detail": dict(wish.detail)}
        )
        turn.tell(Fact("intent", stage, machine, wish.attempt, 0, payload))
        turn.wishes.append(wish)

    # by the clock ------------------------------------------------------------------------------

    def see_windows(self, turn: Turn) -> None:
        """What opened or closed, and when to look again."""
        holds, board = self._course.holds, self._course.board
        if holds.has_windows and not board.finished:
            for change in holds.changes(turn.at, board.holds):
                turn.tell(holds.changed_fact(change, turn.at))
                self._course.scheduler.feed(change)
            self._course.deadlines.after(holds.look_again_s(turn.at), WindowsDue())

    def expire(self, turn: Turn) -> None:
        """What the deadlines that passed come to."""
        for item in self._course.deadlines.passed():
            match item:
                case TimerFired():
                    self._course.scheduler.feed(item)
                case ElectionDeadline(group):
                    self._take_answer(turn, Reply(group, -1, "nobody answered in time"))
                case WindowsDue():
                    self.see_windows(turn)
                case ApprovalDeadline(hold):
                    self._miss_approval(turn, hold)
                case Deadline():
                    self._miss_attempts(turn, item)
                case _:
                    assert_never(item)

    def _miss_approval(self, turn: Turn, hold: int) -> None:
        """Its deadline passed; not if it was asked anew, with a later one."""
        due = self._course.holds.due.get(hold, 0.0)
        if due and due <= turn.at + 0.001:
            self._take_decision(turn, Order(Decided(hold, False), DEADLINE, "nobody answered"))

    def _miss_attempts(self, turn: Turn, passed: Deadline) -> None:
        of_all = zip(passed.tasks, passed.attempts, strict=True)
        late = [x for x in of_all if self._course.is_in_flight(*x)]
        if passed.final:
            for task, attempt in late:
                self._give_up(turn, task, attempt)
        else:
            turn.cancels.extend(late)

    def _give_up(self, turn: Turn, task: int, attempt: int) -> None:
        """The executor gave no outcome, not even when told to stop."""
        course = self._course
        if course.is_unwanted(task):
            result = Result.CANCELLED
        else:
            probing = course.board.flags[task] & b.PROBING
            result = Result.UNKNOWN if probing else Result.FAILED
        limit_s = course.timeouts[task // course.machines]
        error = f"no outcome {course.grace_s:.0f} s after its deadline of {limit_s:.0f} s"
        self.take(turn, [Outcome(task, attempt, result, error=error, pressed=True)])


def attempt_over(task: int, attempt: int) -> AttemptOverError:
    return AttemptOverError(f"attempt {attempt} of task {task} is not under way any more")
