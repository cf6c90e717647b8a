"""The attempts under way in one executor: each a task that ends in exactly one outcome.

Cancelling an attempt ends its work on the machine. Closing the crew does not: the controller goes,
the machines go on, and whoever resumes attaches to them.
"""

import asyncio
import traceback
from collections.abc import Awaitable, Callable

import structlog

from rackwright.engine.errors import EngineError
from rackwright.engine.executors.console import Consoles
from rackwright.engine.executors.job import Job
from rackwright.engine.executors.scope import Scope
from rackwright.engine.executors.steps import Verdict
from rackwright.engine.run.ports import Attempt
from rackwright.engine.schedule.events import Result

STOP_TIMEOUT_S = 60.0
SUCCESS = frozenset({Result.SATISFIED, Result.CHANGED, Result.UNSATISFIED})

log = structlog.get_logger(__name__)


class Crew:
    """``work`` carries one attempt out; ``stop`` ends what it left running on the machine."""

    def __init__(
        self,
        scope: Scope,
        consoles: Consoles,
        work: Callable[[Job], Awaitable[Verdict]],
        stop: Callable[[Job], Awaitable[None]],
    ) -> None:
        self._scope = scope
        self._consoles = consoles
        self._work = work
        self._stop = stop
        self._tasks: dict[tuple[int, int], asyncio.Task[None]] = {}
        self._begun: set[tuple[int, int]] = set()
        self._cancelled: set[tuple[int, int]] = set()
        self._side: set[asyncio.Task[None]] = set()
        self._owed: set[asyncio.Task[None]] = set()

    def start(self, attempt: Attempt) -> None:
        key = (attempt.task, attempt.attempt)
        if key in self._tasks:
            raise ValueError(f"attempt {key} is under way")
        task = asyncio.create_task(self._carry_out(attempt), name=f"attempt {key}")
        self._tasks[key] = task
        task.add_done_callback(lambda _: self._forget(key))

    def cancel(self, task: int, attempt: int) -> None:
        """An outcome still follows, unless one was given already."""
        key = (task, attempt)
        if key in self._tasks and key not in self._cancelled:
            self._cancelled.add(key)
            if key in self._begun:  # else it sees for itself: a task not begun would just vanish
                self._tasks[key].cancel()

    def beside(self, work: Awaitable[None], *, owed: bool = False) -> None:
        """Work that belongs to no attempt: an election, a revocation. ``settle`` waits for what
        is ``owed``."""

        async def run() -> None:
            await work

        task = asyncio.create_task(run())
        for group in (self._side, self._owed) if owed else (self._side,):
            group.add(task)
            task.add_done_callback(group.discard)

    async def settle(self, timeout_s: float) -> None:
        """Let what is owed end, then cancel what is left, attempts included."""
        if self._owed:
            await asyncio.wait(self._owed, timeout=timeout_s)
        left = [*self._side, *self._tasks.values()]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    def _forget(self, key: tuple[int, int]) -> None:
        self._tasks.pop(key, None)
        self._cancelled.discard(key)
        self._begun.discard(key)

    async def _carry_out(self, attempt: Attempt) -> None:
        loop = asyncio.get_running_loop()
        subject = self._scope.subject(attempt.task)
        job = Job(attempt, subject, loop.time() + attempt.timeout_s)
        key = (attempt.task, attempt.attempt)
        self._begun.add(key)
        try:
            verdict = None if key in self._cancelled else await self._judge(job)
        except asyncio.CancelledError:
            current = asyncio.current_task()
            if key not in self._cancelled or current is None:
                raise
            current.uncancel()
            verdict = None
        if verdict is None:
            await self._end(job)
            verdict = Verdict(Result.CANCELLED, f"cancelled during {job.phase}")
        console = ""
        if verdict.result not in SUCCESS:
            console = self._consoles.ring(job.machine_id).text()
        self._scope.sink.ended(verdict.outcome(attempt.task, attempt.attempt, console))

    async def _judge(self, job: Job) -> Verdict:
        """Every error becomes a verdict: an attempt must not vanish."""
        try:
            async with asyncio.timeout_at(job.deadline):
                return await self._work(job)
        except TimeoutError:
            await self._end(job)
            return job.timed_out()
        except EngineError as error:
            await self._end(job)
            return job.failed(error)
        except Exception as error:  # noqa: BLE001 - becomes a failed event
            log.error(
                "attempt broke",
                machine=job.machine_id,
                stage=job.subject.stage.name,
                attempt=job.attempt.attempt,
                kind=type(error).__name__,
                # where it broke, without values: a variable or a message may hold a secret
                trace="".join(traceback.format_tb(error.__traceback__)),
            )
            await self._end(job)
            return job.broke(error)

    async def _end(self, job: Job) -> None:
        """What cannot be ended here ends at its own limit on the machine."""
        try:
            async with asyncio.timeout(STOP_TIMEOUT_S):
                await self._stop(job)
        except (EngineError, TimeoutError) as error:
            log.warning(
                "step not ended",
                machine=job.machine_id,
                stage=job.subject.stage.name,
                attempt=job.attempt.attempt,
                error=str(error),
            )
