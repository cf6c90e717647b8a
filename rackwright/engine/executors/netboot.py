"""The netboot executor: stages with ``executor: netboot`` bring a machine into our ramdisk.

check: does the ramdisk that reported still answer? apply: arm, boot from the network once through
the BMC, wait for its contact. verify: log in by SSH, under the ramdisk's own certified identity.
"""

from collections.abc import Sequence

from rackwright.engine.errors import EngineError
from rackwright.engine.executors import steps
from rackwright.engine.executors.boot import Boot
from rackwright.engine.executors.crew import Crew
from rackwright.engine.executors.job import Job
from rackwright.engine.executors.ports import RamdiskContact
from rackwright.engine.executors.steps import Verdict
from rackwright.engine.run.ports import Attempt
from rackwright.engine.schedule.events import Result

CHECK_PATIENCE_S = 5.0


class NetbootExecutor:
    """``boot`` is shared with the SSH executor of the same run, and closed by it."""

    def __init__(self, boot: Boot) -> None:
        self._boot = boot
        self._crew = Crew(boot.scope, boot.consoles, self._work, _nothing_to_stop)

    def start(self, attempts: Sequence[Attempt]) -> None:
        for attempt in attempts:
            self._crew.start(attempt)

    def cancel(self, task: int, attempt: int) -> None:
        self._crew.cancel(task, attempt)

    def elect(self, group: int, stage: int, candidates: Sequence[int]) -> None:
        error = "a netboot stage cannot tell members from strangers"
        self._boot.scope.sink.elected(group, -1, error)

    def stage_settled(self, stage: int) -> None:
        return

    async def close(self) -> None:
        await self._crew.settle(0.0)

    async def _work(self, job: Job) -> Verdict:
        machine = self._boot.scope.machine(job.subject)
        if not steps.is_ours(machine):
            return steps.not_applicable("the machine came with an operating system")
        contact = await self._running(job)
        if contact is not None:
            result = Result.CHANGED if job.attempt.resumed else Result.SATISFIED
            return self._proved(job, contact, result)
        if job.is_probe():
            return Verdict(
                Result.UNSATISFIED,
                evidence=steps.canonical({"why": "the machine does not run our ramdisk"}),
            )
        job.apply_begins()
        contact, host = await self._boot.into_ramdisk(
            job.subject, job.attempt.attempt, deadline_s=job.left_s()
        )
        if contact.boot_id != host.boot_id:
            return Verdict(Result.FAILED, "the ramdisk that reported is not the one that answers")
        return self._proved(job, contact, Result.CHANGED)

    async def _running(self, job: Job) -> RamdiskContact | None:
        """The contact whose ramdisk still answers on the same boot."""
        contact = self._boot.scope.directory.ramdisk_contact(job.machine_id)
        if contact is None:
            return None
        reach = self._boot.reach
        try:
            await reach.host(job.machine_id, "ramdisk", patience_s=CHECK_PATIENCE_S)
        except EngineError:
            return None
        return contact

    def _proved(self, job: Job, contact: RamdiskContact, result: Result) -> Verdict:
        bmc = self._boot.scope.machine(job.subject).bmc
        evidence = {
            "boot_id": contact.boot_id,
            "address": contact.address,
            "bmc": bmc.protocol if bmc else "none",
        }
        outputs = {name: evidence[name] for name in job.subject.stage.outputs if name in evidence}
        return Verdict(result, "", steps.canonical(evidence), outputs or None)


async def _nothing_to_stop(_job: Job) -> None:
    return
