"""What the scheduler commands, as facts to commit and as what is to happen afterwards."""

from typing import assert_never

from rackwright.engine.run import codec, words
from rackwright.engine.run.course import Course
from rackwright.engine.run.ports import Attempt, Fact
from rackwright.engine.run.turn import ApprovalDeadline, Turn
from rackwright.engine.schedule import board as b
from rackwright.engine.schedule.events import (
    AskApproval,
    Cancel,
    Command,
    Elect,
    Finish,
    Marked,
    Returned,
    SetTimer,
    StageSettled,
    Start,
    TimerFired,
    Wants,
)

_make = tuple.__new__


def command(course: Course, turn: Turn, owner_epoch: int) -> None:
    """The loop that every start goes through."""
    issued: dict[int, bytes] = {}
    machines, timeouts = course.machines, course.timeouts
    facts, tasks, starts = turn.facts, turn.tasks, turn.starts
    for said in course.scheduler.take():
        if type(said) is not Start:
            _command_rare(course, turn, said)
            continue
        task, attempt, mode = said
        stage, machine = divmod(task, machines)
        payload = issued.get(stage)
        timeout_s = timeouts[stage]
        if payload is None:
            payload = codec.issued_payload(turn.at, turn.at + timeout_s, owner_epoch)
            issued[stage] = payload
        facts.append(_make(Fact, ("issued", stage, machine, attempt, int(mode), payload)))
        tasks.append(task)
        starts.append(_make(Attempt, (task, attempt, mode, timeout_s, False)))


def _command_rare(course: Course, turn: Turn, said: Command) -> None:
    match said:
        case Marked():
            _mark(course, turn, said)
        case SetTimer():
            _set_timer(course, turn, said)
        case Cancel(task, attempt):
            turn.cancels.append((task, attempt))
        case Elect():
            turn.elects.append(said)
        case Wants():
            turn.accounts.append(said)
        case Returned():
            turn.tell(codec.account_fact(turn.at, said))
            turn.accounts.append(said)
        case AskApproval(hold):
            _ask_approval(course, turn, hold)
        case StageSettled(stage):
            turn.settled.append(stage)
        case Finish(status):
            payload = codec.encode({"at": round(turn.at, 3)})
            turn.tell(Fact("finished", -1, -1, 0, int(status), payload))
            turn.status = status
        case Start():
            raise AssertionError("starts are handled by the caller")
        case _:
            assert_never(said)


def _mark(course: Course, turn: Turn, mark: Marked) -> None:
    stage, machine = divmod(mark.task, course.machines)
    attempt = course.board.attempts[mark.task]
    error = words.marked(course.plan, mark) if b.ended(mark.state) else ""
    payload = codec.marked_payload(turn.at, mark, error)
    turn.tell(Fact("marked", stage, machine, attempt, int(mark.state), payload), mark.task)


def _set_timer(course: Course, turn: Turn, timer: SetTimer) -> None:
    task, attempt, delay_s = timer
    stage, machine = divmod(task, course.machines)
    due = turn.at + delay_s
    payload = codec.encode({"at": round(turn.at, 3), "due": round(due, 3)})
    turn.tell(Fact("timer", stage, machine, attempt, 0, payload))
    course.due[task] = due
    course.deadlines.after(delay_s, TimerFired(task, attempt))


def _ask_approval(course: Course, turn: Turn, hold: int) -> None:
    fact = course.holds.asked_fact(hold, turn.at)
    if fact is not None:
        turn.tell(fact)
    if due := course.holds.due[hold]:
        course.deadlines.after(due - turn.at, ApprovalDeadline(hold))
