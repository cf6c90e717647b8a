"""One controller of a kill storm: production scheduler, runner, journal, database and feed. Its
executor does nothing itself: it speaks to the machines' own process (``storm_fleet``).
"""

import asyncio
import json
import os
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from bench.storm_fleet import LINE_BYTES
from rackwright.engine.errors import EngineError
from rackwright.engine.plan.model import Plan
from rackwright.engine.run.clock import SystemClock
from rackwright.engine.run.ports import Attempt, Commit, Fact, Outcome, RunView
from rackwright.engine.run.runner import Runner
from rackwright.engine.schedule.events import Result, RunStatus
from rackwright.inventory.facade import Inventory
from rackwright.inventory.journal import RunJournal

SNAPSHOT_FACTS: Final = 20_000  # production takes one less often; here restores from both matter
PAGE: Final = 2000


def checksum(facts: Sequence[Fact]) -> int:
    """Of all that is durable of a commit."""
    value = 0
    for fact in facts:
        value = zlib.crc32(repr(tuple(fact)).encode(), value)
    return value


class Line:
    """A connection to the fleet. What was written is with the kernel when ``send`` returns."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    def send(self, **what: Any) -> None:
        self._writer.write(json.dumps(what, separators=(",", ":")).encode() + b"\n")

    async def receive(self) -> dict[str, Any]:
        line = await self._reader.readline()
        if not line:
            raise ConnectionError("the fleet has gone")
        found: dict[str, Any] = json.loads(line)
        return found

    async def drain(self) -> None:
        await self._writer.drain()


class Told:
    """A journal that tells the witness what became durable."""

    def __init__(self, journal: RunJournal[Fact], line: Line) -> None:
        self._journal = journal
        self._line = line

    async def append(self, owner_epoch: int, commit: Commit) -> int:
        seq = await self._journal.append(owner_epoch, commit)
        self._line.send(acked=[seq, len(commit.facts), checksum(commit.facts)])
        return seq

    def read(self) -> Sequence[Fact]:
        return self._journal.read()

    def past(self) -> tuple[bytes, Sequence[Fact]]:
        return self._journal.past()


class FleetExecutor:
    def __init__(self, plan: Plan, view: RunView, line: Line) -> None:
        self._plan = plan
        self._machines = len(plan.machines)
        self._view = view
        self._line = line
        self._intents: set[asyncio.Task[None]] = set()

    def start(self, attempts: Sequence[Attempt]) -> None:
        self._line.send(start=[[a.task, a.attempt, int(a.mode), a.resumed] for a in attempts])

    def cancel(self, task: int, attempt: int) -> None:
        self._line.send(cancel=[task, attempt])

    def elect(self, group: int, stage: int, candidates: Sequence[int]) -> None:
        self._line.send(elect=[group, list(candidates)])

    def stage_settled(self, stage: int) -> None:
        return

    async def close(self) -> None:
        for intent in tuple(self._intents):
            intent.cancel()
        await asyncio.gather(*self._intents, return_exceptions=True)

    def take(self, said: Mapping[str, Any]) -> None:
        for task, attempt, result in said.get("ended", ()):
            self._view.ended(self._outcome(task, attempt, Result(result)))
        if "elected" in said:
            group, machine = said["elected"]
            self._view.elected(group, machine, "")
        if "ask" in said:
            intent = asyncio.get_running_loop().create_task(self._intend(*said["ask"]))
            self._intents.add(intent)
            intent.add_done_callback(self._intents.discard)

    async def _intend(self, task: int, attempt: int) -> None:
        """The machine erases once the intent is durable."""
        try:
            detail = {"drive_serial": f"SIM-{task % self._machines}"}
            await self._view.intend("erase", task, attempt, detail)
        except EngineError as error:
            self._view.ended(Outcome(task, attempt, Result.FAILED, error=str(error)))
            return
        self._line.send(erase=[task, attempt])

    def _outcome(self, task: int, attempt: int, result: Result) -> Outcome:
        stage, machine = divmod(task, self._machines)
        if result > Result.UNSATISFIED:
            return Outcome(task, attempt, result, error=f"simulated: {result.name.lower()}")
        names = self._plan.stages[stage].outputs
        outputs = {name: f"{name} of {self._plan.machines[machine].id}" for name in names}
        return Outcome(task, attempt, result, b'{"simulated":true}', outputs or None)


async def _subscribe(inventory: Inventory, run_id: str, line: Line, after: int) -> None:
    """As a client of the event stream does: from the last event that it knows on, for ever."""
    feed = inventory.feed
    while True:
        seen = feed.last_seq
        events = feed.events_after(after, run=run_id, limit=PAGE)
        if events:
            after = events[-1].seq
            line.send(
                events=[[e.seq, e.kind, e.stage, e.machine, e.attempt, e.status] for e in events]
            )
            await line.drain()
        if len(events) < PAGE:
            await feed.wait_for_new(seen)


async def _live(data: Path, run_id: str, plan: Plan, socket: Path, ready: int) -> RunStatus:
    inventory = Inventory.open(data)
    line = Line(*await asyncio.open_unix_connection(socket, limit=LINE_BYTES))
    line.send(hello=inventory.epoch)
    after = (await line.receive())["welcome"]
    journal = inventory.journal(run_id, fact=Fact)
    snapshot, facts = journal.past()
    made: list[FleetExecutor] = []

    def executor(view: RunView) -> FleetExecutor:
        made.append(FleetExecutor(plan, view, line))
        return made[0]

    runner = Runner(
        plan,
        Told(journal, line),
        executor,
        SystemClock(),
        inventory.epoch,
        facts,
        snapshot=snapshot,
        snapshot_facts=SNAPSHOT_FACTS,
        may_act=inventory.may_act,
    )

    async def listen() -> None:
        while True:
            made[0].take(await line.receive())

    beside = [
        asyncio.create_task(listen()),
        asyncio.create_task(_subscribe(inventory, run_id, line, after)),
    ]
    os.write(ready, b"!")
    status = await runner.run()
    await inventory.finish_run(run_id, status=int(status))
    for task in beside:
        task.cancel()
    await asyncio.gather(*beside, return_exceptions=True)
    await line.drain()
    inventory.close()
    return status


def live(data: Path, run_id: str, plan: Plan, socket: Path, ready: int) -> RunStatus:
    """A controller from its start to the end of the run, or to its death. ``ready``: a pipe that is
    told when the run is taken up."""
    return asyncio.run(_live(data, run_id, plan, socket, ready))
