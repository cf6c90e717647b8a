"""A shard in a run: allowances are granted through orders, journaled, and taken up again."""

import asyncio

from rackwright.engine.plan.model import Plan, Waves
from rackwright.engine.run.clock import VirtualClock
from rackwright.engine.run.errors import RunEndedError
from rackwright.engine.run.memory_journal import MemoryJournal
from rackwright.engine.run.runner import Runner
from rackwright.engine.schedule.allowances import Ledger
from rackwright.engine.schedule.events import Granted, Returned, RunStatus, Wants
from tests.unit.engine.run.plans import plan, stage
from tests.unit.engine.run.rigs import Rig


def the_plan() -> Plan:
    return plan(
        [stage("a"), stage("install", "a", waves=Waves(1, 2, 2), limits=("rack",))],
        machines=4,
        limits={"rack:r1": 9},
        machine_limits=dict.fromkeys(range(4), ("rack:r1",)),
    )


def shard(rig: Rig, said: list[Wants | Returned], answers: asyncio.Queue[Wants]) -> Runner:
    def on_account(what: Wants | Returned) -> None:
        said.append(what)
        if isinstance(what, Wants):
            answers.put_nowait(what)

    return Runner(
        rig.plan,
        rig.journal,
        rig.executor,
        rig.clock,
        rig.journal.epoch,
        rig.journal.read(),
        is_shard=True,
        on_account=on_account,
    )


async def drive(rig: Rig, ledgers: dict[int, Ledger], said: list[Wants | Returned]) -> RunStatus:
    answers: asyncio.Queue[Wants] = asyncio.Queue()
    runner = shard(rig, said, answers)
    task = asyncio.create_task(runner.run())

    async def grant() -> None:
        while True:
            want = await answers.get()
            given = ledgers[want.resource].grant(0, want.amount)
            try:
                await runner.ask(Granted(want.resource, given), by="ledger")
            except RunEndedError:
                ledgers[want.resource].give_back(0, given)

    granting = asyncio.create_task(grant())
    try:
        return await task
    finally:
        granting.cancel()
        await asyncio.gather(granting, return_exceptions=True)


def test_a_shard_runs_on_what_it_is_granted_and_gives_it_back() -> None:
    rig = Rig(the_plan(), journal=MemoryJournal(), clock=VirtualClock())
    ledgers = {resource: Ledger(2) for resource in range(12)}
    said: list[Wants | Returned] = []

    async def main() -> RunStatus:
        async with asyncio.timeout(60):
            return await drive(rig, ledgers, said)

    assert asyncio.run(main()) is RunStatus.SUCCEEDED
    wanted = {want.resource for want in said if isinstance(want, Wants)}
    for what in said:
        if isinstance(what, Returned):
            ledgers[what.resource].give_back(0, what.amount)
    assert len(wanted) == 3  # the limit, the wave, the budget
    assert {resource: ledgers[resource].left for resource in wanted} == dict.fromkeys(wanted, 2), (
        said
    )
    assert "allowance" in [fact.kind for fact in rig.journal.facts]
