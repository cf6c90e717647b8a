"""Who leads a group: decided from what every candidate answers, so that no second cluster forms."""

import asyncio
from collections.abc import Sequence

import structlog

from rackwright.engine.errors import EngineError, UnreachableError
from rackwright.engine.executors import steps
from rackwright.engine.executors.inband import PATIENCE_S, InBand
from rackwright.engine.executors.job import Job
from rackwright.engine.executors.steps import Answer
from rackwright.engine.run.ports import Attempt
from rackwright.engine.schedule.events import Mode

ROUNDS = 4
PAUSE_S = 10.0

log = structlog.get_logger(__name__)

Said = tuple[int, Answer, str]


async def elect(
    inband: InBand, stage: int, candidates: Sequence[int], *, pause_s: float = PAUSE_S
) -> tuple[int, str]:
    """(machine index, "") or (-1, why nobody may be chosen). Asks a few rounds for answers."""
    scope, loop = inband.scope, asyncio.get_running_loop()
    scoped = scope.plan.stages[stage].cluster_scoped
    deadline = loop.time() + scope.plan.stages[stage].timeout_s
    said: Sequence[Said] = ()
    for _ in range(ROUNDS):
        said = await asyncio.gather(*(ask(inband, stage, index, deadline) for index in candidates))
        chosen = steps.choice(said, cluster_id=scope.cluster_id(), scoped=scoped)
        if chosen is not None:
            return chosen
        if loop.time() + pause_s >= deadline:
            break
        await asyncio.sleep(pause_s)
    silent = ", ".join(scope.plan.machines[i].name for i, a, _ in said if a is Answer.UNKNOWN)
    if cluster_id := scope.cluster_id():
        return -1, f"cluster id {cluster_id} is recorded but no member answers ({silent}); stop"
    return -1, f"nobody can be elected while these do not answer: {silent or 'no candidates'}"


async def ask(inband: InBand, stage: int, index: int, deadline: float) -> Said:
    """A candidate's (index, answer, cluster id it knows). No answer is UNKNOWN, never a guess."""
    scope = inband.scope
    subject = scope.subject(scope.task(stage, index))
    attempt = Attempt(subject.task, 0, Mode.PROBE, subject.stage.timeout_s, False)
    job = Job(attempt, subject, deadline)
    try:
        async with asyncio.timeout_at(deadline):
            return await _ask(inband, job, index)
    except (EngineError, TimeoutError) as error:
        log.info("candidate gave no answer", machine=job.machine_id, error=str(error))
        return index, Answer.UNKNOWN, ""


async def _ask(inband: InBand, job: Job, index: int) -> Said:
    stage, machine = job.subject.stage, inband.scope.machine(job.subject)
    if steps.record_answers(stage, machine, None) is Answer.UNSATISFIED:
        return index, Answer.UNSATISFIED, ""
    host = await inband.host(job, "os", PATIENCE_S)
    said, _ = await inband.check(job, host)
    if said is not Answer.SATISFIED or not stage.cluster_scoped:
        return index, said, ""
    outputs = await inband.read_outputs(job, host)
    cluster_id = str(outputs.get("cluster_id", ""))
    if not cluster_id:
        raise UnreachableError(f"{machine.name} is a member, but names no cluster id")
    return index, said, cluster_id
