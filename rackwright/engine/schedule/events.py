"""Events into the scheduler and commands out of it: the whole of its interface.

A task is an integer: ``stage_index * machine_count + machine_index``. Tuples, not classes with
behaviour: these are made by the hundred thousand.
"""

from enum import IntEnum
from typing import NamedTuple


class Mode(IntEnum):
    """What an attempt may do."""

    FULL = 0  # check, apply where unsatisfied, verify
    PROBE = 1  # check alone: an end is asked before its means run


class Result(IntEnum):
    """How an attempt ended."""

    SATISFIED = 0  # check said satisfied; nothing was changed
    CHANGED = 1  # applied and verified
    UNSATISFIED = 2  # PROBE only: the check said unsatisfied
    UNKNOWN = 3  # the check could not be answered; nothing was applied
    FAILED = 4  # apply or verify failed, and a retry may help
    REFUSED = 5  # a retry cannot help: drift, identity mismatch, operator error
    CANCELLED = 6


class TaskState(IntEnum):
    ABSENT = 0  # the stage does not concern this machine
    WAITING = 1  # on needs
    READY = 2
    PARKED = 3  # on a limit or a wave
    RUNNING = 4
    BACKOFF = 5
    SATISFIED = 6
    CHANGED = 7
    SKIPPED = 8  # a means whose ends are satisfied, or skipped by an operator
    FAILED = 9
    BLOCKED = 10  # something it needs failed, or its wave halted
    CANCELLED = 11


ENDED = frozenset(s for s in TaskState if s >= TaskState.SATISFIED)
SUCCEEDED = frozenset({TaskState.SATISFIED, TaskState.CHANGED, TaskState.SKIPPED})


class RunStatus(IntEnum):
    RUNNING = 0
    SUCCEEDED = 1
    DEGRADED = 2  # ended; some machines failed, others finished
    FAILED = 3  # ended; nothing that was asked for was reached
    CANCELLED = 4
    PAUSED = 5


# events in -------------------------------------------------------------------------------------


class Ended(NamedTuple):
    task: int
    attempt: int
    result: Result


class TimerFired(NamedTuple):
    """The timer that ``SetTimer`` asked for."""

    task: int
    attempt: int


class Elected(NamedTuple):
    """The answer to ``Elect``: the machine index, or -1 when no candidate may be chosen."""

    group: int
    machine: int


class CancelAsked(NamedTuple):
    """Stop starting tasks, cancel what runs; ``always`` stages still run."""


class PauseAsked(NamedTuple):
    paused: bool


class RetryAsked(NamedTuple):
    """Take every FAILED task (or those of one machine, else -1) and what it blocked up again."""

    machine: int = -1


class SkipAsked(NamedTuple):
    task: int


class LimitChanged(NamedTuple):
    limit: int
    capacity: int


class HoldChanged(NamedTuple):
    """A maintenance window opened or closed. What runs goes on."""

    hold: int
    is_open: bool


class Decided(NamedTuple):
    """An operator's answer to an approval, or its deadline's: given once, before or after it was
    asked for. Rejected, nothing that waits for it will run."""

    hold: int
    is_approved: bool


class Granted(NamedTuple):
    """A shard may use so much more of something shared: a limit, ``limit_count`` + stage's wave, or
    ``budget_base`` + stage's budget of failures. 0 of a budget: there is no more."""

    resource: int
    amount: int


class Recalled(NamedTuple):
    """Give so much back: what is free at once, the rest as attempts end."""

    resource: int
    amount: int


Event = (
    Ended
    | TimerFired
    | Elected
    | CancelAsked
    | PauseAsked
    | RetryAsked
    | SkipAsked
    | LimitChanged
    | HoldChanged
    | Decided
    | Granted
    | Recalled
)


# commands out ----------------------------------------------------------------------------------


class Cause(IntEnum):
    """Why a task took a state that no attempt gave it. ``Marked.subject`` says of what."""

    NEED = 0  # subject: the task of the same machine that did not succeed
    BARRIER = 1  # subject: the stage whose barrier can no longer be met
    WAVE = 2  # subject: the stage whose wave halted
    ELECTION = 3  # subject: the group that could not elect
    ENDS = 4  # subject: a means' end: all satisfied (SKIPPED), or none can run (BLOCKED)
    CANCEL = 5  # the run was cancelled
    OPERATOR = 6  # skipped by an operator
    RETRY = 7  # re-opened by an operator's retry
    MEANS = 8  # a means re-opened for the retry of its end; subject: the end's task
    END = 9  # an end that waits for its means: its retry goes through them, or nobody waits for
    # the answer to its probe any more; subject: the end's own task
    APPROVAL = 10  # subject: the hold whose approval was refused


class Start(NamedTuple):
    task: int
    attempt: int  # numbered from 1 per task; PROBE attempts count too
    mode: Mode


class Cancel(NamedTuple):
    task: int
    attempt: int


class Marked(NamedTuple):
    """A decision that no attempt's outcome implies: journaled, so that a restore need not decide
    again. ``state`` is WAITING (re-opened), SKIPPED, FAILED, BLOCKED or CANCELLED."""

    task: int
    state: TaskState
    cause: Cause
    subject: int


class SetTimer(NamedTuple):
    task: int
    attempt: int
    delay_s: float


class Elect(NamedTuple):
    """Choose one machine of a group among ``candidates`` (machine indices)."""

    group: int
    stage: int  # the stage that needs the choice; its check tells members from strangers
    candidates: tuple[int, ...]


class AskApproval(NamedTuple):
    """Something waits for nothing but this approval. Told once, and again after a restart."""

    hold: int


class Wants(NamedTuple):
    """``amount`` tasks wait for more of something shared. Told once until it is answered, and again
    after a restart."""

    resource: int
    amount: int


class Returned(NamedTuple):
    """Given back: nothing here uses it any more."""

    resource: int
    amount: int


class StageSettled(NamedTuple):
    """Every task of the stage has ended: secrets minted for it are revoked now."""

    stage: int


class Finish(NamedTuple):
    status: RunStatus


Command = (
    Start
    | Cancel
    | Marked
    | SetTimer
    | Elect
    | AskApproval
    | Wants
    | Returned
    | StageSettled
    | Finish
)
