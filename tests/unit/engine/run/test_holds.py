"""Approvals and maintenance windows in a run: asked, answered, journaled, restored."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace

import pytest

from rackwright.engine.errors import OperatorError
from rackwright.engine.executors.simulated import Faults
from rackwright.engine.plan.model import Plan
from rackwright.engine.run import words
from rackwright.engine.run.holds import Answer, Holds
from rackwright.engine.run.ports import Fact
from rackwright.engine.run.runner import Runner
from rackwright.engine.schedule.events import Decided, RunStatus
from tests.unit.engine.run.plans import plan, stage, swarm
from tests.unit.engine.run.rigs import Order, Rig, turns
from tests.unit.engine.run.test_restore import resume_from
from tests.unit.engine.run.test_runner import Bench


def asking(deadline_s: float = 0.0) -> Plan:
    stages = [
        stage("check"),
        stage("erase", "check", approve="erase them?", approve_deadline_s=deadline_s),
        stage("after", "erase"),
    ]
    return plan(stages, machines=2)


def approvals(facts: Sequence[Fact]) -> list[tuple[int, Answer]]:
    return [(f.stage, Answer(f.status)) for f in facts if f.kind == "approval"]


def starts(facts: Sequence[Fact], number: int) -> list[float]:
    return [json.loads(f.payload)["at"] for f in facts if f.kind == "issued" and f.stage == number]


async def until(runner: Runner, stage_name: str, word: str, plan_: Plan) -> str:
    for _ in range(2000):
        await asyncio.sleep(0)
        reasons = runner.explain(stage_name, "m-0")
        text = "; ".join(words.reason(plan_, r) for r in reasons)
        if word in text:
            return text
    raise AssertionError(f"{stage_name} never says {word!r}")


def test_a_stage_waits_for_its_approval_and_says_so() -> None:
    rig = Rig(asking())

    async def main() -> RunStatus:
        runner = rig.runner()
        task = asyncio.create_task(runner.run())
        text = await until(runner, "erase", "approval", rig.plan)
        assert "erase them?" in text
        assert "run approve erase" in text
        assert not starts(rig.journal.facts, 1)
        await runner.decide("erase", True, by="operator")
        with pytest.raises(OperatorError, match="approved already"):
            await runner.decide("erase", False, by="operator", reason="late")
        return await task

    assert asyncio.run(main()) is RunStatus.SUCCEEDED
    assert approvals(rig.journal.facts) == [(1, Answer.ASKED), (1, Answer.APPROVED)]
    assert len(starts(rig.journal.facts, 1)) == 2


def test_a_refused_stage_is_blocked_until_a_retry_asks_again() -> None:
    rig = Rig(asking())

    async def main() -> RunStatus:
        runner = rig.runner()
        task = asyncio.create_task(runner.run())
        await until(runner, "erase", "approval", rig.plan)
        with pytest.raises(OperatorError, match="needs a reason"):
            await runner.decide("erase", False, by="operator")
        await runner.decide("erase", False, by="operator", reason="not today")
        assert await task is RunStatus.FAILED
        again = rig.runner()
        retried = asyncio.create_task(again.retry(by="operator"))
        await asyncio.sleep(0)
        task = asyncio.create_task(again.run())
        await retried
        await until(again, "erase", "approval", rig.plan)
        await again.decide("erase", True, by="operator")
        return await task

    assert asyncio.run(main()) is RunStatus.SUCCEEDED
    assert [answer for _, answer in approvals(rig.journal.facts)] == [
        *(Answer.ASKED, Answer.REFUSED, Answer.ASKED, Answer.APPROVED)
    ]
    blocked = [json.loads(f.payload) for f in rig.journal.facts if f.kind == "marked"]
    assert blocked[0]["error"] == "the approval of erase was refused"


def test_an_approval_that_nobody_gives_in_time_is_refused() -> None:
    rig = Rig(asking(deadline_s=3600.0))
    assert rig.run() is RunStatus.FAILED
    refused = [f for f in rig.journal.facts if f.kind == "approval" and f.status == Answer.REFUSED]
    told = json.loads(refused[0].payload)
    assert told["by"] == "deadline"
    assert 3600 <= told["at"] <= 3620


async def asked(bench: Bench) -> None:
    """Until the first stage has ended everywhere."""
    await turns()
    for task in range(2):
        bench.executor.end(task)
    await turns()


async def stop(bench: Bench) -> None:
    bench.task.cancel()
    await asyncio.gather(bench.task, return_exceptions=True)


def test_a_restart_keeps_the_question_and_its_deadline() -> None:
    async def main() -> None:
        first = Bench(asking(deadline_s=3600.0))
        await asked(first)
        assert approvals(first.journal.facts) == [(1, Answer.ASKED)]
        await first.pass_time(3000.0)
        await stop(first)
        second = Bench(asking(deadline_s=3600.0), journal=first.journal)
        second.clock.move(3000.0)
        await turns()
        assert approvals(first.journal.facts) == [(1, Answer.ASKED)]
        await second.pass_time(590.0)
        assert approvals(first.journal.facts) == [(1, Answer.ASKED)]
        await second.pass_time(20.0)
        assert approvals(first.journal.facts) == [(1, Answer.ASKED), (1, Answer.REFUSED)]
        assert await second.task is RunStatus.FAILED

    asyncio.run(main())


def test_of_two_answers_at_once_the_second_is_told() -> None:
    rig = Rig(asking())

    async def main() -> tuple[list[object], RunStatus]:
        runner = rig.runner()
        answers = [
            asyncio.create_task(runner.decide("erase", True, by="one")),
            asyncio.create_task(runner.decide("erase", False, by="two", reason="no")),
        ]
        await asyncio.sleep(0)
        status = await runner.run()
        return list(await asyncio.gather(*answers, return_exceptions=True)), status

    (first, second), status = asyncio.run(main())
    assert first is None
    assert isinstance(second, OperatorError)
    assert status is RunStatus.SUCCEEDED
    assert approvals(rig.journal.facts) == [(1, Answer.APPROVED)]


def test_an_approval_may_be_given_ahead() -> None:
    rig = Rig(asking())
    assert rig.run(first_orders=[(Decided(0, True), "operator", "")]) is RunStatus.SUCCEEDED
    assert approvals(rig.journal.facts) == [(1, Answer.APPROVED)]


def test_only_a_stage_that_asks_can_be_approved() -> None:
    rig = Rig(asking())

    async def main() -> None:
        with pytest.raises(OperatorError, match=r"waits for no approval \(stages that do: erase"):
            await rig.runner().decide("after", True, by="operator")

    asyncio.run(main())


def nightly(text: str = "daily 00:10-00:20 UTC") -> Plan:
    """Virtual time begins at midnight."""
    stages = [stage("check"), stage("erase", "check", windows=("stage:erase",)), stage("after")]
    return replace(plan(stages, machines=3), windows={"stage:erase": (text,)})


def test_a_stage_starts_in_its_window_only() -> None:
    rig = Rig(nightly())
    assert rig.run() is RunStatus.SUCCEEDED
    assert all(600 <= at < 1200 for at in starts(rig.journal.facts, 1))
    assert all(at < 600 for at in starts(rig.journal.facts, 2))
    changes = [
        (f.status, json.loads(f.payload)["window"]) for f in rig.journal.facts if f.kind == "window"
    ]
    assert changes[0] == (1, "stage:erase")


def test_what_does_not_fit_into_one_night_goes_on_in_the_next() -> None:
    the_plan = nightly("daily 00:00-00:01 UTC")
    erase = replace(the_plan.stages[1], limits=("rack",))
    machines = tuple(replace(m, limits=("rack:r1",)) for m in the_plan.machines)
    the_plan = replace(
        the_plan,
        stages=(the_plan.stages[0], erase, the_plan.stages[2]),
        machines=machines,
        limits={"rack:r1": 1},
    )
    rig = Rig(the_plan, Faults(), 3)
    rig.slow = 10.0
    assert rig.run() is RunStatus.SUCCEEDED
    days = {int(at // 86400) for at in starts(rig.journal.facts, 1)}
    assert len(days) > 1
    assert all(at % 86400 < 60 for at in starts(rig.journal.facts, 1))


def test_a_task_says_which_window_it_waits_for() -> None:
    async def main() -> list[str]:
        the_plan = nightly("Sat 01:00-05:00 UTC")
        bench = Bench(the_plan)
        await turns()
        for task in range(3):
            bench.executor.end(task)
        await turns()
        told = [words.reason(the_plan, r) for r in bench.runner.explain("erase", "m-0")]
        await stop(bench)
        return told

    assert asyncio.run(main()) == ["waits for the window stage:erase: Sat 01:00-05:00 UTC"]


def test_the_means_wait_with_their_ends() -> None:
    base = swarm(3)
    stages = tuple(
        replace(s, windows=("destructive",), approve="wipe?") if s.name == "install" else s
        for s in base.stages
    )
    rig = Rig(replace(base, stages=stages, windows={"destructive": ("daily 02:00-03:00",)}))
    (hold,) = Holds(rig.plan).approvals()
    assert rig.run(first_orders=[(Decided(hold, True), "operator", "")]) is RunStatus.SUCCEEDED
    full = [
        json.loads(f.payload)["at"]
        for f in rig.journal.facts
        if f.kind == "issued" and f.stage in (0, 1) and f.status == 0
    ]
    assert full
    assert all(7200 <= at < 10800 for at in full), "a machine was rebooted before its window"


def held_swarm() -> Plan:
    base = swarm(3)
    stages = tuple(
        replace(s, windows=("destructive",), approve="wipe?", approve_deadline_s=1e6)
        if s.name == "install"
        else s
        for s in base.stages
    )
    return replace(base, stages=stages, windows={"destructive": ("daily 00:00-00:02",)})


@pytest.mark.parametrize("got_to", ["never started", "running", "done"])
def test_from_every_prefix_a_held_run_ends_and_repeats_nothing(got_to: str) -> None:
    orders: list[Order] = [(Decided(1, True), "operator", "")]
    whole = Rig(held_swarm(), Faults(fail=0.1, unknown=0.1), seed=5)
    whole.run(first_orders=orders)
    kinds = [fact.kind for fact in whole.journal.facts]
    assert {"window", "approval"} <= set(kinds)
    for length in range(len(kinds) + 1):
        answered = "approval" in kinds[:length]
        resume_from(whole, length, got_to, () if answered else orders)
