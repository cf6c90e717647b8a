"""The SSH executor: attempts of stages with ``executor: ssh`` (and, on the controller, ``local``).

It carries out what the scheduler decided, on as many machines at once as were started; limits are
the scheduler's. What it holds per machine is one connection and a ring of console lines.
"""

import asyncio
import hashlib
from collections.abc import Callable, Mapping, Sequence

from rackwright.engine.executors import steps
from rackwright.engine.executors.boot import Boot
from rackwright.engine.executors.console import Consoles
from rackwright.engine.executors.crew import Crew
from rackwright.engine.executors.election import elect
from rackwright.engine.executors.erase import Erase
from rackwright.engine.executors.files import Digests
from rackwright.engine.executors.inband import InBand
from rackwright.engine.executors.job import Job
from rackwright.engine.executors.pool import Pool
from rackwright.engine.executors.reach import LocalReach, Reach, SshReach
from rackwright.engine.executors.scope import Scope
from rackwright.engine.executors.secrets import Secrets
from rackwright.engine.executors.step import ROOT, Owner
from rackwright.engine.executors.steps import Verdict
from rackwright.engine.run.ports import Attempt

COMMANDS = 500
"""Scripts that run at once. Waiting for an apply's end is not counted."""
CLOSE_TIMEOUT_S = 120.0
"""How long ``close`` waits for secrets to be revoked."""


class SshExecutor:
    """``reach`` and ``consoles`` may be shared with the netboot executor of the same run."""

    def __init__(
        self,
        scope: Scope,
        reach: Reach,
        *,
        consoles: Consoles | None = None,
        boot: Boot | None = None,
        root: Callable[[str], str] = lambda _machine_id: ROOT,
        commands: int = COMMANDS,
    ) -> None:
        slots = asyncio.Semaphore(commands)
        consoles = consoles or Consoles()
        self._scope = scope
        self._reach = reach
        self._secrets = Secrets(scope, reach)
        self._inband = InBand(
            boot or Boot(scope, reach, consoles),
            Owner(authority(scope.directory.authorized_key()), scope.owner_epoch),
            root,
            Digests(),
            self._secrets,
            lambda: slots,
        )
        self._erase = Erase(self._inband)
        self._crew = Crew(scope, consoles, self._work, self._inband.stop)

    def start(self, attempts: Sequence[Attempt]) -> None:
        for attempt in attempts:
            self._crew.start(attempt)

    def cancel(self, task: int, attempt: int) -> None:
        self._crew.cancel(task, attempt)

    def elect(self, group: int, stage: int, candidates: Sequence[int]) -> None:
        self._crew.beside(self._elect(group, stage, tuple(candidates)))

    def stage_settled(self, stage: int) -> None:
        self._crew.beside(self._secrets.revoke(stage), owed=True)

    async def close(self) -> None:
        """Revocations end first. Steps on machines go on: a resume attaches to them."""
        await self._crew.settle(CLOSE_TIMEOUT_S)
        await self._reach.close()

    async def _work(self, job: Job) -> Verdict:
        stage, machine = job.subject.stage, self._scope.machine(job.subject)
        if not steps.is_ours(machine) and (stage.destructive or stage.apply_in == "ramdisk"):
            return await self._inband.not_applicable(job)
        if job.is_probe():
            return await self._inband.probe(job)
        if stage.destructive:
            return await self._erase.run(job)
        return await self._inband.ordinary(job)

    async def _elect(self, group: int, stage: int, candidates: tuple[int, ...]) -> None:
        machine, error = await elect(self._inband, stage, candidates)
        self._scope.sink.elected(group, machine, error)


def ssh_executor(scope: Scope, *, consoles: Consoles | None = None) -> SshExecutor:
    """An executor with connections of its own."""
    reach = SshReach(Pool(scope.directory.client_key_path), scope.directory, scope.fence)
    return SshExecutor(scope, reach, consoles=consoles)


def local_executor(
    scope: Scope, root: str, environment: Mapping[str, str] | None = None
) -> SshExecutor:
    """The same steps by subprocess on the controller. ``root``: a 0700 directory on tmpfs."""
    return SshExecutor(
        scope, LocalReach(environment, scope.fence), root=lambda machine_id: f"{root}/{machine_id}"
    )


def authority(public_key: str) -> str:
    """Names whose epochs a machine compares: those of the controller that holds this key."""
    body = " ".join(public_key.split()[:2])
    return hashlib.sha256(body.encode()).hexdigest()[:16]
