"""What a run waits for, by the clock: one heap, however many tasks.

No coroutine per task: what starts in one turn with the same timeout is one entry.
"""

import heapq
from array import array
from collections.abc import Iterator, Sequence

from rackwright.engine.run.ports import Attempt, Clock
from rackwright.engine.run.turn import Deadline, Due


class Deadlines:
    """``grace_s``: what an executor gets beyond an attempt's timeout, to end it by itself."""

    def __init__(self, clock: Clock, grace_s: float) -> None:
        self._clock = clock
        self._grace_s = grace_s
        self._heap: list[tuple[float, int, Due]] = []
        self._count = 0

    def after(self, delay_s: float, item: Due) -> None:
        self._count += 1
        when = self._clock.monotonic() + max(0.0, delay_s)
        heapq.heappush(self._heap, (when, self._count, item))

    @property
    def next_at(self) -> float | None:
        """By the clock's ``monotonic``."""
        return self._heap[0][0] if self._heap else None

    def is_due(self) -> bool:
        return bool(self._heap) and self._heap[0][0] <= self._clock.monotonic()

    def passed(self) -> Iterator[Due]:
        """Those whose time has come, in order; each once."""
        while self.is_due():
            yield heapq.heappop(self._heap)[2]

    def watch_starts(self, starts: Sequence[Attempt]) -> None:
        """One deadline for all attempts of a batch that have the same timeout."""
        batches: dict[float, Deadline] = {}
        for task, attempt, _, timeout_s, _ in starts:
            batch = batches.get(timeout_s)
            if batch is None:
                batch = batches[timeout_s] = Deadline(array("I"), array("I"), False)
            batch.tasks.append(task)
            batch.attempts.append(attempt)
        for timeout_s, batch in batches.items():
            self.after(timeout_s + self._grace_s, batch)

    def watch_cancels(self, cancels: Sequence[tuple[int, int]]) -> None:
        if cancels:
            tasks, attempts = (array("I", x) for x in zip(*cancels, strict=True))
            self.after(self._grace_s, Deadline(tasks, attempts, True))
