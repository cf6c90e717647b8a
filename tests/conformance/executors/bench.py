"""A place to run attempts in: machines behind real sshd, or the controller itself."""

import asyncio
import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rackwright.engine.executors.console import Consoles
from rackwright.engine.executors.pool import Pool
from rackwright.engine.executors.reach import SshReach
from rackwright.engine.executors.scope import Journaled, Scope, StageOutputs
from rackwright.engine.executors.ssh import SshExecutor, local_executor
from rackwright.engine.machine import Machine
from rackwright.engine.plan.model import Erasure, PlannedStage
from rackwright.engine.run.ports import Outcome
from tests.conformance.executors.sshd import Keys, Sshd
from tests.unit.engine.executors import fakes

RUNS = itertools.count(1)


@dataclass
class Bench:
    """``kind``: ssh or local. One run; ``executor()`` may be called again to resume it."""

    kind: str
    tmp: Path
    stages: list[PlannedStage]
    scripts: dict[str, str]
    sshd: dict[str, Sshd]
    keys: Keys
    machines: dict[str, Machine]
    erasures: list[Erasure] = field(default_factory=list)
    journaled: Journaled = field(default_factory=Journaled)
    outputs: Callable[[], StageOutputs] = dict
    leader: str = ""
    run_id: str = ""
    epoch: int = 1
    sink: fakes.Sink = field(default_factory=fakes.Sink)
    directory: fakes.Directory = field(init=False)
    netboot: fakes.Netboot = field(init=False)

    def __post_init__(self) -> None:
        self.run_id = f"run-{next(RUNS)}"
        self.directory = fakes.Directory(
            self.sink.order,
            machines=dict(self.machines),
            targets={m: sshd.target() for m, sshd in self.sshd.items()},
            key_path=self.keys.client_path,
            public_key=self.keys.client_line,
        )
        self.netboot = fakes.Netboot(self.sink.order)

    @property
    def root(self) -> Path:
        return self.tmp / "steps"

    def scope(self) -> Scope:
        return Scope(
            plan=fakes.plan(list(self.machines), self.stages, self.erasures),
            run_id=self.run_id,
            owner_epoch=self.epoch,
            directory=self.directory,
            netboot=self.netboot,
            sink=self.sink,
            render=fakes.Renderer(),
            script_text=lambda _role, path: self.scripts[path],
            outputs=self.outputs,
            leader=lambda _group: self.leader,
            artifacts=lambda _machine_id: {},
            controller=lambda _machine: {
                "url": "http://192.0.2.254:8480",
                "address": "192.0.2.254",
            },
            journaled=self.journaled,
        )

    def executor(self, *, commands: int = 100) -> SshExecutor:
        if self.kind == "local":
            return local_executor(self.scope(), str(self.root))
        reach = SshReach(Pool(self.directory.client_key_path), self.directory)
        return SshExecutor(
            self.scope(),
            reach,
            consoles=Consoles(),
            root=lambda machine: f"{self.root}/{machine}",
            commands=commands,
        )

    def step(self, machine: str, stage: str, number: int = 1) -> Path:
        return self.root / machine / self.run_id / stage / str(number)

    async def once(self, **attempt: object) -> Outcome:
        """One executor, one attempt of the first stage on the first machine."""
        executor = self.executor()
        try:
            given = fakes.attempt(0, **attempt)  # type: ignore[arg-type]
            executor.start([given])
            return await self.sink.outcome(0, given.attempt)
        finally:
            await executor.close()


def scripts(
    name: str = "one", *, check: str = "unsatisfied", apply: str = "true", verify: str = "echo '{}'"
) -> Mapping[str, str]:
    return {f"{name}/check.sh": check, f"{name}/apply.sh": apply, f"{name}/verify.sh": verify}


async def until(claim: Callable[[], bool], *, within_s: float = 20.0) -> None:
    """Wait for an event in the world outside the process."""
    deadline = asyncio.get_running_loop().time() + within_s
    while not claim():
        assert asyncio.get_running_loop().time() < deadline, "it did not happen"
        await asyncio.sleep(0.02)
