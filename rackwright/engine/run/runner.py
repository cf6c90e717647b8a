"""The local runner: one run, from its first command to its end, on one event loop.

Theory of operation. A *turn* collects what came in (outcomes, answers to elections, operator
actions, intents, deadlines that passed), feeds the scheduler, takes its commands, commits the facts
and the changed task rows in one append, and only then lets anything happen: attempts start,
cancellations go out, intents are granted, operators get their answer. An append that fails for
whatever reason (a newer owner, a full disk) ends the runner at once; nothing of that turn is sent.

No coroutine per task: deadlines and retries sit in one heap, a batch of starts is one entry.
Outcomes of attempts that are not under way any more are dropped before they are journaled.
"""

import asyncio
import heapq
from array import array
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, assert_never

from rackwright.engine.errors import EngineError, OperatorError
from rackwright.engine.plan.model import Plan
from rackwright.engine.run import codec, words
from rackwright.engine.run import snapshot as snapshots
from rackwright.engine.run.adaptive import Adaptive
from rackwright.engine.run.codec import Asked
from rackwright.engine.run.errors import AttemptOverError, LeaseLostError, RunEndedError
from rackwright.engine.run.explained import Explained, explain_machine
from rackwright.engine.run.holds import DEADLINE
from rackwright.engine.run.ports import (
    Attempt,
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
from rackwright.engine.run.restore import Restored, restore
from rackwright.engine.run.turn import (
    ApprovalDeadline,
    Deadline,
    Due,
    ElectionDeadline,
    Order,
    Question,
    Reply,
    Turn,
    WindowsDue,
    Wish,
)
from rackwright.engine.schedule import board as b
from rackwright.engine.schedule.events import (
    AskApproval,
    Cancel,
    CancelAsked,
    Command,
    Decided,
    Elect,
    Elected,
    Event,
    Finish,
    Granted,
    LimitChanged,
    Marked,
    PauseAsked,
    Recalled,
    Result,
    RetryAsked,
    Returned,
    RunStatus,
    SetTimer,
    SkipAsked,
    StageSettled,
    Start,
    TimerFired,
    Wants,
)
from rackwright.engine.schedule.explanation import Reason, explain
from rackwright.engine.schedule.standing import standing
from rackwright.engine.schedule.topology import Topology

GRACE_S: Final = 90.0  # an executor ends an attempt by itself; longer than it takes to stop one
CHUNK: Final = 32_768  # facts in one append
SNAPSHOT_FACTS: Final = 500_000  # facts between snapshots: what a restart may have to fold

_CHANGED: Final = Result.CHANGED  # looked up anew for each use of it
_RUNNING: Final = b.RUNNING
_make = tuple.__new__


class Runner:
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
        self._plan = plan
        self._journal = journal
        self._clock = clock
        self._epoch = owner_epoch
        self._may_act = may_act
        self._grace_s = grace_s
        self._timeouts = tuple(stage.timeout_s for stage in plan.stages)
        self._limits = {name: i for i, name in enumerate(plan.limits)}
        self._limit_names = tuple(plan.limits)
        self._adaptive = Adaptive(plan)
        self._adapts = bool(plan.adaptive)
        self._topology = Topology.from_plan(plan, is_shard=is_shard)
        self._machines = self._topology.machine_count or 1
        self._woken = asyncio.Event()
        self._open = Turn(0.0)
        self._inbox: deque[Outcome | Reply | Order | Wish] = deque()
        for event, by, reason in first_orders:
            self._inbox.append(Order(event, by, reason))
        self._deadlines: list[tuple[float, int, Due]] = []
        self._deadline_count = 0
        self._status: RunStatus | None = None
        self._stopped: EngineError | None = None
        self._on_account = on_account
        self._snapshot_facts = snapshot_facts
        self._facts_since_snapshot = 0
        restored = restore(plan, self._topology, resume_facts, snapshot)
        self._scheduler = restored.scheduler
        self._knowledge = restored.knowledge
        self._holds = restored.holds
        self._board = self._scheduler.board
        self._due = {task: due for task, _, due in restored.timers}
        self._restored: Restored | None = restored
        self._executor = executor_factory(self)

    # the run -----------------------------------------------------------------------------------

    async def run(self) -> RunStatus:
        """Until the run ends. Raises what the journal raised, after closing the executor."""
        error: EngineError = RunEndedError("the run has ended", hint="retry it with `run resume`")
        try:
            await self._begin()
            while self._status is None:
                if not self._inbox and not self._is_due():
                    self._woken.clear()
                    until = self._deadlines[0][0] if self._deadlines else None
                    await self._clock.wait(self._woken, until)
                await self._turn()
        except BaseException:
            error = RunEndedError("the controller stopped driving the run", hint="resume the run")
            raise
        finally:
            self._stop(error)
            await self._executor.close()
        return self._status

    def _is_due(self) -> bool:
        return bool(self._deadlines) and self._deadlines[0][0] <= self._clock.monotonic()

    async def _begin(self) -> None:
        """Deliver again what a dead controller had under way, and start what is ready."""
        restored, self._restored = self._restored, None
        if restored is None:
            raise RuntimeError("a runner runs once")
        turn = Turn(self._clock.now())
        self._collect(turn)
        self._see_windows(turn)
        in_flight = self._scheduler.in_flight()
        for task, attempt, due in restored.timers:
            delay_s = min(max(0.0, due - turn.at), 600.0)
            self._set_deadline(self._clock.monotonic() + delay_s, TimerFired(task, attempt))
        if not self._board.finished:
            turn.status = RunStatus.PAUSED if self._board.paused else RunStatus.RUNNING
        for start in in_flight:
            timeout_s = self._timeouts[start.task // self._machines]
            turn.starts.append(Attempt(*start, timeout_s, True))
        unwanted = [s for s in in_flight if self._is_unwanted(s.task)]
        self._command(turn)
        await self._commit(turn)
        await self._see_the_lease()
        self._release(turn)
        for start in unwanted:
            self._executor.cancel(start.task, start.attempt)
        self._watch_cancels([(s.task, s.attempt) for s in unwanted])
        if self._board.finished:
            self._status = self._scheduler.outcome()

    def _is_unwanted(self, task: int) -> bool:
        """Under way, and cancelled or skipped before this controller came."""
        stage = self._plan.stages[task // self._machines]
        cancelled = self._board.cancelled and not stage.always
        return cancelled or bool(self._board.flags[task] & b.SKIPPING)

    async def _turn(self) -> None:
        turn = Turn(self._clock.now())
        self._collect(turn)
        self._expire(turn)
        self._command(turn)
        await self._commit(turn)
        await self._see_the_lease()
        self._release(turn)
        if self._board.finished:
            self._status = self._scheduler.outcome()

    # what came in ------------------------------------------------------------------------------

    def _collect(self, turn: Turn) -> None:
        self._open = turn
        inbox, self._inbox = self._inbox, deque()
        self._take(turn, inbox)

    def _take(self, turn: Turn, items: Iterable[Outcome | Reply | Order | Wish]) -> None:
        """The loop that every outcome goes through: what it uses has a name here."""
        state, attempts, count = self._board.state, self._board.attempts, self._topology.task_count
        machines, ended = self._machines, self._scheduler.ended
        tell, tell_task = turn.facts.append, turn.tasks.append
        prefix, payload_of = codec.at_prefix(turn.at), codec.ended_payload
        for item in items:
            if type(item) is not Outcome:
                self._take_rare(turn, item)
                continue
            task, attempt, result, _, outputs, _, _, pressed = item
            if not 0 <= task < count or state[task] != _RUNNING or attempts[task] != attempt:
                continue  # not under way any more
            stage, machine = divmod(task, machines)
            payload = payload_of(prefix, item)
            tell(_make(Fact, ("ended", stage, machine, attempt, int(result), payload)))
            tell_task(task)
            if outputs and result <= _CHANGED:
                self._knowledge.learn_outputs(stage, machine, outputs)
            ended((task, attempt, result))
            if self._adapts:
                self._adapt(turn, stage, machine, pressed)

    def _take_rare(self, turn: Turn, item: Outcome | Reply | Order | Wish) -> None:
        match item:
            case Reply():
                self._take_answer(turn, item)
            case Order():
                self._take_order(turn, item)
            case Wish():
                self._take_wish(turn, item)
            case Outcome():
                raise AssertionError("outcomes are handled by the caller")
            case _:
                assert_never(item)

    def _is_in_flight(self, task: int, attempt: int) -> bool:
        return (
            0 <= task < self._topology.task_count
            and self._board.state[task] == b.RUNNING
            and self._board.attempts[task] == attempt
        )

    def _adapt(self, turn: Turn, stage: int, machine: int, pressed: bool) -> None:
        rows, board = self._topology.stages[stage].limits, self._board
        held = rows[machine] if rows is not None else ()
        for limit, capacity, why in self._adaptive.ended(held, pressed, board.capacity, board.used):
            self._tell_limit(turn, LimitChanged(limit, capacity), "adaptive", why)

    def _tell_limit(self, turn: Turn, change: LimitChanged, by: str, reason: str) -> None:
        name = self._limit_names[change.limit]
        note = {"at": round(turn.at, 3), "by": by, "reason": reason, "limit": name}
        turn.tell(Fact("limit", -1, -1, 0, change.capacity, codec.encode(note)))
        self._scheduler.feed(change)

    def _take_answer(self, turn: Turn, answer: Reply) -> None:
        group, machine, error = answer
        if not 0 <= group < len(self._board.leader) or self._board.leader[group] != b.ELECTING:
            return
        self._scheduler.feed(Elected(group, machine))
        leader = max(-1, self._board.leader[group])
        self._knowledge.learn_leader(group, leader)
        payload = codec.encode({"at": round(turn.at, 3), "group": group, "error": error})
        turn.tell(Fact("elected", -1, leader, 0, 0, payload))

    def _take_order(self, turn: Turn, order: Order) -> None:
        note = {"at": round(turn.at, 3), "by": order.by, "reason": order.reason}
        stage = machine = -1
        match order.event:
            case LimitChanged():
                self._tell_limit(turn, order.event, order.by, order.reason)
                turn.orders.append(order)
                return
            case Decided():
                self._take_decision(turn, order)
                return
            case Granted() | Recalled():
                turn.tell(codec.account_fact(turn.at, order.event))
                self._scheduler.feed(order.event)
                turn.orders.append(order)
                return
            case CancelAsked():
                asked = Asked.CANCEL
            case PauseAsked(paused):
                asked = Asked.PAUSE if paused else Asked.UNPAUSE
            case RetryAsked(machine):
                asked = Asked.RETRY
            case SkipAsked(task):
                asked = Asked.SKIP
                stage, machine = divmod(task, self._machines)
            case _:
                assert_never(order.event)
        turn.tell(Fact("asked", stage, machine, 0, int(asked), codec.encode(note)))
        self._scheduler.feed(order.event)
        if not self._board.finished:
            turn.status = RunStatus.PAUSED if self._board.paused else RunStatus.RUNNING
        turn.orders.append(order)

    def _take_decision(self, turn: Turn, order: Order) -> None:
        """The first answer counts; what comes later is told so."""
        answer = order.event
        if not isinstance(answer, Decided):
            raise TypeError("no answer to an approval")
        if self._board.holds[answer.hold] != b.CLOSED:
            if order.done is not None and not order.done.done():
                order.done.set_exception(OperatorError("somebody else answered first"))
        else:
            turn.orders.append(order)
            turn.tell(self._holds.decided_fact(answer, turn.at, order.by, order.reason))
            self._scheduler.feed(answer)

    def _see_windows(self, turn: Turn) -> None:
        """What opened or closed, and when to look again."""
        if self._holds.has_windows and not self._board.finished:
            for change in self._holds.changes(turn.at, self._board.holds):
                turn.tell(self._holds.changed_fact(change, turn.at))
                self._scheduler.feed(change)
            again_s = self._holds.look_again_s(turn.at)
            self._set_deadline(self._clock.monotonic() + again_s, WindowsDue())

    def _ask_approval(self, turn: Turn, hold: int) -> None:
        fact = self._holds.asked_fact(hold, turn.at)
        if fact is not None:
            turn.tell(fact)
        if due := self._holds.due[hold]:
            delay_s = max(0.0, due - turn.at)
            self._set_deadline(self._clock.monotonic() + delay_s, ApprovalDeadline(hold))

    def _miss_approval(self, turn: Turn, hold: int) -> None:
        """Its deadline passed; not if it was asked anew, with a later one."""
        due = self._holds.due.get(hold, 0.0)
        if due and due <= turn.at + 0.001:
            self._take_decision(turn, Order(Decided(hold, False), DEADLINE, "nobody answered"))

    def _take_wish(self, turn: Turn, wish: Wish) -> None:
        if wish.attempt and not self._is_in_flight(wish.task, wish.attempt):
            wish.told(wish.task, wish.attempt, _over(wish.task, wish.attempt))
            return
        stage, machine = divmod(wish.task, self._machines)
        payload = codec.encode(
            {"at": round(turn.at, 3), "kind": wish.kind, "detail": dict(wish.detail)}
        )
        turn.tell(Fact("intent", stage, machine, wish.attempt, 0, payload))
        turn.wishes.append(wish)

    # deadlines ---------------------------------------------------------------------------------

    def _set_deadline(self, when: float, item: Due) -> None:
        self._deadline_count += 1
        heapq.heappush(self._deadlines, (when, self._deadline_count, item))

    def _expire(self, turn: Turn) -> None:
        while self._is_due():
            item = heapq.heappop(self._deadlines)[2]
            match item:
                case TimerFired():
                    self._scheduler.feed(item)
                case ElectionDeadline(group):
                    self._take_answer(turn, Reply(group, -1, "nobody answered in time"))
                case WindowsDue():
                    self._see_windows(turn)
                case ApprovalDeadline(hold):
                    self._miss_approval(turn, hold)
                case Deadline(tasks, attempts, final):
                    late = [x for x in zip(tasks, attempts, strict=True) if self._is_in_flight(*x)]
                    if final:
                        for task, attempt in late:
                            self._give_up(turn, task, attempt)
                    else:
                        turn.cancels.extend(late)
                case _:
                    assert_never(item)

    def _give_up(self, turn: Turn, task: int, attempt: int) -> None:
        """The executor gave no outcome, not even when told to stop."""
        if self._is_unwanted(task):
            result = Result.CANCELLED
        else:
            probing = self._board.flags[task] & b.PROBING
            result = Result.UNKNOWN if probing else Result.FAILED
        limit_s = self._timeouts[task // self._machines]
        error = f"no outcome {self._grace_s:.0f} s after its deadline of {limit_s:.0f} s"
        self._take(turn, [Outcome(task, attempt, result, error=error, pressed=True)])

    def _watch_starts(self, starts: Sequence[Attempt]) -> None:
        """One deadline for all attempts of a batch that have the same timeout."""
        batches: dict[float, Deadline] = {}
        for task, attempt, _, timeout_s, _ in starts:
            batch = batches.get(timeout_s)
            if batch is None:
                batch = batches[timeout_s] = Deadline(array("I"), array("I"), False)
            batch.tasks.append(task)
            batch.attempts.append(attempt)
        now = self._clock.monotonic()
        for timeout_s, batch in batches.items():
            self._set_deadline(now + timeout_s + self._grace_s, batch)

    def _watch_cancels(self, cancels: Sequence[tuple[int, int]]) -> None:
        if cancels:
            tasks, attempts = (array("I", x) for x in zip(*cancels, strict=True))
            when = self._clock.monotonic() + self._grace_s
            self._set_deadline(when, Deadline(tasks, attempts, True))

    # what follows ------------------------------------------------------------------------------

    def _command(self, turn: Turn) -> None:
        issued: dict[int, bytes] = {}
        machines = self._machines
        facts, tasks, starts = turn.facts, turn.tasks, turn.starts
        for command in self._scheduler.take():
            if type(command) is not Start:
                self._command_rare(turn, command)
                continue
            task, attempt, mode = command
            stage, machine = divmod(task, machines)
            payload = issued.get(stage)
            timeout_s = self._timeouts[stage]
            if payload is None:
                payload = codec.issued_payload(turn.at, turn.at + timeout_s, self._epoch)
                issued[stage] = payload
            facts.append(_make(Fact, ("issued", stage, machine, attempt, int(mode), payload)))
            tasks.append(task)
            starts.append(_make(Attempt, (task, attempt, mode, timeout_s, False)))

    def _command_rare(self, turn: Turn, command: Command) -> None:
        match command:
            case Marked():
                stage, machine = divmod(command.task, self._machines)
                attempt = self._board.attempts[command.task]
                error = words.marked(self._plan, command) if b.ended(command.state) else ""
                payload = codec.marked_payload(turn.at, command, error)
                fact = Fact("marked", stage, machine, attempt, int(command.state), payload)
                turn.tell(fact, command.task)
            case SetTimer(task, attempt, delay_s):
                stage, machine = divmod(task, self._machines)
                payload = codec.encode(
                    {"at": round(turn.at, 3), "due": round(turn.at + delay_s, 3)}
                )
                turn.tell(Fact("timer", stage, machine, attempt, 0, payload))
                self._due[task] = turn.at + delay_s
                self._set_deadline(self._clock.monotonic() + delay_s, TimerFired(task, attempt))
            case Cancel(task, attempt):
                turn.cancels.append((task, attempt))
            case Elect():
                turn.elects.append(command)
            case Wants():
                turn.accounts.append(command)
            case Returned():
                turn.tell(codec.account_fact(turn.at, command))
                turn.accounts.append(command)
            case AskApproval(hold):
                self._ask_approval(turn, hold)
            case StageSettled(stage):
                turn.settled.append(stage)
            case Finish(status):
                payload = codec.encode({"at": round(turn.at, 3)})
                turn.tell(Fact("finished", -1, -1, 0, int(status), payload))
                turn.status = status
            case Start():
                raise AssertionError("starts are handled by the caller")
            case _:
                assert_never(command)

    async def _commit(self, turn: Turn) -> None:
        """Large turns go in several appends, in order; nothing is released before the last."""
        state = self._board.state
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
        state = self._board.state
        self._due = {task: due for task, due in self._due.items() if state[task] == b.BACKOFF}
        return snapshots.encode(
            standing(self._scheduler), self._knowledge, self._due, self._holds.due
        )

    async def _see_the_lease(self) -> None:
        """A commit renews the lease, or finds a newer owner. A process that was stopped between a
        commit and here commits once more before it acts."""
        if not self._may_act():
            await self._journal.append(self._epoch, Commit([], []))
        if not self._may_act():
            raise LeaseLostError("the owner's lease is over; nothing was sent")

    def _release(self, turn: Turn) -> None:
        for wish in turn.wishes:
            intent = Intent(wish.kind, wish.task, wish.attempt, wish.detail)
            wish.told(wish.task, wish.attempt, self._knowledge.learn_intent(intent))
        for order in turn.orders:
            if order.done is not None and not order.done.done():
                order.done.set_result(None)
        for said in turn.accounts:
            self._on_account(said)
        for task, attempt in turn.cancels:
            self._executor.cancel(task, attempt)
        self._watch_cancels(turn.cancels)
        for stage in turn.settled:
            self._executor.stage_settled(stage)
        for elect in turn.elects:
            when = self._clock.monotonic() + self._timeouts[elect.stage] + self._grace_s
            self._set_deadline(when, ElectionDeadline(elect.group))
            self._executor.elect(elect.group, elect.stage, elect.candidates)
        if turn.starts:
            self._watch_starts(turn.starts)
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
        if attempt and not self._is_in_flight(task, attempt):
            told(task, attempt, _over(task, attempt))
        elif not 0 <= task < self._topology.task_count:
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

    async def ask(self, event: Question, *, by: str = "", reason: str = "") -> None:
        """Resolves when the order is durable. May be called before ``run``.

        Raises OperatorError for an order that does not fit the run.
        """
        self._check(event)
        if self._stopped is not None:
            raise self._stopped
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._inbox.append(Order(event, by, reason, done))
        self._woken.set()
        await done

    async def cancel(self, *, by: str = "", reason: str = "") -> None:
        """Unstarted tasks end, what runs is told to stop, ``always`` stages still run."""
        await self.ask(CancelAsked(), by=by, reason=reason)

    async def pause(self, paused: bool, *, by: str = "", reason: str = "") -> None:
        await self.ask(PauseAsked(paused), by=by, reason=reason)

    async def retry(self, machine_id: str = "", *, by: str = "", reason: str = "") -> None:
        """Failed tasks again; of one machine where it is named."""
        machine = self._machine_index(machine_id) if machine_id else -1
        await self.ask(RetryAsked(machine), by=by, reason=reason)

    async def skip(self, stage: str, machine_id: str, *, by: str, reason: str) -> None:
        """Count one task as succeeded. The reason is kept."""
        if not reason:
            raise OperatorError("a skip needs a reason", stage=stage, machine=machine_id)
        task = self._topology.task(self._stage_index(stage), self._machine_index(machine_id))
        await self.ask(SkipAsked(task), by=by, reason=reason)

    async def set_limit(self, name: str, capacity: int, *, by: str = "", reason: str = "") -> None:
        if name not in self._limits:
            known = ", ".join(self._limits) or "none"
            raise OperatorError(f"the run has no limit {name!r}", hint=f"limits: {known}")
        await self.ask(LimitChanged(self._limits[name], capacity), by=by, reason=reason)

    async def decide(self, stage: str, approved: bool, *, by: str, reason: str = "") -> None:
        """Answer the approval that a stage waits for, or will. Raises OperatorError where there is
        none, it was answered, or a refusal gives no reason."""
        hold = self._holds.hold_of(stage)
        if not approved and not reason:
            raise OperatorError("a refusal needs a reason", stage=stage)
        if self._board.holds[hold] != b.CLOSED:
            word = "approved" if self._board.holds[hold] == b.OPEN else "refused"
            raise OperatorError(
                f"stage {stage} was {word} already",
                hint="" if word == "approved" else "retry the run: it asks again",
                stage=stage,
            )
        await self.ask(Decided(hold, approved), by=by, reason=reason)

    def explain(self, stage: str, machine_id: str) -> tuple[Reason, ...]:
        """What one task waits for, or why it ended so; see ``words.reason`` for the text."""
        task = self._topology.task(self._stage_index(stage), self._machine_index(machine_id))
        return explain(self._scheduler, task)

    def explain_machine(self, at: int) -> list[Explained]:
        """All tasks of the machine with index ``at``."""
        return explain_machine(self._plan, self._scheduler, self._holds, at)

    def _machine_index(self, machine_id: str) -> int:
        for i, machine in enumerate(self._plan.machines):
            if machine_id in (machine.id, machine.name):
                return i
        raise OperatorError(f"the plan has no machine {machine_id!r}", machine=machine_id)

    def _stage_index(self, name: str) -> int:
        for i, stage in enumerate(self._plan.stages):
            if stage.name == name:
                return i
        raise OperatorError(f"the plan has no stage {name!r}", stage=name)

    def _check(self, event: Event) -> None:
        match event:
            case LimitChanged(limit, capacity):
                if not 0 <= limit < len(self._limits) or capacity < 0:
                    raise OperatorError(f"a limit's capacity is 0 or more, not {capacity}")
            case RetryAsked() if self._board.cancelled:
                raise OperatorError("the run is cancelled", hint="apply the spec again")
            case RetryAsked(machine):
                if not -1 <= machine < self._topology.machine_count:
                    raise OperatorError(f"there is no machine {machine}")
            case SkipAsked(task):
                if not 0 <= task < self._topology.task_count:
                    raise OperatorError(f"there is no task {task}")
            case Granted(resource, amount) | Recalled(resource, amount):
                if resource not in self._topology.shared_resources or amount < 0:
                    raise OperatorError(f"{resource} is not shared, or {amount} is no amount")
            case Decided(hold):
                if hold not in self._holds.approvals():
                    raise OperatorError(f"there is no approval {hold}")
            case _:
                pass


def _over(task: int, attempt: int) -> AttemptOverError:
    return AttemptOverError(f"attempt {attempt} of task {task} is not under way any more")
