"""The local runner: one run, from its first command to its end, on one event loop.

Theory of operation. A *turn* collects what came in (outcomes, answers to elections, operator
actions, intents, deadlines that passed; ``intake``), feeds the scheduler, takes its commands
(``decisions``), commits the facts and the changed task rows in one append, and only then lets
anything happen: attempts start, cancellations go out, intents are granted, operators get their
answer. An append that fails for whatever reason (a newer owner, a full disk) ends the runner at
once; nothing of that turn is sent.

No coroutine per task: what is waited for sits in one heap (``deadlines``), and a batch of starts is
one entry of it.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from rackwright.engine.errors import EngineError
from rackwright.engine.plan.model import Plan
from rackwright.engine.run import snapshot as snapshots
from rackwright.engine.run.course import Course
from rackwright.engine.run.decisions import command
from rackwright.engine.run.errors import LeaseLostError, RunEndedError
from rackwright.engine.run.intake import Intake, attempt_over
from rackwright.engine.run.operator import Operated
from rackwright.engine.run.ports import (
    Clock,
    Commit,
    Executor,
    Fact,
    Intent,
    IntentTold,
    Journal,
    Outcome,
    RunView,
)
from rackwright.engine.run.turn import ElectionDeadline, Order, Question, Reply, Turn, Wish
from rackwright.engine.schedule import board as b
from rackwright.engine.schedule.events import Returned, RunStatus, TimerFired, Wants
from rackwright.engine.schedule.standing import standing

GRACE_S: Final = 90.0  # an executor ends an attempt by itself; longer than it takes to stop one
CHUNK: Final = 32_768  # facts in one append
SNAPSHOT_FACTS: Final = 500_000  # facts between snapshots: what a restart may have to fold
RETRY_WITHIN_S: Final = 600.0  # a retry that a dead controller had set comes no later than this

_make = tuple.__new__


class Runner(Operated):
    """Drives one run. ``run`` may be awaited once; everything else is called from its event loop.

    ``snapshot`` and ``resume_facts``: the run's past (``Journal.past``). ``first_orders``: (event,
    by, reason) taken before anything else, which is how a run that ended is retried. ``may_act``:
    whether the owner's lease still lives, asked just before anything is sent. ``is_shard``:
    limits, waves and failures are allowances, granted by ``ask``; ``on_account``: who grants them,
    told once a want or a return is committed. It is the ``RunView`` of its executor.
    """

    def __init__(
        self,
        plan: Plan,
        journal: Journal,
        executor_factory: Callable[[RunView], Executor],
        clock: Clock,
        owner_epoch: int,
        resume_facts: Iterable[Fact] = (),
        *,
        first_orders: Iterable[tuple[Question, str, str]] = (),
        may_act: Callable[[], bool] = lambda: True,
        grace_s: float = GRACE_S,
        snapshot: bytes = b"",
        snapshot_facts: int = SNAPSHOT_FACTS,
        is_shard: bool = False,
        on_account: Callable[[Wants | Returned], None] = lambda said: None,
    ) -> None:
        course = Course(plan, clock, grace_s, (snapshot, resume_facts), is_shard=is_shard)
        super().__init__(course)
        self._journal = journal
        self._epoch = owner_epoch
        self._may_act = may_act
        self._on_account = on_account
        self._snapshot_facts = snapshot_facts
        self._facts_since_snapshot = 0
        self._intake = Intake(course)
        self._knowledge = course.knowledge
        self._woken = asyncio.Event()
        self._open = Turn(0.0)
        self._inbox: deque[Outcome | Reply | Order | Wish] = deque()
        for event, by, reason in first_orders:
            self._inbox.append(Order(event, by, reason))
        self._has_begun = False
        self._status: RunStatus | None = None
        self._stopped: EngineError | None = None
        self._executor = executor_factory(self)

    # the run -----------------------------------------------------------------------------------

    async def run(self) -> RunStatus:
        """Until the run ends. Raises what the journal raised, after closing the executor."""
        error: EngineError = RunEndedError("the run has ended", hint="retry it with `run resume`")
        deadlines = self._course.deadlines
        try:
            await self._begin()
            while self._status is None:
                if not self._inbox and not deadlines.is_due():
                    self._woken.clear()
                    await self._course.clock.wait(self._woken, deadlines.next_at)
                turn = self._new_turn()
                self._intake.expire(turn)
                await self._end(turn)
        except BaseException:
            error = RunEndedError("the controller stopped driving the run", hint="resume the run")
            raise
        finally:
            try:
                self._stop(error)
            finally:
                await self._executor.close()
        return self._status

    async def _begin(self) -> None:
        """Deliver again what a dead controller had under way, and start what is ready."""
        if self._has_begun:
            raise RuntimeError("a runner runs once")
        self._has_begun = True
        course = self._course
        turn = self._new_turn()
        self._intake.see_windows(turn)
        turn.starts.extend(course.in_flight())
        for task, attempt, due in course.overdue:
            delay_s = min(due - turn.at, RETRY_WITHIN_S)
            course.deadlines.after(delay_s, TimerFired(task, attempt))
        if not course.board.finished:
            turn.status = course.status()
        unwanted = [(s.task, s.attempt) for s in turn.starts if course.is_unwanted(s.task)]
        await self._end(turn)
        for task, attempt in unwanted:
            self._executor.cancel(task, attempt)
        course.deadlines.watch_cancels(unwanted)

    def _new_turn(self) -> Turn:
        """With what came in since the last one."""
        turn = self._open = Turn(self._course.clock.now())
        inbox, self._inbox = self._inbox, deque()
        self._intake.take(turn, inbox)
        return turn

    async def _end(self, turn: Turn) -> None:
        command(self._course, turn, self._epoch)
        await self._commit(turn)
        await self._see_the_lease()
        self._release(turn)
        if self._course.board.finished:
            self._status = self._course.scheduler.outcome()

    async def _commit(self, turn: Turn) -> None:
        """Large turns go in several appends, in order; nothing is released before the last."""
        state = self._course.board.state
        states = bytes([state[task] if task >= 0 else 0 for task in turn.tasks])
        size = len(turn.facts)
        status = None if turn.status is None else int(turn.status)
        if not size and status is None:
            return
        for start in range(0, max(size, 1), CHUNK):
            end = start + CHUNK
            facts, told = turn.facts[start:end], states[start:end]
            if end < size:
                commit = Commit(facts, told)
            else:
                commit = Commit(facts, told, status, self._snapshot_if_due(turn))
            await self._journal.append(self._epoch, commit)

    def _snapshot_if_due(self, turn: Turn) -> bytes | None:
        """Not in a turn with wishes: they are learned once granted."""
        self._facts_since_snapshot += len(turn.facts)
        if self._facts_since_snapshot < self._snapshot_facts or turn.wishes:
            return None
        self._facts_since_snapshot = 0
        course = self._course
        state = course.board.state
        course.due = {task: due for task, due in course.due.items() if state[task] == b.BACKOFF}
        return snapshots.encode(
            standing(course.scheduler), course.knowledge, course.due, course.holds.due
        )

    async def _see_the_lease(self) -> None:
        """A commit renews the lease, or finds a newer owner. A process that was stopped between a
        commit and here commits once more before it acts."""
        if not self._may_act():
            await self._journal.append(self._epoch, Commit([], []))
        if not self._may_act():
            raise LeaseLostError("the owner's lease is over; nothing was sent")

    def _release(self, turn: Turn) -> None:
        deadlines, timeouts = self._course.deadlines, self._course.timeouts
        wishes, turn.wishes = turn.wishes, []  # each is told once
        for wish in wishes:
            intent = Intent(wish.kind, wish.task, wish.attempt, wish.detail)
            wish.told(wish.task, wish.attempt, self._knowledge.learn_intent(intent))
        for order in turn.orders:
            if order.done is not None and not order.done.done():
                order.done.set_result(None)
        for said in turn.accounts:
            self._on_account(said)
        for task, attempt in turn.cancels:
            self._executor.cancel(task, attempt)
        deadlines.watch_cancels(turn.cancels)
        for stage in turn.settled:
            self._executor.stage_settled(stage)
        for elect in turn.elects:
            within_s = timeouts[elect.stage] + self._course.grace_s
            deadlines.after(within_s, ElectionDeadline(elect.group))
            self._executor.elect(elect.group, elect.stage, elect.candidates)
        if turn.starts:
            deadlines.watch_starts(turn.starts)
            self._executor.start(turn.starts)

    def _stop(self, error: EngineError) -> None:
        """Tell everyone who still waits, also for the turn that was not committed."""
        self._stopped = error
        left: list[object] = [*self._inbox, *self._open.orders, *self._open.wishes]
        self._inbox.clear()
        for item in left:
            if isinstance(item, Order) and item.done is not None and not item.done.done():
                item.done.set_exception(error)
            elif isinstance(item, Wish):
                item.told(item.task, item.attempt, error)

    # the executor's side -------------------------------------------------------------------------

    def ended(self, outcome: Outcome) -> None:
        """See ``OutcomeSink``. Late and repeated outcomes are dropped."""
        if self._stopped is None:
            self._inbox.append(outcome)
            self._woken.set()

    def elected(self, group: int, machine: int, error: str) -> None:
        if self._stopped is None:
            self._inbox.append(Reply(group, machine, error))
            self._woken.set()

    async def intend(self, kind: str, task: int, attempt: int, detail: Mapping[str, object]) -> int:
        """See ``OutcomeSink``. ``attempt`` 0: an intent of no attempt (a revocation).

        Raises AttemptOverError when the attempt is not under way any more.
        """
        answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        def told(_task: int, _attempt: int, said: int | EngineError) -> None:
            if answer.done():  # nobody waits any more
                return
            if isinstance(said, EngineError):
                answer.set_exception(said)
            else:
                answer.set_result(said)

        self.intend_then(kind, task, attempt, detail, told)
        return await answer

    def intend_then(
        self, kind: str, task: int, attempt: int, detail: Mapping[str, object], told: IntentTold
    ) -> None:
        """See ``RunView``."""
        if attempt and not self._course.is_in_flight(task, attempt):
            told(task, attempt, attempt_over(task, attempt))
        elif not 0 <= task < self._course.topology.task_count:
            told(task, attempt, EngineError(f"there is no task {task}"))
        elif self._stopped is not None:
            told(task, attempt, self._stopped)
        else:
            self._inbox.append(_make(Wish, (kind, task, attempt, detail, told)))
            self._woken.set()

    def outputs(self) -> Mapping[str, Mapping[str, Mapping[str, object]]]:
        return self._knowledge.outputs()

    def leader(self, group: str) -> str:
        return self._knowledge.leader(group)

    def intents(self, kind: str) -> Sequence[Intent]:
        return self._knowledge.intents(kind)

    # the operator's side -------------------------------------------------------------------------

    async def _submit(self, event: Question, by: str, reason: str) -> None:
        if self._stopped is not None:
            raise self._stopped
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._inbox.append(Order(event, by, reason, done))
        self._woken.set()
        await done
