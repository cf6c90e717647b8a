"""The course of a destructive stage: the one place from which a disk is erased.

Its brakes, in order: the plan names the disk, no verify of this installation has passed, no earlier
attempt is alive, the intent is committed and within the plan's accepted attempts, the record says
that the old installation no longer holds. Only then apply starts, in the ramdisk, which reads the
machine's identity, the drive's serial and its size again before it writes.
"""

from dataclasses import dataclass, field

from rackwright.engine.errors import EngineError, UnreachableError
from rackwright.engine.executors import step, steps
from rackwright.engine.executors.inband import PATIENCE_S, InBand
from rackwright.engine.executors.job import Job
from rackwright.engine.executors.reach import Host
from rackwright.engine.executors.steps import Answer, Verdict
from rackwright.engine.plan.model import Erasure
from rackwright.engine.schedule.events import Result

RESUME_SHARE = 0.5
"""The part of an attempt's time in which a machine that was rebooting may come back."""


@dataclass(frozen=True, slots=True)
class Erase:
    inband: InBand
    begun: set[int] = field(default_factory=set)
    """Tasks for which this controller has begun an erasure."""

    async def run(self, job: Job) -> Verdict:
        machine = self.inband.scope.machine(job.subject)
        erasure = self.inband.scope.erasure(machine.id)
        if erasure is None or steps.already_installed(machine.installed, erasure):
            return await self._as_installed(job)
        if refused := self.inband.refusal(job.subject):
            return Verdict(Result.REFUSED, refused)
        host = await self._ramdisk(job)
        if host is not None:
            return await self._in_ramdisk(job, host, erasure)
        return await self._not_in_ramdisk(job, erasure)

    async def _as_installed(self, job: Job) -> Verdict:
        """The plan, or a passed verify, says that the OS is there: anything else is drift."""
        host = await self.inband.host(job, "os", PATIENCE_S)
        said, why = await self.inband.check(job, host)
        refusal = self.inband.refusal(job.subject)
        decided = steps.after_check(
            said, job.attempt.mode, why=why, refusal=f"{refusal} ({why})", applies=True
        )
        if isinstance(decided, Verdict):
            return decided
        return await self.inband.verify(job, host, changed=False, checked=True)

    async def _ramdisk(self, job: Job) -> Host | None:
        """The ramdisk that reported last, if it still runs."""
        try:
            return await self.inband.boot.reach.host(job.machine_id, "ramdisk", patience_s=20.0)
        except EngineError:
            return None

    async def _in_ramdisk(self, job: Job, host: Host, erasure: Erasure) -> Verdict:
        """The ramdisk runs: nothing was rebooted since it reported. Attach, or erase."""
        found = await step.find(host.shell, self.inband.named(job))
        alive = found.alive()
        if alive is not None:
            return await self._attached(job, host, alive)
        if found.states.get(job.attempt.attempt) in ("done", "lost"):
            return await self._attached(job, host, job.attempt.attempt)
        return await self._erase(job, host, erasure)

    async def _attached(self, job: Job, host: Host, number: int) -> Verdict:
        power = self.inband.boot.power(self.inband.scope.machine(job.subject))
        consoles = self.inband.boot.consoles
        async with consoles.following(job.machine_id, shell=host.shell, power=power):
            end = await self.inband.attach(job, "ramdisk", host, number)
        return await self._after(job, end)

    async def _not_in_ramdisk(self, job: Job, erasure: Erasure) -> Verdict:
        """Nothing answers as the ramdisk: it was rebooted, into the new OS or into nothing."""
        if job.attempt.resumed or self._has_begun(job):
            verdict = await self._new_os(job)
            if verdict is not None:
                return verdict
        if job.attempt.resumed:
            job.began = True
            return Verdict(
                Result.FAILED,
                "the ramdisk is gone and no new OS answers: the outcome is unknown, "
                "the next attempt starts over",
            )
        host = await self.inband.host(job, "ramdisk", 1.0)
        return await self._in_ramdisk(job, host, erasure)

    async def _new_os(self, job: Job) -> Verdict | None:
        """The verdict when the OS that was being installed answers for itself, else None."""
        machine = self.inband.scope.machine(job.subject)
        patience_s = min(RESUME_SHARE * job.left_s(), machine.boot_deadline_s)
        if not job.attempt.resumed or await self.inband.boot.is_off(machine):
            patience_s = PATIENCE_S
        reach = self.inband.boot.reach
        try:
            await self.inband.scope.netboot.disarm(machine.id)
            host = await reach.host(machine.id, "os", patience_s=patience_s)
            said, _ = await self.inband.check(job, host)
        except EngineError:
            return None
        if said is not Answer.SATISFIED:
            return None
        job.began = True
        return await self.inband.verify(job, host, changed=True, checked=True)

    async def _erase(self, job: Job, host: Host, erasure: Erasure) -> Verdict:
        scope, attempt = self.inband.scope, job.attempt
        if not self._has_own_intent(job, host):
            detail = {
                "machine": job.machine_id,
                "drive_serial": erasure.drive_serial,
                "install_id": erasure.install_id,
                "boot_id": host.boot_id,
            }
            earlier = await scope.sink.intend("erase", attempt.task, attempt.attempt, detail)
            if earlier >= erasure.attempts:
                return Verdict(
                    Result.REFUSED,
                    f"the plan accepts {erasure.attempts} erasures of drive "
                    f"{erasure.drive_serial}, and {earlier} were begun; make a new plan",
                )
        await scope.directory.record_erasing(
            job.machine_id, erasure.install_id, erasure.drive_serial
        )
        self.begun.add(attempt.task)
        power = self.inband.boot.power(scope.machine(job.subject))
        consoles = self.inband.boot.consoles
        async with consoles.following(job.machine_id, shell=host.shell, power=power):
            end = await self.inband.apply(job, "ramdisk", host, installing=True)
        return await self._after(job, end)

    async def _after(self, job: Job, end: step.StepEnd) -> Verdict:
        if verdict := self.inband.judged(end):
            return verdict
        # asked for anew: the connection that apply began on may have been lost since
        host = await self.inband.boot.reach.host(job.machine_id, "ramdisk", patience_s=PATIENCE_S)
        if not job.subject.stage.reboots:
            return await self.inband.verify(job, host, changed=True, checked=False)
        try:
            host, extra = await self.inband.rebooted(job, host, "ramdisk")
        except UnreachableError as error:
            return Verdict(Result.FAILED, f"written, but the new OS is not there: {error}")
        return await self.inband.verify(job, host, changed=True, checked=False, extra=extra)

    def _has_own_intent(self, job: Job, host: Host) -> bool:
        """A dead controller committed this very attempt's intent on this very boot, and the
        ramdisk has never seen it start: the erasure that was accepted is still to be made."""
        if not job.attempt.resumed:
            return False
        journaled = self.inband.scope.journaled.erase_attempts
        return journaled.get(job.attempt.task, {}).get(job.attempt.attempt) == host.boot_id

    def _has_begun(self, job: Job) -> bool:
        task = job.attempt.task
        return task in self.begun or bool(self.inband.scope.journaled.erase_attempts.get(task))
