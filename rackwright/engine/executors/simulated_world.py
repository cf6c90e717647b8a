"""The state of simulated machines. It outlives controllers: in memory, or in a file that each
process appends to, one short write per event, so that a SIGKILL tears no line."""

import os
from pathlib import Path


class World:
    """What was done to every machine, and how often.

    ``path``: a file to remember in; None keeps the world in this object only.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._applies = bytearray()  # task -> how often its apply ran, up to 255
        self._erasures = bytearray()
        self._leaders: dict[int, int] = {}
        self.settled: list[int] = []  # stages announced as settled to this process, in order
        self._file = -1
        if path is not None:
            if path.exists():
                for line in path.read_text().splitlines():
                    self._remember(line)
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _remember(self, line: str) -> None:
        word, first, second = line.split()
        match word:
            case "apply":
                _count(self._applies, int(first))
            case "erase":
                _count(self._erasures, int(first))
            case "leader":
                self._leaders[int(first)] = int(second)
            case _:
                raise ValueError(f"a world does not know {word!r}")

    def _note(self, word: str, first: int, second: int) -> None:
        if self._file >= 0:
            os.write(self._file, f"{word} {first} {second}\n".encode())

    def counts(self, tasks: int) -> bytearray:
        """How often each of so many tasks was applied: the live array, to be read only."""
        _make_room(self._applies, tasks)
        return self._applies

    def is_applied(self, task: int) -> bool:
        return task < len(self._applies) and self._applies[task] > 0

    def applies(self, task: int) -> int:
        """How often the task's apply ran to its end, over all controllers."""
        return self._applies[task] if task < len(self._applies) else 0

    def erasures(self, task: int) -> int:
        return self._erasures[task] if task < len(self._erasures) else 0

    def apply(self, task: int, attempt: int) -> None:
        _count(self._applies, task)
        if self._file >= 0:
            self._note("apply", task, attempt)

    def erase(self, task: int, attempt: int) -> None:
        _count(self._erasures, task)
        self._note("erase", task, attempt)

    def undo(self, task: int) -> None:
        """Somebody broke it again. Remembered by this object only."""
        if task < len(self._applies):
            self._applies[task] = 0

    def elect(self, group: int, machine: int) -> None:
        self._leaders[group] = machine
        self._note("leader", group, machine)

    def leader(self, group: int) -> int:
        """-1 while nobody was elected."""
        return self._leaders.get(group, -1)


def _count(counts: bytearray, task: int) -> None:
    if task >= len(counts):
        _make_room(counts, max(task + 1, 2 * len(counts)))
    counts[task] += 1


def _make_room(counts: bytearray, tasks: int) -> None:
    counts.extend(bytes(max(0, tasks - len(counts))))
