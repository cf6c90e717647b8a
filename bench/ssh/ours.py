"""Our own SSH path. Usage: python -m bench.ssh.ours FOLDER COUNT pool|executor|steps [ROOT].

``pool``: connections as a run opens them: host certificate verified, one script (the hello) run,
its output read. ``executor``: attempts through the SSH executor whose check says satisfied: hello,
check and verify, templates rendered in the product's worker. ``steps``: check, apply as a durable
step of its own (started, waited for), verify, on machines that run what they are told.
"""

import asyncio
import sys
from collections.abc import Mapping
from pathlib import Path

from bench.ssh import site
from bench.tree import counted
from rackwright.engine.content.render import Renderer
from rackwright.engine.executors.inband import PATIENCE_S
from rackwright.engine.executors.pool import Link, Pool
from rackwright.engine.executors.ports import SshTarget
from rackwright.engine.executors.reach import SshReach
from rackwright.engine.executors.scope import Scope
from rackwright.engine.executors.ssh import SshExecutor
from rackwright.engine.run.ports import Attempt, Outcome
from rackwright.engine.schedule.events import Mode, Result
from tests.unit.engine.executors import fakes

SATISFIED = {"check": "true", "apply": "true", "verify": "echo '{}'"}
UNSATISFIED = {**SATISFIED, "check": "unsatisfied"}


class Sink:
    """Counts what ended well."""

    def __init__(self, expected: int) -> None:
        self.left = expected
        self.bad: list[Outcome] = []
        self.done = asyncio.Event()

    def ended(self, outcome: Outcome) -> None:
        if outcome.result not in (Result.SATISFIED, Result.CHANGED):
            self.bad.append(outcome)
        self.left -= 1
        if not self.left:
            self.done.set()

    def elected(self, group: int, machine: int, error: str) -> None:
        raise NotImplementedError

    async def intend(self, kind: str, task: int, attempt: int, detail: Mapping[str, object]) -> int:
        raise NotImplementedError


def targets_of(folder: Path, hosts: list[site.Host]) -> dict[str, SshTarget]:
    authority = (folder / "ca.pub").read_text().strip()
    return {
        host.name: SshTarget(
            host.address, host.port, host.user, host.name, certificate_authority=authority
        )
        for host in hosts
    }


async def visit(pool: Pool, machine: str, target: SshTarget) -> Link:
    return await pool.link(machine, "os", target, patience_s=PATIENCE_S)


async def pooled(folder: Path, hosts: list[site.Host]) -> None:
    pool = Pool(lambda: folder / "client")
    with counted(machines=len(hosts)):
        targets = targets_of(folder, hosts)
        links = await asyncio.gather(*(visit(pool, m, t) for m, t in targets.items()))
        assert all(link.boot_id for link in links), "a machine said nothing"
        await pool.close()


async def executed(
    folder: Path, hosts: list[site.Host], scripts: Mapping[str, str], root: str
) -> None:
    targets = targets_of(folder, hosts)
    directory = fakes.Directory(
        [],
        machines={host.name: fakes.machine(host.name) for host in hosts},
        targets=targets,
        key_path=folder / "client",
        public_key=(folder / "client.pub").read_text(),
    )
    async with Renderer() as renderer:
        sink = Sink(len(hosts))
        scope = Scope(
            plan=fakes.plan(list(targets), [fakes.stage("one", timeout_s=300.0)]),
            run_id="bench",
            owner_epoch=1,
            directory=directory,
            netboot=fakes.Netboot([]),
            sink=sink,
            render=renderer.render,
            script_text=lambda _role, path: scripts[Path(path).stem],
            outputs=dict,
            leader=lambda _group: "",
            artifacts=lambda _machine_id: {},
            controller=lambda _machine_id: {"url": "", "address": ""},
        )
        reach = SshReach(Pool(directory.client_key_path), directory)
        executor = SshExecutor(scope, reach, root=lambda machine: f"{root}/{machine}")
        with counted(machines=len(hosts)):
            executor.start(
                [Attempt(task, 1, Mode.FULL, 300.0, False) for task in range(len(hosts))]
            )
            await sink.done.wait()
            await executor.close()
    assert not sink.bad, f"{len(sink.bad)} failed: {sink.bad[0].error}"


def main() -> None:
    folder, count, how = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    hosts = site.read(folder, count)
    match how:
        case "pool":
            asyncio.run(pooled(folder, hosts))
        case "executor":
            asyncio.run(executed(folder, hosts, SATISFIED, "/run/rackwright"))
        case "steps":
            asyncio.run(executed(folder, hosts, UNSATISFIED, sys.argv[4]))


if __name__ == "__main__":
    main()
