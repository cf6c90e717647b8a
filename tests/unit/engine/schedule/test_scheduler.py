"""The scheduler by example; the properties are in ``test_scheduler_properties``."""

from rackwright.engine.schedule.events import (
    Cancel,
    CancelAsked,
    Cause,
    Command,
    Elect,
    Elected,
    Ended,
    Event,
    Finish,
    LimitChanged,
    Marked,
    Mode,
    PauseAsked,
    Result,
    RetryAsked,
    RunStatus,
    SetTimer,
    SkipAsked,
    StageSettled,
    Start,
    TaskState,
    TimerFired,
)
from rackwright.engine.schedule.scheduler import Scheduler
from rackwright.engine.schedule.topology import Barrier, StageShape, Topology

FULL, PROBE = Mode.FULL, Mode.PROBE


class Desk:
    """Names tasks by (stage, machine) and speaks to one scheduler."""

    def __init__(self, machines: int, *stages: StageShape, capacities: tuple[int, ...] = ()):
        groups = 1 + max(s.group for s in stages)
        self.topology = Topology(machines, stages, capacities=capacities, group_count=groups)
        self.scheduler = Scheduler(self.topology)

    def tell(self, *events: Event) -> list[Command]:
        for event in events:
            self.scheduler.feed(event)
        return self.scheduler.take()

    def end(self, stage: int, machine: int, result: Result, attempt: int = 0) -> list[Command]:
        task = self.topology.task(stage, machine)
        return self.tell(Ended(task, attempt or self.scheduler.board.attempts[task], result))

    def good(self, stage: int, *machines: int) -> list[Command]:
        return [c for m in machines for c in self.end(stage, m, Result.CHANGED)]

    def state(self, stage: int, machine: int) -> TaskState:
        return self.scheduler.state(self.topology.task(stage, machine))

    def starts(self, commands: list[Command]) -> list[tuple[int, int, Mode]]:
        found = [c for c in commands if isinstance(c, Start)]
        return [(*divmod(c.task, self.topology.machine_count), c.mode) for c in found]


def every(machines: int) -> bytes:
    return b"\x01" * machines


def test_failed_stage_skips_descendants_of_its_machine_only() -> None:
    desk = Desk(2, StageShape("a", every(2)), StageShape("b", every(2), needs=(0,)))
    desk.tell()
    commands = desk.end(0, 0, Result.FAILED)
    assert commands == [Marked(2, TaskState.BLOCKED, Cause.NEED, 0)]
    assert desk.starts(desk.good(0, 1)) == [(1, 1, FULL)]
    assert desk.good(1, 1)[-1] == Finish(RunStatus.DEGRADED)


def test_an_absent_need_is_met() -> None:
    desk = Desk(2, StageShape("a", b"\x01\x00"), StageShape("b", every(2), needs=(0,)))
    assert desk.starts(desk.tell()) == [(0, 0, FULL), (1, 1, FULL)]


def test_percent_barrier_rounds_up_and_blocks_when_it_cannot_be_met() -> None:
    barrier = (Barrier(0, "percent", 51),)
    desk = Desk(3, StageShape("a", every(3)), StageShape("b", b"\1\0\0", barriers=barrier))
    desk.tell()
    assert desk.starts(desk.good(0, 1)) == []
    assert desk.starts(desk.good(0, 2)) == [(1, 0, FULL)]
    desk = Desk(3, StageShape("a", every(3)), StageShape("b", b"\1\0\0", barriers=barrier))
    desk.tell()
    desk.end(0, 1, Result.REFUSED)
    assert Marked(3, TaskState.BLOCKED, Cause.BARRIER, 0) in desk.end(0, 2, Result.REFUSED)


def test_settled_barrier_counts_ends_of_any_kind() -> None:
    desk = Desk(
        2, StageShape("a", every(2)), StageShape("b", b"\1\0", barriers=(Barrier(0, "settled"),))
    )
    desk.tell()
    desk.end(0, 1, Result.FAILED)
    assert desk.good(0, 0) == [StageSettled(0), Start(2, 1, FULL)]


def test_retries_back_off_twice_as_long_each_time_and_refusals_are_final() -> None:
    desk = Desk(1, StageShape("a", every(1), retries=2, backoff_s=10.0))
    desk.tell()
    assert desk.end(0, 0, Result.UNKNOWN) == [SetTimer(0, 1, 10.0)]
    assert desk.tell(TimerFired(0, 1), TimerFired(0, 1)) == [Start(0, 2, FULL)]
    assert desk.end(0, 0, Result.FAILED) == [SetTimer(0, 2, 20.0)]
    desk.tell(TimerFired(0, 2))
    assert desk.end(0, 0, Result.REFUSED) == [StageSettled(0), Finish(RunStatus.FAILED)]


def means(machines: int, **fields: object) -> Desk:
    return Desk(
        machines,
        StageShape("netboot", every(machines), means_to=(1,)),
        StageShape("install", every(machines), needs=(0,), **fields),  # type: ignore[arg-type]
    )


def test_satisfied_ends_spare_their_means() -> None:
    desk = means(1)
    assert desk.tell() == [Start(1, 1, PROBE)]
    assert desk.end(1, 0, Result.SATISFIED) == [
        StageSettled(1),
        Marked(0, TaskState.SKIPPED, Cause.ENDS, 0),
        StageSettled(0),
        Finish(RunStatus.SUCCEEDED),
    ]


def test_an_unsatisfied_end_runs_after_its_means() -> None:
    desk = means(1)
    desk.tell()
    assert desk.end(1, 0, Result.UNSATISFIED) == [Start(0, 1, FULL)]
    assert desk.good(0, 0) == [StageSettled(0), Start(1, 2, FULL)]


def test_an_end_that_does_not_answer_fails_and_its_means_never_runs() -> None:
    desk = means(1, retries=1)
    desk.tell()
    assert desk.end(1, 0, Result.UNKNOWN) == [SetTimer(1, 1, 10.0)]
    assert desk.tell(TimerFired(1, 1)) == [Start(1, 2, PROBE)]
    desk.end(1, 0, Result.UNKNOWN)
    assert (desk.state(1, 0), desk.state(0, 0)) == (TaskState.FAILED, TaskState.BLOCKED)


def test_the_retry_of_an_end_goes_through_its_means() -> None:
    desk = means(1, retries=1)
    desk.tell()
    desk.end(1, 0, Result.UNSATISFIED)
    desk.good(0, 0)
    assert desk.end(1, 0, Result.FAILED) == [SetTimer(1, 2, 10.0)]
    assert desk.tell(TimerFired(1, 2)) == [
        Marked(0, TaskState.WAITING, Cause.MEANS, 1),
        Marked(1, TaskState.WAITING, Cause.END, 1),
        Start(0, 2, FULL),
    ]
    assert desk.end(0, 0, Result.SATISFIED) == [StageSettled(0), Start(1, 3, FULL)]


def test_canaries_go_first_and_probes_do_not_wait_for_them() -> None:
    desk = means(3, canary=1)
    assert desk.starts(desk.tell()) == [(1, m, PROBE) for m in range(3)]
    for m in range(3):
        desk.end(1, m, Result.UNSATISFIED)
    assert desk.starts(desk.good(0, 0, 1, 2)) == [(1, 0, FULL)]
    assert desk.starts(desk.good(1, 0)) == [(1, 1, FULL), (1, 2, FULL)]


def test_a_satisfied_probe_is_no_canary_of_a_destructive_stage() -> None:
    desk = means(4, canary=1, destructive=True)
    desk.tell()
    desk.end(1, 0, Result.SATISFIED)
    for m in (1, 2, 3):
        desk.end(1, m, Result.UNSATISFIED)
    assert desk.starts(desk.good(0, 1, 2, 3)) == [(1, 1, FULL)]
    assert desk.starts(desk.good(1, 1)) == [(1, 2, FULL), (1, 3, FULL)]


def test_a_destructive_canary_that_fails_halts_whatever_probes_said() -> None:
    desk = means(3, canary=1, destructive=True)
    desk.tell()
    desk.end(1, 0, Result.SATISFIED)
    for m in (1, 2):
        desk.end(1, m, Result.UNSATISFIED)
    desk.good(0, 1, 2)
    desk.end(1, 1, Result.REFUSED)
    assert desk.state(1, 2) == TaskState.BLOCKED


def test_a_failed_canary_halts_the_wave() -> None:
    desk = Desk(3, StageShape("a", every(3), canary=1))
    assert desk.starts(desk.tell()) == [(0, 0, FULL)]
    commands = desk.end(0, 0, Result.FAILED)
    assert {c.cause for c in commands if isinstance(c, Marked)} == {Cause.WAVE}
    assert desk.state(0, 1) == desk.state(0, 2) == TaskState.BLOCKED


def test_a_wave_halts_at_its_failures_and_spares_what_runs() -> None:
    desk = Desk(5, StageShape("a", every(5), max_parallel=3, halt_at_failures=2))
    desk.tell()
    assert desk.starts(desk.end(0, 0, Result.FAILED)) == [(0, 3, FULL)]
    desk.end(0, 1, Result.FAILED)
    assert desk.state(0, 2) == desk.state(0, 3) == TaskState.RUNNING
    assert desk.state(0, 4) == TaskState.BLOCKED


def test_a_task_parked_on_a_limit_is_woken_by_it() -> None:
    limits = [(0, 1), (0,), (1,)]
    desk = Desk(3, StageShape("a", every(3), limits=limits), capacities=(1, 2))
    assert desk.starts(desk.tell()) == [(0, 0, FULL), (0, 2, FULL)]
    assert desk.starts(desk.good(0, 2)) == []
    assert desk.starts(desk.good(0, 0)) == [(0, 1, FULL)]


def test_a_raised_limit_wakes_as_many_as_fit() -> None:
    desk = Desk(4, StageShape("a", every(4), limits=[(0,)] * 4), capacities=(1,))
    assert len(desk.starts(desk.tell())) == 1
    assert len(desk.starts(desk.tell(LimitChanged(0, 3)))) == 2


def test_a_queue_whose_delegates_all_leave_is_looked_at_again() -> None:
    limits = [(0,), *[(0, 1)] * 40, (1,)]
    alone = bytes(41) + b"\1"
    desk = Desk(
        42,
        StageShape("a", b"\1" * 41 + b"\0", limits=limits),
        StageShape("b", alone, limits=limits),
        capacities=(1, 1),
    )
    assert desk.starts(desk.tell()) == [(0, 0, FULL), (1, 41, FULL)]
    assert desk.good(0, 0) == []  # all others are refused by the second limit, or not asked yet
    desk.tell(*(SkipAsked(m) for m in range(1, 17)))
    assert desk.starts(desk.good(1, 41)) == [(0, 17, FULL)]


def elected(*extra: StageShape) -> Desk:
    return Desk(
        3,
        StageShape("runtime", every(3)),
        StageShape("init", every(3), needs=(0,), group=0, pick="one"),
        StageShape(
            "join", every(3), needs=(0,), barriers=(Barrier(1, "all"),), group=0, pick="rest"
        ),
        *extra,
    )


def test_an_election_waits_until_every_candidates_needs_have_ended() -> None:
    desk = elected()
    desk.tell()
    assert desk.good(0, 1) == []
    desk.end(0, 0, Result.FAILED)
    assert desk.good(0, 2) == [StageSettled(0), Elect(0, 1, (1, 2))]
    assert desk.starts(desk.tell(Elected(0, 2), Elected(0, 1))) == [(1, 2, FULL)]
    assert [desk.state(1, m) for m in (0, 1)] == [TaskState.ABSENT] * 2
    assert desk.state(2, 2) == TaskState.ABSENT
    assert desk.state(2, 0) == TaskState.BLOCKED
    assert desk.starts(desk.good(1, 2)) == [(2, 1, FULL)]


def test_an_election_of_nobody_fails_its_stage_and_a_retry_asks_again() -> None:
    desk = elected()
    desk.tell()
    desk.good(0, 0, 1, 2)
    assert desk.tell(Elected(0, -1))[-1] == Finish(RunStatus.FAILED)
    assert desk.state(1, 0) == TaskState.FAILED
    assert Elect(0, 1, (0, 1, 2)) in desk.tell(RetryAsked())


def test_cancel_ends_what_waits_stops_what_runs_and_lets_always_run() -> None:
    desk = Desk(
        1,
        StageShape("cordon", every(1)),
        StageShape("work", every(1), needs=(0,)),
        StageShape("uncordon", every(1), needs=(1,), always=True),
    )
    desk.tell()
    commands = desk.tell(CancelAsked())
    assert Cancel(0, 1) in commands
    assert Marked(1, TaskState.CANCELLED, Cause.CANCEL, -1) in commands
    assert desk.starts(commands) == [(2, 0, FULL)]
    desk.end(0, 0, Result.CANCELLED)
    assert desk.good(2, 0)[-1] == Finish(RunStatus.CANCELLED)


def test_pause_holds_starts_and_elections() -> None:
    desk = elected()
    desk.tell()
    desk.tell(PauseAsked(True))
    assert not any(isinstance(c, Elect) for c in desk.good(0, 0, 1, 2))
    assert desk.tell(PauseAsked(False)) == [Elect(0, 1, (0, 1, 2))]


def test_skipping_a_failed_task_takes_up_what_it_blocked() -> None:
    desk = Desk(1, StageShape("a", every(1)), StageShape("b", every(1), needs=(0,)))
    desk.tell()
    assert desk.end(0, 0, Result.FAILED)[-1] == Finish(RunStatus.FAILED)
    assert desk.starts(desk.tell(SkipAsked(0))) == [(1, 0, FULL)]
    assert desk.good(1, 0)[-1] == Finish(RunStatus.SUCCEEDED)


def test_a_retry_concludes_again_what_was_concluded_over_the_failure() -> None:
    desk = Desk(
        2,
        StageShape("join", every(2)),
        StageShape("proof", b"\1\0", barriers=(Barrier(0, "settled"),)),
    )
    desk.tell()
    desk.good(0, 0)
    desk.end(0, 1, Result.FAILED)
    assert desk.good(1, 0)[-1] == Finish(RunStatus.DEGRADED)
    assert desk.starts(desk.tell(RetryAsked())) == [(0, 1, FULL)]
    assert desk.starts(desk.good(0, 1)) == [(1, 0, FULL)]
    assert desk.good(1, 0)[-1] == Finish(RunStatus.SUCCEEDED)


def test_a_machine_without_stages_does_not_make_a_failed_run_degraded() -> None:
    desk = Desk(2, StageShape("a", b"\1\0"))
    desk.tell()
    assert desk.end(0, 0, Result.FAILED)[-1] == Finish(RunStatus.FAILED)


def test_an_empty_run_succeeds_at_once() -> None:
    assert Desk(1, StageShape("a", b"\0")).tell() == [Finish(RunStatus.SUCCEEDED)]
