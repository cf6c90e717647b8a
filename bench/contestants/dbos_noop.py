"""DBOS, one workflow of so many steps, its system database in SQLite."""

import sys
import tempfile

from dbos import DBOS

from bench.tree import counted


@DBOS.step()
def noop(number: int) -> int:
    return number


@DBOS.workflow()
def noops(count: int) -> int:
    return sum(1 for number in range(count) if noop(number) == number)


def main(count: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        DBOS(
            config={
                "name": "noops",
                "system_database_url": f"sqlite:///{folder}/dbos.sqlite",
                "run_admin_server": False,
                "log_level": "ERROR",
            }
        )
        DBOS.launch()
        assert noops(1) == 1
        with counted(tasks=count):
            assert noops(count) == count
        DBOS.destroy()


if __name__ == "__main__":
    main(int(sys.argv[1]))
