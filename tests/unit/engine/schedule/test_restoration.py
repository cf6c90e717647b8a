"""A scheduler restored from its journal stands where the one that died stood."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from rackwright.engine.schedule import board as b
from rackwright.engine.schedule.events import (
    AskApproval,
    Decided,
    Elect,
    Elected,
    Ended,
    Finish,
    HoldChanged,
    Mode,
    Result,
    Returned,
    SetTimer,
    StageSettled,
    Start,
    TimerFired,
    Wants,
)
from rackwright.engine.schedule.restoration import Restoration
from rackwright.engine.schedule.scheduler import Scheduler
from rackwright.engine.schedule.standing import Standing, standing
from rackwright.engine.schedule.topology import StageShape, Topology
from tests.unit.engine.schedule.machines import Rig
from tests.unit.engine.schedule.shapes import topology

SEEDS = st.integers(0, 2**48)
RUNS = settings(max_examples=70, deadline=None, derandomize=True, database=None)
_FLAGS = b.IN_WAVE | b.PROBING | b.SKIPPING
AGAIN = AskApproval | Elect | StageSettled | Finish | Wants  # what a restart may say again
_QUEUED = bytes(b.WAITING if s in (b.READY, b.PARKED) else s for s in range(256))


def assert_same_standing(live: Scheduler, restored: Scheduler) -> None:
    mine, theirs = live.board, restored.board
    assert theirs.state.translate(_QUEUED) == mine.state.translate(_QUEUED)
    assert theirs.attempts == mine.attempts
    assert theirs.used == mine.used
    assert theirs.wave_failures == mine.wave_failures
    assert (theirs.cancelled, theirs.paused) == (mine.cancelled, mine.paused)
    assert (theirs.ok, theirs.open, theirs.total) == (mine.ok, mine.open, mine.total)
    assert theirs.capacity[: mine.limit_count] == mine.capacity[: mine.limit_count]
    assert theirs.holds == mine.holds
    for task, state in enumerate(mine.state):
        if state in (b.RUNNING, b.BACKOFF):
            assert theirs.tries[task] == mine.tries[task]
            assert theirs.flags[task] & _FLAGS == mine.flags[task] & _FLAGS


def restored_beside(rig: Rig, length: int = 0, begin: Standing | None = None) -> Scheduler:
    """Timers that fired are not journaled: they fire again."""
    restoration = Restoration(rig.topology, begin)
    for item in rig.journal[length:]:
        restoration.fold(item)
    restored = restoration.scheduler()
    for task, attempt in restored.backing_off():
        if rig.scheduler.board.state[task] != b.BACKOFF:
            restored.feed(TimerFired(task, attempt))
    return restored


@given(SEEDS)
@RUNS
def test_at_every_commit_the_restored_scheduler_has_nothing_new_to_decide(seed: int) -> None:
    rng = random.Random(seed)
    rig = Rig(topology(rng), rng)
    rig.take()
    for _ in range(60):
        if rig.oracle.cancelled and rig.oracle.electing:
            return  # asked and not journaled: a restart in a cancelled run does not ask again
        restored = restored_beside(rig)
        commands = restored.take()
        assert all(isinstance(c, AGAIN) for c in commands), commands
        assert_same_standing(rig.scheduler, restored)
        assert sorted(restored.in_flight()) == sorted(rig.scheduler.in_flight())
        if rig.oracle.finished is not None:
            return
        rig.step()
        rig.take()


@given(SEEDS)
@RUNS
def test_a_snapshot_and_the_facts_since_stand_where_all_facts_stand(seed: int) -> None:
    rng = random.Random(seed)
    rig = Rig(topology(rng), rng)
    rig.take()
    length, begin = len(rig.journal), standing(rig.scheduler)
    for _ in range(60):
        if rig.oracle.cancelled and rig.oracle.electing:
            return
        restored = restored_beside(rig, length, begin)
        commands = restored.take()
        assert all(isinstance(c, AGAIN) for c in commands), commands
        assert_same_standing(rig.scheduler, restored)
        assert sorted(restored.in_flight()) == sorted(rig.scheduler.in_flight())
        if rig.oracle.finished is not None:
            return
        if rng.random() < 0.2:
            length, begin = len(rig.journal), standing(rig.scheduler)
        rig.step()
        rig.take()


@given(SEEDS)
@RUNS
def test_every_journal_prefix_leads_to_an_end_without_repeating_what_ended(seed: int) -> None:
    rng = random.Random(seed)
    rig = Rig(topology(rng), rng)
    rig.run()
    for length in sorted({rng.randrange(len(rig.journal) + 1) for _ in range(12)}):
        for result in (Result.CHANGED, Result.SATISFIED, Result.FAILED):
            finish_from(rig.topology, rig, length, result)


def let_everything_go(scheduler: Scheduler) -> None:
    for limit in range(scheduler.board.limit_count):
        scheduler.board.capacity[limit] = max(1, scheduler.board.capacity[limit])
    for hold, found in enumerate(scheduler.topology.holds):
        scheduler.feed(HoldChanged(hold, True) if found.kind == "window" else Decided(hold, True))


def finish_from(shape: Topology, rig: Rig, length: int, first: Result) -> None:
    """Goes on after ``length`` items; attempts found under way end in ``first``, the rest well."""
    scheduler = Scheduler.restore(shape, rig.journal[:length])
    ended = {t for t in range(shape.task_count) if b.succeeded(scheduler.board.state[t])}
    scheduler.board.paused = False
    inbox: list[Ended | TimerFired | Elected] = []
    for start in scheduler.in_flight():
        probe = start.mode == Mode.PROBE and first == Result.CHANGED
        inbox.append(Ended(start.task, start.attempt, Result.UNSATISFIED if probe else first))
    inbox.extend(TimerFired(*timer) for timer in scheduler.backing_off())
    let_everything_go(scheduler)
    for _ in range(2000):
        for command in scheduler.take():
            match command:
                case Start(task, attempt, mode):
                    assert mode == Mode.PROBE or task not in ended, "repeats a finished task"
                    probe = mode == Mode.PROBE
                    inbox.append(
                        Ended(task, attempt, Result.UNSATISFIED if probe else Result.CHANGED)
                    )
                case SetTimer(task, attempt, _):
                    inbox.append(TimerFired(task, attempt))
                case Elect(group, _, candidates):
                    inbox.append(Elected(group, candidates[0]))
                case Finish():
                    return
                case StageSettled() | AskApproval() | Wants() | Returned():
                    pass
                case _ if hasattr(command, "task") and command.task in ended:
                    ended.discard(command.task)  # re-opened, and said so
        if scheduler.board.finished:
            return
        assert inbox, "nothing is under way, and the run has not ended"
        scheduler.feed(inbox.pop(0))
    raise AssertionError("the run does not end")


def test_a_restored_run_that_had_finished_stays_finished() -> None:
    shape = Topology(1, [StageShape("only", b"\x01")])
    live = Scheduler(shape)
    journal = [*live.take(), Ended(0, 1, Result.CHANGED)]
    live.feed(Ended(0, 1, Result.CHANGED))
    journal += live.take()
    assert [c for c in Scheduler.restore(shape, journal).take() if isinstance(c, Finish)] == []
