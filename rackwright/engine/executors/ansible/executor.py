"""The Ansible executor: attempts of stages with ``executor: ansible``.

check, apply and verify are plays of their own; between them the machine's own report decides, as
for any other executor. Work that is not known to be over is ended on the machine before another
attempt begins there.
"""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

import structlog

from rackwright.engine.errors import EngineError
from rackwright.engine.executors import steps
from rackwright.engine.executors.ansible import answers, installed
from rackwright.engine.executors.ansible.directory import Contents, Member
from rackwright.engine.executors.ansible.gather import (
    BATCH,
    PLAYS,
    WINDOW_S,
    Course,
    Gathering,
    Seat,
)
from rackwright.engine.executors.ansible.leftovers import INTENT, Leftovers, PlayId
from rackwright.engine.executors.ansible.play import Play
from rackwright.engine.executors.ansible.redact import Redactor
from rackwright.engine.executors.ansible.report import HostReport
from rackwright.engine.executors.console import Consoles
from rackwright.engine.executors.context import context, outputs_values
from rackwright.engine.executors.crew import Crew
from rackwright.engine.executors.job import Job
from rackwright.engine.executors.reach import Reach
from rackwright.engine.executors.scope import Scope
from rackwright.engine.executors.secrets import Secrets
from rackwright.engine.executors.steps import Answer, Move, Verdict
from rackwright.engine.run.ports import Attempt
from rackwright.engine.schedule.events import Mode, Result

CLOSE_TIMEOUT_S = 120.0
ELECTION_ROUNDS = 3
ELECTION_PAUSE_S = 10.0

log = structlog.get_logger(__name__)


class AnsibleExecutor:
    """``root``: a 0700 directory on tmpfs. ``reach`` is another executor's, who closes it."""

    def __init__(
        self,
        scope: Scope,
        reach: Reach,
        root: Path,
        *,
        consoles: Consoles | None = None,
        window_s: float = WINDOW_S,
        batch: int = BATCH,
        plays: int = PLAYS,
    ) -> None:
        self._scope = scope
        self._root = root
        self._secrets = Secrets(scope, reach)
        self._held: dict[int, Mapping[str, bytes]] = {}
        """Stage -> its secrets of this run, as its applies were given them."""
        self._leftovers = Leftovers(scope, reach, root)
        self._seats: dict[tuple[int, int], Seat] = {}
        self._gathering = Gathering(
            make=lambda phase: Play(root, installed.require(), phase),
            load=self._load,
            journal=self._journal,
            client_key=scope.directory.client_key_path,
            leftovers=self._leftovers,
            window_s=window_s,
            batch=batch,
            plays=plays,
        )
        self._crew = Crew(scope, consoles or Consoles(), self._work, self._stop)

    def start(self, attempts: Sequence[Attempt]) -> None:
        for attempt in attempts:
            self._crew.start(attempt)

    def cancel(self, task: int, attempt: int) -> None:
        self._crew.cancel(task, attempt)

    def elect(self, group: int, stage: int, candidates: Sequence[int]) -> None:
        self._crew.beside(self._elect(group, stage, tuple(candidates)))

    def stage_settled(self, stage: int) -> None:
        self._held.pop(stage, None)
        self._crew.beside(self._secrets.revoke(stage), owed=True)

    async def close(self) -> None:
        """Plays end here; what they left on machines a resume ends, by what is journaled."""
        await self._crew.settle(CLOSE_TIMEOUT_S)
        await self._gathering.close()

    # the course of an attempt -----------------------------------------------------------------

    async def _work(self, job: Job) -> Verdict:
        stage, machine = job.subject.stage, self._scope.machine(job.subject)
        installed.require(stage.name)
        if job.is_probe() and steps.record_answers(stage, machine, None) is Answer.UNSATISFIED:
            why = "never installed by us"
            return Verdict(Result.UNSATISFIED, evidence=steps.canonical({"why": why}))
        await self._leftovers.sweep()
        await self._leftovers.settle(job.machine_id)
        said, why = await self._check(job)
        applies = "apply" in stage.scripts
        decided = steps.after_check(said, job.attempt.mode, why=why, refusal="", applies=applies)
        if isinstance(decided, Verdict):
            return decided
        changed = decided is Move.VERIFY and self._applied_before(job)
        if decided is Move.APPLY:
            if verdict := await self._apply(job):
                return verdict
            changed = True
        return await self._verify(job, changed=changed, checked=said is Answer.SATISFIED)

    async def _check(self, job: Job) -> tuple[Answer, str]:
        if "check" not in job.subject.stage.scripts:
            return Answer.UNSATISFIED, "the stage has no check"
        job.phase = "check"
        return answers.of_check(await self._ask(job))

    async def _apply(self, job: Job) -> Verdict | None:
        stage = job.subject.stage
        if stage.secrets:
            given = await self._secrets.for_stage(job.subject, job.attempt.attempt)
            self._held[job.subject.stage_index] = given
        job.apply_begins()
        return answers.after_apply(await self._ask(job))

    async def _verify(self, job: Job, *, changed: bool, checked: bool) -> Verdict:
        job.phase = "verify"
        stage = job.subject.stage
        report = await self._ask(job)
        verdict = answers.after_verify(stage, report, changed=changed, checked=checked)
        is_good = verdict.result in (Result.SATISFIED, Result.CHANGED)
        if job.attempt.mode is Mode.PROBE and not is_good:
            return verdict._replace(result=Result.UNKNOWN)
        return verdict

    def _applied_before(self, job: Job) -> bool:
        """A dead controller's apply in this very attempt: what is satisfied now, it changed."""
        plays = self._scope.journaled.plays.get(job.attempt.task, ())
        mine = (play for play in plays if play.attempt == job.attempt.attempt)
        return job.attempt.resumed and any(play.phase == "apply" for play in mine)

    # one phase --------------------------------------------------------------------------------

    async def _ask(self, job: Job) -> HostReport:
        """This machine's part of a play. Raises ``UnreachableError``, ``HostKeyError``."""
        subject, number = job.subject, job.attempt.attempt
        values = context(self._scope, subject, number, files={}, installing=False)
        del values["params"], values["files"]
        values["outputs"] = outputs_values(self._scope.plan, self._scope.outputs())
        seat = Seat(
            subject.task,
            number,
            Member(
                job.machine_id,
                subject.planned.name,
                self._scope.directory.os_target(job.machine_id),
                values,
            ),
            asyncio.get_running_loop().create_future(),
        )
        key = (subject.task, number)
        self._seats[key] = seat
        report = await self._gathering.run(Course(subject.stage_index, job.phase), seat)
        self._seats.pop(key, None)
        return answers.reached(report, subject.planned.name)

    async def _stop(self, job: Job) -> None:
        """End what the attempt left on its machine; other machines of its play go on."""
        seat = self._seats.pop((job.attempt.task, job.attempt.attempt), None)
        if seat is not None and seat.play is not None:
            await seat.play.drop(job.machine_id)
        if job.attempt.resumed:
            await self._leftovers.sweep()
        await self._leftovers.settle(job.machine_id)

    def _load(self, course: Course) -> tuple[Contents, Redactor]:
        stage = self._scope.plan.stages[course.stage_index]
        held = self._held.get(course.stage_index, {})
        contents = Contents(
            role=stage.role,
            files=self._scope.role_files(stage.role),
            tasks=PurePosixPath(stage.scripts[course.phase]).name,
            params=stage.params,
            secrets=held if course.phase == "apply" else {},
        )
        return contents, Redactor(held.values())

    async def _journal(self, seat: Seat, about: PlayId) -> None:
        await self._scope.sink.intend(INTENT, seat.task, seat.attempt, about.detail())

    # elections --------------------------------------------------------------------------------

    async def _elect(self, group: int, stage: int, candidates: tuple[int, ...]) -> None:
        """Who satisfies the check leads, else the first that answers it."""
        for left in range(ELECTION_ROUNDS - 1, -1, -1):
            said = await asyncio.gather(*(self._candidate(stage, index) for index in candidates))
            chosen = steps.choice(said, cluster_id="", scoped=False)
            if chosen is not None:
                self._scope.sink.elected(group, *chosen)
                return
            if left:
                await asyncio.sleep(ELECTION_PAUSE_S)
        self._scope.sink.elected(group, -1, "no candidate answers its check")

    async def _candidate(self, stage: int, index: int) -> tuple[int, Answer, str]:
        subject = self._scope.subject(self._scope.task(stage, index))
        timeout_s = subject.stage.timeout_s
        deadline = asyncio.get_running_loop().time() + timeout_s
        job = Job(Attempt(subject.task, 0, Mode.PROBE, timeout_s, False), subject, deadline)
        try:
            async with asyncio.timeout_at(deadline):
                await self._leftovers.sweep()
                await self._leftovers.settle(job.machine_id)
                return index, (await self._check(job))[0], ""
        except (EngineError, TimeoutError) as error:
            log.info("candidate gave no answer", machine=job.machine_id, error=str(error))
            return index, Answer.UNKNOWN, ""
