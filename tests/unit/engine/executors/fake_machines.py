"""Machines in memory behind the Shell and Reach seams: they know the step protocol, not bash."""

import asyncio
from collections.abc import AsyncIterable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from rackwright.engine.errors import EngineError, UnreachableError
from rackwright.engine.executors.boot import Boot
from rackwright.engine.executors.console import Consoles
from rackwright.engine.executors.netboot import NetbootExecutor
from rackwright.engine.executors.pool import Place
from rackwright.engine.executors.ports import RamdiskContact, SshTarget
from rackwright.engine.executors.reach import Host
from rackwright.engine.executors.scope import Journaled, Scope
from rackwright.engine.executors.shell.base import Completed, script
from rackwright.engine.executors.ssh import SshExecutor
from rackwright.engine.machine import Machine
from rackwright.engine.plan.model import Erasure, PlannedStage
from rackwright.engine.run.ports import Attempt, Outcome
from tests.unit.engine.executors import fakes

OK = Completed(0, b"{}\n", b"")
UNSATISFIED = Completed(10, b"", b"not so\n")
TARGET = SshTarget("192.0.2.7", 22, "root", "m-1", certificate_authority="x")


@dataclass
class System:
    """One running operating system. ``order`` is shared with the sink."""

    order: list[str]
    boot_id: str
    check: Completed = UNSATISFIED
    verify: Completed = OK
    apply_status: int | None = 0  # None: the machine is lost in mid-apply
    steps: dict[int, str] = field(default_factory=dict)
    on_apply: Callable[[], None] = lambda: None
    on_reboot: Callable[[], None] = lambda: None

    async def run(
        self,
        text: str,
        *args: str,
        timeout_s: float,
        payload: AsyncIterable[bytes] | None = None,
        on_output: Callable[[bytes], None] | None = None,
    ) -> Completed:
        for name in ("step_start", "step_wait", "step_list", "step_stop", "reboot", "journal"):
            if text == script(name):
                answer: Completed = getattr(self, f"_{name}")(*args)
                if name == "journal":
                    if on_output:
                        on_output(b"kernel: sda: write error\n")
                    await asyncio.Event().wait()
                return answer
        kind = text.rstrip().rsplit("\n", 1)[-1]
        self.order.append(kind)
        return self.check if kind == "check" else self.verify

    def _step_start(self, *args: str) -> Completed:
        number = int(args[3].rsplit("/", 1)[-1])
        if self.steps.get(number) in ("alive", "done", "lost"):
            return Completed(0, f"attached {self.boot_id}".encode(), b"")
        self.order.append("apply")
        self.steps[number] = "done"
        self.on_apply()
        return Completed(0, f"started {self.boot_id}".encode(), b"")

    def _step_wait(self, directory: str) -> Completed:
        if self.apply_status is None:
            raise UnreachableError("the connection was lost")
        state = self.steps.get(int(directory.rsplit("/", 1)[-1]))
        said = "lost" if state == "lost" else f"exit {self.apply_status}\noops"
        return Completed(0, b"", f"boot {self.boot_id}\n{said}\n".encode())

    def _step_list(self, _parent: str) -> Completed:
        lines = [f"{number} {state}" for number, state in self.steps.items()]
        return Completed(0, "\n".join([f"boot {self.boot_id}", *lines]).encode(), b"")

    def _step_stop(self, *_args: str) -> Completed:
        self.order.append("stop")
        return OK

    def _reboot(self) -> Completed:
        self.order.append("reboot")
        self.on_reboot()
        return OK

    def _journal(self) -> Completed:
        return OK


@dataclass
class Reach:
    """What answers where; an absent place is unreachable, an error is raised."""

    systems: dict[tuple[str, Place], System | EngineError] = field(default_factory=dict)

    async def host(self, machine_id: str, place: Place, *, patience_s: float) -> Host:
        system = self.systems.get((machine_id, place))
        if system is None:
            raise UnreachableError(f"{place} of {machine_id} does not answer")
        if isinstance(system, EngineError):
            raise system
        return Host(system, system.boot_id, ("debian",))

    async def forget(self, machine_id: str, place: Place) -> None:
        return

    async def close(self) -> None:
        return


class Rack:
    """One stage on one or more machines, all of it in memory."""

    def __init__(
        self,
        stage: PlannedStage,
        *machines: Machine,
        erasures: tuple[Erasure, ...] = (),
        earlier_erasures: int = 0,
        journaled: Journaled | None = None,
        booted: bool = False,
    ) -> None:
        self.sink = fakes.Sink({("erase", 0): earlier_erasures})
        self.order = self.sink.order
        self.reach = Reach()
        self.directory = fakes.Directory(self.order, {m.id: m for m in machines})
        self.netboot = fakes.Netboot(self.order, self.directory)
        self.consoles = Consoles()
        for machine in machines:
            self.directory.powers[machine.id] = fakes.Power(self.order)
        self.scope = Scope(
            plan=fakes.plan([m.id for m in machines], [stage], erasures),
            run_id="r",
            owner_epoch=1,
            directory=self.directory,
            netboot=self.netboot,
            sink=self.sink,
            render=fakes.Renderer(),
            script_text=lambda _role, path: Path(path).stem,
            outputs=dict,
            leader=lambda _group: "m-1",
            artifacts=lambda _machine: {},
            controller=lambda _machine: {},
            booted=lambda _machine: booted,
            journaled=journaled or Journaled(),
        )
        self.boot = Boot(self.scope, self.reach, self.consoles)

    def system(self, place: Place, boot_id: str, machine_id: str = "m-1") -> System:
        system = System(self.order, boot_id)
        self.reach.systems[machine_id, place] = system
        if place == "ramdisk":
            self.directory.contacts[machine_id] = RamdiskContact("192.0.2.7", boot_id, TARGET)
        return system

    def gone(self, place: Place, machine_id: str = "m-1") -> None:
        self.reach.systems.pop((machine_id, place), None)

    def run(self, attempt: Attempt | None = None, *, netboot: bool = False) -> Outcome:
        given = attempt or fakes.attempt(0)

        async def scenario() -> Outcome:
            executor = (
                NetbootExecutor(self.boot)
                if netboot
                else SshExecutor(self.scope, self.reach, consoles=self.consoles, boot=self.boot)
            )
            executor.start([given])
            outcome = await self.sink.outcome(given.task, given.attempt)
            await executor.close()
            return outcome

        return asyncio.run(scenario())
