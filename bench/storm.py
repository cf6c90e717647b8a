"""A storm of SIGKILLs: one run whose controllers are killed at random moments, each taken up by the
next, until none is left and the run ends. Part of ``make bench``; issue: durability.

Usage: python -m bench.storm [--machines 10000] [--kills 200] [--seed 1] [--workflow swarm] [--keep
DIR]. Exit code 1, and what is wrong, unless: every kill landed before the run's end, no finished
task was repeated (by the machines' own account, kept in another process), nothing that was
acknowledged is missing, a subscriber that resumes by the last event's number got each event once,
``integrity_check`` says ok, and the run ended.
"""

import argparse
import asyncio
import json
import os
import random
import resource
import select
import shutil
import signal
import socket
import sqlite3
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.storm_controller import checksum, live
from bench.storm_fleet import AIMS, SUCCEEDED, Fleet, Pace, Shared
from rackwright.api.collector import collect_rarely
from rackwright.engine.content.library import Library
from rackwright.engine.machine import Machine
from rackwright.engine.plan.compile import LimitConfig, compile_plan
from rackwright.engine.plan.model import Plan, Retries
from rackwright.engine.plan.spec import parse_spec
from rackwright.engine.run.ports import Fact
from rackwright.engine.schedule.events import RunStatus, TaskState
from rackwright.engine.simulate.fleet import EveryArtifact, fleet, pool_sizes, spec_text
from rackwright.inventory import simulations
from rackwright.inventory.facade import Inventory
from rackwright.inventory.plans import PlanRecord

READY_S = 120.0
BACKOFF_S = 0.2  # of the plan's retries: real seconds here
MEAN_LIFE_S = 0.35  # from taking the run up to the kill
EARLY = 0.2  # share of the kills that come while a controller starts
AIMED = 0.4  # and of those that the outside world deals when it hears or says a certain word
AIMED_WITHIN_S = 1.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """``wrong``: what must not have happened, each once; empty for a storm that was withstood."""

    measure: str
    kills: int
    kills_at_start: int
    kills_aimed: int
    lives: int
    status: str
    tasks: int
    attempts: int
    attached: int
    acknowledged_commits: int
    acknowledged_facts: int
    events_told: int
    wrong: list[str]
    wall_s: float
    cpu_s: float


def storm(
    folder: Path,
    *,
    machines: int,
    kills: int,
    seed: int,
    workflow: str = "swarm",
    mean_life_s: float = MEAN_LIFE_S,
) -> Verdict:
    """``folder`` must be empty and have a short path: there is a socket in it."""
    began, cpu = time.monotonic(), _cpu_s()
    plan = plan_of(workflow, machines)
    tasks = sum(len(machine.stages) for machine in plan.machines)
    collect_rarely()  # and what lives now is shared with each fork
    data = folder / "data"
    run_id = _begin(plan, data)
    shared = Shared()
    pace = Pace(shared, kills, max(1, round(tasks * 0.95 / (kills + 1))))
    outside, at = folder / "fleet.socket", random.Random(seed)
    witness = _fork_ready(
        lambda ready: asyncio.run(
            Fleet(plan, pace, seed).serve(outside, ready, folder / "truth.json")
        )
    )
    kinds: Counter[str] = Counter()
    wrong: list[str] = []
    try:
        while (landed := kinds.total()) < kills:
            shared.killed = landed
            kind = at.choices(("start", "aimed", "late"), (EARLY, AIMED, 1 - EARLY - AIMED))[0]
            blow = Blow(
                at.uniform(0, 0.2) if kind == "start" else at.uniform(0, 2 * mean_life_s),
                at_start=kind == "start",
                aim=at.randrange(len(AIMS)) if kind == "aimed" else None,
            )
            work = partial(_live, data, run_id, plan, outside)
            if not _kill_one(work, blow, shared):
                wrong.append(f"a controller ended by itself after {landed} kills")
                break
            kinds[kind] += 1
        shared.killed = kills
        ended = _wait(_fork(lambda: _live(data, run_id, plan, outside, os.open(os.devnull, 1))))
    finally:
        _stop(outside)
        _wait(witness)
    truth = json.loads((folder / "truth.json").read_text())
    found = _compare(data, run_id, plan, truth)
    status = RunStatus(ended).name.lower() if ended in list(RunStatus) else f"exit {ended}"
    if status not in ("succeeded", "degraded"):
        wrong.append(f"the last controller ended with {status}")
    return Verdict(
        measure=f"kill storm, {machines} machines, {workflow}, seed {seed}",
        kills=kinds.total(),
        kills_at_start=kinds["start"],
        kills_aimed=kinds["aimed"],
        lives=truth["lives"],
        status=status,
        tasks=tasks,
        attempts=found.attempts,
        attached=truth["attached"],
        acknowledged_commits=len(truth["acked"]),
        acknowledged_facts=sum(count for _, count, _ in truth["acked"]),
        events_told=len(truth["events"]),
        wrong=wrong + list(dict.fromkeys(truth["violations"])) + found.wrong,
        wall_s=round(time.monotonic() - began, 1),
        cpu_s=round(_cpu_s() - cpu, 1),
    )


def plan_of(workflow: str, machines: int) -> Plan:
    """A packaged workflow on a fleet; retries come soon, since time is real here."""
    library = Library.over_packaged(())
    spec = library.workflow(workflow)
    sizes = pool_sizes(spec, machines)
    plan = compile_plan(
        library=library,
        spec=parse_spec(spec_text(workflow, sizes), "the storm's cluster spec"),
        workflow=workflow,
        machines=fleet(machines, sizes),
        select=_by_role,
        artifacts=EveryArtifact(),
        limits=LimitConfig(image_server=0),
    )
    stages = tuple(
        replace(stage, retries=Retries(max(3, stage.retries.max), BACKOFF_S))
        for stage in plan.stages
    )
    return replace(plan, stages=stages)


def _by_role(selector: str, machine: Machine) -> bool:
    return selector == f"role={machine.labels['role']}"


def _begin(plan: Plan, data: Path) -> str:
    """In a process of its own: this one stays without threads, so that it may fork."""

    def work() -> int:
        inventory = Inventory.open(data)
        record = PlanRecord("d" * 64, "cluster", plan.workflow, "", "f", b"{}", 0.0)
        run_id = inventory.write(
            lambda c: simulations.begin(
                c,
                record,
                machines=[(machine.id, machine.name) for machine in plan.machines],
                stages=[stage.name for stage in plan.stages],
                epoch=inventory.epoch,
                now=time.time(),
            )
        )
        (data / "run").write_text(asyncio.run(_awaited(run_id)))
        inventory.close()
        return 0

    if _wait(_fork(work)):
        raise RuntimeError("the storm's run could not be begun")
    return (data / "run").read_text()


def _live(data: Path, run_id: str, plan: Plan, outside: Path, ready: int) -> int:
    return int(live(data, run_id, plan, outside, ready))


async def _awaited(future: Any) -> str:
    return str(await future)


# processes ---------------------------------------------------------------------------------------


def _fork(work: Callable[[], int]) -> int:
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return pid
    code = 99
    try:
        code = work()
    except BaseException:  # noqa: BLE001 - told, and the process ends with 99
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def _fork_ready(work: Callable[[int], object]) -> int:
    """Returns once the child has written to the pipe that it is given."""
    reader, writer = os.pipe()

    def tell() -> int:
        work(writer)
        return 0

    pid = _fork(tell)
    os.close(writer)
    ready = _is_readable(reader, READY_S)
    os.close(reader)
    if not ready:
        raise RuntimeError("a process of the storm did not start")
    return pid


@dataclass(frozen=True, slots=True)
class Blow:
    """``delay_s``: after the fork (``at_start``) or after the run was taken up. ``aim``: the world
    outside deals it at a word of this kind, or it comes ``AIMED_WITHIN_S`` later after all."""

    delay_s: float
    at_start: bool
    aim: int | None


def _kill_one(work: Callable[[int], int], blow: Blow, shared: Shared) -> bool:
    """One controller's life. False if it had ended before the blow."""
    reader, writer = os.pipe()
    pid = _fork(lambda: work(writer))
    os.close(writer)
    if not blow.at_start:
        _is_readable(reader, READY_S)
    time.sleep(blow.delay_s)
    if blow.aim is not None:
        shared.aim = (pid, blow.aim)
        select.select([reader], [], [], AIMED_WITHIN_S)  # its end closes the pipe
        shared.aim = (0, 0)
    os.close(reader)
    os.kill(pid, signal.SIGKILL)  # of our child, not yet waited for: its number is still its own
    status = os.waitpid(pid, 0)[1]
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL


def _is_readable(fd: int, within_s: float) -> bool:
    ready, _, _ = select.select([fd], [], [], within_s)
    return bool(ready) and os.read(fd, 1) == b"!"


def _wait(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _stop(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(str(path))
        line.sendall(b'{"stop":true}\n')


def _cpu_s() -> float:
    every = [resource.getrusage(w) for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in every)


# the verdict -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Found:
    attempts: int
    wrong: list[str]


def _compare(data: Path, run_id: str, plan: Plan, truth: dict[str, Any]) -> _Found:
    """The database against what the world outside saw and was told."""
    wrong = []
    with sqlite3.connect(data / "rackwright.db") as database:
        integrity = database.execute("PRAGMA integrity_check").fetchone()[0]
    if integrity != "ok":
        wrong.append(f"integrity_check: {integrity}")
    inventory = Inventory.open(data)
    facts = inventory.journal(run_id, fact=Fact).read()
    seqs, events = _events(inventory, run_id)
    inventory.close()
    wrong += _acknowledged(truth["acked"], seqs, facts)
    if truth["events"] != events:
        wrong.append(f"told {len(truth['events'])} events, the journal has {len(events)}")
    machines = len(plan.machines)
    done = Counter(
        fact.stage * machines + fact.machine
        for fact in facts
        if fact.kind == "ended" and fact.status in SUCCEEDED
    )
    again = Counter(  # a means is opened again for each retry of its end, and the journal says so
        fact.stage * machines + fact.machine
        for fact in facts
        if fact.kind == "marked" and fact.status == TaskState.WAITING
    )
    wrong += [
        f"the journal ends task {task} {n} times" for task, n in done.items() if n > 1 + again[task]
    ]
    for what in ("applies", "erasures"):
        counts = truth[what].items()
        wrong += [f"task {task}: {n} {what}" for task, n in counts if n > 1]
    applied = {int(task) for task in truth["applies"]}
    if applied != set(done):
        wrong.append(f"{len(applied ^ set(done))} tasks are not what their machine says")
    return _Found(sum(fact.kind == "ended" for fact in facts), wrong)


def _events(inventory: Inventory, run_id: str) -> tuple[list[int], list[list[Any]]]:
    events: list[list[Any]] = []
    after = 0
    while page := inventory.feed.events_after(after, run=run_id, limit=5000):
        after = page[-1].seq
        events += [[e.seq, e.kind, e.stage, e.machine, e.attempt, e.status] for e in page]
    return [int(event[0]) for event in events], events


def _acknowledged(
    acked: Sequence[Sequence[int]], seqs: Sequence[int], facts: Sequence[Fact]
) -> list[str]:
    place = {seq: at for at, seq in enumerate(seqs)}
    lost = []
    for seq, count, told in acked:
        if not count:
            continue
        at = place.get(seq, -1)
        if at < 0 or checksum(facts[at - count + 1 : at + 1]) != told:
            lost.append(f"the commit that ends at {seq} was acknowledged, and is not as it was")
    return lost


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.storm")
    parser.add_argument("--machines", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workflow", default="swarm")
    parser.add_argument("--keep", type=Path, help="an empty directory that is kept")
    given = parser.parse_args()
    folder = given.keep or Path(tempfile.mkdtemp(prefix="rw-storm-"))
    folder.mkdir(parents=True, exist_ok=True)
    try:
        verdict = storm(
            folder,
            machines=given.machines,
            kills=given.kills,
            seed=given.seed,
            workflow=given.workflow,
        )
    finally:
        if given.keep is None:
            shutil.rmtree(folder)
    print(json.dumps({**asdict(verdict), "wrong": verdict.wrong[:20]}))
    for what in verdict.wrong[:20]:
        print(what, file=sys.stderr)
    sys.exit(bool(verdict.wrong))


if __name__ == "__main__":
    main()
