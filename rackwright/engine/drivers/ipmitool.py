"""Running ipmitool: one child per operation, none left behind, the password in a pipe.

The password is read by the child from an inherited pipe: it is in no argv, no environment and no
file. A child that must end is sent SIGINT first, upon which ipmitool closes its session at the BMC.
"""

import asyncio
import os
import signal
from asyncio.subprocess import DEVNULL, PIPE, Process
from dataclasses import dataclass

from rackwright.engine.drivers.endpoint import EndpointQueue, NoTurnError, parse_address
from rackwright.engine.drivers.faults import BusyError, NotSentError, UnansweredError
from rackwright.engine.drivers.ipmi_output import fault_of, has_refused_setting
from rackwright.engine.drivers.power.base import Credentials
from rackwright.engine.drivers.timing import Clock, Timing
from rackwright.engine.errors import EngineError, OperatorError
from rackwright.engine.processes import spawned

_PORT = 623
_MOMENT_S = 1.5  # for a run that nobody waits for any more to end by itself
_INTERRUPT_S = 2.0  # from SIGINT to SIGKILL
_PASSWORD_MAX = 20  # IPMI 2.0 section 22.30
_USERNAME_MAX = 16
# Shares of the answer time, and how often ipmitool resends within one run: first for networks
# that lose packets, then for BMCs that are slow.
_PATIENCE = ((0.05, 2), (0.15, 2), (0.5, 1))


@dataclass(frozen=True, slots=True)
class Ran:
    stdout: str
    stderr: str
    code: int


class IpmiTool:
    """ipmitool aimed at one BMC. Raises the leaves of ``faults``, and OperatorError."""

    def __init__(
        self, credentials: Credentials, queue: EndpointQueue, clock: Clock, timing: Timing
    ) -> None:
        address = parse_address(credentials.address)
        _check(credentials)
        self.name = str(address)
        self._queue = queue
        self._clock = clock
        self._timing = timing
        self._secret = credentials.password
        self._argv = (
            *("ipmitool", "-v", "-I", "lanplus", "-H", address.host),
            *("-p", str(address.port or _PORT), "-U", credentials.username),
            *("-C", str(credentials.cipher_suite)),
        )

    def __repr__(self) -> str:
        return f"IpmiTool({self.name})"

    async def read(self, *command: str, deadline: float, privilege: str = "") -> str:
        """Run what may be repeated: again while busy, ever more patiently while unanswered."""
        last: EngineError | None = None
        for share, tries in _PATIENCE:
            wait_s = max(1, round(self._timing.request_timeout_s * share))
            try:
                return await self._until_not_busy(command, deadline, privilege, wait_s, tries)
            except (NotSentError, UnansweredError) as error:
                last = error
                if self._clock.now() >= deadline:
                    break
        assert last is not None
        raise last

    async def send_once(self, *command: str, deadline: float, privilege: str = "") -> str:
        """Run what changes power: ipmitool itself sends the command once."""
        wait_s = max(1, round(self._timing.action_answer_s))
        try:
            return await self._run(command, deadline, privilege, wait_s, 1)
        except BusyError:
            self._queue.busy(None)
            raise

    async def start_console(self, deadline: float, privilege: str = "") -> Process:
        """``sol activate`` under way; the caller ends it with ``end``."""
        turn = await self._queue.acquire(deadline)
        try:
            # Into a pipe ipmitool would hold back its word that the console works.
            unbuffered = ("stdbuf", "-o0")
            return await self._spawn(("sol", "activate"), privilege, 5, 3, PIPE, unbuffered)
        finally:
            turn.release()

    def fault(self, text: str) -> EngineError:
        return fault_of(text, self.name, (self._secret,))

    async def _until_not_busy(
        self, command: tuple[str, ...], deadline: float, privilege: str, wait_s: int, tries: int
    ) -> str:
        last: BusyError | None = None
        while True:
            try:
                answer = await self._run(command, deadline, privilege, wait_s, tries)
            except NoTurnError as error:
                raise last or error from None
            except BusyError as error:
                last = error
                self._queue.busy(None)
                if self._clock.now() >= deadline:
                    raise
            else:
                self._queue.answered()
                return answer

    async def _run(
        self, command: tuple[str, ...], deadline: float, privilege: str, wait_s: int, tries: int
    ) -> str:
        turn = await self._queue.acquire(deadline)
        try:
            ran = await self._finish(command, deadline, privilege, wait_s, tries)
        finally:
            turn.release()
        if ran.code != 0 or has_refused_setting(ran.stderr):
            raise self.fault(ran.stderr)
        return ran.stdout

    async def _finish(
        self, command: tuple[str, ...], deadline: float, privilege: str, wait_s: int, tries: int
    ) -> Ran:
        left_s = max(1.0, deadline - self._clock.now())
        process = await self._spawn(command, privilege, wait_s, tries, DEVNULL)
        try:
            async with asyncio.timeout(left_s):
                out, err = await process.communicate()
        except TimeoutError:
            raise UnansweredError(f"{self.name}: no answer within {left_s:.0f} s") from None
        finally:
            await end(process)
        code = process.returncode
        return Ran(
            out.decode(errors="replace"), err.decode(errors="replace"), 1 if code is None else code
        )

    async def _spawn(
        self,
        command: tuple[str, ...],
        privilege: str,
        wait_s: int,
        tries: int,
        stdin: int,
        wrapper: tuple[str, ...] = (),
    ) -> Process:
        reader, writer = os.pipe()
        try:
            os.write(writer, self._secret.encode() + b"\n")
            os.close(writer)
            options = ("-f", f"/dev/fd/{reader}", "-N", str(wait_s), "-R", str(tries))
            level = ("-L", privilege) if privilege else ()
            creation = asyncio.create_subprocess_exec(
                *(*wrapper, *self._argv, *level, *options, *command),
                stdin=stdin,
                stdout=PIPE,
                stderr=PIPE,
                pass_fds=(reader,),
                env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"},
                start_new_session=True,  # a Ctrl-C at our terminal is ours to pass on
            )
            return await spawned(creation, end)
        except FileNotFoundError as error:
            raise OperatorError(
                f"{error.filename} is not installed",
                hint="install the Debian packages ipmitool and coreutils",
            ) from error
        finally:
            os.close(reader)


async def end(process: Process) -> None:
    """See the child gone. Idempotent.

    Most runs are over in a moment, and one that ends by itself leaves no session; so it gets that
    moment, then SIGINT, upon which it closes its session, then SIGKILL.
    """
    if process.returncode is not None:
        return
    try:
        if await _is_over(process, _MOMENT_S):
            return
        process.send_signal(signal.SIGINT)
        if not await _is_over(process, _INTERRUPT_S):
            process.kill()
    except ProcessLookupError:
        pass
    except asyncio.CancelledError:
        process.kill()
        raise
    await process.wait()


async def _is_over(process: Process, within_s: float) -> bool:
    try:
        async with asyncio.timeout(within_s):
            await process.wait()
    except TimeoutError:
        return False
    return True


def _check(credentials: Credentials) -> None:
    if not 0 <= credentials.cipher_suite <= 255:
        raise OperatorError(f"no cipher suite: {credentials.cipher_suite}", hint="17 or 3")
    if len(credentials.username.encode()) > _USERNAME_MAX or not credentials.username.isprintable():
        raise OperatorError(f"an IPMI user name has at most {_USERNAME_MAX} printable bytes")
    password = credentials.password
    if len(password.encode()) > _PASSWORD_MAX or not password.isprintable():
        raise OperatorError(f"an IPMI password has at most {_PASSWORD_MAX} printable bytes")
