"""One attempt of an in-band stage: where each script runs, and what it is given.

The decisions are in ``steps``; destruction has its own course in ``erase``.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path

from rackwright.engine.errors import MachineError, OperatorError, UnreachableError
from rackwright.engine.executors import files as pushed
from rackwright.engine.executors import scripts, step, steps
from rackwright.engine.executors.boot import Boot
from rackwright.engine.executors.context import context
from rackwright.engine.executors.job import Job
from rackwright.engine.executors.pool import Place
from rackwright.engine.executors.reach import Host
from rackwright.engine.executors.reboot import reboot
from rackwright.engine.executors.scope import Scope, Subject
from rackwright.engine.executors.secrets import Secrets
from rackwright.engine.executors.shell.base import TIMED_OUT, Completed
from rackwright.engine.executors.steps import Answer, Move, Verdict
from rackwright.engine.schedule.events import Mode, Result

PROBE_PATIENCE_S = 10.0
PATIENCE_S = 30.0
RETURN_PATIENCE_S = 180.0
"""How long a machine whose connection was lost in mid-apply may take to answer again."""
MARGIN_S = 3.0
DISCOVERY = "hardware/discover"
"""The role whose evidence the inventory records as the machine's facts."""


@dataclass(frozen=True, slots=True)
class InBand:
    boot: Boot
    owner: step.Owner
    root: Callable[[str], str]
    """Machine id -> where its steps live on the host that runs them."""
    digests: pushed.Digests
    secrets: Secrets
    slot: Callable[[], AbstractAsyncContextManager[object]]
    """A permit to run one command."""

    @property
    def scope(self) -> Scope:
        return self.boot.scope

    # courses ----------------------------------------------------------------------------------

    async def probe(self, job: Job) -> Verdict:
        """The check alone. A machine we never installed is answered from the record."""
        stage, machine = job.subject.stage, self.scope.machine(job.subject)
        erasure = self.scope.erasure(machine.id)
        if steps.record_answers(stage, machine, erasure) is Answer.UNSATISFIED:
            why = "reinstall is planned" if machine.installed else "never installed by us"
            return Verdict(Result.UNSATISFIED, evidence=steps.canonical({"why": why}))
        if steps.checks_in_ramdisk(stage) and not await self._ramdisk_answers(job):
            why = "the machine does not run our ramdisk"
            return Verdict(Result.UNSATISFIED, evidence=steps.canonical({"why": why}))
        host = await self.host(job, place_of_check(job), PROBE_PATIENCE_S)
        said, why = await self.check(job, host)
        decided = steps.after_check(said, Mode.PROBE, why=why, refusal="", applies=True)
        if isinstance(decided, Verdict):
            return decided
        verdict = await self.verify(job, host, changed=False, checked=True)
        if verdict.result is Result.SATISFIED:
            return verdict
        return verdict._replace(result=Result.UNKNOWN)

    async def ordinary(self, job: Job) -> Verdict:
        """check, apply where unsatisfied, verify: a stage that destroys nothing."""
        host = await self.host(job, place_of_check(job), PATIENCE_S)
        if job.attempt.resumed and await self._was_launched(job, host):
            job.apply_begins()
            return await self._finish(job, await self.attach(job, job.place_of_apply, host))
        said, why = await self.check(job, host)
        decided = steps.after_check(
            said,
            job.attempt.mode,
            why=why,
            refusal=self.refusal(job.subject),
            applies=scripts.has(job.subject.stage, "apply"),
        )
        if isinstance(decided, Verdict):
            return decided
        if decided is Move.VERIFY:
            checked = said is Answer.SATISFIED
            return await self.verify(job, host, changed=False, checked=checked)
        if job.place_of_apply != place_of_check(job):
            host = await self.host(job, job.place_of_apply, PATIENCE_S)
        end = await self.apply(job, job.place_of_apply, host)
        return await self._finish(job, end)

    async def not_applicable(self, job: Job) -> Verdict:
        """A machine that came with an OS: there is nothing to boot or install, if it answers."""
        await self.host(job, "os", PROBE_PATIENCE_S if job.is_probe() else PATIENCE_S)
        return steps.not_applicable("the machine came with an operating system, which answers")

    async def _finish(self, job: Job, end: step.StepEnd) -> Verdict:
        if verdict := self.judged(end):
            return verdict
        # asked for anew: the connection that apply began on may have been lost since
        host = await self.host(job, job.place_of_apply, PATIENCE_S)
        extra: dict[str, object] = {}
        if job.subject.stage.reboots:
            host, extra = await self.rebooted(job, host, job.place_of_apply)
        return await self.verify(job, host, changed=True, checked=False, extra=extra)

    # parts ------------------------------------------------------------------------------------

    async def host(self, job: Job, place: Place, patience_s: float) -> Host:
        """A way in. From the second full attempt on a machine that this run has booted is
        brought back by its BMC when it does not answer."""
        try:
            return await self.boot.reach.host(
                job.machine_id, place, patience_s=min(patience_s, job.left_s())
            )
        except UnreachableError:
            again = job.attempt.mode is Mode.FULL and job.attempt.attempt > 1
            if not again or not self.boot.may_boot(job.machine_id):
                raise
            number, left_s = job.attempt.attempt, job.left_s()
            if place == "os":
                return await self.boot.revive(job.subject, number, deadline_s=left_s)
            _, host = await self.boot.into_ramdisk(job.subject, number, deadline_s=left_s)
            return host

    async def check(self, job: Job, host: Host) -> tuple[Answer, str]:
        """The three-valued answer and what the script said on stderr."""
        job.phase = "check"
        path = scripts.chosen(job.subject.stage, "check", host.families)
        if path is None:
            return Answer.UNSATISFIED, "the stage has no check"
        done = await self._run(job, host, path)
        why = done.complaint()
        if done.status == TIMED_OUT:
            why = f"it ran out of time. {why}"
        elif steps.answer(done.status) is Answer.UNKNOWN:
            why = f"exit {done.status}. {why}"
        return steps.answer(done.status), why.strip()

    async def apply(
        self, job: Job, place: Place, host: Host, *, installing: bool = False
    ) -> step.StepEnd:
        """Push files, mint secrets, start the step on the machine and wait for its end."""
        stage = job.subject.stage
        path = scripts.chosen(stage, "apply", host.families)
        if path is None:
            raise OperatorError(
                f"{stage.role}#{stage.role_stage} has no apply for {'/'.join(host.families)}"
            )
        job.apply_begins()
        local = {name: self.scope.directory.artifact(ref) for name, ref in stage.files.items()}
        for file in local.values():
            await self.digests.push(
                host.shell, file, files_directory(place), timeout_s=job.left_s()
            )
        values = await self._values(job, place, installing=installing)
        text = await self._ready(job, host, path, values)
        secrets = await self.secrets.for_stage(job.subject, job.attempt.attempt)
        return await self._carry(job, place, host, text=text, secrets=secrets)

    async def attach(self, job: Job, place: Place, host: Host, number: int = 0) -> step.StepEnd:
        """Wait for a step that was launched before: this attempt's, or an earlier one's."""
        job.apply_begins()
        return await self._carry(job, place, host, text=None, secrets={}, number=number)

    async def verify(
        self,
        job: Job,
        host: Host,
        *,
        changed: bool,
        checked: bool,
        extra: Mapping[str, object] | None = None,
    ) -> Verdict:
        """Run verify and record what it proves."""
        job.phase = "verify"
        stage = job.subject.stage
        path = scripts.chosen(stage, "verify", host.families)
        if path is None:
            raise OperatorError(f"{stage.role}#{stage.role_stage} has no verify")
        done = await self._run(job, host, path)
        verdict = steps.after_verify(
            stage,
            done.status,
            stdout=done.stdout,
            stderr=done.complaint(8),
            changed=changed,
            checked=checked,
            extra=extra,
        )
        if verdict.result in (Result.SATISFIED, Result.CHANGED):
            await self._record(job, verdict)
        return verdict

    async def read_outputs(self, job: Job, host: Host) -> Mapping[str, object]:
        """The outputs that verify gives now; nothing is recorded. Raises ``MachineError``."""
        stage = job.subject.stage
        path = scripts.chosen(stage, "verify", host.families)
        if path is None:
            raise OperatorError(f"{stage.role}#{stage.role_stage} has no verify")
        done = await self._run(job, host, path)
        verdict = steps.after_verify(
            stage, done.status, stdout=done.stdout, stderr="", changed=False, checked=True
        )
        if verdict.result is not Result.SATISFIED:
            raise MachineError(f"{job.subject.planned.name}: {verdict.error}")
        return verdict.outputs or {}

    async def rebooted(self, job: Job, host: Host, place: Place) -> tuple[Host, dict[str, object]]:
        """Reboot into the disk; the host after it, and what joins the evidence."""
        job.phase = "reboot"
        done = await reboot(self.boot, job.subject, host, place, deadline_s=job.left_s())
        about = {
            "boot_id_before": done.boot_id_before,
            "boot_id_after": done.host.boot_id,
            "boot_override": done.boot_override,
        }
        return done.host, {"reboot": about}

    def judged(self, end: step.StepEnd) -> Verdict | None:
        """None when the step's work is done."""
        if end.end is step.End.EXITED:
            return steps.after_apply(end.status, end.stderr)
        why = "was never started" if end.end is step.End.ABSENT else "left no exit code"
        return Verdict(
            Result.FAILED, f"apply {why}: its outcome is unknown, the next attempt checks"
        )

    def refusal(self, subject: Subject) -> str:
        machine = self.scope.machine(subject)
        return steps.refusal(
            subject.stage,
            machine,
            erasure=self.scope.erasure(machine.id),
            cluster_id=self.scope.cluster_id(),
        )

    def named(self, job: Job, number: int = 0) -> step.Step:
        return step.Step(
            self.root(job.machine_id),
            self.scope.run_id,
            job.subject.stage.name,
            number or job.attempt.attempt,
            prefix="" if self.root(job.machine_id) == step.ROOT else job.machine_id,
        )

    async def stop(self, job: Job) -> None:
        """End what runs on the machine for this attempt, also what a dead controller began."""
        if job.attempt.resumed and not job.is_probe() and not job.live:
            job.live.append((job.place_of_apply, self.named(job)))
        while job.live:
            place, live = job.live.pop()
            host = await self.boot.reach.host(job.machine_id, place, patience_s=5.0)
            await step.stop(host.shell, live)

    # inside -----------------------------------------------------------------------------------

    async def _run(self, job: Job, host: Host, path: str) -> Completed:
        values = await self._values(job, place_of_check(job), installing=False)
        text = await self._ready(job, host, path, values)
        async with self.slot():
            return await host.shell.run(text, timeout_s=max(1.0, job.left_s() - MARGIN_S))

    async def _ready(self, job: Job, host: Host, path: str, values: Mapping[str, object]) -> str:
        directory, families = self.named(job).directory, host.families
        return await scripts.ready(
            self.scope, job.subject, path, values, directory=directory, families=families
        )

    async def _values(self, job: Job, place: Place, *, installing: bool) -> dict[str, object]:
        artifacts: dict[str, Path] = {
            name: self.scope.directory.artifact(reference)
            for name, reference in job.subject.stage.files.items()
        }
        paths = await self.digests.remote_paths(artifacts, files_directory(place))
        return context(
            self.scope, job.subject, job.attempt.attempt, files=paths, installing=installing
        )

    async def _carry(
        self,
        job: Job,
        place: Place,
        host: Host,
        *,
        text: str | None,
        secrets: Mapping[str, bytes],
        number: int = 0,
    ) -> step.StepEnd:
        """Start (unless ``text`` is None) and wait, across lost connections of the same boot."""
        named = self.named(job, number)
        boot_id = host.boot_id if text is None else ""
        job.live.append((place, named))
        add = self.boot.consoles.ring(job.machine_id).add
        while True:
            try:
                if not boot_id and text is not None:
                    boot_id = await self._start(job, host, named, text, secrets)
                end = await step.wait(host.shell, named, timeout_s=job.left_s(), on_output=add)
            except UnreachableError as error:
                host = await self._return(job, place, error)
                if boot_id and host.boot_id != boot_id:
                    end = step.StepEnd(step.End.LOST, host.boot_id)
                else:
                    continue
            if boot_id and end.boot_id != boot_id:
                end = step.StepEnd(step.End.LOST, end.boot_id)
            job.live.clear()
            return end

    async def _start(
        self, job: Job, host: Host, named: step.Step, text: str, secrets: Mapping[str, bytes]
    ) -> str:
        limit_s = max(1.0, job.left_s() - MARGIN_S)
        while True:
            try:
                async with self.slot():
                    started = await step.start(
                        host.shell, named, self.owner, text=text, secrets=secrets, limit_s=limit_s
                    )
            except step.BusyError as error:
                if job.subject.stage.destructive:
                    raise
                await step.stop(host.shell, self.named(job, error.attempt))
                continue
            return started.boot_id

    async def _return(self, job: Job, place: Place, cause: UnreachableError) -> Host:
        """The machine again, on whatever boot, after its connection was lost in mid-apply."""
        await self.boot.reach.forget(job.machine_id, place)
        machine = self.scope.machine(job.subject)
        if await self.boot.is_off(machine):
            raise UnreachableError(f"{machine.name} went off in the middle of apply") from cause
        patience_s = min(RETURN_PATIENCE_S, job.left_s())
        try:
            return await self.boot.reach.host(job.machine_id, place, patience_s=patience_s)
        except UnreachableError as error:
            raise UnreachableError(
                f"{machine.name} was lost in the middle of apply, its outcome is unknown: "
                f"{error.message}"
            ) from error

    async def _was_launched(self, job: Job, host: Host) -> bool:
        if not scripts.has(job.subject.stage, "apply"):
            return False
        if job.place_of_apply != place_of_check(job):
            return False
        found = await step.find(host.shell, self.named(job))
        return found.states.get(job.attempt.attempt) in ("alive", "done")

    async def _ramdisk_answers(self, job: Job) -> bool:
        """Raises ``UnreachableError`` when neither the ramdisk nor an OS of ours answers."""
        try:
            await self.boot.reach.host(job.machine_id, "ramdisk", patience_s=PROBE_PATIENCE_S)
        except (UnreachableError, MachineError):
            installed = self.scope.machine(job.subject).installed
            if installed and self.scope.directory.ramdisk_contact(job.machine_id):
                await self.boot.reach.host(job.machine_id, "os", patience_s=PROBE_PATIENCE_S)
            return False
        return True

    async def _record(self, job: Job, verdict: Verdict) -> None:
        stage, directory = job.subject.stage, self.scope.directory
        evidence = steps.evidence_of(verdict.evidence) or {}
        if stage.cluster_scoped and verdict.outputs and verdict.outputs.get("cluster_id"):
            cluster_id = str(verdict.outputs["cluster_id"])
            await directory.record_cluster(self.scope.plan.cluster, cluster_id)
        if stage.role == DISCOVERY:
            await directory.record_discovered(job.machine_id, evidence)
        if stage.destructive and verdict.result is Result.CHANGED:
            await directory.record_installed(job.machine_id, evidence)


def place_of_check(job: Job) -> Place:
    return "ramdisk" if steps.checks_in_ramdisk(job.subject.stage) else "os"


def files_directory(place: Place) -> str:
    return pushed.RAMDISK_DIRECTORY if place == "ramdisk" else pushed.OS_DIRECTORY
