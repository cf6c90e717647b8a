"""Power over Redfish (DSP0266): sushy's connector in pool threads, one session per call.

Owns what is asked of a ComputerSystem; never keeps a session open after a call.
"""

from collections.abc import Mapping
from typing import Any

from rackwright.engine.drivers.action import Action, PowerChange
from rackwright.engine.drivers.endpoint import parse_address
from rackwright.engine.drivers.faults import BusyError, RefusedError, UnansweredError
from rackwright.engine.drivers.power.base import BootDevice, Credentials, PowerState
from rackwright.engine.drivers.quirks import Identity, Quirks
from rackwright.engine.drivers.redfish_boot import (
    Wish,
    boot_of,
    offered_boots,
    one_time_device,
    payloads,
    reset_types,
    restart_traces,
    settings_path,
    targets_in_order,
    unmet,
)
from rackwright.engine.drivers.redfish_sensors import readings
from rackwright.engine.drivers.redfish_session import Channel, RedfishCall
from rackwright.engine.drivers.redfish_system import choose_system, system_identity
from rackwright.engine.drivers.redfish_transport import ROOT, Answer, Conversation
from rackwright.engine.drivers.surroundings import Surroundings
from rackwright.engine.errors import MachineError, OperatorError
from rackwright.engine.machine import Firmware

# In the order of preference; Graceful ones ask the operating system, which may say no.
_RESET_TYPES = {
    Action.ON: ("On", "ForceOn", "PushPowerButton"),
    Action.OFF: ("ForceOff", "GracefulShutdown"),
    Action.RESTART: ("ForceRestart", "PowerCycle"),
}
_STATES = {"On": PowerState.ON, "Off": PowerState.OFF}
_ETAG_REFUSALS = (412, 428)


class RedfishDriver:
    def __init__(self, credentials: Credentials, surroundings: Surroundings) -> None:
        self._credentials = credentials
        self._surroundings = surroundings
        self._identity = Identity()
        self._quirks = surroundings.quirks.of(self._identity, credentials.quirks)
        self._system_path = ""
        self._channel = Channel(
            name=str(parse_address(credentials.address)),
            queue=surroundings.queue,
            threads=surroundings.threads,
            clock=surroundings.clock,
            timing=surroundings.timing,
        )
        self._conversation()  # a bad certificate or address is refused now

    def __repr__(self) -> str:
        return f"RedfishDriver({self._channel.name})"

    async def power_state(self) -> PowerState:
        async with self._call(self._channel.timing.read_deadline_s) as call:
            return await SystemPort(self, call).read()

    async def power_on(self) -> None:
        await self._change(Action.ON)

    async def power_off(self) -> None:
        await self._change(Action.OFF)

    async def reset(self) -> None:
        await self._change(Action.RESTART)

    async def set_boot_once(self, device: BootDevice, firmware: Firmware) -> None:
        await self._surroundings.fence.quiet()
        async with self._call(self._channel.timing.read_deadline_s) as call:
            await self._set_boot(call, Wish(device, firmware))

    async def boot_once(self) -> BootDevice | None:
        async with self._call(self._channel.timing.read_deadline_s) as call:
            system, settings = await self._boot_resources(call)
            for resource in (settings, system):
                device = one_time_device(boot_of(resource), self._quirks)
                if device is not None:
                    return device
            return None

    async def sensors(self) -> Mapping[str, str]:
        async with self._call(self._channel.timing.read_deadline_s) as call:
            return await readings(call, await self.system(call))

    async def close(self) -> None:
        """Nothing to do: every call logs out by itself."""

    async def system(self, call: RedfishCall) -> Mapping[str, Any]:
        return (await self.system_answer(call)).body

    async def system_answer(self, call: RedfishCall) -> Answer:
        """The ComputerSystem as it is now; finds out which one at the first call."""
        if not self._system_path:
            root = (await call.read(ROOT)).body
            self._system_path = await choose_system(
                call, root, self._credentials.system, self._channel.name
            )
        answer = await call.read(self._system_path)
        identity = system_identity(answer.body)
        if identity != self._identity:
            self._identity = identity
            self._quirks = self._surroundings.quirks.of(identity, self._credentials.quirks)
        return answer

    @property
    def name(self) -> str:
        return self._channel.name

    @property
    def quirks(self) -> Quirks:
        return self._quirks

    def _conversation(self) -> Conversation:
        return Conversation(self._credentials, self._quirks, self._channel.timing)

    def _call(self, duration_s: float) -> RedfishCall:
        return RedfishCall(self._channel, self._conversation(), duration_s)

    async def _change(self, action: Action) -> None:
        timing, fence = self._channel.timing, self._surroundings.fence
        await fence.quiet()
        async with self._call(timing.action_deadline_s) as call:
            change = PowerChange(SystemPort(self, call), self._channel.clock, timing, fence)
            if action == Action.RESTART:
                await change.restart()
            else:
                await change.reach(action)

    async def _boot_resources(
        self, call: RedfishCall
    ) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        """The system and its Settings resource, the latter empty where there is none."""
        system = await self.system(call)
        path = settings_path(system)
        if not path or path == self._system_path:
            return system, {}
        try:
            return system, (await call.read(path)).body
        except RefusedError:
            return system, {}

    async def _set_boot(self, call: RedfishCall, wish: Wish) -> None:
        system, settings = await self._boot_resources(call)
        paths = {"system": self._system_path, "settings": settings_path(system)}
        refusals: list[str] = []
        for place in targets_in_order(system, settings):
            for payload in payloads(wish, self._quirks):
                said = f"accepted by {place}"
                try:
                    answer = await self._patch(call, paths[place], payload)
                    await call.settle(answer, self._channel.timing.request_timeout_s)
                except UnansweredError as error:
                    said = error.message
                except BusyError:
                    raise
                except MachineError as error:
                    refusals.append(error.message)
                    continue
                problem = await self._await_boot(call, wish)
                if not problem:
                    return
                refusals.append(f"{said}, and read back: {problem}")
        offers = offered_boots(system) or offered_boots(settings)
        raise MachineError(
            f"{self.name}: boot device {wish.target} ({wish.mode}) could not be set: "
            + "; ".join(dict.fromkeys(refusals)),
            hint="check the firmware's boot mode and the BMC's allowed boot sources"
            + (f"; it says that it allows {offers}" if offers else ""),
        )

    async def _patch(self, call: RedfishCall, path: str, payload: Mapping[str, object]) -> Answer:
        """PATCH with the resource's own ETag; some services want none, some only ``*``."""
        etag = (await call.read(path)).headers.get("etag", "")
        tries = [etag] if etag else [""]
        tries += [etag.removeprefix("W/")] if etag.startswith("W/") else []
        tries += ["*", ""] if etag else ["*"]
        last: RefusedError | None = None
        for value in tries:
            await self._surroundings.fence.check()
            try:
                return await call.patch(path, payload, {"If-Match": value} if value else {})
            except RefusedError as error:
                if error.status not in _ETAG_REFUSALS:
                    raise
                last = error
        assert last is not None
        raise last

    async def _await_boot(self, call: RedfishCall, wish: Wish) -> str:
        """Read back until it is so; why it is not, when it does not become so."""
        timing = self._channel.timing
        for count in range(timing.read_back_tries):
            system, settings = await self._boot_resources(call)
            problems = [unmet(wish, boot_of(system), self._quirks)]
            if "BootSourceOverrideTarget" in boot_of(settings):
                problems.append(unmet(wish, boot_of(settings), self._quirks))
            if not all(problems):
                return ""
            if count + 1 < timing.read_back_tries:
                await self._channel.clock.sleep(timing.poll_after(count))
        return problems[-1]


class SystemPort:
    """One ComputerSystem's power, within one call."""

    def __init__(self, driver: RedfishDriver, call: RedfishCall) -> None:
        self._driver = driver
        self._call = call
        self._system: Mapping[str, Any] = {}
        self._state = PowerState.UNKNOWN
        self._elsewhere: tuple[str, ...] | None = None  # what the ActionInfo lists, once read

    @property
    def name(self) -> str:
        return self._driver.name

    async def read(self) -> PowerState:
        self._system = await self._driver.system(self._call)
        self._state = _STATES.get(str(self._system.get("PowerState")), PowerState.UNKNOWN)
        return self._state

    async def send(self, action: Action) -> None:
        target, offered = await self._reset_action()
        chosen = self._reset_type(action, offered)
        if not chosen:
            raise MachineError(
                f"{self.name}: the BMC offers no way to {action}: {', '.join(offered)}"
            )
        answer = await self._call.post_once(target, {"ResetType": chosen})
        await self._call.settle(answer, self._call.action_answer_s)

    async def traces(self) -> tuple[object, ...]:
        return restart_traces(self._system)

    async def can_restart(self) -> bool:
        return bool(self._reset_type(Action.RESTART, (await self._reset_action())[1]))

    def _reset_type(self, action: Action, offered: tuple[str, ...]) -> str:
        if action == Action.RESTART and self._driver.quirks.reset_type:
            return self._driver.quirks.reset_type
        wanted = _RESET_TYPES[action]
        if not offered:
            return wanted[0]
        found = next((value for value in wanted if value in offered), "")
        if found == "PushPowerButton" and self._state is not PowerState.OFF:
            return ""  # it would turn off a machine that is on, or coming on
        return found

    async def _reset_action(self) -> tuple[str, tuple[str, ...]]:
        """Where to post a reset, and the reset types that the service lists (maybe none): beside
        the action, or in the ActionInfo resource that it names (DSP0266, "Actions")."""
        actions = self._system.get("Actions")
        reset = actions.get("#ComputerSystem.Reset") if isinstance(actions, Mapping) else None
        if not isinstance(reset, Mapping) or not isinstance(reset.get("target"), str):
            raise MachineError(f"{self.name}: the BMC offers no reset action for this system")
        offered = reset.get("ResetType@Redfish.AllowableValues")
        if isinstance(offered, list):
            return reset["target"], tuple(map(str, offered))
        return reset["target"], await self._offered_elsewhere(reset.get("@Redfish.ActionInfo"))

    async def _offered_elsewhere(self, path: object) -> tuple[str, ...]:
        if not isinstance(path, str) or not path:
            return ()
        if self._elsewhere is None:
            try:
                self._elsewhere = reset_types((await self._call.read(path)).body)
            except RefusedError:
                self._elsewhere = ()
        return self._elsewhere


def open_driver(credentials: Credentials, surroundings: Surroundings) -> RedfishDriver:
    if not credentials.username or not credentials.password:
        raise OperatorError("Redfish needs a user name and a password")
    return RedfishDriver(credentials, surroundings)
