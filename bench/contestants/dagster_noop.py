"""Dagster, one job of so many ops in process, its events in SQLite."""

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from dagster import DagsterInstance, GraphDefinition, NodeInvocation, op

from bench.tree import counted


@op
def noop() -> int:
    return 0


def main(count: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.environ["DAGSTER_HOME"] = folder
        Path(folder, "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
        calls: dict[NodeInvocation, dict[str, Any]] = {
            NodeInvocation("noop", alias=f"noop{number}"): {} for number in range(count)
        }
        job = GraphDefinition(name="noops", node_defs=[noop], dependencies=calls).to_job()
        with DagsterInstance.get() as instance, counted(tasks=count):
            result = job.execute_in_process(instance=instance)
        assert result.success
        assert len(result.get_step_success_events()) == count


if __name__ == "__main__":
    main(int(sys.argv[1]))
