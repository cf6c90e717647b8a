"""Prefect, one flow of so many tasks on its thread pool; its own server beside, on SQLite."""

import os
import sys
import tempfile

from bench.tree import counted

FOLDER = tempfile.TemporaryDirectory()
os.environ |= {
    "PREFECT_HOME": FOLDER.name,
    "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "true",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_LOGGING_LEVEL": "ERROR",
    "DO_NOT_TRACK": "1",
}
os.environ.pop("PREFECT_API_URL", None)

from prefect import flow, task  # noqa: E402


@task
def noop(number: int) -> int:
    return number


@flow
def noops(count: int) -> int:
    return len([future.result() for future in noop.map(list(range(count)))])


def main(count: int) -> None:
    noops(1)  # starts the server
    with counted(tasks=count):
        assert noops(count) == count


if __name__ == "__main__":
    with FOLDER:
        main(int(sys.argv[1]))
