import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from rackwright.engine.errors import OperatorError
from rackwright.engine.plan.model import Plan, Retries
from rackwright.engine.run.clock import VirtualClock
from rackwright.engine.run.errors import AttemptOverError, LeaseLostError, RunEndedError
from rackwright.engine.run.memory_journal import MemoryJournal, StaleOwnerError
from rackwright.engine.run.ports import Attempt, Commit, Outcome, RunView
from rackwright.engine.run.runner import Runner
from rackwright.engine.schedule.events import Mode, Result, RetryAsked, RunStatus, TaskState
from tests.unit.engine.run.plans import plan, stage, swarm
from tests.unit.engine.run.rigs import Rig, Scripted, turns


class Bench:
    """A runner under way with a scripted executor."""

    def __init__(self, the_plan: Plan, *, journal: MemoryJournal | None = None) -> None:
        self.journal = journal or MemoryJournal()
        self.clock = StillClock()
        self.made: list[Scripted] = []
        self.may_act = True
        self.runner = Runner(
            the_plan,
            self.journal,
            self.make,
            self.clock,
            self.journal.epoch,
            self.journal.read(),
            may_act=lambda: self.may_act,
            grace_s=10.0,
        )
        self.task = asyncio.create_task(self.runner.run())

    def make(self, view: RunView) -> Scripted:
        self.made.append(Scripted(view))
        return self.made[-1]

    @property
    def executor(self) -> Scripted:
        return self.made[0]

    def kinds(self) -> list[str]:
        return [fact.kind for fact in self.journal.facts]

    async def pass_time(self, seconds: float) -> None:
        self.clock.move(seconds)
        await turns()


class StillClock:
    """Moves only when the test says so."""

    def __init__(self) -> None:
        self.time = 1000.0
        self.moved = asyncio.Event()

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time

    def move(self, seconds: float) -> None:
        self.time += seconds
        self.moved.set()

    async def wait(self, woken: asyncio.Event, until: float | None) -> None:
        while not woken.is_set() and (until is None or self.time < until):
            self.moved.clear()
            both = [asyncio.ensure_future(woken.wait()), asyncio.ensure_future(self.moved.wait())]
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            for one in both:
                one.cancel()


@contextlib.asynccontextmanager
async def bench(the_plan: Plan, journal: MemoryJournal | None = None) -> AsyncIterator[Bench]:
    made = Bench(the_plan, journal=journal)
    await turns()
    async with asyncio.timeout(30):  # nothing here waits for real time: only a hang takes as long
        yield made
    made.task.cancel()
    with contextlib.suppress(asyncio.CancelledError, Exception):
        await made.task


ONE = plan([stage("only", outputs=("address",))], machines=1)


def test_a_run_of_everything_succeeds_and_a_second_changes_nothing() -> None:
    rig = Rig(swarm(6))
    assert rig.run() == RunStatus.SUCCEEDED
    assert rig.journal.run_status == RunStatus.SUCCEEDED
    assert max(rig.world.applies(t) for t in range(36)) == 1
    again = Rig(rig.plan, world=rig.world)
    assert again.run() == RunStatus.SUCCEEDED
    assert max(rig.world.applies(t) for t in range(36)) == 1
    states = {row.state for row in again.journal.tasks.values()}
    assert states == {TaskState.SATISFIED, TaskState.SKIPPED}


def test_facts_are_committed_before_anything_starts() -> None:
    seen: list[list[str]] = []

    @dataclass
    class Watching:
        journal: MemoryJournal

        def executor(self, view: RunView) -> Scripted:
            made = Scripted(view)
            made.on_start = lambda attempt: seen.append([f.kind for f in self.journal.facts])
            return made

    async def main() -> None:
        journal = MemoryJournal()
        runner = Runner(ONE, journal, Watching(journal).executor, VirtualClock(), 1)
        task = asyncio.create_task(runner.run())
        await turns()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert seen == [["issued"]]


def test_outputs_are_kept_and_told() -> None:
    async def main() -> None:
        async with bench(ONE) as b:
            b.executor.end(0, outputs={"address": "10.0.0.1"})
            assert await b.task == RunStatus.SUCCEEDED
            assert b.runner.outputs() == {"only": {"m-0": {"address": "10.0.0.1"}}}
            restored = Runner(ONE, b.journal, Scripted, VirtualClock(), 1, b.journal.read())
            assert restored.outputs() == b.runner.outputs()

    asyncio.run(main())


def test_late_and_repeated_outcomes_leave_no_trace() -> None:
    retrying = plan([stage("only", retries=Retries(1, 1.0)), stage("next", "only")], machines=1)

    async def main() -> None:
        async with bench(retrying) as b:
            b.executor.end(0, 1, Result.FAILED)
            b.executor.end(0, 1, Result.CHANGED)
            await turns()
            await b.pass_time(2.0)
            b.executor.end(0, 1, Result.CHANGED)
            b.executor.end(7, 1)
            await turns()
            assert b.kinds() == ["issued", "ended", "timer", "issued"]
            b.executor.end(0, 2)
            b.executor.end(0, 2)
            await turns()
            assert b.kinds()[4:] == ["ended", "issued"]

    asyncio.run(main())


def test_a_stale_owner_sends_nothing_and_stops() -> None:
    async def main() -> None:
        async with bench(plan([stage("a"), stage("b", "a")], machines=1)) as b:
            b.journal.take_over()
            b.executor.end(0)
            with pytest.raises(StaleOwnerError):
                await b.task
            assert [a.task for a in b.executor.started] == [0]
            assert b.executor.closed
            with pytest.raises(RunEndedError):
                await b.runner.cancel()

    asyncio.run(main())


def test_a_lost_lease_sends_nothing_and_stops() -> None:
    async def main() -> None:
        async with bench(plan([stage("a"), stage("b", "a")], machines=1)) as b:
            b.may_act = False
            b.executor.end(0)
            with pytest.raises(LeaseLostError):
                await b.task
            assert [a.task for a in b.executor.started] == [0]

    asyncio.run(main())


class Broken(MemoryJournal):
    broken = False

    async def append(self, owner_epoch: int, commit: Commit) -> int:
        if self.broken:
            raise OSError("no space left on device")
        return await super().append(owner_epoch, commit)


def test_a_journal_that_cannot_write_ends_everyone_who_waits() -> None:
    async def main() -> None:
        journal = Broken()
        async with bench(ONE, journal) as b:
            journal.broken = True
            order = asyncio.create_task(b.runner.cancel())
            with pytest.raises(OSError, match="no space"):
                await b.task
            with pytest.raises(RunEndedError):
                await order
            assert b.executor.cancelled == []

    asyncio.run(main())


def test_an_intent_is_durable_before_it_is_granted_and_counted() -> None:
    async def main() -> None:
        async with bench(ONE) as b:
            first = await b.runner.intend("erase", 0, 1, {"drive_serial": "X"})
            assert b.kinds()[-1] == "intent"
            assert (first, await b.runner.intend("erase", 0, 1, {})) == (0, 1)
            assert await b.runner.intend("mint", 0, 1, {}) == 0
        async with bench(ONE, b.journal) as again:
            assert await again.runner.intend("erase", 0, 1, {}) == 2
            details = [i.detail for i in again.runner.intents("erase")]
            assert details == [{"drive_serial": "X"}, {}, {}]

    asyncio.run(main())


def test_an_attempt_that_is_over_gets_no_intent() -> None:
    async def main() -> None:
        async with bench(plan([stage("a", retries=Retries(1, 1.0))], machines=1)) as b:
            with pytest.raises(AttemptOverError):
                await b.runner.intend("erase", 0, 2, {})
            wish = asyncio.create_task(b.runner.intend("erase", 0, 1, {}))
            b.executor.end(0, 1, Result.FAILED)  # in the same turn, and before it
            with pytest.raises(AttemptOverError):
                await wish
            assert "intent" not in b.kinds()

    asyncio.run(main())


def test_an_attempt_without_an_outcome_is_cancelled_then_counted_as_failed() -> None:
    async def main() -> None:
        async with bench(plan([stage("a", timeout_s=60.0)], machines=1)) as b:
            await b.pass_time(69.0)
            assert b.executor.cancelled == []
            await b.pass_time(1.0)
            assert b.executor.cancelled == [(0, 1)]
            await b.pass_time(10.0)
            assert await b.task == RunStatus.FAILED
            assert "no outcome" in b.journal.tasks[0, 0].error

    asyncio.run(main())


def test_an_election_without_an_answer_fails_its_stage() -> None:
    elected = plan([stage("init", group="g", pick="one")], 2, groups={"g": [0, 1]})

    async def main() -> None:
        async with bench(elected) as b:
            assert b.executor.asked == [(0, 0, (0, 1))]
            await b.pass_time(70.0)
            assert await b.task == RunStatus.FAILED
            assert b.runner.leader("g") == ""

    asyncio.run(main())


def test_the_elected_machine_alone_runs() -> None:
    elected = plan([stage("init", group="g", pick="one")], 2, groups={"g": [0, 1]})

    async def main() -> None:
        async with bench(elected) as b:
            b.runner.elected(0, 1, "")
            b.runner.elected(0, 0, "")
            await turns()
            assert b.runner.leader("g") == "m-1"
            b.executor.end(1)
            assert await b.task == RunStatus.SUCCEEDED
        restored = Runner(elected, b.journal, Scripted, b.clock, 1, b.journal.read())
        assert restored.leader("g") == "m-1"

    asyncio.run(main())


def test_cancel_stops_what_runs_and_lets_always_stages_run() -> None:
    stages = [stage("cordon"), stage("work", "cordon"), stage("uncordon", "work", always=True)]

    async def main() -> None:
        async with bench(plan(stages, machines=1)) as b:
            await b.runner.cancel(by="operator", reason="wrong rack")
            assert b.executor.cancelled == [(0, 1)]
            b.executor.end(0, 1, Result.CANCELLED)
            await turns()
            assert b.executor.started[-1] == Attempt(2, 1, Mode.FULL, 60.0, False)
            b.executor.end(2)
            assert await b.task == RunStatus.CANCELLED
            assert b'"reason":"wrong rack"' in next(
                f.payload for f in b.journal.facts if f.kind == "asked"
            )

    asyncio.run(main())


def test_a_cancelled_attempt_that_never_answers_does_not_hold_the_run() -> None:
    async def main() -> None:
        async with bench(ONE) as b:
            await b.runner.cancel()
            await b.pass_time(10.0)
            assert await b.task == RunStatus.CANCELLED

    asyncio.run(main())


def test_pause_starts_nothing_until_it_is_lifted() -> None:
    async def main() -> None:
        async with bench(plan([stage("a"), stage("b", "a")], machines=1)) as b:
            await b.runner.pause(True)
            assert b.journal.run_status == RunStatus.PAUSED
            b.executor.end(0)
            await turns()
            assert [a.task for a in b.executor.started] == [0]
            await b.runner.pause(False)
            assert [a.task for a in b.executor.started] == [0, 1]
            assert b.journal.run_status == RunStatus.RUNNING

    asyncio.run(main())


def test_a_skip_needs_a_reason_and_counts_as_success() -> None:
    async def main() -> None:
        async with bench(plan([stage("a"), stage("b", "a")], machines=1)) as b:
            with pytest.raises(OperatorError, match="reason"):
                await b.runner.skip("a", "m-0", by="op", reason="")
            with pytest.raises(OperatorError, match="no stage"):
                await b.runner.skip("z", "m-0", by="op", reason="x")
            await b.runner.skip("a", "n0", by="op", reason="done by hand")
            b.executor.end(0, 1, Result.CANCELLED)
            await turns()
            assert b.journal.tasks[0, 0].state == TaskState.SKIPPED
            b.executor.end(1)
            assert await b.task == RunStatus.SUCCEEDED

    asyncio.run(main())


def test_a_limit_can_be_raised_while_tasks_wait_for_it() -> None:
    limited = plan(
        [stage("a", limits=("rack",))],
        3,
        limits={"rack:r1": 1},
        machine_limits=dict.fromkeys(range(3), ("rack:r1",)),
    )

    async def main() -> None:
        async with bench(limited) as b:
            assert len(b.executor.started) == 1
            assert [r.why for r in b.runner.explain("a", "m-2")] == ["limit"]
            await b.runner.set_limit("rack:r1", 2)
            assert len(b.executor.started) == 2
            with pytest.raises(OperatorError, match="no limit"):
                await b.runner.set_limit("rack:r9", 2)
        restored = Runner(limited, b.journal, Scripted, b.clock, 1, b.journal.read())
        assert [r.required for r in restored.explain("a", "m-2")] in ([2], [])

    asyncio.run(main())


def test_a_run_that_ended_is_taken_up_by_a_retry() -> None:
    async def main() -> None:
        async with bench(plan([stage("a"), stage("b", "a")], machines=2)) as b:
            b.executor.end(0)
            b.executor.end(1, 1, Result.FAILED)
            await turns()
            b.executor.end(2)
            assert await b.task == RunStatus.DEGRADED
        made: list[Scripted] = []

        def make(view: RunView) -> Scripted:
            made.append(Scripted(view))
            made[-1].on_start = lambda a: view.ended(Outcome(a.task, a.attempt, Result.CHANGED))
            return made[-1]

        orders = [(RetryAsked(), "op", "cable replaced")]
        runner = Runner(
            plan([stage("a"), stage("b", "a")], machines=2),
            b.journal,
            make,
            b.clock,
            1,
            b.journal.read(),
            first_orders=orders,
        )
        assert await runner.run() == RunStatus.SUCCEEDED
        assert [(a.task, a.attempt) for a in made[0].started] == [(1, 2), (3, 1)]
        assert b.journal.run_status == RunStatus.SUCCEEDED

    asyncio.run(main())


def test_a_finished_run_is_not_touched_again() -> None:
    rig = Rig(swarm(3))
    rig.run()
    facts = len(rig.journal.facts)
    assert rig.run() == RunStatus.SUCCEEDED
    assert len(rig.journal.facts) == facts


def test_attempts_found_under_way_are_delivered_again_as_resumed() -> None:
    async def main() -> None:
        async with bench(plan([stage("a")], machines=2)) as b:
            b.executor.end(0)
            await turns()
        async with bench(plan([stage("a")], machines=2), b.journal) as again:
            assert again.executor.started == [Attempt(1, 1, Mode.FULL, 60.0, True)]
            again.executor.end(1)
            assert await again.task == RunStatus.SUCCEEDED

    asyncio.run(main())


def test_a_pending_retry_waits_out_its_backoff_after_a_restart() -> None:
    retrying = plan([stage("a", retries=Retries(1, 100.0))], machines=1)

    async def main() -> None:
        async with bench(retrying) as b:
            b.executor.end(0, 1, Result.FAILED)
            await turns()
        async with bench(retrying, b.journal) as again:
            await again.pass_time(99.0)
            assert again.executor.started == []
            await again.pass_time(1.0)
            assert [a.attempt for a in again.executor.started] == [2]

    asyncio.run(main())
