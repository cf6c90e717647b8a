"""A journal in memory: for tests and simulation. Keeps the promises of the real one but one."""

from collections.abc import Callable

from rackwright.engine.errors import EngineError
from rackwright.engine.run.ports import Commit, Fact, TaskRow


class StaleOwnerError(EngineError):
    """A newer owner exists; nothing was written."""


class MemoryJournal:
    """Not durable: it lasts as long as the object, which may outlive a runner."""

    def __init__(self, *, epoch: int = 1, observe: Callable[[Commit], None] | None = None) -> None:
        self.epoch = epoch
        self.facts: list[Fact] = []
        self.tasks: dict[tuple[int, int], TaskRow] = {}
        self.run_status: int | None = None
        self._observe = observe

    async def append(self, owner_epoch: int, commit: Commit) -> int:
        """Raises StaleOwnerError when ``take_over`` gave the run to another owner."""
        if owner_epoch != self.epoch:
            raise StaleOwnerError(f"owner epoch {owner_epoch} is over")
        self.facts.extend(Fact(*fact) for fact in commit.facts)
        self.tasks.update(((row[0], row[1]), TaskRow(*row)) for row in commit.tasks)
        if commit.run_status is not None:
            self.run_status = int(commit.run_status)
        if self._observe is not None:
            self._observe(commit)
        return len(self.facts)

    def read(self) -> list[Fact]:
        return list(self.facts)

    def take_over(self) -> int:
        """A new owner; the old one's appends are refused from now on."""
        self.epoch += 1
        return self.epoch
