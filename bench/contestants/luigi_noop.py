"""Luigi, in one process with its local scheduler. A finished task is a file: its durability."""

import sys
import tempfile
from pathlib import Path

import luigi

from bench.tree import counted


class Noop(luigi.Task):
    number = luigi.IntParameter()
    folder = luigi.Parameter()

    def output(self) -> luigi.LocalTarget:
        return luigi.LocalTarget(f"{self.folder}/{self.number}")

    def run(self) -> None:
        with self.output().open("w") as done:
            done.write("{}")


class All(luigi.WrapperTask):
    count = luigi.IntParameter()
    folder = luigi.Parameter()

    def requires(self) -> list[Noop]:
        return [Noop(number=number, folder=self.folder) for number in range(self.count)]


def main(count: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        with counted(tasks=count):
            done = luigi.build(
                [All(count=count, folder=folder)], local_scheduler=True, log_level="ERROR"
            )
        assert done, "luigi failed"
        assert len(list(Path(folder).iterdir())) == count


if __name__ == "__main__":
    main(int(sys.argv[1]))
