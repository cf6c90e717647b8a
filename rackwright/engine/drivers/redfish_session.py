"""The asynchronous side of a conversation with a Redfish service.

One ``RedfishCall`` is one call of the driver: each request takes a turn at the endpoint's queue and
a thread of a bounded pool; whatever happens - success, error, deadline, cancellation - the session
is logged out, by the pool thread itself, so that a cancelled task cannot prevent it.
"""

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from types import TracebackType
from typing import Any, TypeVar

import structlog

from rackwright.engine.drivers.endpoint import EndpointQueue, NoTurnError, Turn
from rackwright.engine.drivers.faults import (
    BusyError,
    NotSentError,
    RefusedError,
    UnansweredError,
)
from rackwright.engine.drivers.redfish_transport import Answer, Conversation
from rackwright.engine.drivers.timing import Clock, Timing
from rackwright.engine.errors import EngineError, MachineError, UnreachableError

_log = structlog.get_logger(__name__)
_T = TypeVar("_T")
_MONITOR_GONE = (404, 405, 410)
# DSP2046, Task, TaskState.
_TASK_FAILED = ("Exception", "Killed", "Cancelled")
_TASK_UNDER_WAY = ("New", "Starting", "Running", "Pending", "Service", "Stopping", "Cancelling")


@dataclass(frozen=True, slots=True)
class Channel:
    """What all calls to one endpoint share."""

    name: str
    queue: EndpointQueue
    threads: Executor
    clock: Clock
    timing: Timing


class RedfishCall:
    def __init__(self, channel: Channel, conversation: Conversation, duration_s: float) -> None:
        self._channel = channel
        self._conversation = conversation
        self._deadline = channel.clock.now() + duration_s

    @property
    def action_answer_s(self) -> float:
        return self._channel.timing.action_answer_s

    async def __aenter__(self) -> "RedfishCall":
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is not None and not isinstance(error, EngineError):
            self._conversation.abort()  # cancelled: end what is waiting, then log out
        turn: Turn | None = None
        try:
            turn = await self._channel.queue.acquire(self._now() + self._channel.timing.grace_s)
        except BusyError:
            pass  # a session left open is worse than a second operation at once
        finally:
            future = self._submit(self._logout, turn)
            await asyncio.wait({future}, timeout=self._channel.timing.grace_s)

    async def read(self, path: str) -> Answer:
        """GET, again while the BMC is busy, and a few times over a dead transport."""
        return await self._repeatable("GET", path, None, None)

    async def patch(
        self, path: str, data: Mapping[str, object], headers: Mapping[str, str]
    ) -> Answer:
        """PATCH, again while the BMC is busy or was not reached. Once it may have been applied it
        is not repeated: raises UnansweredError, for the caller to read back what holds now."""
        return await self._repeatable("PATCH", path, data, headers)

    async def settle(self, answer: Answer, duration_s: float) -> None:
        """Wait at most ``duration_s`` for the task of a 202 (DSP0266, "Asynchronous operations").

        A task monitor that is gone, or cannot be read, says nothing: what holds is read back.
        Raises MachineError when the task ended without success.
        """
        monitor = answer.headers.get("location", "")
        if answer.status != 202 or not monitor:
            return
        until = min(self._deadline, self._now() + duration_s)
        count = 0
        while self._now() < until:
            seen = Answer(202, {})
            try:
                answer_s = self._channel.timing.request_timeout_s
                seen = await self._exchange("GET", monitor, None, None, answer_s)
            except RefusedError as error:
                if error.status in _MONITOR_GONE:
                    return
                raise MachineError(
                    f"{self._channel.name}: the BMC's task failed: {error.message}"
                ) from None
            except NoTurnError:
                return
            except BusyError as error:
                self._channel.queue.busy(error.retry_after_s)
            except UnreachableError:
                return
            state = str(seen.body.get("TaskState", ""))
            if state in _TASK_FAILED:
                raise MachineError(f"{self._channel.name}: the BMC's task ended in {state}")
            if seen.status != 202 and state not in _TASK_UNDER_WAY:
                return
            await self._channel.clock.sleep(self._channel.timing.poll_after(count))
            count += 1

    async def post_once(self, path: str, data: Mapping[str, object]) -> Answer:
        """POST, sent at most once. Raises the leaves of ``faults``."""
        answer_s = self._channel.timing.action_answer_s
        try:
            return await self._exchange("POST", path, data, None, answer_s)
        except BusyError as error:
            self._channel.queue.busy(error.retry_after_s)
            raise

    async def _repeatable(
        self,
        method: str,
        path: str,
        data: Mapping[str, object] | None,
        headers: Mapping[str, str] | None,
    ) -> Answer:
        failures = 0
        last: EngineError | None = None
        answer_s = self._channel.timing.request_timeout_s
        while True:
            try:
                answer = await self._exchange(method, path, data, headers, answer_s)
            except NoTurnError as error:
                raise last or error from None
            except BusyError as error:
                last = error
                self._channel.queue.busy(error.retry_after_s)
                if self._now() >= self._deadline:
                    raise
            except (NotSentError, UnansweredError) as error:
                if method != "GET" and isinstance(error, UnansweredError):
                    raise
                last = error
                failures += 1
                if failures >= self._channel.timing.transport_tries or _is_hopeless(error):
                    raise
                await self._channel.clock.sleep(self._channel.timing.poll_after(failures))
            else:
                self._channel.queue.answered()
                return answer

    async def _exchange(
        self,
        method: str,
        path: str,
        data: Mapping[str, object] | None,
        headers: Mapping[str, str] | None,
        answer_s: float,
    ) -> Answer:
        turn = await self._channel.queue.acquire(self._deadline)
        limit_s = min(answer_s, max(0.1, self._deadline - self._now()))
        future = self._submit(
            lambda: self._conversation.request(method, path, data, headers, limit_s), turn
        )
        # A login may come before the request itself: each of its requests may take as long.
        done, _ = await asyncio.wait({future}, timeout=limit_s + self._login_allowance_s())
        if not done:
            self._conversation.cut()
            done, _ = await asyncio.wait({future}, timeout=self._channel.timing.grace_s)
        if not done:
            raise UnansweredError(f"{self._channel.name}: no answer within {limit_s:.0f} s")
        return future.result()

    def _login_allowance_s(self) -> float:
        timing = self._channel.timing
        if self._conversation.is_authenticated:
            return 1.0
        return 2 * timing.request_timeout_s

    def _submit(self, work: Callable[[], _T], turn: Turn | None) -> "asyncio.Future[_T]":
        loop = asyncio.get_running_loop()
        future = loop.run_in_executor(self._channel.threads, work)

        def ended(settled: "asyncio.Future[Any]") -> None:
            if turn is not None:
                turn.release()
            if not settled.cancelled():
                settled.exception()  # looked at: the waiter may be gone

        future.add_done_callback(ended)
        return future

    def _logout(self) -> None:
        left = self._conversation.logout()
        if left:
            _log.warning("bmc session left open", endpoint=self._channel.name, sessions=left)

    def _now(self) -> float:
        return self._channel.clock.now()


def _is_hopeless(error: UnreachableError) -> bool:
    return "TLS" in error.message
