"""A journal in memory: for tests and simulation. Keeps the promises of the real one but one."""

from collections.abc import Callable
from typing import NamedTuple

from rackwright.engine.errors import EngineError
from rackwright.engine.run.codec import decode
from rackwright.engine.run.ports import Commit, Fact


class StaleOwnerError(EngineError):
    """A newer owner exists; nothing was written."""


class Told(NamedTuple):
    """A task, as the last fact about it tells."""

    state: int
    fact: Fact

    @property
    def error(self) -> str:
        return str(decode(self.fact.payload).get("error", ""))


class MemoryJournal:
    """Not durable: it lasts as long as the object, which may outlive a runner."""

    def __init__(self, *, epoch: int = 1, observe: Callable[[Commit], None] | None = None) -> None:
        self.epoch = epoch
        self.facts: list[Fact] = []
        self.tasks: dict[tuple[int, int], Told] = {}
        self.run_status: int | None = None
        self._snapshot = (0, b"")
        self._observe = observe

    async def append(self, owner_epoch: int, commit: Commit) -> int:
        """Raises StaleOwnerError when ``take_over`` gave the run to another owner."""
        if owner_epoch != self.epoch:
            raise StaleOwnerError(f"owner epoch {owner_epoch} is over")
        self.facts.extend(Fact(*fact) for fact in commit.facts)
        for fact, state in zip(commit.facts, commit.states, strict=True):
            if state:
                self.tasks[fact[1], fact[2]] = Told(state, Fact(*fact))
        if commit.snapshot is not None:
            self._snapshot = (len(self.facts), commit.snapshot)
        if commit.run_status is not None:
            self.run_status = int(commit.run_status)
        if self._observe is not None:
            self._observe(commit)
        return len(self.facts)

    def past(self) -> tuple[bytes, list[Fact]]:
        seq, snapshot = self._snapshot
        return snapshot, self.facts[seq:]

    def standing(self) -> tuple[bytes, int]:
        """The last snapshot, empty where there is none, and how many facts it covers."""
        seq, snapshot = self._snapshot
        return snapshot, seq

    def read(self) -> list[Fact]:
        return list(self.facts)

    def take_over(self) -> int:
        """A new owner; the old one's appends are refused from now on."""
        self.epoch += 1
        return self.epoch
