"""A turn of the runner: what came in, what it will commit, and what it lets happen afterwards.

Values alone; the runner feeds, commits and releases.
"""

import asyncio
from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from rackwright.engine.run.ports import Attempt, Fact, IntentTold
from rackwright.engine.schedule.events import (
    CancelAsked,
    Decided,
    Elect,
    Granted,
    LimitChanged,
    PauseAsked,
    Recalled,
    RetryAsked,
    Returned,
    RunStatus,
    SkipAsked,
    TimerFired,
    Wants,
)

_NO_TASK: Final = -1

Question = (
    CancelAsked | PauseAsked | RetryAsked | SkipAsked | LimitChanged | Decided | Granted | Recalled
)


class Reply(NamedTuple):
    group: int
    machine: int
    error: str


class Order(NamedTuple):
    event: Question
    by: str
    reason: str
    done: asyncio.Future[None] | None = None  # None: nobody waits


class Wish(NamedTuple):
    """An intent that waits for its commit; ``told`` is called once."""

    kind: str
    task: int
    attempt: int
    detail: Mapping[str, object]
    told: IntentTold


class Deadline(NamedTuple):
    """When it passes: ``final`` False: the attempts are cancelled; True: counted as ended."""

    tasks: "array[int]"
    attempts: "array[int]"
    final: bool


class ElectionDeadline(NamedTuple):
    group: int


class WindowsDue(NamedTuple):
    """A window may have opened or closed."""


class ApprovalDeadline(NamedTuple):
    hold: int


Due = Deadline | ElectionDeadline | TimerFired | WindowsDue | ApprovalDeadline


@dataclass(slots=True)
class Turn:
    """What one turn will commit, and what it lets happen afterwards."""

    at: float
    facts: list[Fact] = field(default_factory=list)
    tasks: list[int] = field(default_factory=list)  # for each fact the task it tells of, or -1
    status: RunStatus | None = None
    cancels: list[tuple[int, int]] = field(default_factory=list)
    settled: list[int] = field(default_factory=list)
    elects: list[Elect] = field(default_factory=list)
    accounts: list[Wants | Returned] = field(default_factory=list)  # for who grants allowances
    starts: list[Attempt] = field(default_factory=list)
    orders: list[Order] = field(default_factory=list)
    wishes: list[Wish] = field(default_factory=list)

    def tell(self, fact: Fact, task: int = _NO_TASK) -> None:
        self.facts.append(fact)
        self.tasks.append(task)
