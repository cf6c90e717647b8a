"""A place to run Ansible stages in: machines behind real sshd, and roles as files in memory."""

import itertools
import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rackwright.engine.executors.ansible.executor import AnsibleExecutor
from rackwright.engine.executors.pool import Pool
from rackwright.engine.executors.reach import SshReach
from rackwright.engine.executors.scope import Journaled, JournaledPlay, Scope
from rackwright.engine.plan.model import PlannedStage
from rackwright.engine.run.ports import Outcome
from tests.conformance.executors.sshd import Keys, Sshd
from tests.unit.engine.executors import fakes

RUNS = itertools.count(1)
SHELL = "- ansible.builtin.shell: |\n"


def told(status: str, **more: object) -> str:
    """A task that reports for its machine."""
    data = json.dumps({"rackwright": {"status": status, **more}})
    return f"- ansible.builtin.set_stats: {{per_host: true, data: {data}}}\n"


def shell(*lines: str, name: str = "a command", no_log: bool = False) -> str:
    """A task that runs a command and counts as a change."""
    text = "".join(f"    {line}\n" for line in lines)
    return f"- name: {name}\n  no_log: {str(no_log).lower()}\n  ansible.builtin.shell: |\n{text}"


def role(
    check: str = told("unsatisfied", why="not yet"),
    apply: str = shell("true"),
    verify: str = told("satisfied", evidence={"ok": True}),
) -> dict[str, str]:
    return {"tasks/check.yml": check, "tasks/main.yml": apply, "tasks/verify.yml": verify}


def stage(name: str = "one", **changes: object) -> PlannedStage:
    kinds = ("check", "apply", "verify")
    found = fakes.stage(name, executor="ansible", timeout_s=60.0, **changes)  # type: ignore[arg-type]
    paths = dict(zip(kinds, ("check.yml", "main.yml", "verify.yml"), strict=True))
    object.__setattr__(found, "scripts", {k: f"tasks/{p}" for k, p in paths.items()})
    return found


@dataclass
class AnsibleBench:
    """One run on the given machines; ``executor()`` may be called again to resume it."""

    sshd: Mapping[str, Sshd]
    keys: Keys
    files: Mapping[str, str]
    stages: list[PlannedStage] = field(default_factory=lambda: [stage()])
    scripts: Mapping[str, str] = field(default_factory=dict)
    leader: str = ""
    sink: fakes.Sink = field(default_factory=fakes.Sink)
    journaled: Journaled = field(default_factory=Journaled)
    labels: Mapping[str, str] = field(default_factory=dict)
    directory: fakes.Directory = field(init=False)
    root: Path = field(init=False)

    def __post_init__(self) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="rw-test-", dir="/dev/shm"))
        machines = {name: fakes.machine(name) for name in self.sshd}
        for machine in machines.values():
            object.__setattr__(machine, "labels", dict(self.labels))
        self.directory = fakes.Directory(
            self.sink.order,
            machines=machines,
            targets={name: sshd.target() for name, sshd in self.sshd.items()},
            key_path=self.keys.client_path,
            public_key=self.keys.client_line,
        )
        self.run_id = f"run-{next(RUNS)}"

    def scope(self) -> Scope:
        return Scope(
            plan=fakes.plan(list(self.sshd), self.stages),
            run_id=self.run_id,
            owner_epoch=1,
            directory=self.directory,
            netboot=fakes.Netboot(self.sink.order),
            sink=self.sink,
            render=fakes.Renderer(),
            script_text=lambda _role, path: self.scripts[path],
            role_files=lambda _role: {p: text.encode() for p, text in self.files.items()},
            outputs=dict,
            leader=lambda _group: self.leader,
            artifacts=lambda _machine_id: {},
            controller=lambda _machine_id: {"url": "", "address": ""},
            journaled=self.journaled,
        )

    def executor(self, **settings: object) -> AnsibleExecutor:
        self.reach = SshReach(Pool(self.directory.client_key_path), self.directory)
        return AnsibleExecutor(self.scope(), self.reach, self.root, **settings)  # type: ignore[arg-type]

    async def close(self, executor: AnsibleExecutor) -> None:
        await executor.close()
        await self.reach.close()

    async def outcomes(self, *, number: int = 1, **attempt: object) -> list[Outcome]:
        """One executor, an attempt of the first stage on every machine."""
        executor = self.executor()
        tasks = range(len(self.sshd))
        try:
            given = {"timeout_s": 60.0, **attempt}
            executor.start([fakes.attempt(t, number, **given) for t in tasks])  # type: ignore[arg-type]
            return [await self.sink.outcome(t, number, within_s=160.0) for t in tasks]
        finally:
            await self.close(executor)

    def journal_of(self, task: int) -> tuple[JournaledPlay, ...]:
        """What a resume would read of the task's plays."""
        names = ("phase", "marker", "pid", "started", "boot_id")
        return tuple(
            JournaledPlay(attempt, **{name: detail[name] for name in names})  # type: ignore[arg-type]
            for kind, number, attempt, detail in self.sink.intents
            if kind == "ansible" and number == task
        )

    def remove(self) -> None:
        shutil.rmtree(self.root, ignore_errors=True)
