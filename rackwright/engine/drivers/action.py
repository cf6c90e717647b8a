"""Changing power so that one action is sent once.

Theory. An answer can be lost while its action is applied, and the power state can lag behind both.
So: read first, and send nothing when the state is already right. Send once. A BMC that says "busy"
or was never reached has done nothing, and only then may the same action be sent again, after
another look at the state. Once an action may have been applied, nothing more is sent in this call:
its effect is looked for until a deadline. A restart leaves the power state as it was, so its effect
is looked for in traces (a reset time, a consumed boot override, a dip in power).
"""

from enum import StrEnum
from typing import Protocol

from rackwright.engine.drivers.faults import (
    BusyError,
    NotSentError,
    RefusedError,
    UnansweredError,
)
from rackwright.engine.drivers.power.base import ActionUnconfirmedError, PowerState
from rackwright.engine.drivers.timing import Clock, Timing
from rackwright.engine.errors import EngineError, MachineError, UnreachableError
from rackwright.engine.fence import Fence, NoFence


class Action(StrEnum):
    ON = "power on"
    OFF = "power off"
    RESTART = "restart"


class PowerPort(Protocol):
    """What a protocol must give. ``send`` sends at most one message that can change power."""

    @property
    def name(self) -> str: ...

    async def read(self) -> PowerState: ...

    async def send(self, action: Action) -> None:
        """Raises BusyError, NotSentError, UnansweredError, or MachineError when refused."""

    async def traces(self) -> tuple[object, ...]:
        """What a restart changes; compared, never interpreted. Empty if the BMC shows nothing."""

    async def can_restart(self) -> bool:
        """Whether one action restarts the machine; else it is powered off and on."""


_WANTED = {Action.ON: PowerState.ON, Action.OFF: PowerState.OFF}


class PowerChange:
    """One call's change of power. Not reused."""

    def __init__(
        self, port: PowerPort, clock: Clock, timing: Timing, fence: Fence | None = None
    ) -> None:
        self._port = port
        self._fence = fence or NoFence()
        self._clock = clock
        self._timing = timing
        self._deadline = clock.now() + timing.action_deadline_s

    async def reach(self, action: Action) -> None:
        """Power on or off. Returns when the BMC reports it."""
        wanted = _WANTED[action]
        if await self._definite_state() == wanted:
            return
        if await self._send_once(action, wanted):
            await self._await_state(wanted, action, self._effect_deadline())
            return
        try:
            until = min(self._deadline, self._clock.now() + self._timing.unanswered_s)
            await self._await_state(wanted, action, until)
        except MachineError as error:
            raise self._unconfirmed(action) from error

    async def restart(self) -> None:
        """Restart a running machine, power on one that is off."""
        if await self._definite_state() == PowerState.OFF:
            await self.reach(Action.ON)
            return
        if not await self._port.can_restart():
            await self._off_and_on()
            return
        before = await self._port.traces()
        try:
            accepted = await self._send_once(Action.RESTART, None)
        except RefusedError:
            await self._off_and_on()  # the BMC offered a restart and will not do it
            return
        if not accepted:
            await self._await_traces(before)
        await self._await_state(PowerState.ON, Action.RESTART, self._effect_deadline())

    def _effect_deadline(self) -> float:
        return min(self._deadline, self._clock.now() + self._timing.effect_s)

    async def _off_and_on(self) -> None:
        await self.reach(Action.OFF)
        await self.reach(Action.ON)

    async def _definite_state(self) -> PowerState:
        """The state now; one that is neither on nor off is waited out for a while."""
        until = min(self._deadline, self._clock.now() + self._timing.transition_s)
        count = 0
        while (state := await self._port.read()) == PowerState.UNKNOWN:
            if self._clock.now() >= until:
                break
            await self._clock.sleep(self._timing.poll_after(count))
            count += 1
        return state

    async def _send_once(self, action: Action, wanted: PowerState | None) -> bool:
        """Whether the BMC accepted (True) or may have (False). Raises when it surely did not."""
        count = 0
        while True:
            await self._fence.check()
            try:
                await self._port.send(action)
            except UnansweredError:
                return False
            except (BusyError, NotSentError) as error:
                await self._wait_to_resend(error, count)
                count += 1
            except MachineError:
                if wanted is not None and await self._becomes(wanted):
                    return True  # refused because it is so already: the state had lagged
                raise
            else:
                return True
            if wanted is not None and await self._port.read() == wanted:
                return True

    async def _becomes(self, wanted: PowerState) -> bool:
        """Whether the state shows ``wanted`` within the time that it may lag behind."""
        until = self._clock.now() + self._timing.lag_s
        count = 0
        while await self._port.read() != wanted:
            if self._clock.now() >= until:
                return False
            await self._clock.sleep(self._timing.poll_after(count))
            count += 1
        return True

    async def _wait_to_resend(self, error: EngineError, count: int) -> None:
        asked_s = error.retry_after_s if isinstance(error, BusyError) else None
        rest_s = self._timing.busy_after(count) if asked_s is None else asked_s
        too_often = isinstance(error, NotSentError) and count + 1 >= self._timing.transport_tries
        if too_often or self._clock.now() + rest_s > self._deadline:
            raise error
        await self._clock.sleep(rest_s)

    async def _await_state(self, wanted: PowerState, action: Action, until: float) -> None:
        count = 0
        last = PowerState.UNKNOWN
        while True:
            try:
                last = await self._port.read()
            except UnreachableError:
                if self._clock.now() >= until:
                    raise
            if last == wanted:
                return
            if self._clock.now() >= until:
                raise MachineError(
                    f"{self._port.name}: {action} was sent, and the BMC still reports {last}",
                    hint="look at the machine's front panel and at the BMC's event log",
                )
            await self._clock.sleep(self._timing.poll_after(count))
            count += 1

    async def _await_traces(self, before: tuple[object, ...]) -> None:
        until = min(self._deadline, self._clock.now() + self._timing.unanswered_s)
        count = 0
        while True:
            try:
                if await self._port.read() != PowerState.ON:
                    return
                if await self._port.traces() != before:
                    return
            except UnreachableError:
                pass
            if self._clock.now() >= until:
                raise self._unconfirmed(Action.RESTART)
            await self._clock.sleep(self._timing.poll_after(count))
            count += 1

    def _unconfirmed(self, action: Action) -> ActionUnconfirmedError:
        return ActionUnconfirmedError(
            f"{self._port.name}: {action} was sent once, its answer never came, "
            "and the BMC shows no effect",
            hint="it was not sent again; watch the machine itself before trying again",
        )
