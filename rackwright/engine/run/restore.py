"""Journal facts back into a running run: scheduler, timers, outputs, intents.

Reads only; decides nothing. Raises EngineError for a journal that does not fit the plan.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from rackwright.engine.errors import EngineError
from rackwright.engine.plan.model import Plan
from rackwright.engine.run import codec
from rackwright.engine.run.codec import Asked
from rackwright.engine.run.holds import Holds
from rackwright.engine.run.knowledge import Knowledge
from rackwright.engine.run.ports import Fact, Intent
from rackwright.engine.run.snapshot import Snapshot, decode
from rackwright.engine.schedule.events import (
    CancelAsked,
    Event,
    Finish,
    LimitChanged,
    PauseAsked,
    Result,
    RetryAsked,
    RunStatus,
    SkipAsked,
)
from rackwright.engine.schedule.restoration import Restoration
from rackwright.engine.schedule.scheduler import Scheduler
from rackwright.engine.schedule.topology import Topology


@dataclass(slots=True)
class Restored:
    scheduler: Scheduler
    knowledge: Knowledge
    holds: Holds
    timers: list[tuple[int, int, float]] = field(default_factory=list)
    """(task, attempt, due in unix seconds); 0.0 where the journal does not say."""


def restore(
    plan: Plan,
    topology: Topology,
    facts: Iterable[Fact],
    snapshot: bytes = b"",
    *,
    is_to_go_on: bool = True,
) -> Restored:
    """Fold ``facts``, oldest first, over a snapshot where there is one. An empty journal gives a
    run at its start. ``is_to_go_on`` False: outputs and intents are passed over, which only a run
    that goes on needs."""
    try:
        begin = decode(snapshot, with_known=is_to_go_on) if snapshot else None
        return _Fold(plan, topology, begin, is_to_go_on=is_to_go_on).restored(facts)
    except (IndexError, KeyError, ValueError) as error:
        raise EngineError(
            f"the journal does not fit the plan: {error}",
            hint="it was written for another plan, or it is damaged",
        ) from error


class _Fold:
    def __init__(
        self, plan: Plan, topology: Topology, begin: Snapshot | None, *, is_to_go_on: bool
    ) -> None:
        self._learns = is_to_go_on
        self._machines = topology.machine_count
        self._limits = list(plan.limits)
        self._restoration = Restoration(topology, begin.standing if begin else None)
        self._knowledge = Knowledge(plan)
        self._due: dict[int, float] = dict(begin.due) if begin else {}
        self._holds = Holds(plan)
        if begin:
            self._holds.due.update(begin.approvals)
            if begin.known is not None:
                self._knowledge.recall(begin.known)
        self._names_outputs = tuple(is_to_go_on and bool(stage.outputs) for stage in plan.stages)

    def restored(self, facts: Iterable[Fact]) -> Restored:
        issued, ended, machines = self._restoration.issued, self._restoration.ended, self._machines
        names_outputs = self._names_outputs
        for fact in facts:
            kind, stage, machine, attempt, status, _ = fact
            if kind == "ended":
                ended(stage * machines + machine, attempt, status)
                if names_outputs[stage] and status <= Result.CHANGED and codec.has_outputs(fact):
                    outputs = codec.mapping(codec.decode(fact.payload), "outputs")
                    self._knowledge.learn_outputs(stage, machine, outputs)
            elif kind == "issued":
                issued(stage * machines + machine, attempt, status)
            else:
                self._rare(fact)
        scheduler = self._restoration.scheduler()
        timers = [
            (task, attempt, self._due.get(task, 0.0)) for task, attempt in scheduler.backing_off()
        ]
        return Restored(scheduler, self._knowledge, self._holds, timers)

    def _rare(self, fact: Fact) -> None:
        task = fact.stage * self._machines + fact.machine
        match fact.kind:
            case "timer":
                self._due[task] = codec.seconds(codec.decode(fact.payload), "due")
                self._restoration.backed_off(task, fact.attempt)
            case "marked":
                cause, subject = codec.cause_of(codec.decode(fact.payload))
                self._restoration.marked(task, fact.status, cause, subject)
            case "elected":
                group = codec.integer(codec.decode(fact.payload), "group")
                self._restoration.elected(group, fact.machine)
                self._knowledge.learn_leader(group, fact.machine)
            case "intent" if not self._learns:
                pass
            case "intent":
                payload = codec.decode(fact.payload)
                detail = codec.mapping(payload, "detail")
                self._knowledge.learn_intent(
                    Intent(str(payload["kind"]), task, fact.attempt, detail)
                )
            case "asked":
                self._restoration.fold(asked_event(fact, self._machines))
            case "limit":
                name = str(codec.decode(fact.payload)["limit"])
                self._restoration.fold(LimitChanged(self._limits.index(name), fact.status))
            case "allowance":
                self._restoration.fold(codec.account_of(fact))
            case "window" | "approval":
                event = self._holds.restored(fact)
                if event is not None:
                    self._restoration.fold(event)
            case "finished":
                self._restoration.fold(Finish(RunStatus(fact.status)))
            case _:
                raise ValueError(f"a fact of the unknown kind {fact.kind}")


def asked_event(fact: Fact, machines: int) -> Event:
    """The event that an ``asked`` fact records."""
    match Asked(fact.status):
        case Asked.CANCEL:
            return CancelAsked()
        case Asked.PAUSE:
            return PauseAsked(True)
        case Asked.UNPAUSE:
            return PauseAsked(False)
        case Asked.RETRY:
            return RetryAsked(fact.machine)
        case Asked.SKIP:
            return SkipAsked(fact.stage * machines + fact.machine)


def intents_of(facts: Sequence[Fact], machine_count: int, kind: str) -> list[Intent]:
    """Committed intents of one kind, oldest first, without restoring the run."""
    found = []
    for fact in facts:
        if fact.kind == "intent":
            payload = codec.decode(fact.payload)
            if payload["kind"] == kind:
                task = fact.stage * machine_count + fact.machine
                detail = codec.mapping(payload, "detail")
                found.append(Intent(kind, task, fact.attempt, detail))
    return found
