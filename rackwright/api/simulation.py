"""One simulated run: production compiler, scheduler, runner, journal and database; machines that do
not exist, in virtual time. Wires; decides nothing.
"""

import asyncio
import hashlib
import re
import resource
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from rackwright.api.collector import collect_rarely, never_looking
from rackwright.engine.content.library import Library
from rackwright.engine.errors import OperatorError
from rackwright.engine.executors.simulated import Latency, SimulatedExecutor
from rackwright.engine.executors.simulated_world import World
from rackwright.engine.machine import Machine
from rackwright.engine.plan.codec import plan_document
from rackwright.engine.plan.compile import LimitConfig, compile_plan
from rackwright.engine.plan.model import Plan, PlannedStage
from rackwright.engine.plan.spec import ClusterSpec, parse_spec
from rackwright.engine.run.clock import PacedClock, VirtualClock
from rackwright.engine.run.holds import Holds
from rackwright.engine.run.ports import Fact, RunView
from rackwright.engine.run.report import RunReport, report
from rackwright.engine.run.runner import Runner
from rackwright.engine.schedule.events import Decided, RunStatus
from rackwright.engine.simulate.fault_file import Rule
from rackwright.engine.simulate.faults import FaultRules
from rackwright.engine.simulate.fleet import EveryArtifact, fleet, pool_sizes, spec_text
from rackwright.inventory import selectors, simulations
from rackwright.inventory.errors import SelectorError
from rackwright.inventory.facade import Inventory
from rackwright.inventory.journal import RunJournal
from rackwright.inventory.pack import Pack
from rackwright.inventory.plans import PlanRecord

BEGINS = 1_767_225_600.0  # 2026-01-01T00:00:00Z: virtual time is the same in every simulation
_TIMES = re.compile(rb'"(?:at|deadline|due|epoch)":[0-9.]+,?')
METAL_S, OS_S = 120.0, 30.0  # what a stage takes whose role gives no estimate


@dataclass(frozen=True, slots=True)
class Simulation:
    """``speed`` 0: as fast as it goes; else virtual seconds a second. ``limits``: 0 is
    unbounded. ``keep``: the data directory to make, None for a temporary one."""

    machines: int
    workflow: str
    spec: str = ""  # a cluster spec's text in place of the generated one
    seed: int = 0
    speed: float = 0.0
    rules: tuple[Rule, ...] = ()
    limits: LimitConfig = field(default_factory=lambda: LimitConfig(image_server=0))
    tick_s: float = 0.0  # results of one tick come together; 0: by the size of the fleet
    content: tuple[Path, ...] = ()
    keep: Path | None = None


@dataclass(frozen=True, slots=True)
class Simulated:
    """``journal_digest``: SHA-256 over all facts without their times. ``hits``: for each rule how
    many tasks it may strike."""

    run_id: str
    status: RunStatus
    report: RunReport
    hits: tuple[int, ...]
    journal_digest: str
    compile_s: float
    run_s: float
    report_s: float
    attempts: int
    peak_rss_bytes: int

    @property
    def tasks_per_s(self) -> float:
        return self.attempts / self.run_s if self.run_s else 0.0


@dataclass(frozen=True, slots=True)
class _Ran:
    run_id: str
    journal: RunJournal[Fact]
    status: RunStatus
    run_s: float
    silent: Mapping[tuple[int, int], str]


def simulate(wanted: Simulation) -> Simulated:
    """Raises ContentError(s) and OperatorError for what cannot be compiled."""
    with ExitStack() as stack:
        if wanted.keep is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rackwright-")))
        else:
            folder = wanted.keep
            if folder.exists() and any(folder.iterdir()):
                raise OperatorError(f"{folder} is not empty", hint="name a new directory")
        begun = time.perf_counter()
        collect_rarely()
        with never_looking():
            library = Library.over_packaged(wanted.content)
            plan, machines = _compile(wanted, library)
            rules = FaultRules(wanted.rules, plan, machines, _selection(), wanted.seed)
            del machines
        compile_s = time.perf_counter() - begun
        inventory = Inventory.open(folder)
        stack.callback(inventory.close)
        ran = asyncio.run(_run(wanted, library, plan, rules if wanted.rules else None, inventory))
        collect_rarely()  # the runner and its executor know each other
        begun = time.perf_counter()
        hashed = _Hashed(ran.journal)
        told = _explained(report(plan, hashed, *ran.journal.standing()), plan, ran.silent)
        return Simulated(
            run_id=ran.run_id,
            status=ran.status,
            report=told,
            hits=rules.hits,
            journal_digest=hashed.digest,
            compile_s=compile_s,
            run_s=ran.run_s,
            report_s=time.perf_counter() - begun,
            attempts=sum(stage.attempts for stage in told.stages),
            peak_rss_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        )


def _compile(wanted: Simulation, library: Library) -> tuple[Plan, list[Machine]]:
    workflow = library.workflow(wanted.workflow)
    spec: ClusterSpec | None = None
    sizes: Mapping[str, int] = {}
    if workflow.groups:
        sizes = pool_sizes(workflow, wanted.machines)
        text = wanted.spec or spec_text(wanted.workflow, sizes)
        spec = parse_spec(text, "the simulation's cluster spec")
    machines = fleet(wanted.machines, sizes)
    plan = compile_plan(
        library=library,
        spec=spec,
        workflow=wanted.workflow,
        machines=machines,
        select=_selection(),
        artifacts=EveryArtifact(),
        limits=wanted.limits,
    )
    return plan, machines


async def _run(
    wanted: Simulation,
    library: Library,
    plan: Plan,
    rules: FaultRules | None,
    inventory: Inventory,
) -> _Ran:
    run_id = await _begin(plan, inventory)
    journal = inventory.journal(run_id, fact=Fact)
    clock = PacedClock(wanted.speed, BEGINS) if wanted.speed else VirtualClock(BEGINS)
    tick_s = wanted.tick_s or min(10.0, max(1.0, wanted.machines / 7000))
    latency = Latency(tick_s=tick_s, stages=_latencies(library, plan))
    world = World()
    silent: dict[tuple[int, int], str] = {}

    def executor(view: RunView) -> SimulatedExecutor:
        made = SimulatedExecutor(
            plan, view, clock, world, seed=wanted.seed, latency=latency, strikes=rules
        )
        nonlocal silent
        silent = made.silent
        return made

    begun = time.perf_counter()
    approvals = [(Decided(hold, True), "simulation", "") for hold in Holds(plan).approvals()]
    runner = Runner(plan, journal, executor, clock, inventory.epoch, first_orders=approvals)
    status = await runner.run()
    run_s = time.perf_counter() - begun
    await inventory.finish_run(run_id, status=int(status))
    return _Ran(run_id, journal, status, run_s, silent)


async def _begin(plan: Plan, inventory: Inventory) -> str:
    """The plan's JSON lives only as long as it is being stored."""
    record = PlanRecord(
        digest=plan.digest,
        kind=plan.kind,
        workflow=plan.workflow,
        cluster=plan.cluster,
        fingerprint=plan.fingerprint,
        document=plan_document(plan),
        created_at=BEGINS,
    )
    return await inventory.write(
        lambda c: simulations.begin(
            c,
            record,
            machines=[(machine.id, machine.name) for machine in plan.machines],
            stages=[stage.name for stage in plan.stages],
            epoch=inventory.epoch,
            now=time.time(),
        )
    )


def _explained(told: RunReport, plan: Plan, silent: Mapping[tuple[int, int], str]) -> RunReport:
    """The engine can only say that it heard nothing; a simulation knows why."""
    if not silent:
        return told
    stages = {stage.name: at for at, stage in enumerate(plan.stages)}
    machines = {machine.id: at for at, machine in enumerate(plan.machines)}
    failures = []
    for failure in told.failures:
        task = stages[failure.stage] * len(machines) + machines[failure.machine]
        why = silent.get((task, failure.attempt))
        failures.append(replace(failure, error=f"{failure.error}: {why}") if why else failure)
    return replace(told, failures=tuple(failures))


def _latencies(library: Library, plan: Plan) -> dict[str, tuple[float, float]]:
    """Around each role's estimate: most machines a little under it, a few three times as long."""
    return {stage.name: _latency(library, stage) for stage in plan.stages}


def _latency(library: Library, stage: PlannedStage) -> tuple[float, float]:
    estimate_s = library.role(stage.role).stages[stage.role_stage].estimate_s
    if estimate_s is None:
        estimate_s = METAL_S if stage.executor == "netboot" else OS_S
    return 0.6 * estimate_s, min(3.0 * estimate_s, 0.9 * stage.timeout_s)


def _selection() -> Callable[[str, Machine], bool]:
    """The inventory's selectors, on machines that it does not hold."""
    parsed: dict[str, selectors.Selector] = {}

    def select(text: str, machine: Machine) -> bool:
        if text not in parsed:
            try:
                parsed[text] = selectors.parse(text)
            except SelectorError as error:
                raise ValueError(str(error)) from error
        labels = {
            **machine.labels,
            "name": machine.name,
            "class": machine.machine_class,
            "rack": machine.rack,
            "site": machine.site,
            "state": machine.state,
        }
        return selectors.matches(parsed[text], labels)

    return select


class _Hashed:
    """A journal's facts, hashed while they are read: without what is a time, or an owner's. Each
    column has a hash of its own, so that it does not matter how facts were packed."""

    def __init__(self, journal: RunJournal[Fact]) -> None:
        self._journal = journal
        self._columns = [hashlib.sha256() for _ in range(6)]
        self._kinds: dict[str, int] = {}  # in the order of their first facts

    @property
    def digest(self) -> str:
        kinds = " ".join(self._kinds).encode()
        every = b"".join(column.digest() for column in self._columns)
        return hashlib.sha256(kinds + every).hexdigest()

    def __iter__(self) -> Iterator[Fact]:
        for pack in self._journal.packs():
            self._take(pack)
            yield from pack.facts(Fact)

    def _take(self, pack: Pack) -> None:
        number = self._kinds.setdefault
        kinds = bytes(number(name, len(self._kinds)) for name in pack.names)
        payloads = list(map(_timeless, pack.payloads()))
        columns = (
            pack.kinds.translate(kinds.ljust(256)),
            pack.stages.tobytes(),
            pack.machines.tobytes(),
            pack.attempts.tobytes(),
            pack.statuses.tobytes(),
            b"".join(map(payloads.__getitem__, pack.references)),
        )
        for column, of_pack in zip(self._columns, columns, strict=True):
            column.update(of_pack)


def _timeless(payload: bytes) -> bytes:
    """An outcome's evidence is the machine's own words, and only the moment before it a time."""
    rest = payload[payload.find(b",") + 1 :]
    return rest if rest.startswith(b'"evidence":') else _TIMES.sub(b"", payload)
