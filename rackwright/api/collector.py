"""How often Python looks for garbage in a process that drives runs.

A run makes tuples by the hundred thousand and no cycles; with Python's own thresholds the collector
took a third of a large run's CPU (measured: 16 µs a task, 10 without). Cycles still come, from
failed tasks and closed connections, and are still collected.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

# allocations less deallocations before the youngest are looked at; then how many such looks before
# the next older ones are
_THRESHOLDS = (100_000, 50, 100)


def collect_rarely() -> None:
    """For the process, from now on. What lives now is expected to live on: it is not looked at."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)


@contextmanager
def never_looking() -> Iterator[None]:
    """For what makes values by the million that live on: they are not looked at, now or later, and
    neither are the few cycles among them (compiling a plan leaves some hundred objects)."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
