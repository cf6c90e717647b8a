"""One executor for a run: each stage goes to the executor that its role names."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from rackwright.engine.errors import OperatorError
from rackwright.engine.executors.ansible.executor import AnsibleExecutor
from rackwright.engine.executors.boot import Boot
from rackwright.engine.executors.console import Consoles
from rackwright.engine.executors.netboot import NetbootExecutor
from rackwright.engine.executors.pool import Pool
from rackwright.engine.executors.reach import SshReach
from rackwright.engine.executors.scope import Scope
from rackwright.engine.executors.ssh import SshExecutor, local_executor
from rackwright.engine.plan.model import Plan
from rackwright.engine.run.ports import Attempt, Executor


class CompositeExecutor:
    """Routes by the stage's ``executor``. Raises ``OperatorError`` at once for a name that no
    executor has."""

    def __init__(self, plan: Plan, executors: Mapping[str, Executor]) -> None:
        for stage in plan.stages:
            if stage.executor not in executors:
                raise OperatorError(
                    f"no executor is called {stage.executor}",
                    hint=f"one of: {', '.join(sorted(executors))}",
                    stage=stage.name,
                )
        self._machine_count = len(plan.machines)
        self._by_stage = [executors[stage.executor] for stage in plan.stages]
        self._executors = tuple(executors.values())

    def start(self, attempts: Sequence[Attempt]) -> None:
        batches: defaultdict[int, list[Attempt]] = defaultdict(list)
        for attempt in attempts:
            batches[attempt.task // self._machine_count].append(attempt)
        for stage, batch in batches.items():
            self._by_stage[stage].start(batch)

    def cancel(self, task: int, attempt: int) -> None:
        self._by_stage[task // self._machine_count].cancel(task, attempt)

    def elect(self, group: int, stage: int, candidates: Sequence[int]) -> None:
        self._by_stage[stage].elect(group, stage, candidates)

    def stage_settled(self, stage: int) -> None:
        self._by_stage[stage].stage_settled(stage)

    async def close(self) -> None:
        for executor in self._executors:
            await executor.close()


def executor_of(scope: Scope, *, local_root: str) -> CompositeExecutor:
    """The executor of one run. ``local_root``: a 0700 directory on tmpfs for local steps."""
    consoles = Consoles()
    reach = SshReach(Pool(scope.directory.client_key_path), scope.directory, scope.fence)
    boot = Boot(scope, reach, consoles)
    executors: dict[str, Executor] = {
        "netboot": NetbootExecutor(boot),
        "local": local_executor(scope, local_root),
        # before ssh, which closes the connections that both use
        "ansible": AnsibleExecutor(scope, reach, Path(local_root) / "ansible", consoles=consoles),
        "ssh": SshExecutor(scope, reach, consoles=consoles, boot=boot),
    }
    return CompositeExecutor(scope.plan, executors)
